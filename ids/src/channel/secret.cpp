// SPDX-License-Identifier: Apache-2.0
#include "channel/secret.hpp"

#include <new>

#include <sevmon/secrets.hpp>

namespace sevmon::ids {

namespace {
// A session has some ten secrets of 32 bytes, and each message makes a few. Far below the 64 KiB
// that the smallest usual limit allows.
constexpr std::size_t kHeapBytes = 32 * 1024;
constexpr std::size_t kSmallestBytes = 16;
}  // namespace

bool lock_secrets() {
  static const int made = CRYPTO_secure_malloc_init(kHeapBytes, kSmallestBytes);
  return made == 1;  // 2: there, but not locked
}

std::uint8_t* allocate_secret(std::size_t bytes) {
  void* const memory = OPENSSL_secure_zalloc(bytes);
  if (memory == nullptr) throw std::bad_alloc{};
  return static_cast<std::uint8_t*>(memory);
}

}  // namespace sevmon::ids
