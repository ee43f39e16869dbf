// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "support/fake_session.hpp"

namespace sevmon::tests {
namespace {

class Handshake : public ::testing::Test {
 protected:
  Initiator initiate(const InitiatorOptions& options = {}) {
    return {test_key().ids_id, test_key().psk, challenge(agent), options};
  }
  std::uint64_t count(unsigned counter) const { return agent.count(counter); }

  FakeHost host;
  FakeAgent agent{host, {test_key(0), test_key(1)}};
};

TEST_F(Handshake, ChallengeSaysWhoAnswers) {
  const auto answer = load<sevmon_challenge>(challenge(agent));
  EXPECT_EQ(answer.header.type, SEVMON_FRAME_CHALLENGE);
  EXPECT_EQ(answer.header.version, 1);
  EXPECT_EQ(to_hex(answer.ids_id), to_hex(test_key().ids_id));
  EXPECT_EQ(to_hex(answer.agent_id), to_hex(kAgentId));
  EXPECT_EQ(to_hex(answer.boot_nonce), to_hex(agent.state().boot_nonce));
  EXPECT_TRUE(sevmon_is_zero(answer.zero, sizeof(answer.zero)));
  EXPECT_EQ(count(SEVMON_COUNT_HELLOS), 1u);
}

TEST_F(Handshake, AnIdWithoutAKeyLooksLikeOneWith) {
  const Id stranger{0x77, 1}, other{0x77, 2};
  const auto first = challenge(agent, stranger);
  EXPECT_EQ(to_hex(first), to_hex(challenge(agent, stranger))) << "always the same";
  const auto answer = load<sevmon_challenge>(first);
  EXPECT_FALSE(sevmon_is_zero(answer.challenge, 16));
  EXPECT_NE(to_hex(answer.challenge),
            to_hex(load<sevmon_challenge>(challenge(agent, other)).challenge));

  // Not even one who guesses a PSK of zeros gets further.
  Initiator initiator{stranger, Key{}, first};
  EXPECT_EQ(agent.frame(initiator.frame()).rc, -EBADMSG);
  EXPECT_EQ(count(SEVMON_COUNT_BAD_INITIATES), 1u);
}

TEST_F(Handshake, AcceptOpensASession) {
  auto initiator = initiate();
  host.now_ns = 1'234'567'890'123;
  const auto answer = agent.frame(initiator.frame());
  const auto session = initiator.finish(answer.frame);
  EXPECT_EQ(session.accept().status, SEVMON_ACCEPT_OK);
  EXPECT_NE(session.number(), 0u);
  EXPECT_EQ(session.accept().time_ns, 1'234'567'890'123u);
  EXPECT_TRUE(sevmon_is_zero(session.accept().zero, sizeof(session.accept().zero)));
  EXPECT_EQ(count(SEVMON_COUNT_HANDSHAKES), 1u);
}

TEST_F(Handshake, NumbersAreNeverZeroAndDiffer) {
  std::vector<std::uint32_t> numbers;
  for (unsigned i = 0; i < 8; ++i) {
    const auto number = shake_hands(agent, {}, test_key(i % 2)).number();
    EXPECT_NE(number, 0u);
    EXPECT_EQ(std::ranges::count(numbers, number), 0);
    numbers.push_back(number);
  }
  // The count comes round without a number of zero.
  agent.state().handshakes = 0xffffffff;
  EXPECT_NE(shake_hands(agent).number(), 0u);
  agent.state().handshakes = (1u << 27) - 1;
  EXPECT_NE(shake_hands(agent).number() >> 5, 0u);
}

TEST_F(Handshake, AVerifiedInitiateSpendsItsChallenge) {
  const auto before = challenge(agent);
  auto initiator = initiate();
  EXPECT_GT(agent.frame(initiator.frame()).rc, 0);
  EXPECT_NE(to_hex(challenge(agent)), to_hex(before));
  EXPECT_EQ(agent.frame(initiator.frame()).rc, -EBADMSG) << "a replayed INITIATE";
  EXPECT_EQ(count(SEVMON_COUNT_BAD_INITIATES), 1u);
  EXPECT_EQ(count(SEVMON_COUNT_HANDSHAKES), 1u);
}

TEST_F(Handshake, OneIdsDoesNotSpendAnothersChallenge) {
  auto initiator = initiate();
  shake_hands(agent, {}, test_key(1));
  EXPECT_GT(agent.frame(initiator.frame()).rc, 0);
}

TEST_F(Handshake, ThePrologueBindsBootChallengeAndBothIds) {
  for (const std::size_t field : {32u, 48u, 64u}) {  // agent id, boot nonce, challenge
    auto altered = challenge(agent);
    altered[field] ^= 1;
    Initiator initiator{test_key().ids_id, test_key().psk, altered};
    EXPECT_EQ(agent.frame(initiator.frame()).rc, -EBADMSG) << field;
  }
  Initiator as_other{test_key(1).ids_id, test_key(0).psk, challenge(agent, test_key(1).ids_id)};
  EXPECT_EQ(agent.frame(as_other.frame()).rc, -EBADMSG) << "another IDS's PSK";
}

TEST_F(Handshake, ForgeriesChangeNothingAndTakeNoToken) {
  const auto before = challenge(agent);
  const auto initiator = initiate();
  for (unsigned i = 0; i < 100; ++i) {
    auto forged = initiator.frame();
    forged.back() ^= static_cast<std::uint8_t>(1 + i);
    EXPECT_EQ(agent.frame(forged).rc, -EBADMSG);
  }
  EXPECT_EQ(count(SEVMON_COUNT_BAD_INITIATES), 100u);
  EXPECT_EQ(to_hex(challenge(agent)), to_hex(before));
  EXPECT_GT(agent.frame(initiator.frame()).rc, 0);
}

TEST_F(Handshake, EachBitOfAnInitiate) {
  const auto initiator = initiate();
  auto frame = initiator.frame();
  for (std::size_t bit = 0; bit < 8 * frame.size(); ++bit) {
    frame[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    EXPECT_EQ(agent.frame(frame).rc, -EBADMSG) << bit;
    frame[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
  }
  EXPECT_EQ(count(SEVMON_COUNT_HANDSHAKES), 0u);
  EXPECT_GT(agent.frame(frame).rc, 0) << "and it still stands";
}

TEST_F(Handshake, EachBitOfAHelloButTheIds) {
  auto frame = hello_frame(test_key().ids_id);
  for (std::size_t bit = 0; bit < 8 * frame.size(); ++bit) {
    if (bit / 8 >= 16 && bit / 8 < 32) continue;
    frame[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    EXPECT_EQ(agent.frame(frame).rc, -EBADMSG) << bit;
    frame[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
  }
  EXPECT_EQ(count(SEVMON_COUNT_HELLOS), 0u);
}

TEST_F(Handshake, EachLength) {
  const auto initiator = initiate();
  for (const auto& whole : {hello_frame(test_key().ids_id), initiator.frame()})
    for (std::size_t size = 0; size <= SEVMON_REQUEST_FRAME_BYTES + 1; ++size) {
      auto frame = whole;
      frame.resize(size);
      const auto rc = agent.frame(frame).rc;
      if (size != SEVMON_HANDSHAKE_FRAME_BYTES) {
        EXPECT_EQ(rc, -EBADMSG) << size;
      }
    }
  EXPECT_EQ(count(SEVMON_COUNT_HANDSHAKES), 1u);
}

TEST_F(Handshake, APayloadOutOfBoundsIsRefusedUnderSeal) {
  std::vector<InitiatorOptions> bad;
  for (unsigned size_class = SEVMON_CLASSES; size_class < 256; size_class += 36)
    bad.push_back({.size_class = static_cast<std::uint8_t>(size_class)});
  for (std::size_t bit = 0; bit < 8 * 47; bit += 25) {
    bad.emplace_back();
    bad.back().zero[bit / 8] = static_cast<std::uint8_t>(1 << bit % 8);
  }
  for (const auto& options : bad) {
    const auto session = shake_hands(agent, options);
    EXPECT_EQ(session.accept().status, SEVMON_ACCEPT_BAD_REQUEST);
    EXPECT_EQ(session.number(), 0u);
    host.advance_seconds(0.05);
  }
  EXPECT_EQ(count(SEVMON_COUNT_HANDSHAKES), 0u);
  EXPECT_EQ(count(SEVMON_COUNT_MALFORMED), bad.size());
}

TEST_F(Handshake, PointsOfSmallOrderAreRefused) {
  // Who knows the PSK could send one; OpenSSL's key pair cannot make it, so the core is asked.
  sevmon_noise noise{};
  const Bytes small_order(32);
  std::ranges::copy(small_order, noise.re);
  noise.host = host.table();
  Key ephemeral;
  EXPECT_FALSE(sevmon_noise_reply(&noise, Key{1, 2, 3}.data(), ephemeral.data()));
}

TEST_F(Handshake, RateIsPerIdsAndRefills) {
  for (unsigned i = 0; i < SEVMON_HANDSHAKE_BURST; ++i) EXPECT_NO_THROW(shake_hands(agent)) << i;
  const auto before = challenge(agent);
  auto initiator = initiate();
  EXPECT_EQ(agent.frame(initiator.frame()).rc, -EBUSY);
  EXPECT_EQ(count(SEVMON_COUNT_LIMITED), 1u);
  EXPECT_EQ(to_hex(challenge(agent)), to_hex(before)) << "the challenge stays";
  EXPECT_NO_THROW(shake_hands(agent, {}, test_key(1))) << "another IDS has its own";

  host.advance_ns(50'000'000 - 1);
  EXPECT_EQ(agent.frame(initiator.frame()).rc, -EBUSY);
  host.advance_ns(1);
  EXPECT_GT(agent.frame(initiator.frame()).rc, 0) << "the same frame, later";
  EXPECT_EQ(agent.frame(initiate().frame()).rc, -EBUSY) << "there was one token";

  host.advance_seconds(3600);
  for (unsigned i = 0; i < SEVMON_HANDSHAKE_BURST; ++i) EXPECT_NO_THROW(shake_hands(agent)) << i;
  EXPECT_EQ(agent.frame(initiate().frame()).rc, -EBUSY) << "it never holds more than a burst";
}

TEST_F(Handshake, WithoutRandomnessNothingHappens) {
  const auto initiator = initiate();
  host.random_fails = true;
  EXPECT_EQ(agent.frame(initiator.frame()).rc, -EBADMSG);
  EXPECT_EQ(count(SEVMON_COUNT_NO_RANDOM), 1u);
  host.random_fails = false;
  EXPECT_GT(agent.frame(initiator.frame()).rc, 0) << "the challenge was not spent";
}

TEST_F(Handshake, NoSecretIsLeftInTheWorkMemory) {
  const auto holds = [&](ByteView what) { return contains(bytes_of(agent.work()), what); };
  auto initiator = initiate();
  ASSERT_GT(agent.frame(initiator.frame()).rc, 0);
  const auto& pending = agent.state().ids[0].connection[0].pending;
  EXPECT_FALSE(sevmon_is_zero(pending.request_key, 32));
  EXPECT_FALSE(holds(test_key().psk));
  EXPECT_FALSE(holds(pending.request_key));
  EXPECT_FALSE(holds(pending.response_key));
  EXPECT_EQ(bytes_of(agent.work().scratch.handshake), Bytes(sizeof(sevmon_handshake_work)));

  agent.frame(initiator.frame());  // refused
  EXPECT_EQ(bytes_of(agent.work().scratch.handshake), Bytes(sizeof(sevmon_handshake_work)));
}

}  // namespace
}  // namespace sevmon::tests
