// SPDX-License-Identifier: Apache-2.0
//
//   Channel ── HostileWire (the test's relay) ── ModelAgent
//
// Whatever the relay does, an exchange ends with the right answer or a clear error.
#include <sevmon/channel.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "ids/channel/hostile_wire.hpp"

namespace sevmon::ids::test {
namespace {

using common::ErrorCode;
using std::chrono::milliseconds;
using Out = std::deque<Delivery>;

/// One request that reads 64 bytes at `address`.
Request read_at(std::uint64_t address) {
  return {{}, {}, {{SEVMON_ITEM_READ_VIRTUAL, 0, 64, 0, address}}};
}

std::vector<Request> reads(std::size_t count) {
  std::vector<Request> requests;
  for (std::size_t i = 0; i < count; ++i) requests.push_back(read_at(0x1000 + 64 * i));
  return requests;
}

bool is_right(const Request& request, const Response& response) {
  if (response.head.status != SEVMON_ANSWER_OK || response.items.size() != request.items.size())
    return false;
  for (std::size_t i = 0; i < request.items.size(); ++i) {
    const auto& item = request.items[i];
    const auto& result = response.items[i];
    const bool is_there = is_mapped(item.address);
    if ((result.status == SEVMON_STATUS_OK) != is_there || result.bytes.size() != item.bytes)
      return false;
    for (std::size_t j = 0; j < item.bytes; ++j)
      if (result.bytes[j] != (is_there ? byte_at(item.address + j) : std::byte{0})) return false;
  }
  return true;
}

class ChannelTest : public ::testing::Test {
 protected:
  ChannelTest() {
    options_.size_class = SEVMON_CLASS_1_PAGE;
    options_.answer_timeout = milliseconds{300};
  }

  common::Result<std::unique_ptr<Channel>> try_open(std::uint8_t psk_byte = 0x11) {
    return Channel::open(std::make_unique<HostileWire>(agent_, attack_),
                         *Key::parse(key_file(psk_byte)), options_);
  }

  std::unique_ptr<Channel> open() {
    auto channel = try_open();
    if (!channel) throw std::runtime_error{channel.error().message()};
    return *std::move(channel);
  }

  static void expect_right(Channel& channel, const std::vector<Request>& requests) {
    const auto responses = channel.exchange(requests);
    ASSERT_TRUE(responses) << responses.error().message();
    ASSERT_EQ(responses->size(), requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i)
      EXPECT_TRUE(is_right(requests[i], (*responses)[i])) << "request " << i;
  }

  static void expect_error(Channel& channel, const std::vector<Request>& requests, ErrorCode code) {
    const auto responses = channel.exchange(requests);
    ASSERT_FALSE(responses);
    EXPECT_EQ(responses.error().code, code) << responses.error().message();
  }

  /// `count` junk deliveries made from the answer, then the answer itself.
  void precede(std::uint8_t type, std::function<void(const Delivery&, Out&)> make_junk) {
    attack_.on_answer = [=](const Delivery& delivery, Out& out) {
      if (type_of(delivery.frame) == type) make_junk(delivery, out);
      out.push_back(delivery);
    };
  }

  ModelAgent agent_;
  Attack attack_;
  ChannelOptions options_;
};

Delivery with_frame(const Delivery& delivery, Bytes frame) {
  return {delivery.tag, 0, std::move(frame)};
}

void append_truncated(const Delivery& delivery, Out& out) {
  for (std::size_t bytes = 0; bytes < delivery.frame.size(); ++bytes)
    out.push_back(with_frame(delivery, {delivery.frame.begin(), delivery.frame.begin() + bytes}));
}

Bytes flip(Bytes frame, std::size_t bit) {
  frame[bit / 8] ^= std::byte{1} << bit % 8;
  return frame;
}

// ---- Exchanges over an honest wire ----

TEST_F(ChannelTest, ReadsWhatIsThere) {
  const auto channel = open();
  expect_right(*channel, reads(3));
  EXPECT_EQ(channel->size_class(), SEVMON_CLASS_1_PAGE);
  EXPECT_EQ(channel->describe(), "test:wire");
  const auto stats = channel->stats();
  EXPECT_EQ(stats.frames_sent, 3u);
  EXPECT_EQ(stats.frames_received, 3u);
  EXPECT_EQ(stats.round_trips, 3u);  // hello, handshake, one for all three
  EXPECT_EQ(stats.discarded, 0u);
  EXPECT_EQ(stats.bytes_sent, 2 * (16 + 144) + 3 * (16 + SEVMON_REQUEST_FRAME_BYTES));
  EXPECT_EQ(stats.bytes_received, 2 * (16 + 144) + 3 * (16 + SEVMON_RESPONSE_FRAME_BYTES(0)));
}

TEST_F(ChannelTest, AnExchangeThatACallerBreaksOffLeavesNothingBehind) {
  bool is_broken_off = true;
  options_.progress = [&](std::size_t, std::size_t) {
    if (is_broken_off) throw std::runtime_error{"enough"};
  };
  const auto channel = open();
  EXPECT_THROW(static_cast<void>(channel->exchange(reads(3))), std::runtime_error);
  is_broken_off = false;
  // The other two answers arrive now, in an exchange that has no place for them.
  expect_right(*channel, {read_at(0x2000)});
  EXPECT_EQ(channel->stats().discarded, 2u);
}

TEST_F(ChannelTest, AbsentPagesAreZerosWithAReason) {
  const auto channel = open();
  const auto responses = channel->exchange(std::vector{read_at(0x7000)});
  ASSERT_TRUE(responses);
  EXPECT_TRUE(is_right(read_at(0x7000), responses->at(0)));
  EXPECT_EQ(responses->at(0).items.at(0).status, SEVMON_STATUS_NOT_MAPPED);
}

TEST_F(ChannelTest, EverySizeClass) {
  for (std::uint8_t size_class = 0; size_class < SEVMON_CLASSES; ++size_class) {
    options_.size_class = size_class;
    const auto channel = open();
    Request request;
    for (unsigned i = 0; i < SEVMON_CLASS_PAGES(size_class); ++i)
      request.items.push_back(
          {SEVMON_ITEM_READ_VIRTUAL, 0, SEVMON_PAGE_BYTES, 0, i * SEVMON_PAGE_BYTES});
    expect_right(*channel, {request});
    request.items.push_back({SEVMON_ITEM_READ_VIRTUAL, 0, 1, 0, 0});
    expect_error(*channel, {request}, ErrorCode::kUsage);
  }
}

TEST_F(ChannelTest, RequestsThatCannotBeEncodedAreNotSent) {
  const auto channel = open();
  const auto sent = attack_.sent.size();
  auto crosses = read_at(0x1fff);
  auto many = read_at(0x1000);
  many.items[0].bytes = 1;
  many.items.resize(SEVMON_MAX_ITEMS + 1, many.items[0]);
  auto five_levels = read_at(0x1000);
  five_levels.root = {.kind = Root::Kind::kFrame, .frame = {1}, .levels = 3};
  auto unknown = read_at(0x1000);
  unknown.items[0].type = 16;
  auto reserved = read_at(0x1000);
  reserved.items[0].zero = 1;
  for (const auto& request : {crosses, many, five_levels, unknown, reserved})
    expect_error(*channel, {read_at(0x1000), request}, ErrorCode::kUsage);
  EXPECT_EQ(attack_.sent.size(), sent);
}

TEST_F(ChannelTest, PipelineIsAsDeepAsAskedAndNoDeeper) {
  options_.pipeline_depth = 7;
  std::size_t in_flight = 0, deepest = 0;
  Out held;
  attack_.on_answer = [&](const Delivery& delivery, Out& out) {
    if (type_of(delivery.frame) != SEVMON_FRAME_RESPONSE) return out.push_back(delivery);
    held.push_back(delivery);
    deepest = std::max(deepest, ++in_flight);
  };
  attack_.on_receive = [&](Out& out) {
    if (held.empty()) return;
    out.push_back(held.back());  // last in, first out
    held.pop_back();
    --in_flight;
  };
  const auto channel = open();
  expect_right(*channel, reads(30));
  EXPECT_EQ(deepest, 7u);
}

TEST_F(ChannelTest, ProgressCountsUp) {
  std::vector<std::size_t> seen;
  options_.progress = [&](std::size_t done, std::size_t total) {
    EXPECT_EQ(total, 5u);
    seen.push_back(done);
  };
  const auto channel = open();
  expect_right(*channel, reads(5));
  EXPECT_EQ(seen, (std::vector<std::size_t>{1, 2, 3, 4, 5}));
}

TEST_F(ChannelTest, BadOptionsAreUsage) {
  const std::function<void(ChannelOptions&)> spoils[] = {
      [](auto& options) { options.size_class = SEVMON_CLASSES; },
      [](auto& options) { options.pipeline_depth = 0; },
      [](auto& options) { options.pipeline_depth = 257; },
      [](auto& options) { options.answer_timeout = milliseconds{0}; },
  };
  for (const auto& spoil : spoils) {
    options_ = {};
    spoil(options_);
    const auto channel = try_open();
    ASSERT_FALSE(channel);
    EXPECT_EQ(channel.error().code, ErrorCode::kUsage);
  }
}

TEST_F(ChannelTest, ClosesItsConnection) {
  {
    const auto channel = open();
    expect_right(*channel, reads(1));
    EXPECT_EQ(agent_.session_count(), 1u);
  }
  EXPECT_EQ(agent_.session_count(), 0u);
}

// ---- Answers that are not what they were ----

TEST_F(ChannelTest, LeavesWithoutAWordWhenAskedTo) {
  options_.says_goodbye = false;
  {
    const auto channel = open();
    expect_right(*channel, reads(1));
  }
  EXPECT_EQ(agent_.session_count(), 1u);
}

TEST_F(ChannelTest, AConnectionIdThatWasGivenIsUsed) {
  std::set<common::IdBytes> ids;
  agent_.on_initiate = [&](const sevmon_initiate& initiate) {
    common::IdBytes id;
    std::ranges::copy(initiate.connection_id, id.begin());
    ids.insert(id);
  };
  options_.connection_id = common::IdBytes{1, 2, 3};
  for (int i = 0; i < 3; ++i) open();
  EXPECT_EQ(ids, (std::set{*options_.connection_id}));
  options_.connection_id.reset();
  for (int i = 0; i < 3; ++i) open();
  EXPECT_EQ(ids.size(), 4u);
}

TEST_F(ChannelTest, AnswersInAnyOrder) {
  std::mt19937 random{1};
  attack_.on_receive = [&](Out& out) { std::shuffle(out.begin(), out.end(), random); };
  const auto channel = open();
  expect_right(*channel, reads(100));
  EXPECT_EQ(channel->stats().discarded, 0u);
}

TEST_F(ChannelTest, RepeatedAnswersCountOnce) {
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

TEST_F(ChannelTest, OldAnswersAnswerNothingNew) {
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

TEST_F(ChannelTest, OldAnswersAloneAreATimeout) {
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

TEST_F(ChannelTest, AnotherRequestsAnswerUnderThisNumberIsForged) {
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

TEST_F(ChannelTest, AnswersUnderOthersTagsAreStillMatchedByTheirSealedNumber) {
  precede(SEVMON_FRAME_RESPONSE, [](const Delivery&, Out&) {});
  std::uint32_t tag = 77;
  attack_.on_answer = [&](const Delivery& delivery, Out& out) {
    out.push_back({type_of(delivery.frame) == SEVMON_FRAME_RESPONSE ? tag++ : delivery.tag,
                   delivery.notice, delivery.frame});
  };
  const auto channel = open();
  expect_right(*channel, reads(20));
}

TEST_F(ChannelTest, TruncatedAtEachLength) {
  precede(SEVMON_FRAME_RESPONSE, append_truncated);
  const auto channel = open();
  expect_right(*channel, reads(1));
  EXPECT_EQ(channel->stats().discarded, SEVMON_RESPONSE_FRAME_BYTES(0));
}

TEST_F(ChannelTest, EachBitFlipped) {
  options_.answer_timeout = std::chrono::seconds{60};
  precede(SEVMON_FRAME_RESPONSE, [](const Delivery& delivery, Out& out) {
    for (std::size_t bit = 0; bit < delivery.frame.size() * 8; ++bit)
      out.push_back(with_frame(delivery, flip(delivery.frame, bit)));
  });
  const auto channel = open();
  expect_right(*channel, reads(1));
  EXPECT_EQ(channel->stats().discarded, SEVMON_RESPONSE_FRAME_BYTES(0) * 8);
}

TEST_F(ChannelTest, OneFlippedAnswerOfManyIsForged) {
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

TEST_F(ChannelTest, RequestsFlippedOnTheWayAreRefused) {
  attack_.on_send = [](const Bytes& frame, std::uint32_t) -> std::optional<Bytes> {
    return type_of(frame) == SEVMON_FRAME_REQUEST ? flip(frame, 5000) : frame;
  };
  const auto channel = open();
  expect_error(*channel, reads(1), ErrorCode::kRefused);
}

TEST_F(ChannelTest, DroppedAnswerIsATimeoutAndTheChannelLivesOn) {
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

TEST_F(ChannelTest, JunkWithoutEndEndsAtTheDeadline) {
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

TEST_F(ChannelTest, AgentsOwnNonsenseIsMalformed) {
  const auto channel = open();
  agent_.on_response = [](std::span<std::byte> body) {
    body[offsetof(sevmon_response_head, zero)] = std::byte{1};
  };
  expect_error(*channel, reads(1), ErrorCode::kMalformed);
  agent_.on_response = nullptr;
  expect_right(*channel, reads(1));
}

TEST_F(ChannelTest, AnswerWithAnotherSealedNumberIsAMismatch) {
  const auto channel = open();
  agent_.on_response = [](std::span<std::byte> body) { body[0] ^= std::byte{1}; };
  expect_error(*channel, reads(1), ErrorCode::kMismatch);
}

// ---- Notices ----

TEST_F(ChannelTest, BusyFramesAreSentAgainAsTheyAre) {
  std::map<Bytes, int> times;
  attack_.on_send = [&](const Bytes& frame, std::uint32_t) -> std::optional<Bytes> {
    if (type_of(frame) == SEVMON_FRAME_REQUEST && ++times[frame] < 3) return std::nullopt;
    return frame;
  };
  std::optional<std::uint32_t> unanswered;
  const auto inner = attack_.on_send;
  attack_.on_send = [&, inner](const Bytes& frame, std::uint32_t tag) {
    auto given = inner(frame, tag);
    if (!given) unanswered = tag;
    return given;
  };
  attack_.on_receive = [&](Out& out) {
    if (unanswered) out.push_back(notice(SEVMON_NOTICE_BUSY, *unanswered));
    unanswered.reset();
  };
  options_.answer_timeout = std::chrono::seconds{5};
  const auto channel = open();
  expect_right(*channel, reads(1));
  ASSERT_EQ(times.size(), 1u);
  EXPECT_EQ(times.begin()->second, 3);
}

TEST_F(ChannelTest, BusyForeverIsRefused) {
  options_.answer_timeout = milliseconds{100};
  const auto channel = open();
  attack_.on_answer = [](const Delivery& delivery, Out& out) {
    out.push_back(notice(SEVMON_NOTICE_BUSY, delivery.tag));
  };
  expect_error(*channel, reads(3), ErrorCode::kRefused);
}

TEST_F(ChannelTest, RejectedRequestIsRefusedAndTheNextExchangeStartsAnew) {
  const auto channel = open();
  expect_right(*channel, reads(1));
  const auto before = channel->boot_nonce();
  agent_.reboot();
  expect_error(*channel, reads(1), ErrorCode::kRefused);
  EXPECT_EQ(channel->boot_nonce(), before);
  expect_right(*channel, reads(1));
  EXPECT_NE(channel->boot_nonce(), before);  // proved by a handshake, and only then
  EXPECT_EQ(channel->stats().rekeys, 1u);
}

TEST_F(ChannelTest, NoticesAboutOtherFramesAreSkipped) {
  precede(SEVMON_FRAME_RESPONSE, [](const Delivery& delivery, Out& out) {
    for (const auto code : {SEVMON_NOTICE_REJECTED, SEVMON_NOTICE_NO_AGENT, SEVMON_NOTICE_BUSY,
                            SEVMON_NOTICE_INTERNAL})
      out.push_back(notice(code, delivery.tag + 1000));
  });
  const auto channel = open();
  expect_right(*channel, reads(10));
  EXPECT_EQ(channel->stats().discarded, 40u);
}

TEST_F(ChannelTest, NoticesThatEndTheConnectionStick) {
  const std::pair<int, ErrorCode> cases[] = {{SEVMON_NOTICE_MALFORMED, ErrorCode::kRefused},
                                             {SEVMON_NOTICE_LIMIT, ErrorCode::kRefused},
                                             {SEVMON_NOTICE_TIMEOUT, ErrorCode::kTimeout},
                                             {SEVMON_NOTICE_SHUTDOWN, ErrorCode::kConnect}};
  for (const auto& [code, expected] : cases) {
    attack_ = {};
    const auto channel = open();
    attack_.on_answer = [code = code](const Delivery&, Out& out) {
      out.push_back(notice(code, 0));
    };
    expect_error(*channel, reads(1), expected);
    attack_.on_answer = nullptr;
    expect_error(*channel, reads(1), expected);
  }
}

TEST_F(ChannelTest, ReasonForClosingIsFoundBehindTheClosedConnection) {
  const auto channel = open();
  attack_.on_receive = [](Out& out) { out.push_back(notice(SEVMON_NOTICE_LIMIT, 0)); };
  attack_.is_closed = true;
  expect_error(*channel, reads(1), ErrorCode::kRefused);
}

TEST_F(ChannelTest, ClosedConnectionSticks) {
  const auto channel = open();
  attack_.is_closed = true;
  expect_error(*channel, reads(1), ErrorCode::kConnect);
  attack_.is_closed = false;
  expect_error(*channel, reads(1), ErrorCode::kConnect);
}

// ---- Handshakes ----

void expect_open_fails(const common::Result<std::unique_ptr<Channel>>& channel, ErrorCode code) {
  ASSERT_FALSE(channel);
  EXPECT_EQ(channel.error().code, code) << channel.error().message();
}

TEST_F(ChannelTest, WrongKeyIsRefused) {
  options_.answer_timeout = std::chrono::seconds{5};
  expect_open_fails(try_open(0x12), ErrorCode::kRefused);
  EXPECT_EQ(agent_.handshakes(), 0u);
}

TEST_F(ChannelTest, RejectedHandshakesAreTriedEightTimes) {
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

TEST_F(ChannelTest, SilenceIsATimeout) {
  options_.answer_timeout = milliseconds{30};
  for (const auto silent : {SEVMON_FRAME_CHALLENGE, SEVMON_FRAME_ACCEPT}) {
    attack_.on_answer = [=](const Delivery& delivery, Out& out) {
      if (type_of(delivery.frame) != silent) out.push_back(delivery);
    };
    expect_open_fails(try_open(), ErrorCode::kTimeout);
  }
}

TEST_F(ChannelTest, NoAgentIsRefusedAtOnce) {
  attack_.on_answer = [](const Delivery& delivery, Out& out) {
    out.push_back(notice(SEVMON_NOTICE_NO_AGENT, delivery.tag));
  };
  expect_open_fails(try_open(), ErrorCode::kRefused);
  EXPECT_EQ(attack_.sent.size(), 1u);
}

TEST_F(ChannelTest, AcceptancesFlippedAndTruncatedAreSkipped) {
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

TEST_F(ChannelTest, ChallengesForOthersAreSkipped) {
  precede(SEVMON_FRAME_CHALLENGE, [](const Delivery& delivery, Out& out) {
    append_truncated(delivery, out);
    for (const std::size_t byte : {1, 2, 3, 4, 8, 16, 31, 32, 47, 80, 143})  // all but the nonces
      out.push_back(with_frame(delivery, flip(delivery.frame, byte * 8)));
  });
  const auto channel = open();
  expect_right(*channel, reads(1));
  EXPECT_EQ(channel->stats().discarded, 144u + 11);
}

TEST_F(ChannelTest, FalseChallengeCostsAnotherTry) {
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

TEST_F(ChannelTest, OnlyFalseAcceptancesAreForged) {
  options_.answer_timeout = milliseconds{50};
  attack_.on_answer = [&](const Delivery& delivery, Out& out) {
    const bool is_accept = type_of(delivery.frame) == SEVMON_FRAME_ACCEPT;
    out.push_back(is_accept ? with_frame(delivery, flip(delivery.frame, 500)) : delivery);
  };
  expect_open_fails(try_open(), ErrorCode::kForged);
}

TEST_F(ChannelTest, AllZeroSecretIsForged) {
  options_.answer_timeout = milliseconds{50};
  PublicKey zero{};
  agent_.ephemeral = &zero;
  expect_open_fails(try_open(), ErrorCode::kForged);
}

TEST_F(ChannelTest, WaitsForAPlaceThatDeadClientsHold) {
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

TEST_F(ChannelTest, RefusalsInTheAcceptance) {
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

// ---- Rekeys ----

TEST_F(ChannelTest, RekeysUnderLoadUnseen) {
  options_.rekey_after_messages = 5;
  options_.answer_timeout = std::chrono::seconds{20};
  std::mt19937 random{3};
  attack_.on_receive = [&](Out& out) { std::shuffle(out.begin(), out.end(), random); };
  const auto channel = open();
  expect_right(*channel, reads(300));
  for (int i = 0; i < 20; ++i) expect_right(*channel, reads(3));
  EXPECT_GE(channel->stats().rekeys, 10u);
  EXPECT_EQ(channel->stats().discarded, 0u);
}

TEST_F(ChannelTest, RekeyByTimeToo) {
  options_.rekey_after = std::chrono::seconds{0};
  const auto channel = open();
  expect_right(*channel, reads(3));
  expect_right(*channel, reads(3));
  EXPECT_EQ(channel->stats().rekeys, 2u);
}

TEST_F(ChannelTest, SessionNumbersAreUnderTheNewKeysFromZero) {
  options_.rekey_after_messages = 4;
  const auto channel = open();
  expect_right(*channel, reads(20));
  expect_right(*channel, reads(20));
  std::map<std::pair<std::uint32_t, std::uint64_t>, int> used;
  for (const auto& frame : attack_.sent)
    if (type_of(frame) == SEVMON_FRAME_REQUEST) {
      const auto header = *common::decode_header(frame);
      ++used[{header.session, header.n}];
    }
  EXPECT_EQ(used.size(), 40u);
  EXPECT_TRUE(used.contains({1, 0}));
  EXPECT_TRUE(used.contains({2, 0}));
}

TEST_F(ChannelTest, RequestsGoOnWhenARekeyFails) {
  options_.rekey_after_messages = 2;
  const auto channel = open();
  attack_.on_answer = [](const Delivery& delivery, Out& out) {
    const bool is_handshake = type_of(delivery.frame) == SEVMON_FRAME_CHALLENGE;
    out.push_back(is_handshake ? notice(SEVMON_NOTICE_INTERNAL, delivery.tag) : delivery);
  };
  for (int i = 0; i < 10; ++i) expect_right(*channel, reads(1));
  EXPECT_EQ(channel->stats().rekeys, 0u);
}

TEST_F(ChannelTest, TwoChannelsAtOnce) {
  options_.rekey_after_messages = 10;
  options_.answer_timeout = std::chrono::seconds{30};
  Attack attacks[2];
  std::vector<std::thread> threads;
  for (auto& attack : attacks)
    threads.emplace_back([&] {
      auto channel = Channel::open(std::make_unique<HostileWire>(agent_, attack),
                                   *Key::parse(key_file()), options_);
      ASSERT_TRUE(channel) << channel.error().message();
      for (int i = 0; i < 5; ++i) expect_right(**channel, reads(40));
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(agent_.session_count(), 0u);
}

TEST_F(ChannelTest, OneChannelFromTwoThreads) {
  const auto channel = open();
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i)
    threads.emplace_back([&] {
      for (int j = 0; j < 10; ++j) {
        expect_right(*channel, reads(5));
        channel->stats();
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(channel->stats().frames_received, 100u);
}

}  // namespace
}  // namespace sevmon::ids::test
