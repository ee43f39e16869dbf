// SPDX-License-Identifier: Apache-2.0
#include "channel/xaes.hpp"

#include <algorithm>
#include <array>

namespace sevmon::ids {

Xaes::Xaes(const Secret<32>& key) : ecb_{make_cipher_context()} {
  if (EVP_EncryptInit_ex2(ecb_.get(), EVP_aes_256_ecb(), key.data(), nullptr, nullptr) != 1 ||
      EVP_CIPHER_CTX_set_padding(ecb_.get(), 0) != 1)
    throw CryptoFailure{"OpenSSL: no AES-256-ECB"};
  // L = AES-256(K, 0^128);  K1 = L << 1, with 0x87 folded in if a bit fell out, in constant time.
  Block l;
  encrypt_block(Block{}, l.edit());
  const auto in = l.view();
  const auto out = k1_.edit();
  for (std::size_t i = 0; i < 15; ++i)
    out[i] = static_cast<std::uint8_t>(in[i] << 1 | in[i + 1] >> 7);
  out[15] = static_cast<std::uint8_t>(in[15] << 1 ^ (0x87 & -(in[0] >> 7)));
}

void Xaes::encrypt_block(const Block& block, std::span<std::uint8_t, 16> out) {
  int bytes = 0;
  if (EVP_EncryptUpdate(ecb_.get(), out.data(), &bytes, block.data(), 16) != 1 || bytes != 16)
    throw CryptoFailure{"OpenSSL: AES-256-ECB"};
}

const Secret<32>& Xaes::derive_key(std::span<const std::uint8_t, 12> nonce) {
  for (std::uint8_t i = 1; i <= 2; ++i) {
    // M1 = 0x00 || 0x01 || "X" || 0x00 || N[:12];  M2 likewise with 0x02.
    const auto m = block_.edit();
    std::ranges::copy(std::array<std::uint8_t, 4>{0, i, 'X', 0}, m.begin());
    std::ranges::copy(nonce, m.begin() + 4);
    // Kx = AES-256(K, M1 ^ K1) || AES-256(K, M2 ^ K1)
    for (std::size_t j = 0; j < 16; ++j) m[j] ^= k1_.view()[j];
    encrypt_block(block_, std::span{key_.data() + (i - 1) * 16, 16}.first<16>());
  }
  return key_;
}

void Xaes::seal(Nonce nonce, ByteView aad, ByteView plaintext, std::span<std::uint8_t> out) {
  gcm_.seal(derive_key(nonce.first<12>()).view(), nonce.last<12>(), aad, plaintext, out);
}

bool Xaes::open(Nonce nonce, ByteView aad, ByteView sealed, std::span<std::uint8_t> out) {
  return gcm_.open(derive_key(nonce.first<12>()).view(), nonce.last<12>(), aad, sealed, out);
}

std::array<std::uint8_t, 24> make_nonce(std::span<const std::uint8_t, 12> random, std::uint64_t n) {
  std::array<std::uint8_t, 24> nonce{};
  std::ranges::copy(random, nonce.begin());
  for (int i = 0; i < 8; ++i) nonce[23 - i] = static_cast<std::uint8_t>(n >> (8 * i));
  return nonce;
}

}  // namespace sevmon::ids
