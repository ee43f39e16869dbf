// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>
#include <thread>

#include "ids/channel/channel_fixture.hpp"

namespace sevmon::ids::test {
namespace {

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

/// Makes `count` reads; after each `pause_after`, none until all answers were taken.
class Reads final : public RequestStream {
 public:
  explicit Reads(std::size_t count, std::size_t pause_after = SIZE_MAX)
      : requests_{reads(count)}, pause_after_{pause_after} {}

  Next next(Request& request, bool nothing_under_way) override {
    if (made_ == requests_.size()) return Next::kEnd;
    if (made_ - taken_ == pause_after_) {
      EXPECT_FALSE(nothing_under_way);
      return Next::kLater;
    }
    waits_ += nothing_under_way;
    request = requests_[made_++];
    most_ = std::max(most_, made_ - taken_);
    return Next::kRequest;
  }
  common::Result<void> take(std::size_t index, Response response) override {
    EXPECT_TRUE(is_right(requests_.at(index), response)) << index;
    if (++taken_ == fails_at_) return common::Error{ErrorCode::kIo, "enough"};
    return {};
  }

  std::vector<Request> requests_;
  const std::size_t pause_after_;
  std::size_t made_ = 0, taken_ = 0, most_ = 0, waits_ = 0, fails_at_ = SIZE_MAX;
};

TEST_F(ChannelTest, AStreamIsPipelinedToItsEnd) {
  options_.pipeline_depth = 4;
  const auto channel = open();
  Reads stream{50};
  ASSERT_TRUE(channel->stream(stream));
  EXPECT_EQ(stream.taken_, 50u);
  EXPECT_EQ(stream.most_, 4u);
  EXPECT_EQ(stream.waits_, 1u);  // never drained after its first
  EXPECT_EQ(channel->stats().frames_sent, 50u);
  expect_right(*channel, reads(2));
}

TEST_F(ChannelTest, AStreamThatPausesGoesOn) {
  options_.pipeline_depth = 16;
  const auto channel = open();
  Reads stream{50, 3};
  ASSERT_TRUE(channel->stream(stream));
  EXPECT_EQ(stream.taken_, 50u);
  EXPECT_EQ(stream.most_, 3u);
}

TEST_F(ChannelTest, AStreamEndsWithItsTakersError) {
  const auto channel = open();
  Reads stream{50};
  stream.fails_at_ = 7;
  const auto done = channel->stream(stream);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kIo);
  EXPECT_EQ(stream.taken_, 7u);
  expect_right(*channel, reads(2));  // what was under way has no place here
}

TEST_F(ChannelTest, AStreamWithoutARequestIsNothing) {
  const auto channel = open();
  Reads stream{0};
  EXPECT_TRUE(channel->stream(stream));
  EXPECT_EQ(channel->stats().frames_sent, 0u);
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
