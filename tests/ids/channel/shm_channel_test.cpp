// SPDX-License-Identifier: Apache-2.0
//
//   Channel ── ShmTransport ── a file ── lane.c and the agent core ── memory built in code
//                                │
//                         a host that scribbles
//
// Both ends' own code over one lane. Whatever the host writes there, an exchange ends with the
// right answer or an error, and soon.
#include <sevmon/channel.hpp>
#include <sevmon/transport.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "ids/channel/model_agent.hpp"
#include "lane.h"
#include "support/fake_host.hpp"
#include "support/shm_file.hpp"

namespace sevmon::ids::test {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kBase = 0xffff888000000000;
constexpr unsigned kPages = 20;

bool is_absent(std::size_t page) {
  return page % 5 == 3;
}

class ShmChannelTest : public ::testing::Test {
 protected:
  ShmChannelTest() {
    for (unsigned page = 0; page < kPages; ++page) {
      if (is_absent(page)) continue;
      std::vector<std::uint8_t> bytes;
      for (unsigned i = 0; i < SEVMON_PAGE_BYTES; ++i)
        bytes.push_back(std::to_integer<std::uint8_t>(byte_at(kBase + page * 4096 + i)));
      host_.guest.map(kBase + page * SEVMON_PAGE_BYTES, bytes);
    }
    options_.answer_timeout = std::chrono::seconds{20};
    // One, however often it is lost: the agent has four places.
    options_.connection_id = common::IdBytes{1};
    sevmon_lane_init(&state_, file_.lane(), 1);
    server_ = std::thread{[this] { serve(); }};
  }
  ~ShmChannelTest() override {
    is_over_ = true;
    server_.join();
  }

  void serve() {
    sevmon_work work{};
    while (!is_over_) {
      if (starts_again_.exchange(false)) sevmon_lane_init(&state_, file_.lane(), 1);
      if (!sevmon_lane_is_due(&state_)) {
        std::this_thread::yield();
        continue;
      }
      if (sevmon_lane_poll(&agent_.state(), &state_, &work) == SEVMON_LANE_ANSWERED)
        host_.advance_ns(50'000'000);  // tokens come back
    }
  }

  common::Result<std::unique_ptr<Channel>> try_open() {
    const auto file = tests::key_file({tests::test_key()});
    if (!lane_) lane_ = *open_shm(file_.path());
    auto transport = connect_shm(lane_, options_.answer_timeout);
    if (!transport) return transport.error();
    return Channel::open(*std::move(transport), *Key::parse(std::as_bytes(std::span{file})),
                         options_);
  }
  std::unique_ptr<Channel> open() {
    auto channel = try_open();
    if (!channel) throw std::runtime_error{channel.error().message()};
    return *std::move(channel);
  }

  static std::uint64_t address_of(std::size_t i) {
    return kBase + i % kPages * SEVMON_PAGE_BYTES + i * 7 % 3900;
  }
  static std::vector<Request> reads(std::size_t count) {
    std::vector<Request> requests;
    for (std::size_t i = 0; i < count; ++i)
      requests.push_back({{}, {}, {{SEVMON_ITEM_READ_VIRTUAL, 0, 100, 0, address_of(i)}}});
    return requests;
  }
  static void expect_right(const std::vector<Response>& responses) {
    for (std::size_t i = 0; i < responses.size(); ++i) {
      const auto& result = responses[i].items.at(0);
      const bool is_there = !is_absent(i % kPages);
      ASSERT_EQ(result.status, is_there ? SEVMON_STATUS_OK : SEVMON_STATUS_NOT_MAPPED);
      for (std::size_t j = 0; j < 100; ++j)
        ASSERT_EQ(result.bytes[j], is_there ? byte_at(address_of(i) + j) : std::byte{0});
    }
  }
  static void expect_right(Channel& channel, std::size_t count) {
    const auto responses = channel.exchange(reads(count));
    ASSERT_TRUE(responses) << responses.error().message();
    ASSERT_EQ(responses->size(), count);
    expect_right(*responses);
  }

  tests::FakeHost host_;
  tests::FakeAgent agent_{host_};
  tests::ShmFile file_;
  sevmon_lane state_{};
  std::atomic<bool> is_over_{false}, starts_again_{false};
  std::shared_ptr<ShmLane> lane_;
  ChannelOptions options_;
  std::thread server_;  // last: it uses the others
};

TEST_F(ShmChannelTest, ReadsInEverySizeClass) {
  for (std::uint8_t size_class = 0; size_class < SEVMON_CLASSES; ++size_class) {
    options_.size_class = size_class;
    expect_right(*open(), 100);
  }
  EXPECT_EQ(agent_.count(SEVMON_COUNT_MALFORMED), 0u);
}

TEST_F(ShmChannelTest, MoreRequestsInFlightThanEitherRingHolds) {
  options_.size_class = SEVMON_CLASS_15_PAGES;
  options_.pipeline_depth = 256;
  expect_right(*open(), 600);
  EXPECT_EQ(agent_.count(SEVMON_COUNT_MALFORMED), 0u);
}

TEST_F(ShmChannelTest, AfterARestartOfTheAgentTheLaneIsClaimedAgain) {
  const auto channel = open();
  expect_right(*channel, 5);
  starts_again_ = true;
  while (starts_again_) std::this_thread::yield();
  const auto lost = channel->exchange(reads(1));
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, common::ErrorCode::kConnect);
  expect_right(*open(), 5);
}

/// Numbers and bytes all over the lane, now many and now few, until it is stopped.
class ScribblingHost {
 public:
  ScribblingHost(tests::ShmFile& file, std::uint32_t seed)
      : thread_{[this, &file, seed] {
          std::mt19937 random{seed};
          while (!is_over_) {
            const auto count = random() % 8;
            for (std::uint32_t i = 0; i < count; ++i) scribble(file.lane(), random);
            std::this_thread::sleep_for(std::chrono::microseconds{random() % 300});
          }
        }} {}
  ~ScribblingHost() {
    is_over_ = true;
    thread_.join();
  }

 private:
  static void scribble(std::uint8_t* lane, std::mt19937& random) {
    // A third of it on the lines that say most, the rest where the rings begin.
    constexpr std::uint32_t kPlaces[] = {SEVMON_SHM_AGENT_OFFSET + 16, SEVMON_SHM_IDS_OFFSET,
                                         SEVMON_SHM_REQUEST_OFFSET,    SEVMON_SHM_RESPONSE_OFFSET,
                                         SEVMON_SHM_REQUEST_OFFSET,    SEVMON_SHM_RESPONSE_OFFSET};
    const auto place = random() % 6;
    const auto at = kPlaces[place] + (place < 2 ? random() % 4 * 4 : random() % 0x4000 * 4);
    auto& number = *reinterpret_cast<std::uint32_t*>(lane + at);
    // Values that nearly are right, too.
    const std::uint32_t value = random() % 3 == 0 ? random() : number + (random() % 9 - 4) * 16;
    std::atomic_ref{number}.store(value, std::memory_order_relaxed);
  }

  std::atomic<bool> is_over_{false};
  std::thread thread_;
};

TEST_F(ShmChannelTest, AHostThatScribblesGetsNoWrongAnswerThrough) {
  options_.answer_timeout = milliseconds{200};
  options_.size_class = SEVMON_CLASS_1_PAGE;
  unsigned right = 0, refused = 0;
  {
    const ScribblingHost host{file_, 20261123};
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{3};
    while (std::chrono::steady_clock::now() < end || (right == 0 && refused < 10'000)) {
      auto channel = try_open();
      for (int i = 0; channel && i < 20; ++i) {
        const auto start = std::chrono::steady_clock::now();
        const auto responses = (*channel)->exchange(reads(3));
        // Far from it, and yet far from for ever.
        ASSERT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds{20});
        if (responses) expect_right(*responses);
        ++(responses ? right : refused);
        if (!responses) break;
      }
      refused += !channel;
      // Or no agent would be known any more.
      std::atomic_ref{file_.agent().magic} = SEVMON_SHM_MAGIC;
      std::atomic_ref{file_.agent().version} = SEVMON_SHM_VERSION;
    }
  }
  EXPECT_GT(right, 0u);
  EXPECT_GT(refused, 0u) << "it has scribbled";
  options_.answer_timeout = std::chrono::seconds{20};
  expect_right(*open(), 20);
}

}  // namespace
}  // namespace sevmon::ids::test
