// SPDX-License-Identifier: Apache-2.0
//
// Connections, sessions and windows, one rule of docs/protocol.md, 4 at a time; model_test.cpp
// takes them all together.
#include <gtest/gtest.h>

#include "support/fake_session.hpp"

namespace sevmon::tests {
namespace {

Id connection(std::uint8_t n) {
  return {0xc0, n};
}

class Session : public ::testing::Test {
 protected:
  ReferenceSession open(std::uint8_t connection_number = 0,
                        std::uint8_t size_class = SEVMON_CLASS_1_PAGE) {
    return shake_hands(agent,
                       {.connection_id = connection(connection_number), .size_class = size_class});
  }
  /// Is number `n` answered?
  bool send(const ReferenceSession& session, std::uint64_t n) {
    const auto answer = agent.frame(session.request(n, request_body({})));
    if (answer.rc < 0) return false;
    EXPECT_TRUE(session.open(answer.frame).has_value());
    return true;
  }
  std::uint64_t count(unsigned counter) const { return agent.count(counter); }

  FakeHost host;
  FakeAgent agent{host, {test_key(0), test_key(1)}};
};

TEST_F(Session, EachNumberIsAnsweredOnce) {
  const auto session = open();
  const auto frame = session.request(3, request_body({}));
  EXPECT_GT(agent.frame(frame).rc, 0);
  EXPECT_EQ(agent.frame(frame).rc, -EBADMSG);
  EXPECT_EQ(count(SEVMON_COUNT_REPLAYED), 1u);
  EXPECT_EQ(agent.frame(session.request(3, request_body({read_virtual(0, 1)}))).rc, -EBADMSG)
      << "nor another request under the same number";
  EXPECT_EQ(count(SEVMON_COUNT_ANSWERS), 1u);
}

TEST_F(Session, AnyOrderWithinTheWindow) {
  const auto session = open();
  ASSERT_TRUE(send(session, 5000));
  for (const std::uint64_t below : {1024u, 1u, 500u, 63u, 64u, 65u, 1023u})
    EXPECT_TRUE(send(session, 5000 - below)) << below;
  for (const std::uint64_t below : {1024u, 1u, 500u, 63u, 64u, 65u, 1023u})
    EXPECT_FALSE(send(session, 5000 - below)) << below;
  EXPECT_FALSE(send(session, 5000 - 1025)) << "below the window";
  EXPECT_FALSE(send(session, 0));
  EXPECT_EQ(count(SEVMON_COUNT_REPLAYED), 9u);
}

/// Every edge of the words that the window is made of.
TEST_F(Session, TheWindowSlides) {
  for (const std::uint64_t start : {0u, 63u, 64u, 1023u, 1024u, 1087u, 1088u, 2000u})
    for (const std::uint64_t step :
         {1u, 63u, 64u, 65u, 1023u, 1024u, 1025u, 1087u, 1088u, 1089u, 1152u, 5000u}) {
      host.advance_seconds(1);
      const auto session = open();
      ASSERT_TRUE(send(session, start));
      ASSERT_TRUE(send(session, start + step));
      EXPECT_FALSE(send(session, start)) << start << " after " << step;
      EXPECT_FALSE(send(session, start + step)) << start << " " << step;
      EXPECT_TRUE(send(session, start + step - (step > 1)) || step == 1) << start << " " << step;
      if (start + step > 1024) {
        const auto lowest = start + step - 1024;
        EXPECT_EQ(send(session, lowest), lowest != start) << start << " " << step;
        EXPECT_FALSE(send(session, lowest - 1)) << start << " " << step;
      }
    }
}

TEST_F(Session, NumbersEndBeforeTwoToThe24) {
  const auto session = open();
  EXPECT_FALSE(send(session, SEVMON_MAX_MESSAGES));
  EXPECT_FALSE(send(session, ~0ULL));
  EXPECT_EQ(count(SEVMON_COUNT_MALFORMED), 2u);
  EXPECT_TRUE(send(session, SEVMON_MAX_MESSAGES - 1));
}

TEST_F(Session, BlocksEndASession) {
  const auto session = open(0, SEVMON_CLASS_15_PAGES);
  ASSERT_TRUE(send(session, 0));
  // 61,968 bytes of body are 3,873 blocks, and one for the tag.
  const std::uint64_t most = (1ULL << 32) / 3874 + 1;
  auto& state = agent.state().ids[0].connection[0].current;
  state.messages = most - 1;
  EXPECT_TRUE(send(session, 1));
  EXPECT_FALSE(send(session, 2));
  EXPECT_EQ(count(SEVMON_COUNT_EXPIRED), 1u);
}

TEST_F(Session, EachBitOfARequest) {
  const auto session = open();
  auto frame = session.request(7, request_body({read_virtual(0, 8)}));
  for (std::size_t bit = 0; bit < 8 * frame.size(); ++bit) {
    // Every bit of head, random part and tag; of the body one in seven.
    if (bit >= 28 * 8 && bit < 8 * (frame.size() - 16) && bit % 7) continue;
    frame[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    EXPECT_EQ(agent.frame(frame).rc, -EBADMSG) << bit;
    frame[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
  }
  EXPECT_EQ(count(SEVMON_COUNT_ANSWERS), 0u);
  EXPECT_EQ(count(SEVMON_COUNT_REPLAYED), 0u);
  EXPECT_GT(agent.frame(frame).rc, 0) << "forgeries mark nothing and end nothing";
}

TEST_F(Session, EachLength) {
  const auto session = open();
  const auto whole = session.request(7, request_body({}));
  for (std::size_t size = 0; size <= whole.size() + 1; ++size) {
    auto frame = whole;
    frame.resize(size);
    if (size != whole.size()) {
      EXPECT_EQ(agent.frame(frame).rc, -EBADMSG) << size;
    }
  }
  EXPECT_GT(agent.frame(whole).rc, 0);
}

/// Sealed by a holder of the keys, and still: the header must be this session's.
TEST_F(Session, HeadersOfAnotherShape) {
  const auto session = open(0, SEVMON_CLASS_4_PAGES);
  const auto body = bytes_of(request_body({}));
  const auto refused = [&](auto spoil) {
    auto header = session.header(1);
    spoil(header);
    return agent.frame(session.request(header, body)).rc == -EBADMSG;
  };
  EXPECT_TRUE(refused([](auto& h) { h.type = SEVMON_FRAME_RESPONSE; }));
  EXPECT_TRUE(refused([](auto& h) { h.version = 2; }));
  EXPECT_TRUE(refused([](auto& h) { h.size_class = SEVMON_CLASS_1_PAGE; }));
  EXPECT_TRUE(refused([](auto& h) { h.size_class = 3; }));
  EXPECT_TRUE(refused([](auto& h) { h.size_class = 255; }));
  for (unsigned bit = 0; bit < 8; ++bit)
    EXPECT_TRUE(refused([&](auto& h) { h.flags = static_cast<std::uint8_t>(1 << bit); }));
  for (unsigned bit = 0; bit < 32; ++bit)
    EXPECT_TRUE(refused([&](auto& h) { h.session ^= 1u << bit; })) << bit;
  EXPECT_TRUE(refused([](auto& h) { h.session = 0; }));
  EXPECT_FALSE(refused([](auto&) {}));
}

TEST_F(Session, AnAnswerThatIsLostIsLost) {
  const auto session = open();
  host.random_fails = true;
  EXPECT_FALSE(send(session, 1));
  host.random_fails = false;
  EXPECT_FALSE(send(session, 1)) << "the number was spent";
  EXPECT_TRUE(send(session, 2));
}

TEST_F(Session, ThePendingOneReplacesTheCurrentWhenItsFirstRequestVerifies) {
  const auto first = open();
  ASSERT_TRUE(send(first, 0));
  const auto second = open();
  EXPECT_TRUE(send(first, 1)) << "nothing is replaced yet";
  auto forged = second.request(0, request_body({}));
  forged.back() ^= 1;
  EXPECT_EQ(agent.frame(forged).rc, -EBADMSG);
  host.advance_seconds(9.9);
  EXPECT_TRUE(send(first, 2)) << "nor by a forgery";

  EXPECT_TRUE(send(second, 0));
  EXPECT_TRUE(send(first, 3)) << "the predecessor answers for a while";
  host.advance_ns(10'000'000'000 - 1);
  EXPECT_TRUE(send(first, 4));
  host.advance_ns(1);
  EXPECT_FALSE(send(first, 5));
  EXPECT_TRUE(send(second, 1));
  EXPECT_EQ(count(SEVMON_COUNT_EXPIRED), 1u);
}

TEST_F(Session, AThirdWipesTheFirst) {
  const auto first = open();
  ASSERT_TRUE(send(first, 0));
  const auto second = open();
  ASSERT_TRUE(send(second, 0));
  const auto third = open();
  EXPECT_TRUE(send(first, 1));
  ASSERT_TRUE(send(third, 0));
  EXPECT_FALSE(send(first, 2));
  EXPECT_TRUE(send(second, 1));
}

TEST_F(Session, ANewPendingReplacesThePending) {
  const auto first = open();
  const auto second = open();
  EXPECT_FALSE(send(first, 0));
  EXPECT_TRUE(send(second, 0));
}

TEST_F(Session, PendingLivesTenSeconds) {
  const auto in_time = open();
  host.advance_ns(10'000'000'000 - 1);
  EXPECT_TRUE(send(in_time, 0));
  const auto late = open(1);
  host.advance_ns(10'000'000'000);
  EXPECT_FALSE(send(late, 0));
}

TEST_F(Session, CurrentLives180Seconds) {
  const auto session = open();
  ASSERT_TRUE(send(session, 0));
  host.advance_ns(180'000'000'000 - 1);
  EXPECT_TRUE(send(session, 1)) << "requests do not lengthen it";
  host.advance_ns(1);
  EXPECT_FALSE(send(session, 2));
  EXPECT_EQ(count(SEVMON_COUNT_EXPIRED), 1u);
}

TEST_F(Session, AReplacedOneToo) {
  const auto first = open();
  ASSERT_TRUE(send(first, 0));
  host.advance_seconds(175);
  const auto second = open();
  ASSERT_TRUE(send(second, 0));
  host.advance_seconds(4);
  EXPECT_TRUE(send(first, 1));
  host.advance_seconds(1);
  EXPECT_FALSE(send(first, 2)) << "at 180 s of its own, before 10 s of grace";
}

TEST_F(Session, WhatIsOverIsWiped) {
  ASSERT_TRUE(send(open(), 0));
  const auto second = open();
  ASSERT_TRUE(send(second, 0));
  open();
  host.advance_seconds(180);
  EXPECT_FALSE(send(second, 1));
  const auto& connection = agent.state().ids[0].connection[0];
  EXPECT_EQ(bytes_of(connection.pending), Bytes(sizeof(sevmon_session)));
  EXPECT_EQ(bytes_of(connection.current), Bytes(sizeof(sevmon_session)));
  EXPECT_EQ(bytes_of(connection.previous), Bytes(sizeof(sevmon_session)));
}

TEST_F(Session, ConnectionsDoNotTouchEachOther) {
  const auto first = open(1), second = open(2);
  EXPECT_TRUE(send(first, 0));
  EXPECT_TRUE(send(second, 0));
  const auto again = open(1);
  EXPECT_TRUE(send(again, 0));
  EXPECT_TRUE(send(second, 1));
  // The same connection id of another IDS is another connection.
  const auto other =
      shake_hands(agent, {.connection_id = connection(2), .size_class = 0}, test_key(1));
  EXPECT_TRUE(send(other, 0));
  EXPECT_TRUE(send(second, 2));
}

TEST_F(Session, AFifthConnectionIsRefusedWhileFourAreBusy) {
  std::vector<ReferenceSession> sessions;
  for (std::uint8_t i = 0; i < 4; ++i) {
    sessions.push_back(open(i));
    ASSERT_TRUE(send(sessions[i], 0));
  }
  const auto fifth = open(9);
  EXPECT_EQ(fifth.accept().status, SEVMON_ACCEPT_BUSY);
  EXPECT_EQ(fifth.number(), 0u);
  EXPECT_EQ(count(SEVMON_COUNT_REFUSED), 1u);
  for (const auto& session : sessions) EXPECT_TRUE(send(session, 1));
}

TEST_F(Session, TheIdlestConnectionMakesRoomAfterTenSeconds) {
  std::vector<ReferenceSession> sessions;
  for (std::uint8_t i = 0; i < 4; ++i) {
    sessions.push_back(open(i));
    ASSERT_TRUE(send(sessions[i], 0));
    host.advance_seconds(1);
  }
  host.advance_seconds(2);
  ASSERT_TRUE(send(sessions[0], 1));  // now the second is the idlest, for 5 s
  host.advance_ns(5'000'000'000 - 1);
  EXPECT_EQ(open(9).accept().status, SEVMON_ACCEPT_BUSY);
  host.advance_ns(1);
  const auto fifth = open(9);
  EXPECT_EQ(fifth.accept().status, SEVMON_ACCEPT_OK);
  EXPECT_TRUE(send(fifth, 0));
  EXPECT_FALSE(send(sessions[1], 1));
  for (const unsigned kept : {0u, 2u, 3u}) EXPECT_TRUE(send(sessions[kept], 2)) << kept;
}

TEST_F(Session, AReplayedRequestKeepsNobodyFromBeingIdle) {
  std::vector<ReferenceSession> sessions;
  for (std::uint8_t i = 0; i < 4; ++i) {
    sessions.push_back(open(i));
    ASSERT_TRUE(send(sessions[i], 0));
  }
  host.advance_seconds(10);
  for (const auto& session : sessions) EXPECT_FALSE(send(session, 0));
  EXPECT_EQ(open(9).accept().status, SEVMON_ACCEPT_OK);
}

TEST_F(Session, ARekeyKeepsItsConnectionAmongFour) {
  std::vector<ReferenceSession> sessions;
  for (std::uint8_t i = 0; i < 4; ++i) {
    sessions.push_back(open(i));
    ASSERT_TRUE(send(sessions[i], 0));
  }
  const auto again = open(2);
  EXPECT_EQ(again.accept().status, SEVMON_ACCEPT_OK);
  EXPECT_TRUE(send(again, 0));
  for (const auto& session : sessions) EXPECT_TRUE(send(session, 1));
}

TEST_F(Session, CloseWipesTheConnectionAfterItsAnswer) {
  const auto kept = open(1);
  const auto session = open(2);
  ASSERT_TRUE(send(kept, 0));
  ASSERT_TRUE(send(session, 0));
  const auto pending = open(2);
  const auto response =
      ask(agent, session, 1, request_body({simple_item(SEVMON_ITEM_CLOSE), read_virtual(0, 1)}));
  EXPECT_EQ(response.results[0].status, SEVMON_STATUS_OK);
  EXPECT_EQ(response.results[1].status, SEVMON_STATUS_NOT_MAPPED);
  EXPECT_FALSE(send(session, 2));
  EXPECT_FALSE(send(pending, 0));
  EXPECT_TRUE(send(kept, 1));
}

TEST_F(Session, SessionsOfAnotherAgentMeanNothingHere) {
  const auto session = open();
  auto number = session.header(0);
  // Every place that a number can name, with keys that are not its own.
  for (std::uint32_t place = 0; place < 32; ++place)
    for (std::uint32_t handshake = 0; handshake < 4; ++handshake) {
      number.session = handshake << 5 | place;
      const auto rc = agent.frame(session.request(number, bytes_of(request_body({})))).rc;
      EXPECT_EQ(rc > 0, number.session == session.number()) << number.session;
      number.n += rc > 0;
    }
}

}  // namespace
}  // namespace sevmon::tests
