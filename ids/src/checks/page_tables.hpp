// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/result.hpp>

// x86-64 page tables as pages of physical memory: AMD64 Architecture Programmer's Manual, volume 2,
// section 5.3.
namespace sevmon::ids {

inline constexpr unsigned kTableEntries = 512;
inline constexpr std::uint64_t kPtePresent = 1ULL << 0;
inline constexpr std::uint64_t kPteLarge = 1ULL << 7;
inline constexpr std::uint64_t kPteAddress = 0x000ffffffffff000;

/// Of the address bits that an entry of a table at `level` (1 is the lowest) decides.
constexpr unsigned level_shift(unsigned level) {
  return 12 + 9 * (level - 1);
}

/// What an entry leads to.
struct Entry {
  enum class Kind : std::uint8_t { kNothing, kTable, kPage } kind = Kind::kNothing;
  std::uint64_t frame = 0;   // of the table, or the page's first
  std::uint64_t access = 0;  // SEVMON_PTE_WRITE, _USER, _NX, as all levels so far allow

  bool operator==(const Entry&) const = default;
};

/// Where walks start: everything is allowed.
constexpr Entry root_entry(std::uint64_t frame) {
  return {Entry::Kind::kTable, frame, SEVMON_PTE_WRITE | SEVMON_PTE_USER};
}

using Table = std::array<std::uint64_t, kTableEntries>;

/// Tables of one pass, each read once.
class PageTables {
 public:
  PageTables(Channel& channel, common::DomId domain, std::uint64_t c_bit_mask,
             std::size_t max_tables)
      : channel_{channel}, domain_{domain}, c_bit_mask_{c_bit_mask}, max_tables_{max_tables} {}

  /// Read what of `frames` is not there yet, in one wave. Over the bound: nothing, and full().
  /// @return errors of the channel.
  common::Result<void> fetch(std::span<const std::uint64_t> frames);
  /// None: it was not fetched, or it is no RAM of the target's.
  const Table* find(std::uint64_t frame) const;
  bool full() const { return full_; }
  std::size_t size() const { return tables_.size(); }

  /// Entry `index` of what `parent` leads to, at `level`: a page is a table of its parts. The table
  /// must have been fetched.
  Entry child(const Entry& parent, unsigned index, unsigned level) const;

  /// Frames to which `root` maps `addresses`, level by level for all of them at once.
  common::Result<std::vector<std::optional<std::uint64_t>>> translate(
      std::uint64_t root, unsigned levels, std::span<const std::uint64_t> addresses);

 private:
  Channel& channel_;
  const common::DomId domain_;
  const std::uint64_t c_bit_mask_;
  const std::size_t max_tables_;
  bool full_ = false;
  std::unordered_map<std::uint64_t, std::optional<Table>> tables_;
};

}  // namespace sevmon::ids
