// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <openssl/crypto.h>

namespace sevmon::ids {

using ByteView = std::span<const std::uint8_t>;

/// Zeros in locked memory, if lock_secrets() was called, or else on the ordinary heap.
std::uint8_t* allocate_secret(std::size_t bytes);

/// Bytes that wipe themselves: keys, and whatever keys are made from.
template <std::size_t kBytes>
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::span<const std::uint8_t, kBytes> bytes) {
    std::copy(bytes.begin(), bytes.end(), data());
  }
  Secret(const Secret& other) : Secret{other.view()} {}
  Secret& operator=(const Secret& other) {
    std::copy_n(other.data(), kBytes, data());
    return *this;
  }
  ~Secret() { OPENSSL_secure_clear_free(bytes_, kBytes); }

  std::span<const std::uint8_t, kBytes> view() const {
    return std::span<const std::uint8_t, kBytes>{bytes_, kBytes};
  }
  std::span<std::uint8_t, kBytes> edit() { return std::span<std::uint8_t, kBytes>{bytes_, kBytes}; }
  std::uint8_t* data() { return bytes_; }
  const std::uint8_t* data() const { return bytes_; }

 private:
  std::uint8_t* const bytes_ = allocate_secret(kBytes);
};

inline ByteView as_u8(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}
inline std::span<std::uint8_t> as_u8(std::span<std::byte> bytes) {
  return {reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()};
}

}  // namespace sevmon::ids
