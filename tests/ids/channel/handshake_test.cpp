// SPDX-License-Identifier: Apache-2.0
#include "channel/handshake.hpp"

#include "ids/channel/channel_fixture.hpp"

namespace sevmon::ids::test {
namespace {

/// Channels that open, or say why not.
class HandshakeTest : public ChannelTest {};

void expect_open_fails(const common::Result<std::unique_ptr<Channel>>& channel, ErrorCode code) {
  ASSERT_FALSE(channel);
  EXPECT_EQ(channel.error().code, code) << channel.error().message();
}

TEST_F(HandshakeTest, WrongKeyIsRefused) {
  options_.answer_timeout = std::chrono::seconds{5};
  expect_open_fails(try_open(0x12), ErrorCode::kRefused);
  EXPECT_EQ(agent_.handshakes(), 0u);
}

TEST_F(HandshakeTest, RejectedHandshakesAreTriedEightTimes) {
  options_.answer_timeout = std::chrono::seconds{5};
  int hellos = 0;
  for (const int refusals : {7, 8}) {
    hellos = 0;
    attack_.on_answer = [&, refusals](const Delivery& delivery, Out& out) {
      if (type_of(delivery.frame) == SEVMON_FRAME_CHALLENGE && ++hellos <= refusals)
        out.push_back(
            notice(hellos % 2 ? SEVMON_NOTICE_REJECTED : SEVMON_NOTICE_BUSY, delivery.tag));
      else
        out.push_back(delivery);
    };
    const auto channel = try_open();
    EXPECT_EQ(channel.has_value(), refusals == 7);
    if (!channel) {
      EXPECT_EQ(channel.error().code, ErrorCode::kRefused);
    }
    EXPECT_EQ(hellos, 8);
  }
}

TEST_F(HandshakeTest, SilenceIsATimeout) {
  options_.answer_timeout = milliseconds{30};
  for (const auto silent : {SEVMON_FRAME_CHALLENGE, SEVMON_FRAME_ACCEPT}) {
    attack_.on_answer = [=](const Delivery& delivery, Out& out) {
      if (type_of(delivery.frame) != silent) out.push_back(delivery);
    };
    expect_open_fails(try_open(), ErrorCode::kTimeout);
  }
}

TEST_F(HandshakeTest, NoAgentIsRefusedAtOnce) {
  attack_.on_answer = [](const Delivery& delivery, Out& out) {
    out.push_back(notice(SEVMON_NOTICE_NO_AGENT, delivery.tag));
  };
  expect_open_fails(try_open(), ErrorCode::kRefused);
  EXPECT_EQ(attack_.sent.size(), 1u);
}

TEST_F(HandshakeTest, AcceptancesFlippedAndTruncatedAreSkipped) {
  options_.answer_timeout = std::chrono::seconds{60};
  precede(SEVMON_FRAME_ACCEPT, [](const Delivery& delivery, Out& out) {
    append_truncated(delivery, out);
    for (std::size_t bit = 0; bit < delivery.frame.size() * 8; ++bit)
      out.push_back(with_frame(delivery, flip(delivery.frame, bit)));
  });
  const auto channel = open();
  expect_right(*channel, reads(1));
  EXPECT_EQ(channel->stats().discarded, 144u + 144 * 8);
}

TEST_F(HandshakeTest, ChallengesForOthersAreSkipped) {
  precede(SEVMON_FRAME_CHALLENGE, [](const Delivery& delivery, Out& out) {
    append_truncated(delivery, out);
    for (const std::size_t byte : {1, 2, 3, 4, 8, 16, 31, 32, 47, 80, 143})  // all but the nonces
      out.push_back(with_frame(delivery, flip(delivery.frame, byte * 8)));
  });
  const auto channel = open();
  expect_right(*channel, reads(1));
  EXPECT_EQ(channel->stats().discarded, 144u + 11);
}

/// A handshake that waits for the agent's challenge, and what the relay makes of that.
class ChallengeTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kTag = 7;
  static constexpr std::size_t kAgentIdBit = offsetof(sevmon_challenge, agent_id) * 8;

  ChallengeTest() {
    challenge_ = *agent_.answer(*handshake_.poll(start_, kTag));
    others_ = flip(challenge_, kAgentIdBit);
  }

  ModelAgent agent_;
  const Key key_ = *Key::parse(key_file());
  const TimePoint start_ = Clock::now();
  Handshake handshake_{key_, {1}, SEVMON_CLASS_1_PAGE, std::chrono::seconds{5}, start_};
  Bytes challenge_, others_;
};

TEST_F(ChallengeTest, AnotherAgentIsNamedSoon) {
  EXPECT_EQ(handshake_.take({kTag, 0, others_}, start_), Handshake::Verdict::kForged);
  EXPECT_FALSE(handshake_.poll(start_ + milliseconds{499}, kTag + 1));
  EXPECT_FALSE(handshake_.result());
  EXPECT_FALSE(handshake_.poll(start_ + milliseconds{500}, kTag + 1));
  const auto& result = handshake_.result();
  ASSERT_TRUE(result && !*result);
  EXPECT_EQ(result->error().code, ErrorCode::kForged);
  EXPECT_NE(result->error().detail.find("agent a9e407"), std::string::npos);
  EXPECT_NE(result->error().detail.find("agent a8e407"), std::string::npos);
}

TEST_F(ChallengeTest, OursBehindAnothersIsTaken) {
  EXPECT_EQ(handshake_.take({kTag, 0, others_}, start_), Handshake::Verdict::kForged);
  const auto later = start_ + milliseconds{499};
  EXPECT_EQ(handshake_.take({kTag, 0, challenge_}, later), Handshake::Verdict::kTaken);
  EXPECT_TRUE(handshake_.poll(later, kTag + 1));
  EXPECT_EQ(handshake_.wake(), later + std::chrono::seconds{5});
}

TEST_F(ChallengeTest, OtherJunkEndsNoWait) {
  EXPECT_EQ(handshake_.take({kTag + 1, 0, others_}, start_), Handshake::Verdict::kForged);
  for (const auto bit : {offsetof(sevmon_challenge, ids_id) * 8, challenge_.size() * 8 - 1})
    EXPECT_EQ(handshake_.take({kTag, 0, flip(others_, bit)}, start_), Handshake::Verdict::kForged);
  EXPECT_EQ(handshake_.wake(), start_ + std::chrono::seconds{5});
}

TEST_F(HandshakeTest, FalseChallengeCostsAnotherTry) {
  options_.answer_timeout = std::chrono::seconds{5};
  int hellos = 0;
  attack_.on_answer = [&](const Delivery& delivery, Out& out) {
    const bool is_first = type_of(delivery.frame) == SEVMON_FRAME_CHALLENGE && ++hellos == 1;
    out.push_back(is_first ? with_frame(delivery, flip(delivery.frame, 70 * 8)) : delivery);
  };
  const auto channel = open();
  expect_right(*channel, reads(1));
  EXPECT_EQ(hellos, 2);
}

TEST_F(HandshakeTest, OnlyFalseAcceptancesAreForged) {
  options_.answer_timeout = milliseconds{50};
  attack_.on_answer = [&](const Delivery& delivery, Out& out) {
    const bool is_accept = type_of(delivery.frame) == SEVMON_FRAME_ACCEPT;
    out.push_back(is_accept ? with_frame(delivery, flip(delivery.frame, 500)) : delivery);
  };
  expect_open_fails(try_open(), ErrorCode::kForged);
}

TEST_F(HandshakeTest, AllZeroSecretIsForged) {
  options_.answer_timeout = milliseconds{50};
  PublicKey zero{};
  agent_.ephemeral = &zero;
  expect_open_fails(try_open(), ErrorCode::kForged);
}

TEST_F(HandshakeTest, WaitsForAPlaceThatDeadClientsHold) {
  int refusals = 2;
  agent_.on_accept = [&](sevmon_accept& accept) {
    if (refusals-- <= 0) return;
    accept.status = SEVMON_ACCEPT_BUSY;
    accept.session = 0;
  };
  options_.answer_timeout = std::chrono::seconds{20};
  expect_right(*open(), reads(1));
  EXPECT_EQ(agent_.handshakes(), 3u);
}

TEST_F(HandshakeTest, RefusalsInTheAcceptance) {
  agent_.on_accept = [](sevmon_accept& accept) {
    accept.status = SEVMON_ACCEPT_BUSY;
    accept.session = 0;
  };
  expect_open_fails(try_open(), ErrorCode::kRefused);
  const std::function<void(sevmon_accept&)> bends[] = {
      [](auto& accept) { accept.session = 0; },
      [](auto& accept) { accept.status = SEVMON_ACCEPT_BUSY; },
      [](auto& accept) { accept.status = 3; },
      [](auto& accept) { accept.zero0 = 1; },
      [](auto& accept) { accept.zero[47] = 1; },
  };
  for (const auto& bend : bends) {
    agent_.on_accept = bend;
    expect_open_fails(try_open(), ErrorCode::kMalformed);
  }
}

}  // namespace
}  // namespace sevmon::ids::test
