// SPDX-License-Identifier: Apache-2.0
//
//   IDS A: Channel ── HostileWire ──┐
//                                   ├── one relay of the test's ── the agent core, two keys
//   IDS B: Channel ── HostileWire ──┘
//
// The relay does one thing at a time for ever, or everything at random. An exchange ends with the
// right answer or a clear error; once the relay is honest again, so is everything else.
#include <sevmon/channel.hpp>

#include <gtest/gtest.h>

#include <random>

#include "ids/channel/hostile_wire.hpp"
#include "support/fake_host.hpp"

namespace sevmon::ids::test {
namespace {

using common::ErrorCode;
using std::chrono::milliseconds;
using Out = std::deque<Delivery>;

constexpr std::uint64_t kBase = 0xffff888000000000;

Bytes flip(Bytes frame, std::size_t bit) {
  frame[bit / 8] ^= std::byte{1} << bit % 8;
  return frame;
}

Bytes cut(const Bytes& frame, std::size_t bytes) {
  return {frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(bytes)};
}

bool is_from_ids(std::uint8_t type) {
  return type == SEVMON_FRAME_HELLO || type == SEVMON_FRAME_INITIATE ||
         type == SEVMON_FRAME_REQUEST;
}

class HostileRelay : public ::testing::Test, public Responder {
 protected:
  HostileRelay() {
    std::vector<std::uint8_t> bytes;
    for (unsigned i = 0; i < SEVMON_PAGE_BYTES; ++i)
      bytes.push_back(std::to_integer<std::uint8_t>(byte_at(kBase + i)));
    host_.guest.map(kBase, bytes);
    boot();
    options_.size_class = SEVMON_CLASS_1_PAGE;
    options_.answer_timeout = std::chrono::seconds{20};
  }

  /// Xen starts, again or for the first time.
  void boot() {
    agent_ = std::make_unique<tests::FakeAgent>(
        host_, std::vector{tests::test_key(0), tests::test_key(1)});
  }

  std::optional<Bytes> answer(std::span<const std::byte> frame) override {
    host_.advance_ns(50'000'000);  // so that tokens come back
    return hand_in(frame);
  }
  /// As the relay's own call, which takes no time.
  std::optional<Bytes> hand_in(std::span<const std::byte> frame) {
    auto answer = agent_->frame(as_u8(frame));
    if (answer.rc <= 0) return std::nullopt;
    const auto bytes = std::as_bytes(std::span{answer.frame});
    return Bytes{bytes.begin(), bytes.end()};
  }

  common::Result<std::unique_ptr<Channel>> try_open(Attack& attack, std::uint8_t ids = 0) {
    const auto file = tests::key_file({tests::test_key(ids)});
    return Channel::open(std::make_unique<HostileWire>(*this, attack),
                         *Key::parse(std::as_bytes(std::span{file})), options_);
  }
  std::unique_ptr<Channel> open(Attack& attack, std::uint8_t ids = 0) {
    auto channel = try_open(attack, ids);
    if (!channel) throw std::runtime_error{channel.error().message()};
    return *std::move(channel);
  }

  static std::vector<Request> reads(std::size_t count, std::size_t first = 0) {
    std::vector<Request> requests;
    for (std::size_t i = first; i < first + count; ++i)
      requests.push_back({{}, {}, {{SEVMON_ITEM_READ_VIRTUAL, 0, 64, 0, kBase + i * 61 % 4000}}});
    return requests;
  }

  /// Right or refused; @return whether right.
  static bool right_or_refused(Channel& channel, const std::vector<Request>& requests) {
    const auto responses = channel.exchange(requests);
    if (!responses) {
      EXPECT_NE(responses.error().code, ErrorCode::kMalformed) << responses.error().message();
      EXPECT_NE(responses.error().code, ErrorCode::kUsage) << responses.error().message();
      EXPECT_FALSE(responses.error().message().empty());
      return false;
    }
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const auto& result = responses->at(i).items.at(0);
      EXPECT_EQ(result.status, SEVMON_STATUS_OK);
      for (std::size_t j = 0; j < 64; ++j)
        if (result.bytes[j] != byte_at(requests[i].items[0].address + j)) {
          ADD_FAILURE() << "a wrong answer was taken, request " << i << " byte " << j;
          return false;
        }
    }
    return true;
  }
  static void expect_right(Channel& channel, std::size_t count = 3) {
    EXPECT_TRUE(right_or_refused(channel, reads(count)));
  }

  /// Every frame of `type` becomes what `alter` makes of it; nothing else is touched.
  static Attack altering(std::uint8_t type, std::function<Bytes(const Bytes&)> alter) {
    Attack attack;
    if (is_from_ids(type))
      attack.on_send = [=](const Bytes& frame, std::uint32_t) -> std::optional<Bytes> {
        return type_of(frame) == type ? alter(frame) : frame;
      };
    else
      attack.on_answer = [=](const Delivery& delivery, Out& out) {
        out.push_back(delivery);
        if (type_of(delivery.frame) == type) out.back().frame = alter(delivery.frame);
      };
    return attack;
  }
  void expect_no_session(std::uint8_t type, std::function<Bytes(const Bytes&)> alter) {
    auto attack = altering(type, std::move(alter));
    // What is left of earlier runs is no longer in the way.
    host_.advance_seconds(SEVMON_PENDING_SECONDS + 1);
    const auto channel = try_open(attack);
    ASSERT_FALSE(channel);
    EXPECT_FALSE(channel.error().message().empty());
  }

  tests::FakeHost host_;
  std::unique_ptr<tests::FakeAgent> agent_;
  ChannelOptions options_;
};

/// The relay alters every frame of one type, so each run ends without a session. Most wait this
/// time out. (A machine that is too slow for it has no success in any run.)
constexpr milliseconds kShort{2};

class EachFrame : public HostileRelay, public ::testing::WithParamInterface<int> {
 protected:
  EachFrame() { options_.answer_timeout = kShort; }
  static std::uint8_t type() { return static_cast<std::uint8_t>(GetParam()); }
  void expect_good_again() {
    options_.answer_timeout = std::chrono::seconds{20};
    host_.advance_seconds(SEVMON_PENDING_SECONDS + 1);
    Attack honest;
    expect_right(*open(honest));
  }
};

TEST_P(EachFrame, FlippedInEachBit) {
  for (std::size_t bit = 0; bit < SEVMON_HANDSHAKE_FRAME_BYTES * 8; ++bit) {
    SCOPED_TRACE("bit " + std::to_string(bit));
    expect_no_session(type(), [=](const Bytes& frame) { return flip(frame, bit); });
  }
  expect_good_again();
}

TEST_P(EachFrame, TruncatedAtEachLength) {
  for (std::size_t length = 0; length < SEVMON_HANDSHAKE_FRAME_BYTES; ++length) {
    SCOPED_TRACE("length " + std::to_string(length));
    expect_no_session(type(), [=](const Bytes& frame) { return cut(frame, length); });
  }
  expect_good_again();
}

// Answers bit by bit: agent_channel_test.cpp and channel_test.cpp.
INSTANTIATE_TEST_SUITE_P(Handshake, EachFrame,
                         ::testing::Values(SEVMON_FRAME_HELLO, SEVMON_FRAME_CHALLENGE,
                                           SEVMON_FRAME_INITIATE, SEVMON_FRAME_ACCEPT));

TEST_F(HostileRelay, RequestsTruncatedAtEachLength) {
  Attack attack;
  const auto channel = open(attack);
  attack.on_send = [&](const Bytes& frame, std::uint32_t) -> std::optional<Bytes> {
    EXPECT_EQ(type_of(frame), SEVMON_FRAME_REQUEST);
    for (std::size_t length = 0; length < frame.size(); ++length)
      EXPECT_FALSE(hand_in(cut(frame, length))) << length;
    return frame;
  };
  expect_right(*channel, 1);
}

// ---- Two IDSs ----

class TwoIdses : public HostileRelay {
 protected:
  TwoIdses() {
    options_.answer_timeout = milliseconds{500};
    channel_[0] = open(attack_[0], 0);
    channel_[1] = open(attack_[1], 1);
    honest_right();
  }
  ~TwoIdses() override { attack_[0] = attack_[1] = {}; }
  void honest_right() {
    attack_[0] = attack_[1] = {};
    for (auto& channel : channel_) expect_right(*channel);
  }

  Attack attack_[2];
  std::unique_ptr<Channel> channel_[2];
};

TEST_F(TwoIdses, AnswersSwapped) {
  std::vector<Bytes> held[2];  // for the other one
  for (int i : {0, 1})
    attack_[i].on_answer = [&, i](const Delivery& delivery, Out& out) {
      held[i].push_back(delivery.frame);
      for (const auto& frame : held[1 - i]) out.push_back({delivery.tag, 0, frame});
    };
  EXPECT_FALSE(right_or_refused(*channel_[0], reads(3)));  // nothing there for it yet
  EXPECT_FALSE(right_or_refused(*channel_[1], reads(3)));
  EXPECT_EQ(channel_[1]->stats().discarded, 9u);
  const auto error = channel_[0]->exchange(reads(3));
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().code, ErrorCode::kForged) << error.error().message();
  honest_right();
}

TEST_F(TwoIdses, RequestsSwapped) {
  std::optional<Bytes> of_a;
  attack_[0].on_send = [&](const Bytes& frame, std::uint32_t) -> std::optional<Bytes> {
    of_a = frame;
    return std::nullopt;
  };
  attack_[1].on_send = [&](const Bytes&, std::uint32_t) { return of_a; };
  EXPECT_FALSE(right_or_refused(*channel_[0], reads(1)));
  // The agent answers A's request, to B.
  const auto error = channel_[1]->exchange(reads(1));
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().code, ErrorCode::kForged) << error.error().message();
  honest_right();
}

TEST_F(TwoIdses, HandshakesSwapped) {
  for (const auto type : {SEVMON_FRAME_CHALLENGE, SEVMON_FRAME_ACCEPT}) {
    Bytes of_b;
    Attack listening;
    listening.on_answer = [&](const Delivery& delivery, Out& out) {
      if (type_of(delivery.frame) == type) of_b = delivery.frame;
      out.push_back(delivery);
    };
    expect_right(*open(listening, 1));
    auto attack = altering(type, [&](const Bytes&) { return of_b; });
    EXPECT_FALSE(try_open(attack, 0));
  }
  honest_right();
}

// Two connections of one IDS: only the session tells them apart.
TEST_F(TwoIdses, AnswersOfAnotherConnectionOfTheSameIds) {
  Attack attack;
  const auto other = open(attack, 0);
  std::vector<Bytes> held;
  attack.on_answer = [&](const Delivery& delivery, Out& out) {
    held.push_back(delivery.frame);
    out.push_back(delivery);
  };
  expect_right(*other);
  attack_[0].on_answer = [&](const Delivery& delivery, Out& out) {
    for (const auto& frame : held) out.push_back({delivery.tag, 0, frame});
  };
  const auto error = channel_[0]->exchange(reads(3));
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().code, ErrorCode::kForged) << error.error().message();
  attack = {};
  honest_right();
}

TEST_F(TwoIdses, AnswerToOneRequestForAnother) {
  Delivery first;
  attack_[0].on_answer = [&](const Delivery& delivery, Out& out) {
    if (first.frame.empty()) first = delivery;
    auto forged = first.frame;  // with the number that is waited for
    std::copy_n(delivery.frame.begin(), sizeof(sevmon_header), forged.begin());
    out.push_back({delivery.tag, 0, delivery.frame == first.frame ? first.frame : forged});
  };
  const auto error = channel_[0]->exchange(reads(3));
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().code, ErrorCode::kForged) << error.error().message();
  honest_right();
}

// ---- After a reboot of the agent ----

class Reboot : public HostileRelay {
 protected:
  Reboot() {
    attack_.on_answer = [this](const Delivery& delivery, Out& out) {
      answers_.push_back(delivery.frame);
      out.push_back(delivery);
    };
    expect_right(*open(attack_));
    said_ = std::move(attack_.sent);
    attack_ = {};
    boot();
  }

  Attack attack_;
  std::vector<Bytes> said_, answers_;
};

TEST_F(Reboot, RecordedRunSaidAgainToTheAgent) {
  for (const auto& frame : said_) {
    const auto answer = hand_in(frame);
    EXPECT_EQ(answer.has_value(), type_of(frame) == SEVMON_FRAME_HELLO);
    EXPECT_NE(answer, answers_.front()) << "the challenge of the boot before";
  }
  EXPECT_EQ(agent_->count(SEVMON_COUNT_ANSWERS), 0u);
}

TEST_F(Reboot, RecordedAnswersToAnIds) {
  options_.answer_timeout = milliseconds{100};
  for (const int type : {0, SEVMON_FRAME_CHALLENGE, SEVMON_FRAME_ACCEPT}) {  // 0: all of them
    attack_.on_answer = [&](const Delivery& delivery, Out& out) {
      if (type != 0 && type_of(delivery.frame) != type) return out.push_back(delivery);
      for (const auto& frame : answers_)
        if (type_of(frame) == type_of(delivery.frame)) out.push_back({delivery.tag, 0, frame});
    };
    EXPECT_FALSE(try_open(attack_)) << type;
    host_.advance_seconds(SEVMON_PENDING_SECONDS + 1);
  }
}

TEST_F(Reboot, OfAnOpenChannelIsAnErrorAndThenANewHandshake) {
  const auto channel = open(attack_);
  expect_right(*channel);
  const auto nonce = channel->boot_nonce();
  boot();
  const auto error = channel->exchange(reads(3));
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().code, ErrorCode::kRefused) << error.error().message();
  expect_right(*channel);
  EXPECT_NE(channel->boot_nonce(), nonce);
}

// ---- Floods ----

TEST_F(HostileRelay, FloodOfHandshakesTakesNothingFromAnIds) {
  std::mt19937 random{2};
  Attack attack;
  std::vector<Bytes> old;
  std::uint64_t flood = 0;
  attack.on_send = [&](const Bytes& frame, std::uint32_t) -> std::optional<Bytes> {
    if (type_of(frame) == SEVMON_FRAME_INITIATE) old.push_back(frame);
    for (int i = 0; i < 100; ++i) {
      // Between a challenge and its answer only a HELLO and forgeries can come: nothing that
      // verifies, so the challenge stays.
      Bytes other = frame;
      if (!old.empty() && i % 2) other = old[random() % old.size()];
      if (type_of(other) == SEVMON_FRAME_INITIATE && other == frame)
        other = flip(other, 16 * 8 + random() % (128 * 8));
      if (type_of(other) == SEVMON_FRAME_REQUEST) continue;
      hand_in(other);
      ++flood;
    }
    return frame;
  };
  for (int i = 0; i < 20; ++i) expect_right(*open(attack));
  EXPECT_GT(flood, 4000u);
  EXPECT_EQ(agent_->count(SEVMON_COUNT_HANDSHAKES), 20u);
}

TEST_F(HostileRelay, HalfOpenConnectionsAreGoneAfterTenSeconds) {
  options_.answer_timeout = milliseconds{20};
  auto no_accept = altering(SEVMON_FRAME_ACCEPT, [](const Bytes&) { return Bytes{}; });
  for (int i = 0; i < SEVMON_MAX_CONNECTIONS; ++i) EXPECT_FALSE(try_open(no_accept));
  options_.answer_timeout = milliseconds{500};  // an IDS waits for a place for about twice that
  Attack honest;
  const auto full = try_open(honest);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::kRefused) << full.error().message();
  options_.answer_timeout = std::chrono::seconds{20};
  expect_right(*open(honest, 1));  // another IDS's are its own
  host_.advance_seconds(SEVMON_PENDING_SECONDS + 1);
  expect_right(*open(honest));
}

// ---- All of it at random ----

TEST_F(HostileRelay, WhateverItDoesAtRandom) {
  options_.answer_timeout = milliseconds{5};
  std::mt19937 random{3};
  std::vector<Bytes> up, down;
  Attack attack;
  int exchanges = 0, right = 0;
  const auto once_in = [&](unsigned n) { return random() % n == 0; };
  const auto altered = [&](const Bytes& frame, const std::vector<Bytes>& old) {
    switch (random() % 4) {
      case 0:
        return flip(frame, random() % (frame.size() * 8));
      case 1:
        return cut(frame, random() % frame.size());
      default:
        return old[random() % old.size()];
    }
  };
  attack.on_send = [&](const Bytes& frame, std::uint32_t) -> std::optional<Bytes> {
    up.push_back(frame);
    if (once_in(8)) hand_in(altered(frame, up));
    if (once_in(30)) return std::nullopt;
    return once_in(20) ? altered(frame, up) : frame;
  };
  attack.on_answer = [&](const Delivery& delivery, Out& out) {
    if (!delivery.frame.empty()) down.push_back(delivery.frame);
    if (once_in(6)) out.push_back(notice(static_cast<int>(random() % 4), delivery.tag));
    if (once_in(5) && !down.empty()) out.push_back({delivery.tag, 0, altered(down.back(), down)});
    if (once_in(4)) out.push_back(delivery);
    if (!once_in(20)) out.push_back(delivery);
  };
  attack.on_receive = [&](Out& out) { std::shuffle(out.begin(), out.end(), random); };
  for (int i = 0; i < 300; ++i) {
    if (i % 40 == 39) boot();
    const auto channel = try_open(attack);
    if (channel)
      for (int j = 0; j < 4; ++j, ++exchanges)
        right += right_or_refused(**channel, reads(1 + random() % 5, random() % 60));
    host_.advance_seconds(SEVMON_PENDING_SECONDS + 1);
  }
  RecordProperty("exchanges", exchanges);
  RecordProperty("right", right);
  attack = {};
  options_.answer_timeout = std::chrono::seconds{20};
  expect_right(*open(attack));
}

}  // namespace
}  // namespace sevmon::ids::test
