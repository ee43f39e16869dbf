// SPDX-License-Identifier: Apache-2.0
#include "list_clock.hpp"

#include <gtest/gtest.h>

namespace sevmon::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ListClockTest : public ::testing::Test {
 protected:
  bool is_told_after(seconds time) {
    now_ += time;
    return clock_.look(now_).has_value();
  }

  ListClock::TimePoint now_ = ListClock::TimePoint{} + seconds{1000};
  // 10 s and 600 requests' 60 s are allowed.
  ListClock clock_{seconds{10}, milliseconds{100}, now_};
};

TEST_F(ListClockTest, TellsThatNotEvenTheFirstWasFinished) {
  EXPECT_FALSE(clock_.is_any_finished());
  EXPECT_FALSE(is_told_after(seconds{70}));
  now_ += seconds{1};
  const auto told = clock_.look(now_);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->code, common::ErrorCode::kTimeout);
  EXPECT_EQ(told->detail, "no list was finished for 71 s, and 70 s are allowed");
}

TEST_F(ListClockTest, TellsAgainEachTimeThatAsLongHasGoneBy) {
  EXPECT_TRUE(is_told_after(seconds{71}));
  EXPECT_FALSE(is_told_after(seconds{1}));
  EXPECT_FALSE(is_told_after(seconds{69}));
  EXPECT_TRUE(is_told_after(seconds{1}));
}

TEST_F(ListClockTest, CountsFromTheLastThatWasFinished) {
  now_ += seconds{69};
  clock_.finished(now_);
  EXPECT_TRUE(clock_.is_any_finished());
  EXPECT_FALSE(is_told_after(seconds{70}));
  EXPECT_TRUE(is_told_after(seconds{1}));
  clock_.finished(now_);
  EXPECT_FALSE(is_told_after(seconds{70}));
}

TEST(ListClock, AllowsThreeLongPeriods) {
  const auto start = ListClock::TimePoint{} + seconds{1000};
  ListClock clock{seconds{3600}, milliseconds{1000}, start};
  EXPECT_FALSE(clock.look(start + seconds{3 * 3600}));
  EXPECT_TRUE(clock.look(start + seconds{3 * 3600 + 1}));
}

}  // namespace
}  // namespace sevmon::cli
