// SPDX-License-Identifier: Apache-2.0
#include "channel/noise.hpp"

#include <gtest/gtest.h>

#include "support/vectors.hpp"

namespace sevmon::ids {
namespace {

using tests::NoiseVector;
using U8s = tests::Bytes;

Secret<32> secret(ByteView bytes) {
  return Secret<32>{bytes.first<32>()};
}

/// A transport message of Noise itself: AES-GCM, the nonce a big-endian counter.
U8s transport_message(const Secret<32>& key, std::uint8_t n, const U8s& payload) {
  const std::array<std::uint8_t, 12> nonce{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n};
  U8s sealed(payload.size() + AesGcm::kTagBytes);
  AesGcm{}.seal(key.view(), nonce, {}, payload, sealed);
  return sealed;
}

NoiseInitiator initiator_of(const NoiseVector& vector) {
  return {vector.prologue, secret(vector.psk).view(),
          keypair_from(secret(vector.initiator_ephemeral))};
}

/// Run the initiator's side of `vector` and compare every byte.
void check(const NoiseVector& vector) {
  SCOPED_TRACE(vector.name);
  ASSERT_GE(vector.messages.size(), 4u);
  auto initiator = initiator_of(vector);
  EXPECT_EQ(initiator.write_message(vector.messages[0].payload), vector.messages[0].ciphertext);
  const auto finished = initiator.read_message(vector.messages[1].ciphertext);
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->payload, vector.messages[1].payload);
  if (vector.handshake_hash) {
    EXPECT_TRUE(std::ranges::equal(finished->handshake_hash.view(), *vector.handshake_hash));
  }
  for (std::size_t i = 2; i < vector.messages.size(); ++i) {
    const auto& key = i % 2 == 0 ? finished->keys.requests : finished->keys.responses;
    EXPECT_EQ(
        transport_message(key, static_cast<std::uint8_t>(i / 2 - 1), vector.messages[i].payload),
        vector.messages[i].ciphertext)
        << "message " << i;
  }
}

NoiseVector cacophony() {
  return tests::cacophony_nnpsk0().at(0);
}

TEST(NoiseInitiator, Cacophony) {
  ASSERT_TRUE(cacophony().handshake_hash);
  check(cacophony());
}

TEST(NoiseInitiator, Flynn) {
  const auto vectors = tests::flynn_nnpsk0();
  EXPECT_EQ(vectors.size(), 4u);
  for (const auto& vector : vectors) check(vector);
}

TEST(NoiseInitiator, ForgedAnswersDoNotSpoilTheHandshake) {
  const auto vector = cacophony();
  auto initiator = initiator_of(vector);
  initiator.write_message(vector.messages[0].payload);
  const auto& answer = vector.messages[1].ciphertext;
  for (std::size_t bit = 0; bit < answer.size() * 8; ++bit) {
    auto bent = answer;
    bent[bit / 8] ^= 1 << bit % 8;
    EXPECT_FALSE(initiator.read_message(bent)) << "bit " << bit;
  }
  for (std::size_t bytes = 0; bytes < answer.size(); ++bytes)
    EXPECT_FALSE(initiator.read_message(ByteView{answer}.first(bytes))) << bytes << " bytes";
  EXPECT_TRUE(initiator.read_message(answer));
}

TEST(NoiseInitiator, PrologueIsBound) {
  auto vector = cacophony();
  vector.prologue.back() ^= 1;
  auto initiator = initiator_of(vector);
  EXPECT_NE(initiator.write_message(vector.messages[0].payload), vector.messages[0].ciphertext);
  EXPECT_FALSE(initiator.read_message(vector.messages[1].ciphertext));
}

TEST(NoiseInitiator, SmallOrderKeyIsRefused) {
  const auto vector = cacophony();
  auto initiator = initiator_of(vector);
  initiator.write_message({});
  for (const std::uint8_t low : {0, 1}) {
    auto answer = vector.messages[1].ciphertext;
    std::fill_n(answer.begin(), 32, 0);
    answer[0] = low;
    EXPECT_FALSE(initiator.read_message(answer));
  }
}

}  // namespace
}  // namespace sevmon::ids
