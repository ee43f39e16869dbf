// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace sevmon::tests {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;
using Id = std::array<std::uint8_t, 16>;
using Key = std::array<std::uint8_t, 32>;

inline std::uint8_t hex_digit(char c) {
  const std::string_view digits = "0123456789abcdef";
  const auto at = digits.find(static_cast<char>(c | 0x20));
  if (at == std::string_view::npos) throw std::invalid_argument{"not hexadecimal"};
  return static_cast<std::uint8_t>(at);
}

inline Bytes from_hex(std::string_view text) {
  if (text.size() % 2) throw std::invalid_argument{"odd number of hexadecimal digits"};
  Bytes bytes(text.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::uint8_t>(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
  return bytes;
}

inline std::string to_hex(ByteView bytes) {
  std::string text;
  for (const auto byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

inline Bytes from_text(std::string_view text) {
  return {text.begin(), text.end()};
}

inline bool contains(ByteView bytes, ByteView what) {
  // Not std::ranges::search: Clang 14 cannot compile GCC 12's.
  return std::search(bytes.begin(), bytes.end(), what.begin(), what.end()) != bytes.end();
}

/// As many bytes as fit; more or fewer are our own mistake.
template <std::size_t N>
std::array<std::uint8_t, N> to_array(ByteView bytes) {
  if (bytes.size() != N) throw std::invalid_argument{"not the size that it must be"};
  std::array<std::uint8_t, N> array;
  std::memcpy(array.data(), bytes.data(), N);
  return array;
}

/// A structure of the wire as its bytes, and back.
template <typename T>
Bytes bytes_of(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  Bytes bytes(sizeof(T));
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

template <typename T>
T load(ByteView bytes, std::size_t offset = 0) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T))
    throw std::out_of_range{"beyond the bytes"};
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

}  // namespace sevmon::tests
