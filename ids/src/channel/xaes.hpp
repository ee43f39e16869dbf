// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "channel/crypto.hpp"

namespace sevmon::ids {

/// XAES-256-GCM (C2SP, https://c2sp.org/XAES-256-GCM): the first half of a 24-byte nonce derives
/// the message's own key by CMAC, the second is AES-256-GCM's nonce under it. One direction of one
/// session; not thread-safe.
class Xaes {
 public:
  static constexpr std::size_t kTagBytes = AesGcm::kTagBytes;
  using Nonce = std::span<const std::uint8_t, 24>;

  explicit Xaes(const Secret<32>& key);
  /// `out` has plaintext.size() + kTagBytes bytes.
  void seal(Nonce nonce, ByteView aad, ByteView plaintext, std::span<std::uint8_t> out);
  /// `out` has sealed.size() - kTagBytes bytes; it is zeroed when the tag is wrong.
  [[nodiscard]] bool open(Nonce nonce, ByteView aad, ByteView sealed, std::span<std::uint8_t> out);

  /// The message's key, from the nonce's first 12 bytes; until the next call.
  const Secret<32>& derive_key(std::span<const std::uint8_t, 12> nonce);

 private:
  using Block = Secret<16>;
  void encrypt_block(const Block& block, std::span<std::uint8_t, 16> out);

  CipherContext ecb_;  // holds the session's key; OpenSSL wipes it
  Block k1_;
  // Of the message at hand: locked memory is too dear to be taken anew for each.
  Block block_;
  Secret<32> key_;
  AesGcm gcm_;
};

/// The protocol's nonce: 12 random bytes || 00 00 00 00 || n, 64-bit big-endian.
std::array<std::uint8_t, 24> make_nonce(std::span<const std::uint8_t, 12> random, std::uint64_t n);

}  // namespace sevmon::ids
