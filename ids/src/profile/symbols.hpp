// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sevmon/result.hpp>

#include "profile/bytes.hpp"

namespace sevmon::ids {

/// A kernel's symbols in order of their addresses, with an index by name.
class SymbolTable {
 public:
  struct Entry {
    std::uint64_t address;
    char type;
    std::string_view name;  // into the table

    bool operator==(const Entry&) const = default;
  };

  SymbolTable() = default;

  /// `address` must not be below the last one's; `name` holds no NUL. Call index() after the last.
  void add(std::uint64_t address, char type, std::string_view name);
  void index();

  std::size_t size() const { return addresses_.size(); }
  Entry entry(std::size_t i) const;
  /// The lowest address of that name.
  std::optional<Entry> find(std::string_view name) const;
  /// The first of those at the highest address that is not above `address`.
  std::optional<Entry> find_at(std::uint64_t address) const;

  /// For a profile file. decode() takes what encode() makes, no more and no less:
  /// @return kTruncated; kMalformed for a table that is not sorted, indexed and whole.
  std::vector<std::byte> encode() const;
  static common::Result<SymbolTable> decode(ByteSpan bytes);

 private:
  std::string_view name_of(std::size_t i) const;
  common::Result<void> check() const;

  std::vector<std::uint64_t> addresses_;    // ascending
  std::vector<std::uint32_t> name_starts_;  // in names_, ascending
  std::vector<std::uint32_t> by_name_;      // numbers of symbols, by name, then number
  std::string types_;
  std::string names_;  // each with its NUL
};

}  // namespace sevmon::ids
