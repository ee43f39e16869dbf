// SPDX-License-Identifier: Apache-2.0
//
// What the hosts of tests and benchmarks give the agent core for SHA-256: OpenSSL's.
#pragma once

#include <openssl/sha.h>

#include <cstddef>
#include <cstdint>

#include "host.h"

namespace sevmon::tests {

// What OpenSSL wants instead is allocated and has to be released; the core's state is just bytes.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static_assert(sizeof(SHA256_CTX) <= sizeof(sevmon_sha256));

inline void sha256(std::uint8_t digest[32], const void* message, std::size_t bytes) {
  SHA256(static_cast<const unsigned char*>(message), bytes, digest);
}
inline void sha256_begin(sevmon_sha256* hash) {
  SHA256_Init(reinterpret_cast<SHA256_CTX*>(hash->state));
}
inline void sha256_add(sevmon_sha256* hash, const void* part, std::size_t bytes) {
  SHA256_Update(reinterpret_cast<SHA256_CTX*>(hash->state), part, bytes);
}
inline void sha256_end(sevmon_sha256* hash, std::uint8_t digest[32]) {
  SHA256_Final(digest, reinterpret_cast<SHA256_CTX*>(hash->state));
}

#pragma GCC diagnostic pop

}  // namespace sevmon::tests
