// SPDX-License-Identifier: Apache-2.0
#include "watch/state.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Type = WatchEvent::Type;
using Seen = std::vector<std::pair<Type, Alert>>;

constexpr common::IdBytes kBoot{1, 2, 3};
constexpr common::IdBytes kOtherBoot{4, 5, 6};

/// A watch's life, told second by second.
class WatchStateTest : public ::testing::Test {
 protected:
  WatchStateTest() { state_.connected(kBoot, "test", at(0)); }

  static WatchClock::TimePoint at(double time_s) {
    return WatchClock::TimePoint{} + std::chrono::hours{1} +
           milliseconds{static_cast<std::int64_t>(time_s * 1000)};
  }

  /// An answer at `time_s`, `took_s` after its request; the agent's clock says `agent_s`.
  void answer(double time_s, double took_s = 0.01, double agent_s = -1,
              std::optional<sevmon_status> status = sevmon_status{}) {
    const auto agent = (agent_s < 0 ? time_s : agent_s) + 1000;
    state_.answered(
        {at(time_s - took_s), at(time_s), static_cast<std::uint64_t>(agent * 1e9), status});
  }

  static sevmon_status counters(std::uint64_t answers, std::uint64_t forged = 0,
                                std::uint64_t replayed = 0) {
    sevmon_status status{};
    status.counter[SEVMON_COUNT_ANSWERS] = answers;
    status.counter[SEVMON_COUNT_FORGED] = forged;
    status.counter[SEVMON_COUNT_REPLAYED] = replayed;
    return status;
  }

  /// What was reported since the last call, answers and connections left out.
  Seen seen() {
    Seen seen;
    for (const auto& event : std::exchange(events_, {}))
      if (event.type == Type::kRaised || event.type == Type::kCleared ||
          event.type == Type::kHappened || event.type == Type::kLost)
        seen.emplace_back(event.type, event.alert);
    return seen;
  }

  std::vector<WatchEvent> events_;
  WatchState state_{{.interval = seconds{1}, .deadline = seconds{2}, .silence = seconds{10}},
                    [this](const WatchEvent& event) { events_.push_back(event); },
                    at(0)};
};

TEST_F(WatchStateTest, AllIsWell) {
  for (int second = 1; second < 100; ++second) {
    answer(second, 0.01, -1, counters(static_cast<std::uint64_t>(second)));
    state_.tick(at(second + 0.5));
  }
  EXPECT_EQ(seen(), Seen{});
  EXPECT_EQ(state_.totals().answers, 99u);
}

TEST_F(WatchStateTest, SilenceIsRaisedOnceAndClearedByAnAnswer) {
  answer(1);
  state_.tick(at(10.9));
  EXPECT_EQ(seen(), Seen{});
  state_.tick(at(11));
  state_.tick(at(12));
  EXPECT_EQ(seen(), (Seen{{Type::kRaised, Alert::kSilence}}));
  EXPECT_TRUE(state_.is_silent());
  EXPECT_TRUE(state_.totals().standing[static_cast<std::size_t>(Alert::kSilence)]);
  answer(31);
  ASSERT_GE(events_.size(), 1u);
  EXPECT_EQ(events_[0].type, Type::kCleared);
  EXPECT_EQ(events_[0].lasted, seconds{30});  // since the last answer
  EXPECT_FALSE(state_.is_silent());
  EXPECT_EQ(state_.totals().alerts[static_cast<std::size_t>(Alert::kSilence)], 1u);
}

TEST_F(WatchStateTest, SilenceFromTheStart) {
  std::vector<WatchEvent> events;
  WatchState state{
      {.silence = seconds{10}}, [&](const WatchEvent& event) { events.push_back(event); }, at(0)};
  for (int second = 0; second <= 10; ++second)
    state.failed(Error{ErrorCode::kConnect, "refused"}, at(second));
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].type, Type::kLost);
  EXPECT_EQ(events[1].alert, Alert::kSilence);
}

TEST_F(WatchStateTest, FramesThatDoNotVerifyBreakNoSilence) {
  for (int second = 1; second <= 12; ++second) {
    state_.unverified(5, at(second));
    state_.failed(Error{ErrorCode::kForged, "no tag"}, at(second));
  }
  EXPECT_EQ(seen(), (Seen{{Type::kRaised, Alert::kTampered}, {Type::kRaised, Alert::kSilence}}));
  EXPECT_EQ(state_.totals().unverified, 60u);
}

TEST_F(WatchStateTest, LateAnswersAndLostOnes) {
  answer(3, 2.0);
  EXPECT_EQ(seen(), Seen{});
  answer(6, 2.1);
  state_.failed(Error{ErrorCode::kTimeout, "1 of 1 unanswered"}, at(9));
  EXPECT_EQ(seen(), (Seen{{Type::kRaised, Alert::kLate}}));
  answer(10);
  ASSERT_EQ(events_[0].type, Type::kCleared);
  EXPECT_EQ(events_[0].times, 2u);
}

TEST_F(WatchStateTest, RebootOnlyWhenTheBootChanges) {
  EXPECT_FALSE(state_.connected(kBoot, "test", at(1)));
  EXPECT_FALSE(state_.boot(kBoot, at(1)));
  EXPECT_EQ(seen(), Seen{});
  answer(2, 0.01, -1, counters(1000));
  EXPECT_TRUE(state_.boot(kOtherBoot, at(3)));
  EXPECT_EQ(seen(), (Seen{{Type::kHappened, Alert::kReboot}}));
  // Its clock and counters start again: that is no rollback.
  answer(4, 0.01, -999, counters(1));
  EXPECT_EQ(seen(), Seen{});
  EXPECT_TRUE(state_.connected(kBoot, "test", at(5)));  // an old boot again is another one, too
  EXPECT_EQ(seen(), (Seen{{Type::kHappened, Alert::kReboot}}));
}

TEST_F(WatchStateTest, ClockThatGoesBackIsARollback) {
  answer(1);
  answer(2, 0.01, 0.5);
  EXPECT_EQ(seen(), (Seen{{Type::kHappened, Alert::kRollback}}));
  answer(3, 0.01, 1.5);  // goes on from there
  EXPECT_EQ(seen(), Seen{});
}

TEST_F(WatchStateTest, CountersThatGoBackAreARollback) {
  answer(1, 0.01, -1, counters(50));
  answer(2, 0.01, -1, counters(49));
  EXPECT_EQ(seen(), (Seen{{Type::kHappened, Alert::kRollback}}));
  answer(3, 0.01, -1, counters(50));
  EXPECT_EQ(seen(), Seen{});
}

TEST_F(WatchStateTest, ClockThatRunsElsewise) {
  answer(1);
  answer(10, 0.01, 11.9);  // within the deadline: frames wait as well
  EXPECT_EQ(seen(), Seen{});
  answer(20, 0.01, 23);
  EXPECT_EQ(seen(), (Seen{{Type::kHappened, Alert::kClock}}));
  answer(30, 0.01, 33);  // measured anew from there
  EXPECT_EQ(seen(), Seen{});
  answer(40, 0.01, 34);
  EXPECT_EQ(seen(), (Seen{{Type::kHappened, Alert::kClock}}));
}

TEST_F(WatchStateTest, OrdinaryDriftOfALongLifeIsNone) {
  for (int hour = 1; hour < 1000; ++hour) answer(hour * 3600.0, 0.01, hour * 3600.0 * 1.0004);
  EXPECT_EQ(seen(), Seen{});
  answer(3600e3, 0.01, 3600e3 * 1.0007);
  EXPECT_EQ(seen(), (Seen{{Type::kHappened, Alert::kClock}}));
}

TEST_F(WatchStateTest, WhatTheAgentWasGivenIsTampering) {
  answer(1, 0.01, -1, counters(10, 3, 4));  // of before: nobody's fault here
  EXPECT_EQ(seen(), Seen{});
  answer(2, 0.01, -1, counters(11, 4, 4));
  answer(3, 0.01, -1, counters(12, 4, 5));
  EXPECT_EQ(seen(), (Seen{{Type::kRaised, Alert::kTampered}}));
  answer(4, 0.01, -1, std::nullopt);  // an analysis does not say
  EXPECT_EQ(seen(), Seen{});
  answer(5, 0.01, -1, counters(14, 4, 5));
  ASSERT_GE(events_.size(), 1u);
  EXPECT_EQ(events_[0].type, Type::kCleared);
  EXPECT_EQ(events_[0].times, 2u);
}

TEST_F(WatchStateTest, TamperingLastsUntilACleanAnswer) {
  state_.unverified(0, at(1));
  EXPECT_EQ(seen(), Seen{});
  state_.unverified(2, at(1));
  answer(1);
  EXPECT_EQ(seen(), (Seen{{Type::kRaised, Alert::kTampered}}));
  answer(2);
  EXPECT_EQ(seen(), (Seen{{Type::kCleared, Alert::kTampered}}));
}

TEST_F(WatchStateTest, EachErrorHasItsAlert) {
  const std::pair<ErrorCode, Alert> table[] = {
      {ErrorCode::kTimeout, Alert::kLate},
      {ErrorCode::kForged, Alert::kTampered},
      {ErrorCode::kMalformed, Alert::kTampered},
      {ErrorCode::kMismatch, Alert::kTampered},
      {ErrorCode::kTooLarge, Alert::kTampered},
      {ErrorCode::kKey, Alert::kKey},
      {ErrorCode::kIo, Alert::kKey},
      {ErrorCode::kRefused, Alert::kRefused},
      {ErrorCode::kInternal, Alert::kRefused},
  };
  double second = 1;
  for (const auto& [code, alert] : table) {
    SCOPED_TRACE(common::name(code));
    state_.failed(Error{code, "why"}, at(second));
    state_.failed(Error{code, "why"}, at(second));
    EXPECT_EQ(seen(), (Seen{{Type::kRaised, alert}}));
    answer(second + 0.1);
    answer(second + 0.2);
    EXPECT_EQ(seen(), (Seen{{Type::kCleared, alert}}));
    ++second;
  }
}

TEST_F(WatchStateTest, ALostConnectionIsReportedOnce) {
  state_.failed(Error{ErrorCode::kConnect, "closed"}, at(1));
  state_.failed(Error{ErrorCode::kConnect, "nobody listens"}, at(2));
  EXPECT_EQ(seen(), (Seen{{Type::kLost, Alert::kSilence}}));
  state_.connected(kBoot, "test", at(3));
  state_.failed(Error{ErrorCode::kConnect, "closed"}, at(4));
  EXPECT_EQ(seen(), (Seen{{Type::kLost, Alert::kSilence}}));
  EXPECT_EQ(state_.totals().connections, 2u);
}

TEST_F(WatchStateTest, NamesAreStable) {
  std::string names;
  for (std::size_t i = 0; i < kAlerts; ++i) names += std::string{name(static_cast<Alert>(i))} + ' ';
  EXPECT_EQ(names, "silence late tampered reboot rollback clock refused key ");
}

}  // namespace
}  // namespace sevmon::ids
