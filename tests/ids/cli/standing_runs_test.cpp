// SPDX-License-Identifier: Apache-2.0
//
//   StandingRuns ── a channel ── the agent's own code, whose time the test makes
#include "standing_runs.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "ids/channel/programs_fixture.hpp"
#include "switched_channel.hpp"

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using std::chrono::milliseconds;
using tests::Image;

constexpr milliseconds kPoll{2000};

class StandingRunsTest : public ids::test::ProgramsTest {
 protected:
  StandingRunsTest() { request_ns_ = 1'000'000; }

  ids::StandingOrder order() const {
    ids::ProgramSchedule schedule{.min = milliseconds{5000}, .max = milliseconds{15000}};
    return {{bytes(image_).begin(), bytes(image_).end()}, {}, schedule};
  }
  StandingRuns make() {
    return {switched_, order(), kPoll,
            [this](milliseconds time) {
              waits_.push_back(time);
              host_.advance_ns(static_cast<std::uint64_t>(
                  std::chrono::duration_cast<std::chrono::nanoseconds>(time).count()));
              if (on_wait_) on_wait_(waits_.size());
              return !is_over_;
            },
            [this](const Error& error) { told_.push_back(error); }};
  }
  /// What a schedule's timer would do in that time.
  void tick_if_due() {
    if (host_.wake_at != 0 && host_.wake_at <= host_.now_ns) agent_.tick(host_);
  }
  void run_by_xen(unsigned runs) {
    for (unsigned i = 0; i < runs; ++i) agent_.tick(host_);
  }
  std::uint64_t next(StandingRuns& runs) {
    const auto run = runs.next();
    EXPECT_TRUE(run) << run.error().message();
    return run ? runs.last()->number : 0;
  }
  std::vector<std::uint64_t> left() {
    std::vector<std::uint64_t> numbers;
    const auto collected = *programs_.collect(0);
    for (const auto& run : collected.runs) numbers.push_back(run.head.number);
    return numbers;
  }
  bool is_scheduled() { return programs_.list()->at(0).max_ms != 0; }
  bool is_told(ErrorCode code, std::string_view part) const {
    return std::ranges::any_of(told_, [&](const Error& error) {
      return error.code == code && error.detail.find(part) != std::string::npos;
    });
  }
  using Numbers = std::vector<std::uint64_t>;

  const Image image_ = echo();
  ids::Programs programs_{*channel_};
  SwitchedChannel switched_{*channel_};
  std::vector<milliseconds> waits_;
  std::function<void(std::size_t)> on_wait_;
  bool is_over_ = false;
  std::vector<Error> told_;
};

TEST_F(StandingRunsTest, PollsUntilXenHasMadeOne) {
  auto runs = make();
  EXPECT_FALSE(runs.is_scheduled());
  on_wait_ = [this](std::size_t) { tick_if_due(); };
  EXPECT_EQ(next(runs), 1u);
  EXPECT_TRUE(runs.is_scheduled());
  EXPECT_GE(waits_.size(), 2u) << "5 to 15 s, asked every 2";
  EXPECT_LE(waits_.size(), 8u);
  for (const auto wait : waits_) EXPECT_EQ(wait, kPoll);
  EXPECT_TRUE(told_.empty());
}

TEST_F(StandingRunsTest, GivesRunsInTheirOrderWithTheirAges) {
  auto runs = make();
  on_wait_ = [this](std::size_t count) {
    if (count == 1) run_by_xen(3);
  };
  EXPECT_EQ(next(runs), 1u);
  const auto oldest = runs.last()->age_ns;
  EXPECT_EQ(next(runs), 2u);
  EXPECT_LT(runs.last()->age_ns + 5'000'000'000, oldest);
  EXPECT_EQ(next(runs), 3u);
  EXPECT_LT(runs.last()->age_ns, 1'000'000'000u);
  EXPECT_EQ(waits_.size(), 1u);
}

TEST_F(StandingRunsTest, EndsAtOnceWhenTheWatchDoes) {
  auto runs = make();
  on_wait_ = [this](std::size_t count) { is_over_ = count == 2; };
  const auto run = runs.next();
  ASSERT_FALSE(run);
  EXPECT_EQ(run.error().code, ErrorCode::kConnect);
  EXPECT_EQ(waits_.size(), 2u);
}

TEST_F(StandingRunsTest, TellsGapsWhileItWaits) {
  auto runs = make();
  on_wait_ = [this](std::size_t count) { is_over_ = count == 12; };  // 24 s without one
  ASSERT_FALSE(runs.next());
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_TRUE(is_told(ErrorCode::kTimeout, "so far, and 15.5 s were allowed"));
}

TEST_F(StandingRunsTest, SchedulesAgainWhatSomebodyElseEnded) {
  auto runs = make();
  on_wait_ = [this](std::size_t count) {
    if (count == 1) static_cast<void>(programs_.unschedule(image_.name()));
    tick_if_due();
  };
  EXPECT_EQ(next(runs), 1u);
  EXPECT_TRUE(is_told(ErrorCode::kTimeout, "Xen made no list"));
  EXPECT_TRUE(is_told(ErrorCode::kMismatch, "scheduled again"));
}

TEST_F(StandingRunsTest, TellsWhatSomebodyElseTook) {
  auto runs = make();
  on_wait_ = [this](std::size_t count) {
    if (count != 1) return;
    run_by_xen(3);
    EXPECT_TRUE(programs_.collect(2));
  };
  EXPECT_EQ(next(runs), 3u);
  EXPECT_TRUE(is_told(ErrorCode::kNotFound, "2 lists that Xen made are gone"));
}

TEST_F(StandingRunsTest, TellsSkippedRunsAndThoseOfBeforeApart) {
  agent_.state().ids[0].programs->ring.skipped = 5;  // of no result that waits: told before
  auto runs = make();
  on_wait_ = [this](std::size_t count) {
    if (count != 1) return;
    agent_.state().ids[0].programs->ring.skipped += 2;
    run_by_xen(1);
  };
  EXPECT_EQ(next(runs), 1u);
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_TRUE(is_told(ErrorCode::kTooLarge, "2 lists were not made: "));

  ASSERT_TRUE(programs_.schedule(bytes(image_), {}, order().schedule));
  run_by_xen(1);
  agent_.state().ids[0].programs->ring.last_number += 3;
  told_.clear();
  auto later = make();
  EXPECT_EQ(next(later), 1u);
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_TRUE(is_told(ErrorCode::kTooLarge, "3 lists were not made before this watch began"));
}

/// Whoever follows the advice must not lose what this watch has not seen.
TEST_F(StandingRunsTest, NamesTheProgramInTheWayOnce) {
  tests::BpfProgram program;  // some 60,000 bytes
  program.mov(6, 0);
  for (int i = 0; i < 15; ++i)
    program.load_imm64(1, SEVMON_BPF_ADDRESS(SEVMON_REGION_MAP))
        .mov(2, 4096)
        .call(SEVMON_HELPER_APPEND);
  program.mov(0, 0).exit();
  const Image large{program, {}, 4096};
  ASSERT_TRUE(programs_.schedule(bytes(large), {}, order().schedule));
  run_by_xen(2);
  ASSERT_TRUE(programs_.unschedule(large.name()));
  auto runs = make();
  on_wait_ = [this](std::size_t count) {
    if (count == 1) run_by_xen(2);
    is_over_ = count == 5;
  };
  ASSERT_FALSE(runs.next());
  const auto name = "0x";
  EXPECT_EQ(std::ranges::count(told_, ErrorCode::kTooLarge, &Error::code), 1);
  EXPECT_TRUE(is_told(ErrorCode::kTooLarge, name));
  EXPECT_TRUE(is_told(ErrorCode::kTooLarge, "these lists unseen"));
  EXPECT_EQ(waits_.size(), 5u) << "it does not ask without end";
}

TEST_F(StandingRunsTest, NoticesWithinAPollThatTheAgentWasSetBack) {
  auto runs = make();
  on_wait_ = [this](std::size_t count) {
    if (count == 3) host_.now_ns -= 3'000'000'000;
  };
  const auto run = runs.next();
  ASSERT_FALSE(run);
  EXPECT_EQ(run.error().code, ErrorCode::kMismatch);
  EXPECT_EQ(waits_.size(), 3u);
}

TEST_F(StandingRunsTest, LetsGoOfWhatWasLookedAtOnly) {
  auto runs = make();
  on_wait_ = [this](std::size_t) { run_by_xen(3); };
  EXPECT_EQ(next(runs), 1u);
  EXPECT_EQ(next(runs), 2u);
  runs.put_back();
  EXPECT_EQ(next(runs), 2u) << "again";
  runs.put_back();
  ASSERT_TRUE(runs.end());
  ASSERT_TRUE(runs.let_go());
  EXPECT_EQ(left(), (Numbers{2, 3}));
  EXPECT_FALSE(is_scheduled());
}

/// Those that came since the last answer, too.
TEST_F(StandingRunsTest, AtTheEndGivesAllThatIsLeftAndDoesNotWait) {
  auto runs = make();
  on_wait_ = [this](std::size_t) { run_by_xen(2); };
  EXPECT_EQ(next(runs), 1u);
  run_by_xen(2);
  waits_.clear();
  ASSERT_TRUE(runs.end());
  EXPECT_FALSE(is_scheduled());
  for (std::uint64_t number = 2; number <= 4; ++number) EXPECT_EQ(next(runs), number);
  EXPECT_FALSE(runs.is_drained());
  const auto none = runs.next();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(runs.is_drained());
  EXPECT_TRUE(waits_.empty());
  ASSERT_TRUE(runs.let_go());
  EXPECT_EQ(left(), Numbers{});
  EXPECT_TRUE(told_.empty());
}

TEST_F(StandingRunsTest, AtTheEndTheTimeIsUpAndTheRestStays) {
  auto runs = make();
  on_wait_ = [this](std::size_t) { run_by_xen(2); };
  EXPECT_EQ(next(runs), 1u);
  run_by_xen(1);
  ASSERT_TRUE(runs.end());
  switched_.use(*channel_, std::chrono::steady_clock::now());
  EXPECT_EQ(next(runs), 2u) << "that was here already";
  const auto late = runs.next();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kTimeout);
  EXPECT_FALSE(runs.is_drained());
  EXPECT_EQ(left(), (Numbers{1, 2, 3}));
}

TEST_F(StandingRunsTest, WhatNeverBeganNeedsNoEnd) {
  auto runs = make();
  EXPECT_FALSE(runs.is_scheduled());
  ASSERT_TRUE(runs.end());
}

}  // namespace
}  // namespace sevmon::cli
