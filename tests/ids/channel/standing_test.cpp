// SPDX-License-Identifier: Apache-2.0
//
// What the agent runs by itself, scheduled and collected by the IDS's end.
#include <sevmon/standing.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "ids/channel/programs_fixture.hpp"

namespace sevmon::ids::test {
namespace {

using common::ErrorCode;
using common::Result;
using tests::BpfProgram;
using tests::Image;

class StandingTest : public ProgramsTest {
 protected:
  static ProgramSchedule every(unsigned min_ms, unsigned max_ms) {
    ProgramSchedule schedule;
    schedule.min = std::chrono::milliseconds{min_ms};
    schedule.max = std::chrono::milliseconds{max_ms};
    schedule.run.pause = std::chrono::milliseconds{1};
    return schedule;
  }
  void ticks(unsigned count) {
    for (unsigned i = 0; i < count; ++i) agent_.tick(host_);
  }

  Programs programs_{*channel_};
};

TEST_F(StandingTest, LeavesResultsUntilTheyWereSeen) {
  const auto image = echo();
  const auto ok = programs_.schedule(bytes(image), text("input"), every(100, 200));
  ASSERT_TRUE(ok) << ok.error().message();
  ticks(3);
  auto got = programs_.collect(0);
  ASSERT_TRUE(got) << got.error().message();
  ASSERT_EQ(got->runs.size(), 3u);
  EXPECT_EQ(got->next_number, 4u);
  EXPECT_EQ(got->skipped, 0u);
  EXPECT_EQ(got->agent_ns, host_.now_ns);
  EXPECT_EQ(got->runs[2].head.number, 3u);
  EXPECT_EQ(got->runs[2].head.flags, SEVMON_RUN_ATOMIC);
  EXPECT_TRUE(std::ranges::equal(got->runs[2].result, text("input")));
  got = programs_.collect(2);
  EXPECT_EQ(got->runs.size(), 1u);
  EXPECT_EQ(programs_.list()->at(0).max_ms, 200u);
  EXPECT_EQ(programs_.unload(image.name()).error().code, ErrorCode::kRefused) << "scheduled";
  ASSERT_TRUE(programs_.unschedule(image.name()));
  EXPECT_TRUE(programs_.unload(image.name()));
  EXPECT_EQ(programs_.unschedule(image.name()).error().code, ErrorCode::kNotFound);
}

TEST_F(StandingTest, SaysWhatDoesNotFitTheClass) {
  BpfProgram program;  // 5,000 bytes
  for (const int bytes : {4096, 904})
    program.load_imm64(1, SEVMON_BPF_ADDRESS(SEVMON_REGION_MAP))
        .mov(2, bytes)
        .call(SEVMON_HELPER_APPEND);
  program.mov(0, 0).exit();
  ASSERT_TRUE(programs_.schedule(bytes(Image{program, {}, 4096}), {}, every(100, 200)));
  ticks(1);
  options_.size_class = SEVMON_CLASS_1_PAGE;
  const auto file = tests::key_file({tests::test_key()});
  const auto small = *Channel::open(std::make_unique<HostileWire>(*this, attack_),
                                    *Key::parse(std::as_bytes(std::span{file})), options_);
  const auto got = Programs{*small}.collect(0);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kRefused);
  EXPECT_EQ(programs_.collect(0)->runs.size(), 1u);
}

TEST_F(StandingTest, RefusesSchedulesOutOfRange) {
  const auto refused = [&](const ProgramSchedule& schedule, std::size_t input = 0) {
    const Bytes bytes_in(input);
    const auto ok = programs_.schedule(bytes(echo()), bytes_in, schedule);
    return !ok && ok.error().code == ErrorCode::kUsage;
  };
  EXPECT_TRUE(refused(every(9, 100)));
  EXPECT_TRUE(refused(every(200, 100)));
  EXPECT_TRUE(refused(every(100, SEVMON_SCHEDULE_MAX_MS + 1)));
  auto schedule = every(100, 200);
  schedule.run.pause = std::chrono::microseconds{25001};
  EXPECT_TRUE(refused(schedule)) << "over a quarter of the time";
  EXPECT_TRUE(refused(every(100, 200), 897));
  EXPECT_FALSE(refused(every(100, 200), 896));
}

TEST_F(StandingTest, AHostWithoutATimerSaysSo) {
  auto table = *agent_.state().host;
  table.wake = nullptr;
  agent_.state().host = &table;
  const auto ok = programs_.schedule(bytes(echo()), {}, every(100, 200));
  agent_.state().host = host_.table();
  ASSERT_FALSE(ok);
  EXPECT_EQ(ok.error().code, ErrorCode::kUnsupported);
}

TEST_F(StandingTest, FindsWhereRunsDidNotCome) {
  const auto image = echo();
  ASSERT_TRUE(programs_.schedule(bytes(image), {}, every(100, 200)));
  ticks(3);
  host_.advance_seconds(1);  // nothing ran in that time
  ticks(2);
  const auto entries = *programs_.list();
  auto got = *programs_.collect(0);
  auto gaps = find_gaps(got, entries);
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0].program, image.name());
  EXPECT_EQ(gaps[0].after, 3u);
  EXPECT_GE(gaps[0].ns, 1'000'000'000u);
  EXPECT_EQ(gaps[0].allowed_ns, 700'000'000u);
  EXPECT_FALSE(gaps[0].is_open);

  host_.advance_seconds(1);
  got = *programs_.collect(3);
  gaps = find_gaps(got, entries);
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0].after, 5u);
  EXPECT_TRUE(gaps[0].is_open) << "still none";
  got.waiting = 1;
  EXPECT_TRUE(find_gaps(got, entries).empty()) << "what was not fetched may be the one";

  ticks(1);
  ASSERT_TRUE(programs_.schedule(bytes(image), {}, every(100, 200)));
  host_.advance_seconds(1);
  ticks(1);
  got = *programs_.collect(6);
  EXPECT_TRUE(find_gaps(got, entries).empty()) << "the first of a schedule follows nothing";
}

TEST_F(StandingTest, FindsThatNothingRanSinceTheLastCollection) {
  const auto image = echo();
  ASSERT_TRUE(programs_.schedule(bytes(image), {}, every(100, 200)));
  EXPECT_TRUE(find_gaps(*programs_.collect(0), *programs_.list()).empty()) << "not due yet";
  host_.advance_seconds(1);
  auto gaps = find_gaps(*programs_.collect(0), *programs_.list());
  ASSERT_EQ(gaps.size(), 1u) << "not even the first";
  EXPECT_EQ(gaps[0].after, 0u);
  EXPECT_TRUE(gaps[0].is_open);

  ticks(2);
  EXPECT_TRUE(find_gaps(*programs_.collect(2), *programs_.list()).empty());
  EXPECT_EQ(programs_.list()->at(0).standing_runs, 2u);
  host_.advance_seconds(1);
  const auto got = *programs_.collect(2);
  ASSERT_TRUE(got.runs.empty()) << "all of them were let go of";
  gaps = find_gaps(got, *programs_.list());
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_GE(gaps[0].ns, 1'000'000'000u);
  EXPECT_LT(gaps[0].ns, 1'500'000'000u) << "since the last run, not since the schedule";
}

TEST_F(StandingTest, LongIntervalsAreAllowedAsLongAsTheyAre) {
  const auto image = echo();
  ASSERT_TRUE(programs_.schedule(bytes(image), {}, every(4000, 5000)));
  ticks(3);
  const auto entries = *programs_.list();
  EXPECT_TRUE(find_gaps(*programs_.collect(0), entries).empty());
  host_.advance_seconds(6);
  const auto gaps = find_gaps(*programs_.collect(0), entries);
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0].allowed_ns, 5'500'000'000u);
}

TEST_F(StandingTest, RunsThatSawNothingEndNoGap) {
  ASSERT_TRUE(programs_.schedule(bytes(echo()), {}, every(100, 200)));
  ticks(1);
  host_.can_pause = false;
  ticks(10);
  const auto got = *programs_.collect(0);
  EXPECT_EQ(got.runs.back().head.report.state, SEVMON_RUN_NOT_PAUSED);
  const auto gaps = find_gaps(got, *programs_.list());
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0].after, 1u);
}

// ---- A feed ----

class StandingFeedTest : public StandingTest {
 protected:
  StandingFeedTest() { request_ns_ = 1'000'000; }

  Result<StandingFeed> start(StandingFeed::Use use = StandingFeed::Use::kTakeOver) {
    return StandingFeed::start(*channel_, bytes(image_), text("ours"), every(100, 200), use);
  }
  static std::vector<std::uint64_t> numbers(const StandingNews& news) {
    std::vector<std::uint64_t> numbers;
    for (const auto& run : news.runs) numbers.push_back(run.head.number);
    return numbers;
  }
  using Numbers = std::vector<std::uint64_t>;

  const Image image_ = echo();
};

TEST_F(StandingFeedTest, GivesEachRunOnceAndLetsGoOfIt) {
  auto feed = *start();
  EXPECT_EQ(feed.name(), image_.name());
  EXPECT_EQ(feed.max(), std::chrono::milliseconds{200});
  EXPECT_TRUE(feed.collect()->runs.empty());
  ticks(3);
  const auto news = *feed.collect();
  EXPECT_EQ(numbers(news), (Numbers{1, 2, 3}));
  EXPECT_TRUE(std::ranges::equal(news.runs[0].result, text("ours")));
  EXPECT_TRUE(news.gaps.empty());
  EXPECT_EQ(programs_.collect(0)->runs.size(), 3u) << "until the next time: it may get lost";
  ticks(1);
  EXPECT_EQ(numbers(*feed.collect()), (Numbers{4}));
  EXPECT_EQ(programs_.collect(0)->runs.size(), 1u);
}

TEST_F(StandingFeedTest, LeavesNothingBehind) {
  auto feed = *start();
  ticks(2);
  ASSERT_TRUE(feed.collect());
  ticks(1);
  ASSERT_TRUE(feed.end(*channel_));
  EXPECT_TRUE(programs_.collect(0)->runs.empty());
  EXPECT_EQ(programs_.list()->at(0).max_ms, 0u);
  ASSERT_TRUE(programs_.unload(image_.name()));
  EXPECT_TRUE(feed.end(*channel_)) << "it is not there any more: that was wanted";
}

/// A watch that was killed, and the next one.
TEST_F(StandingFeedTest, TakesOverWhatAnotherLeft) {
  ASSERT_TRUE(programs_.schedule(bytes(image_), text("theirs"), every(100, 200)));
  ticks(2);
  host_.advance_seconds(10);
  auto feed = *start();
  ticks(2);  // the first one comes for the schedule that is over
  const auto news = *feed.collect();
  EXPECT_EQ(numbers(news), (Numbers{1, 2, 3}));
  EXPECT_TRUE(std::ranges::equal(news.runs[1].result, text("theirs")));
  EXPECT_TRUE(std::ranges::equal(news.runs[2].result, text("ours")));
  EXPECT_TRUE(news.gaps.empty()) << "who came before need not have run all the time";
  ASSERT_TRUE(feed.end(*channel_));
  EXPECT_TRUE(programs_.collect(0)->runs.empty());
  EXPECT_EQ(programs_.list()->at(0).max_ms, 0u);
}

TEST_F(StandingFeedTest, JoinsAScheduleAndLeavesItAlone) {
  ASSERT_TRUE(programs_.schedule(bytes(image_), text("theirs"), every(1000, 3000)));
  ticks(2);
  auto feed = *start(StandingFeed::Use::kJoin);
  EXPECT_EQ(feed.max(), std::chrono::milliseconds{3000});
  EXPECT_TRUE(feed.collect()->runs.empty()) << "of another time";
  ticks(1);
  EXPECT_EQ(numbers(*feed.collect()), (Numbers{3}));
  ASSERT_TRUE(feed.collect());
  ASSERT_TRUE(feed.end(*channel_));
  EXPECT_EQ(programs_.collect(0)->runs.size(), 3u);
  EXPECT_EQ(programs_.list()->at(0).max_ms, 3000u);
}

/// The agent leaves results in their order: behind another program's, nobody's can be let go of.
TEST_F(StandingFeedTest, LetsGoOfNothingBehindAnothersResult) {
  BpfProgram program;
  program.mov(0, 0).exit();
  const Image others{program};
  ASSERT_TRUE(programs_.schedule(bytes(others), {}, every(100, 200)));
  ticks(1);
  auto feed = *start();
  ASSERT_TRUE(programs_.unschedule(others.name()));
  ticks(3);  // the first one comes for the schedule that is over
  EXPECT_EQ(numbers(*feed.collect()), (Numbers{2, 3}));
  EXPECT_TRUE(feed.collect()->runs.empty()) << "given already";
  EXPECT_EQ(programs_.collect(0)->runs.size(), 3u);
  ASSERT_TRUE(programs_.collect(1));
  ticks(1);
  EXPECT_EQ(numbers(*feed.collect()), (Numbers{4}));
  ASSERT_TRUE(feed.collect());
  EXPECT_TRUE(programs_.collect(0)->runs.empty());
}

/// Also between the last run that was collected and the first one after it.
TEST_F(StandingFeedTest, TellsEachGapAndWhenItEnded) {
  auto feed = *start();
  ticks(1);
  EXPECT_TRUE(feed.collect()->gaps.empty());
  host_.advance_seconds(1);
  ticks(1);
  auto gaps = feed.collect()->gaps;
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0].after, 1u);
  EXPECT_GE(gaps[0].ns, 1'000'000'000u);
  EXPECT_EQ(gaps[0].allowed_ns, 700'000'000u);
  EXPECT_FALSE(gaps[0].is_open);

  host_.advance_seconds(1);
  gaps = feed.collect()->gaps;
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_TRUE(gaps[0].is_open);
  host_.advance_seconds(1);
  EXPECT_TRUE(feed.collect()->gaps.empty()) << "told already";
  host_.can_pause = false;
  ticks(1);
  EXPECT_TRUE(feed.collect()->gaps.empty()) << "it saw nothing";
  host_.can_pause = true;
  ticks(2);
  gaps = feed.collect()->gaps;
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_FALSE(gaps[0].is_open);
  EXPECT_EQ(gaps[0].after, 2u);
  EXPECT_GE(gaps[0].ns, 2'000'000'000u);
}

TEST_F(StandingFeedTest, TellsThatNotEvenTheFirstRunCame) {
  auto feed = *start();
  host_.advance_seconds(1);
  const auto gaps = feed.collect()->gaps;
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0].after, 0u);
  EXPECT_TRUE(gaps[0].is_open);
}

/// To send a program takes requests, each of which waits for a slot of the watch.
TEST_F(StandingFeedTest, TimeBeforeTheScheduleIsNoGap) {
  request_ns_ = 600'000'000;
  auto feed = *start();
  EXPECT_TRUE(feed.collect()->gaps.empty());
  ticks(1);
  EXPECT_TRUE(feed.collect()->gaps.empty());
}

TEST_F(StandingFeedTest, CountsRunsThatDidNotTakePlace) {
  BpfProgram program;  // 62,000 bytes: four of them are too many
  program.mov(6, 0);
  for (int i = 0; i < 15; ++i)
    program.load_imm64(1, SEVMON_BPF_ADDRESS(SEVMON_REGION_MAP))
        .mov(2, 4096)
        .call(SEVMON_HELPER_APPEND);
  program.mov(0, 0).exit();
  const Image large{program, {}, 4096};
  auto feed = *StandingFeed::start(*channel_, bytes(large), {}, every(100, 200),
                                   StandingFeed::Use::kTakeOver);
  ticks(10);
  Numbers all;
  std::uint64_t skipped = 0;
  for (unsigned i = 0; i < 10; ++i) {
    const auto news = feed.collect();
    ASSERT_TRUE(news) << news.error().message();
    std::ranges::copy(numbers(*news), std::back_inserter(all));
    skipped += news->skipped;
  }
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all.front(), 1u);
  EXPECT_EQ(all.back(), all.size());
  EXPECT_EQ(all.size() + skipped, 10u);
  EXPECT_GT(skipped, 0u);
}

TEST_F(StandingFeedTest, AHostWithoutATimerSaysSo) {
  auto table = *agent_.state().host;
  table.wake = nullptr;
  agent_.state().host = &table;
  const auto feed = start();
  agent_.state().host = host_.table();
  ASSERT_FALSE(feed);
  EXPECT_EQ(feed.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace sevmon::ids::test
