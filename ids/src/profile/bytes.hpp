// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <sstream>
#include <string>

namespace sevmon::ids {

using ByteSpan = std::span<const std::byte>;

static_assert(std::endian::native == std::endian::little, "what is read here is little-endian");

/// Does [offset, offset + length) lie inside `size` bytes? No overflow for any argument.
constexpr bool fits(std::uint64_t size, std::uint64_t offset, std::uint64_t length) {
  return offset <= size && length <= size - offset;
}

/// The little-endian `T` at `offset`, which the caller has checked.
template <typename T>
T load_le(ByteSpan bytes, std::size_t offset) {
  assert(fits(bytes.size(), offset, sizeof(T)));
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

inline std::string hex(std::uint64_t value) {
  std::ostringstream out;
  out << "0x" << std::hex << value;
  return std::move(out).str();
}

}  // namespace sevmon::ids
