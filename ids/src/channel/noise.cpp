// SPDX-License-Identifier: Apache-2.0
#include "channel/noise.hpp"

#include <array>
#include <string_view>
#include <utility>

#include <sevmon/wire.h>

namespace sevmon::ids {
namespace {

constexpr std::string_view kName = SEVMON_NOISE_NAME;
static_assert(kName.size() == 32, "section 5.2: a name of HASHLEN bytes is h itself, unhashed");

/// Section 4.3: HKDF(chaining_key, input, num_outputs).
template <std::size_t kOutputs>
std::array<Hash, kOutputs> hkdf(const Hash& chaining_key, ByteView input) {
  const Hash temp = hmac_sha256(chaining_key.view(), {input});
  std::array<Hash, kOutputs> out;
  ByteView previous{};
  for (std::size_t i = 0; i < kOutputs; ++i) {
    const std::array counter{static_cast<std::uint8_t>(i + 1)};
    out[i] = hmac_sha256(temp.view(), {previous, counter});
    previous = out[i].view();
  }
  return out;
}

/// Section 12.4: 32 bits of zeros, then n as 64-bit big-endian.
std::array<std::uint8_t, 12> gcm_nonce(std::uint64_t n) {
  std::array<std::uint8_t, 12> nonce{};
  for (int i = 0; i < 8; ++i) nonce[11 - i] = static_cast<std::uint8_t>(n >> (8 * i));
  return nonce;
}

}  // namespace

SymmetricState::SymmetricState(ByteView prologue) {
  std::copy(kName.begin(), kName.end(), h_.data());
  ck_ = h_;
  mix_hash(prologue);
}

void SymmetricState::initialize_key(const Secret<32>& key) {
  k_ = key;
  n_ = 0;
}

void SymmetricState::mix_key(ByteView input) {
  const auto [ck, temp_k] = hkdf<2>(ck_, input);
  ck_ = ck;
  initialize_key(temp_k);
}

void SymmetricState::mix_hash(ByteView data) {
  h_ = sha256({h_.view(), data});
}

void SymmetricState::mix_key_and_hash(ByteView input) {
  const auto [ck, temp_h, temp_k] = hkdf<3>(ck_, input);
  ck_ = ck;
  mix_hash(temp_h.view());
  initialize_key(temp_k);
}

std::vector<std::uint8_t> SymmetricState::encrypt_and_hash(ByteView plaintext) {
  std::vector<std::uint8_t> ciphertext(plaintext.size() + AesGcm::kTagBytes);
  AesGcm{}.seal(k_.view(), gcm_nonce(n_++), h_.view(), plaintext, ciphertext);
  mix_hash(ciphertext);
  return ciphertext;
}

std::optional<std::vector<std::uint8_t>> SymmetricState::decrypt_and_hash(ByteView ciphertext) {
  if (ciphertext.size() < AesGcm::kTagBytes) return std::nullopt;
  std::vector<std::uint8_t> plaintext(ciphertext.size() - AesGcm::kTagBytes);
  if (!AesGcm{}.open(k_.view(), gcm_nonce(n_++), h_.view(), ciphertext, plaintext))
    return std::nullopt;
  mix_hash(ciphertext);
  return plaintext;
}

TransportKeys SymmetricState::split() const {
  const auto [requests, responses] = hkdf<2>(ck_, {});
  return {requests, responses};
}

NoiseInitiator::NoiseInitiator(ByteView prologue, std::span<const std::uint8_t, 32> psk,
                               KeyPair ephemeral)
    : symmetric_{prologue}, psk_{psk}, e_{std::move(ephemeral)} {}

std::vector<std::uint8_t> NoiseInitiator::write_message(ByteView payload) {
  // psk
  symmetric_.mix_key_and_hash(psk_.view());
  // e; section 9.2: with a PSK the ephemeral key is mixed into the key too
  symmetric_.mix_hash(e_.public_key);
  symmetric_.mix_key(e_.public_key);
  auto message = symmetric_.encrypt_and_hash(payload);
  message.insert(message.begin(), e_.public_key.begin(), e_.public_key.end());
  return message;
}

std::optional<NoiseInitiator::Finished> NoiseInitiator::read_message(ByteView message) const {
  if (message.size() < SEVMON_DH_BYTES) return std::nullopt;
  const auto re = message.first<SEVMON_DH_BYTES>();
  auto symmetric = symmetric_;  // committed to nothing until the tag verifies
  // e
  symmetric.mix_hash(re);
  symmetric.mix_key(re);
  // ee
  const auto shared = x25519(e_.private_key, re);
  if (!shared) return std::nullopt;
  symmetric.mix_key(shared->view());
  auto payload = symmetric.decrypt_and_hash(message.subspan(SEVMON_DH_BYTES));
  if (!payload) return std::nullopt;
  return Finished{*std::move(payload), symmetric.split(), symmetric.handshake_hash()};
}

}  // namespace sevmon::ids
