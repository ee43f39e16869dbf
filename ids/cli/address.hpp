// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <sevmon/result.hpp>

namespace sevmon::cli {

/// A place in the target as a person types it.
struct Place {
  std::string symbol;        // empty: `offset` is an address of the running kernel
  std::uint64_t offset = 0;  // from the symbol
  bool operator==(const Place&) const = default;
};

/// "0xffffffff81000000", "linux_banner", "linux_banner+0x10", "linux_banner+16".
/// Strict: an address has 0x and at most 16 digits, so that a forgotten prefix is never read as
/// another number; nothing may stand before or after.
/// @return kUsage saying what is wrong.
common::Result<Place> parse_place(std::string_view text);

/// "16", "0x1000", "4K", "2M", "1G" (powers of 1024); at least 1.
/// @return kUsage.
common::Result<std::uint64_t> parse_length(std::string_view text);

/// What parse_place() reads back as the same.
std::string to_string(const Place& place);

}  // namespace sevmon::cli
