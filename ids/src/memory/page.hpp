// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <sevmon/wire.h>

namespace sevmon::ids {

inline constexpr std::uint64_t kPageBytes = SEVMON_PAGE_BYTES;
inline constexpr std::uint64_t kLineBytes = 64;
inline constexpr unsigned kLinesPerPage = kPageBytes / kLineBytes;

/// Lines of one page, bit i for the bytes from i * 64.
using LineSet = std::uint64_t;
static_assert(kLinesPerPage == 64);

/// The lines that hold `bytes` bytes from `offset`; at least one byte, within the page.
LineSet lines_of(std::uint64_t offset, std::uint64_t bytes);

/// What an epoch knows of one page. What is known never changes: lines that were read stay, and a
/// page that once could not be read is not asked for again.
class Page {
 public:
  /// Those of `lines` that are worth asking for.
  LineSet missing(LineSet lines) const { return status_ == SEVMON_STATUS_OK ? lines & ~valid_ : 0; }
  bool has(LineSet lines) const { return (lines & ~valid_) == 0; }

  /// `offset` and the size are whole lines.
  void store(std::uint64_t offset, std::span<const std::byte> bytes);
  void fail(std::uint16_t status, std::uint8_t level);

  /// Only lines that it has.
  std::span<const std::byte> bytes(std::uint64_t offset, std::uint64_t count) const;
  std::uint16_t status() const { return status_; }
  std::uint8_t level() const { return level_; }

 private:
  LineSet valid_ = 0;
  std::uint16_t status_ = SEVMON_STATUS_OK;  // why there will be no more lines
  std::uint8_t level_ = 0;
  std::unique_ptr<std::array<std::byte, kPageBytes>> data_;  // an absent page needs none
};

}  // namespace sevmon::ids
