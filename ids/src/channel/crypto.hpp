// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>

#include <openssl/evp.h>

#include "channel/secret.hpp"

namespace sevmon::ids {

/// OpenSSL cannot do what every build of it can: no provider, no memory, no randomness. Nothing
/// outside causes it; Channel turns it into kInternal.
struct CryptoFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

using Hash = Secret<32>;

/// Of the concatenation of `parts`.
Hash sha256(std::initializer_list<ByteView> parts);
Hash hmac_sha256(ByteView key, std::initializer_list<ByteView> parts);

/// OpenSSL's generator alone. @return false if it has nothing to give.
bool draw_random(std::span<std::uint8_t> out);
/// The same, what the CPU draws mixed in.
void random_bytes(std::span<std::uint8_t> out);
template <std::size_t kBytes>
std::array<std::uint8_t, kBytes> random_array() {
  std::array<std::uint8_t, kBytes> out;
  random_bytes(out);
  return out;
}

using PublicKey = std::array<std::uint8_t, 32>;

struct KeyPair {
  Secret<32> private_key;
  PublicKey public_key;
};

KeyPair generate_keypair();
KeyPair keypair_from(const Secret<32>& private_key);
/// @return nothing when the result is all zero: `theirs` has a small order.
std::optional<Secret<32>> x25519(const Secret<32>& mine, std::span<const std::uint8_t, 32> theirs);

struct CipherContextFree {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, CipherContextFree>;
CipherContext make_cipher_context();

/// AES-256-GCM with a 12-byte nonce and a 16-byte tag after the ciphertext. Not thread-safe: it
/// keeps its context between messages, because making one costs more than sealing a page.
class AesGcm {
 public:
  static constexpr std::size_t kTagBytes = 16;
  using Key = std::span<const std::uint8_t, 32>;
  using Nonce = std::span<const std::uint8_t, 12>;

  AesGcm();
  /// `out` has plaintext.size() + kTagBytes bytes.
  void seal(Key key, Nonce nonce, ByteView aad, ByteView plaintext, std::span<std::uint8_t> out);
  /// `out` has sealed.size() - kTagBytes bytes; it is zeroed when the tag is wrong.
  [[nodiscard]] bool open(Key key, Nonce nonce, ByteView aad, ByteView sealed,
                          std::span<std::uint8_t> out);

 private:
  CipherContext context_;
};

}  // namespace sevmon::ids
