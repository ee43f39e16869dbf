// SPDX-License-Identifier: Apache-2.0
#include "switched_channel.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

namespace sevmon::cli {
namespace {

using common::DomId;
using common::ErrorCode;
using std::chrono_literals::operator""h;
using std::chrono_literals::operator""ms;
using Clock = std::chrono::steady_clock;
using Sizes = std::vector<std::size_t>;

/// Answers the n-th request that it ever has with n, each exchange after `delay`.
class Recorder : public ids::Channel {
 public:
  explicit Recorder(std::uint8_t nonce, std::chrono::milliseconds delay = {})
      : nonce_{nonce}, delay_{delay} {}

  common::Result<std::vector<ids::Response>> exchange(
      std::span<const ids::Request> requests) override {
    std::this_thread::sleep_for(delay_);
    asked.push_back(requests.size());
    if (asked.size() == fails_at) return common::Error{ErrorCode::kIo, "cut"};
    std::vector<ids::Response> responses(requests.size());
    for (auto& response : responses) response.head.n = ++answered_;
    return responses;
  }
  std::uint8_t size_class() const override { return nonce_; }
  ids::ChannelStats stats() const override { return {.frames_sent = nonce_}; }
  std::array<std::uint8_t, SEVMON_ID_BYTES> boot_nonce() const override { return {nonce_}; }
  std::string describe() const override { return "recorder " + std::to_string(nonce_); }

  Sizes asked;  ///< of each exchange, how many requests
  std::size_t fails_at = 0;

 private:
  std::uint8_t nonce_;
  std::chrono::milliseconds delay_;
  std::uint64_t answered_ = 0;
};

const std::vector<ids::Request> kThree(3, ids::Request{DomId{0}, {}, {}});

TEST(SwitchedChannelTest, AsksItsChannelAllAtOnce) {
  Recorder only{1};
  SwitchedChannel channel{only};
  const auto responses = channel.exchange(kThree);
  ASSERT_TRUE(responses) << responses.error().message();
  EXPECT_EQ(responses->size(), 3U);
  EXPECT_EQ(only.asked, Sizes{3});
}

TEST(SwitchedChannelTest, IsTheOtherAfterwards) {
  Recorder first{1};
  Recorder second{2};
  SwitchedChannel channel{first};
  channel.use(second, Clock::now() + 1h);
  EXPECT_EQ(channel.size_class(), 2);
  EXPECT_EQ(channel.stats().frames_sent, 2U);
  EXPECT_EQ(channel.boot_nonce()[0], 2);
  EXPECT_EQ(channel.describe(), "recorder 2");
  ASSERT_TRUE(channel.exchange(kThree));
  EXPECT_EQ(first.asked, Sizes{});
}

TEST(SwitchedChannelTest, AsksOneByOneWhereTimeIsBoundAndKeepsTheirOrder) {
  Recorder last{1};
  SwitchedChannel channel{last};
  channel.use(last, Clock::now() + 1h);
  const auto responses = channel.exchange(kThree);
  ASSERT_TRUE(responses) << responses.error().message();
  EXPECT_EQ(last.asked, (Sizes{1, 1, 1}));
  ASSERT_EQ(responses->size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ((*responses)[i].head.n, i + 1);
}

TEST(SwitchedChannelTest, AsksNothingWhenTimeIsUp) {
  Recorder recorder{1};
  SwitchedChannel channel{recorder};
  channel.use(recorder, Clock::now());
  const auto responses = channel.exchange(kThree);
  ASSERT_FALSE(responses);
  EXPECT_EQ(responses.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(recorder.asked, Sizes{});
}

TEST(SwitchedChannelTest, ASlowAgentIsAskedNoMoreOnceTimeIsUp) {
  Recorder slow{1, 20ms};
  SwitchedChannel channel{slow};
  channel.use(slow, Clock::now() + 10ms);
  const auto responses = channel.exchange(kThree);
  ASSERT_FALSE(responses);
  EXPECT_EQ(responses.error().code, ErrorCode::kTimeout);
  EXPECT_LE(slow.asked.size(), 1U);  // none, where this thread had no CPU for that long
}

TEST(SwitchedChannelTest, FailsAsItsChannelDoes) {
  Recorder recorder{1};
  recorder.fails_at = 2;
  SwitchedChannel channel{recorder};
  channel.use(recorder, Clock::now() + 1h);
  const auto responses = channel.exchange(kThree);
  ASSERT_FALSE(responses);
  EXPECT_EQ(responses.error().code, ErrorCode::kIo);
  EXPECT_EQ(recorder.asked, (Sizes{1, 1}));
}

}  // namespace
}  // namespace sevmon::cli
