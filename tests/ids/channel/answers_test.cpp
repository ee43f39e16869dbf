// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <random>

#include "ids/channel/channel_fixture.hpp"

namespace sevmon::ids::test {
namespace {

/// Answers that are not what they were.
class AnswersTest : public ChannelTest {};

TEST_F(AnswersTest, AnswersInAnyOrder) {
  std::mt19937 random{1};
  attack_.on_receive = [&](Out& out) { std::shuffle(out.begin(), out.end(), random); };
  const auto channel = open();
  expect_right(*channel, reads(100));
  EXPECT_EQ(channel->stats().discarded, 0u);
}

TEST_F(AnswersTest, RepeatedAnswersCountOnce) {
  precede(SEVMON_FRAME_RESPONSE, [](const Delivery& delivery, Out& out) {
    out.push_back(delivery);
    out.push_back(delivery);
  });
  const auto channel = open();
  expect_right(*channel, reads(10));
  expect_right(*channel, reads(10));
  EXPECT_GE(channel->stats().discarded, 38u);  // the last two may lie unread
  EXPECT_EQ(channel->stats().unverified, 0u);  // an honest relay's network could do that
}

TEST_F(AnswersTest, OldAnswersAnswerNothingNew) {
  std::vector<Delivery> old;
  precede(SEVMON_FRAME_RESPONSE, [&](const Delivery& delivery, Out& out) {
    for (auto replayed : old) {
      replayed.tag = delivery.tag;
      out.push_back(std::move(replayed));
    }
    old.push_back(delivery);
  });
  const auto channel = open();
  for (int i = 0; i < 10; ++i) expect_right(*channel, {read_at(0x1000 + 64 * i)});
  EXPECT_EQ(channel->stats().discarded, 45u);
}

TEST_F(AnswersTest, OldAnswersAloneAreATimeout) {
  options_.answer_timeout = milliseconds{50};
  std::optional<Delivery> old;
  attack_.on_answer = [&](const Delivery& delivery, Out& out) {
    if (type_of(delivery.frame) != SEVMON_FRAME_RESPONSE || !old) out.push_back(delivery);
    if (type_of(delivery.frame) != SEVMON_FRAME_RESPONSE) return;
    if (!old) old = delivery;
    out.push_back({delivery.tag, 0, old->frame});
  };
  const auto channel = open();
  expect_right(*channel, reads(1));
  expect_error(*channel, reads(1), ErrorCode::kTimeout);
}

TEST_F(AnswersTest, AnotherRequestsAnswerUnderThisNumberIsForged) {
  options_.answer_timeout = milliseconds{50};
  std::optional<Delivery> first;
  attack_.on_answer = [&](const Delivery& delivery, Out& out) {
    if (type_of(delivery.frame) != SEVMON_FRAME_RESPONSE) return out.push_back(delivery);
    if (!first) {
      first = delivery;
      return;
    }
    // A's header and B's body, and the other way round.
    auto a = first->frame, b = delivery.frame;
    std::swap_ranges(a.begin(), a.begin() + sizeof(sevmon_header), b.begin());
    out.push_back({delivery.tag, 0, a});
    out.push_back({first->tag, 0, b});
  };
  const auto channel = open();
  expect_error(*channel, reads(2), ErrorCode::kForged);
  EXPECT_EQ(channel->stats().discarded, 2u);
}

TEST_F(AnswersTest, AnswersUnderOthersTagsAreStillMatchedByTheirSealedNumber) {
  precede(SEVMON_FRAME_RESPONSE, [](const Delivery&, Out&) {});
  std::uint32_t tag = 77;
  attack_.on_answer = [&](const Delivery& delivery, Out& out) {
    out.push_back({type_of(delivery.frame) == SEVMON_FRAME_RESPONSE ? tag++ : delivery.tag,
                   delivery.notice, delivery.frame});
  };
  const auto channel = open();
  expect_right(*channel, reads(20));
}

TEST_F(AnswersTest, TruncatedAtEachLength) {
  options_.answer_timeout = std::chrono::seconds{60};  // all the copies are looked at
  precede(SEVMON_FRAME_RESPONSE, append_truncated);
  const auto channel = open();
  expect_right(*channel, reads(1));
  EXPECT_EQ(channel->stats().discarded, SEVMON_RESPONSE_FRAME_BYTES(0));
}

TEST_F(AnswersTest, EachBitFlipped) {
  options_.answer_timeout = std::chrono::seconds{60};
  precede(SEVMON_FRAME_RESPONSE, [](const Delivery& delivery, Out& out) {
    for (std::size_t bit = 0; bit < delivery.frame.size() * 8; ++bit)
      out.push_back(with_frame(delivery, flip(delivery.frame, bit)));
  });
  const auto channel = open();
  expect_right(*channel, reads(1));
  EXPECT_EQ(channel->stats().discarded, SEVMON_RESPONSE_FRAME_BYTES(0) * 8);
}

TEST_F(AnswersTest, OneFlippedAnswerOfManyIsForged) {
  options_.answer_timeout = milliseconds{50};
  int answers = 0;
  attack_.on_answer = [&](const Delivery& delivery, Out& out) {
    const bool is_fifth = type_of(delivery.frame) == SEVMON_FRAME_RESPONSE && ++answers == 5;
    out.push_back(is_fifth ? with_frame(delivery, flip(delivery.frame, 12345)) : delivery);
  };
  const auto channel = open();
  expect_error(*channel, reads(10), ErrorCode::kForged);
  EXPECT_EQ(channel->stats().unverified, 1u);
  expect_right(*channel, reads(10));
}

TEST_F(AnswersTest, RequestsFlippedOnTheWayAreRefused) {
  attack_.on_send = [](const Bytes& frame, std::uint32_t) -> std::optional<Bytes> {
    return type_of(frame) == SEVMON_FRAME_REQUEST ? flip(frame, 5000) : frame;
  };
  const auto channel = open();
  expect_error(*channel, reads(1), ErrorCode::kRefused);
}

TEST_F(AnswersTest, DroppedAnswerIsATimeoutAndTheChannelLivesOn) {
  options_.answer_timeout = milliseconds{50};
  int answers = 0;
  attack_.on_answer = [&](const Delivery& delivery, Out& out) {
    if (type_of(delivery.frame) == SEVMON_FRAME_RESPONSE && ++answers == 3) return;
    out.push_back(delivery);
  };
  const auto channel = open();
  expect_error(*channel, reads(5), ErrorCode::kTimeout);
  expect_right(*channel, reads(5));
}

TEST_F(AnswersTest, JunkWithoutEndEndsAtTheDeadline) {
  options_.answer_timeout = milliseconds{50};
  std::mt19937 random{2};  // junk comes until the channel has closed
  const auto channel = open();
  attack_.on_answer = [](const Delivery&, Out&) {};
  attack_.on_receive = [&](Out& out) {
    Bytes junk(random() % 6000);
    for (auto& byte : junk) byte = static_cast<std::byte>(random());
    out.push_back({static_cast<std::uint32_t>(random()), 0, std::move(junk)});
  };
  expect_error(*channel, reads(2), ErrorCode::kForged);
}

TEST_F(AnswersTest, AgentsOwnNonsenseIsMalformed) {
  const auto channel = open();
  agent_.on_response = [](std::span<std::byte> body) {
    body[offsetof(sevmon_response_head, zero)] = std::byte{1};
  };
  expect_error(*channel, reads(1), ErrorCode::kMalformed);
  agent_.on_response = nullptr;
  expect_right(*channel, reads(1));
}

TEST_F(AnswersTest, AnswerWithAnotherSealedNumberIsAMismatch) {
  const auto channel = open();
  agent_.on_response = [](std::span<std::byte> body) { body[0] ^= std::byte{1}; };
  expect_error(*channel, reads(1), ErrorCode::kMismatch);
}

}  // namespace
}  // namespace sevmon::ids::test
