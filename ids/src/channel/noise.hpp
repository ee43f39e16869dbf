// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "channel/crypto.hpp"

namespace sevmon::ids {

// Noise_NNpsk0_25519_AESGCM_SHA256. Section numbers are the Noise Protocol Framework's,
// revision 34.

/// What Split() gives: the initiator's sending key, then its receiving key.
struct TransportKeys {
  Secret<32> requests;
  Secret<32> responses;
};

/// Section 5.2, with section 5.1's CipherState in it.
class SymmetricState {
 public:
  /// InitializeSymmetric("Noise_NNpsk0_25519_AESGCM_SHA256"), then MixHash(prologue).
  explicit SymmetricState(ByteView prologue);

  void mix_key(ByteView input);
  void mix_hash(ByteView data);
  void mix_key_and_hash(ByteView input);
  /// @return the ciphertext and its tag.
  std::vector<std::uint8_t> encrypt_and_hash(ByteView plaintext);
  /// @return nothing when the tag is wrong; the state is then of no more use.
  std::optional<std::vector<std::uint8_t>> decrypt_and_hash(ByteView ciphertext);
  TransportKeys split() const;
  const Hash& handshake_hash() const { return h_; }

 private:
  void initialize_key(const Secret<32>& key);

  Hash ck_;
  Hash h_;
  Secret<32> k_;  // in NNpsk0 there is a key before anything is encrypted
  std::uint64_t n_ = 0;
};

/// Section 5.3 for the initiator of NNpsk0:  -> psk, e   <- e, ee
class NoiseInitiator {
 public:
  NoiseInitiator(ByteView prologue, std::span<const std::uint8_t, 32> psk, KeyPair ephemeral);

  /// The first message: ephemeral key, encrypted payload, tag.
  std::vector<std::uint8_t> write_message(ByteView payload);

  struct Finished {
    std::vector<std::uint8_t> payload;
    TransportKeys keys;
    Hash handshake_hash;
  };
  /// The second message. May be called again after one that does not verify: forgeries that arrive
  /// first do not spoil the handshake.
  std::optional<Finished> read_message(ByteView message) const;

 private:
  SymmetricState symmetric_;
  Secret<32> psk_;
  KeyPair e_;
};

}  // namespace sevmon::ids
