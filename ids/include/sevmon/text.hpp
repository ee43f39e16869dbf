// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace sevmon::ids {

/// `bytes` so that they can do nothing to a terminal or a JSON parser: printable ASCII stays, a
/// backslash becomes "\\", everything else "\xNN". Reversible. The monitored system chooses these
/// bytes; so escape sequences, newlines and Unicode's direction marks are never passed on.
std::string escape(std::string_view bytes);

/// Lower-case hexadecimal digits, two a byte.
std::string hex(std::span<const std::byte> bytes);
std::string hex(std::span<const std::uint8_t> bytes);

/// "0xffffffff82000000"
std::string hex_address(std::uint64_t value);

}  // namespace sevmon::ids
