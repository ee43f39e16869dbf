// SPDX-License-Identifier: Apache-2.0
//
// What the agent runs by itself, scheduled and collected by the IDS's end.
#include <sevmon/standing.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <span>
#include <string>
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

/// A channel whose answers can get lost, and that can lead to another boot.
class Between : public Channel {
 public:
  explicit Between(Channel& channel) : channel_{channel} {}
  Result<std::vector<Response>> exchange(std::span<const Request> requests) override {
    auto answers = channel_.exchange(requests);
    if (!requests.empty() && requests[0].items[0].type == loses)
      return common::Error{ErrorCode::kTimeout, "lost"};
    return answers;
  }
  std::uint8_t size_class() const override { return channel_.size_class(); }
  ChannelStats stats() const override { return channel_.stats(); }
  std::array<std::uint8_t, SEVMON_ID_BYTES> boot_nonce() const override {
    return boot.value_or(channel_.boot_nonce());
  }
  std::string describe() const override { return "between"; }

  std::uint8_t loses = 0;  // answers to items of this type
  std::optional<std::array<std::uint8_t, SEVMON_ID_BYTES>> boot;

 private:
  Channel& channel_;
};

class StandingFeedTest : public StandingTest {
 protected:
  using Use = StandingFeed::Use;
  using Numbers = std::vector<std::uint64_t>;

  StandingFeedTest() { request_ns_ = 1'000'000; }

  static StandingOrder order(const Image& image, const ProgramSchedule& schedule) {
    const auto input = text("ours");
    return {{bytes(image).begin(), bytes(image).end()}, {input.begin(), input.end()}, schedule};
  }
  StandingFeed make(Use use = Use::kTakeOver) {
    return {between_, order(image_, every(100, 200)), use};
  }
  StandingFeed start(Use use = Use::kTakeOver) {
    auto feed = make(use);
    const auto ok = feed.start();
    EXPECT_TRUE(ok) << ok.error().message();
    return feed;
  }
  static Numbers numbers(const std::vector<StandingRun>& runs) {
    Numbers numbers;
    for (const auto& run : runs) numbers.push_back(run.head.number);
    return numbers;
  }
  static Numbers numbers(const StandingNews& news) { return numbers(news.runs); }
  /// Collected, and looked at at once.
  static StandingNews take(StandingFeed& feed) {
    auto news = feed.collect();
    EXPECT_TRUE(news) << news.error().message();
    if (!news) return {};
    if (!news->runs.empty()) feed.looked_at(news->runs.back().head.number);
    return *news;
  }
  /// Another program of the IDS's that leaves a result in front.
  Image add_another() {
    BpfProgram program;
    program.mov(0, 0).exit();
    const Image another{program};
    EXPECT_TRUE(programs_.schedule(bytes(another), {}, every(100, 200)));
    ticks(1);
    EXPECT_TRUE(programs_.unschedule(another.name()));
    return another;
  }
  Numbers left() { return numbers(programs_.collect(0)->runs); }
  std::uint32_t scheduled_max_ms() { return programs_.list()->at(0).max_ms; }

  Between between_{*channel_};
  const Image image_ = echo();
};

TEST_F(StandingFeedTest, GivesEachRunOnceAndLetsGoOfIt) {
  auto feed = start();
  EXPECT_EQ(feed.name(), image_.name());
  EXPECT_EQ(feed.max(), std::chrono::milliseconds{200});
  EXPECT_TRUE(take(feed).runs.empty());
  ticks(3);
  const auto news = take(feed);
  EXPECT_EQ(numbers(news), (Numbers{1, 2, 3}));
  EXPECT_EQ(news.agent_ns, host_.now_ns);
  EXPECT_TRUE(std::ranges::equal(news.runs[0].result, text("ours")));
  EXPECT_TRUE(news.gaps.empty());
  EXPECT_EQ(left(), (Numbers{1, 2, 3})) << "until the next time: it may get lost";
  ticks(1);
  EXPECT_EQ(numbers(take(feed)), (Numbers{4}));
  EXPECT_EQ(left(), (Numbers{4}));
}

TEST_F(StandingFeedTest, LetsGoOfNothingThatWasNotLookedAt) {
  auto feed = start();
  ticks(3);
  EXPECT_EQ(numbers(*feed.collect()), (Numbers{1, 2, 3}));
  feed.looked_at(2);
  EXPECT_TRUE(feed.collect()->runs.empty());
  EXPECT_EQ(left(), (Numbers{3}));
  ASSERT_TRUE(feed.unschedule());
  ASSERT_TRUE(feed.let_go());
  EXPECT_EQ(left(), (Numbers{3})) << "for who comes next";
  feed.looked_at(3);
  ASSERT_TRUE(feed.let_go());
  EXPECT_EQ(left(), Numbers{});
}

TEST_F(StandingFeedTest, UnscheduledItGivesWhatIsLeft) {
  auto feed = start();
  ticks(2);
  ASSERT_TRUE(feed.unschedule());
  host_.advance_seconds(10);
  const auto news = take(feed);
  EXPECT_EQ(numbers(news), (Numbers{1, 2}));
  EXPECT_TRUE(news.gaps.empty()) << "none was due";
  EXPECT_EQ(scheduled_max_ms(), 0u);
}

TEST_F(StandingFeedTest, LeavesNothingBehind) {
  auto feed = start();
  ticks(2);
  take(feed);
  ticks(1);
  ASSERT_TRUE(feed.end());
  EXPECT_EQ(left(), Numbers{});
  EXPECT_EQ(scheduled_max_ms(), 0u);
  ASSERT_TRUE(programs_.unload(image_.name()));
  EXPECT_TRUE(feed.end()) << "it is not there any more: that was wanted";
}

/// A watch that was killed, and the next one.
TEST_F(StandingFeedTest, TakesOverWhatAnotherLeft) {
  ASSERT_TRUE(programs_.schedule(bytes(image_), text("theirs"), every(100, 200)));
  ticks(2);
  host_.advance_seconds(10);
  auto feed = start();
  ticks(2);  // the first one comes for the schedule that is over
  const auto news = take(feed);
  EXPECT_EQ(numbers(news), (Numbers{1, 2, 3}));
  EXPECT_TRUE(std::ranges::equal(news.runs[1].result, text("theirs")));
  EXPECT_TRUE(std::ranges::equal(news.runs[2].result, text("ours")));
  EXPECT_TRUE(news.gaps.empty()) << "who came before need not have run all the time";
  EXPECT_EQ(news.skipped_before, 0u);
  EXPECT_EQ(news.lost, 0u);
  ASSERT_TRUE(feed.end());
  EXPECT_EQ(left(), Numbers{});
  EXPECT_EQ(scheduled_max_ms(), 0u);
}

TEST_F(StandingFeedTest, JoinsAScheduleAndLeavesItAlone) {
  ASSERT_TRUE(programs_.schedule(bytes(image_), text("theirs"), every(1000, 3000)));
  ticks(2);
  auto feed = start(Use::kJoin);
  EXPECT_EQ(feed.max(), std::chrono::milliseconds{3000});
  EXPECT_TRUE(take(feed).runs.empty()) << "of another time";
  ticks(1);
  EXPECT_EQ(numbers(take(feed)), (Numbers{3}));
  host_.advance_seconds(10);
  EXPECT_FALSE(take(feed).is_scheduled_anew);
  ASSERT_TRUE(feed.end());
  EXPECT_EQ(left(), (Numbers{1, 2, 3}));
  EXPECT_EQ(scheduled_max_ms(), 3000u);
}

TEST_F(StandingFeedTest, SchedulesWhereThereIsNothingToJoin) {
  auto feed = start(Use::kJoin);
  ticks(1);
  EXPECT_EQ(numbers(take(feed)), (Numbers{1}));
  ASSERT_TRUE(feed.end());
  EXPECT_EQ(scheduled_max_ms(), 0u);
}

/// The agent leaves results in their order: behind another program's, nobody's can be let go of.
TEST_F(StandingFeedTest, LetsGoOfNothingBehindAnothersResult) {
  add_another();
  auto feed = start();
  ticks(3);  // the first one comes for the schedule that is over
  EXPECT_EQ(numbers(take(feed)), (Numbers{2, 3}));
  EXPECT_TRUE(take(feed).runs.empty()) << "given already";
  EXPECT_EQ(left(), (Numbers{1, 2, 3}));
  ASSERT_TRUE(programs_.collect(1));
  ticks(1);
  EXPECT_EQ(numbers(take(feed)), (Numbers{4}));
  take(feed);
  EXPECT_EQ(left(), Numbers{});
}

/// Also between the last run that was collected and the first one after it.
TEST_F(StandingFeedTest, TellsEachGapAndWhenItEnded) {
  auto feed = start();
  ticks(1);
  EXPECT_TRUE(take(feed).gaps.empty());
  host_.advance_seconds(1);
  ticks(1);
  auto gaps = take(feed).gaps;
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0].after, 1u);
  EXPECT_GE(gaps[0].ns, 1'000'000'000u);
  EXPECT_EQ(gaps[0].allowed_ns, 700'000'000u);
  EXPECT_FALSE(gaps[0].is_open);

  host_.advance_seconds(1);
  gaps = take(feed).gaps;
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_TRUE(gaps[0].is_open);
  host_.advance_seconds(0.5);
  EXPECT_TRUE(take(feed).gaps.empty()) << "told already";
  host_.can_pause = false;
  ticks(1);
  EXPECT_TRUE(take(feed).gaps.empty()) << "it saw nothing";
  host_.advance_seconds(0.5);
  gaps = take(feed).gaps;
  ASSERT_EQ(gaps.size(), 1u) << "as long again";
  EXPECT_TRUE(gaps[0].is_open);
  EXPECT_GE(gaps[0].ns, 2'000'000'000u);
  host_.can_pause = true;
  ticks(2);
  gaps = take(feed).gaps;
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_FALSE(gaps[0].is_open);
  EXPECT_EQ(gaps[0].after, 2u);
  EXPECT_GE(gaps[0].ns, 2'000'000'000u);
}

TEST_F(StandingFeedTest, TellsThatNotEvenTheFirstRunCame) {
  auto feed = start();
  host_.advance_seconds(1);
  const auto gaps = take(feed).gaps;
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0].after, 0u);
  EXPECT_TRUE(gaps[0].is_open);
}

/// To send a program takes requests, each of which waits for a slot of the watch.
TEST_F(StandingFeedTest, TimeBeforeTheScheduleIsNoGap) {
  request_ns_ = 600'000'000;
  auto feed = start();
  EXPECT_TRUE(take(feed).gaps.empty());
  ticks(1);
  EXPECT_TRUE(take(feed).gaps.empty());
}

Image large_result() {
  BpfProgram program;  // 62,000 bytes: four of them are too many
  program.mov(6, 0);
  for (int i = 0; i < 15; ++i)
    program.load_imm64(1, SEVMON_BPF_ADDRESS(SEVMON_REGION_MAP))
        .mov(2, 4096)
        .call(SEVMON_HELPER_APPEND);
  program.mov(0, 0).exit();
  return Image{program, {}, 4096};
}

TEST_F(StandingFeedTest, CountsRunsThatDidNotTakePlace) {
  StandingFeed feed{*channel_, order(large_result(), every(100, 200)), Use::kTakeOver};
  ASSERT_TRUE(feed.start());
  ticks(10);
  Numbers all;
  std::uint64_t skipped = 0;
  for (unsigned i = 0; i < 10; ++i) {
    const auto news = take(feed);
    std::ranges::copy(numbers(news), std::back_inserter(all));
    skipped += news.skipped;
  }
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all.front(), 1u);
  EXPECT_EQ(all.back(), all.size());
  EXPECT_EQ(all.size() + skipped, 10u);
  EXPECT_GT(skipped, 0u);
}

TEST_F(StandingFeedTest, TellsOnceWhatWasSkippedBeforeIt) {
  const auto large = large_result();
  ASSERT_TRUE(programs_.schedule(bytes(large), {}, every(100, 200)));
  ticks(10);
  StandingFeed feed{*channel_, order(large, every(100, 200)), Use::kTakeOver};
  ASSERT_TRUE(feed.start());
  std::uint64_t given = 0;
  const auto first = take(feed);
  for (auto news = first; !news.runs.empty(); news = take(feed)) {
    given += news.runs.size();
    EXPECT_EQ(news.skipped, 0u);
    EXPECT_EQ(news.skipped_before == 0, given != first.runs.size());
  }
  EXPECT_GT(first.skipped_before, 0u);
  EXPECT_EQ(given + first.skipped_before, 10u);
}

TEST_F(StandingFeedTest, AHostWithoutATimerSaysSo) {
  auto table = *agent_.state().host;
  table.wake = nullptr;
  agent_.state().host = &table;
  auto feed = make();
  const auto ok = feed.start();
  agent_.state().host = host_.table();
  ASSERT_FALSE(ok);
  EXPECT_EQ(ok.error().code, ErrorCode::kUnsupported);
  EXPECT_FALSE(feed.is_ours()) << "nobody has to end it";
}

// ---- A feed that is not alone ----

TEST_F(StandingFeedTest, SchedulesAnewWhatSomebodyElseEnded) {
  auto feed = start();
  ticks(1);
  take(feed);
  ASSERT_TRUE(programs_.unschedule(image_.name()));
  host_.advance_seconds(1);
  const auto news = take(feed);
  ASSERT_EQ(news.gaps.size(), 1u);
  EXPECT_TRUE(news.is_scheduled_anew);
  EXPECT_EQ(scheduled_max_ms(), 200u);
  EXPECT_TRUE(take(feed).gaps.empty());
  ticks(2);
  const auto after = take(feed);
  EXPECT_FALSE(after.runs.empty());
  EXPECT_TRUE(after.gaps.empty()) << "told already";
  EXPECT_EQ(after.lost, 0u);
}

TEST_F(StandingFeedTest, SaysWhyItCouldNotBeScheduledAnew) {
  auto feed = start();
  ASSERT_TRUE(programs_.unschedule(image_.name()));
  host_.advance_seconds(1);
  between_.loses = SEVMON_ITEM_PROGRAM_LIST;
  auto news = take(feed);
  EXPECT_EQ(news.gaps.size(), 1u);
  ASSERT_TRUE(news.trouble);
  EXPECT_EQ(news.trouble->code, ErrorCode::kTimeout);
  between_.loses = 0;
  host_.advance_seconds(1);
  EXPECT_TRUE(take(feed).is_scheduled_anew) << "the next time";
}

TEST_F(StandingFeedTest, TellsWhatSomebodyElseTook) {
  auto feed = start();
  ticks(1);
  take(feed);
  ticks(3);
  ASSERT_TRUE(programs_.collect(3));
  auto news = take(feed);
  EXPECT_EQ(numbers(news), (Numbers{4}));
  EXPECT_EQ(news.lost, 2u);
  EXPECT_TRUE(news.gaps.empty()) << "Xen made them";
  ticks(1);
  news = take(feed);
  EXPECT_EQ(news.lost, 0u) << "told already";
}

TEST_F(StandingFeedTest, TellsThatSomebodyElseTakesAll) {
  auto feed = start();
  ticks(1);
  take(feed);
  for (unsigned i = 0; i < 10; ++i) {
    host_.advance_seconds(0.1);
    ticks(1);
  }
  ASSERT_TRUE(programs_.collect(11));
  const auto news = take(feed);
  EXPECT_EQ(news.lost, 10u);
  EXPECT_FALSE(news.is_scheduled_anew);
  EXPECT_TRUE(news.gaps.empty()) << "Xen made them";
  ticks(1);
  const auto after = take(feed);
  EXPECT_EQ(after.lost, 0u);
  EXPECT_TRUE(after.gaps.empty());
}

TEST_F(StandingFeedTest, GivesNoRunsOfAnotherDomainRootOrKind) {
  auto theirs = every(100, 200);
  theirs.run.pause.reset();
  ASSERT_TRUE(programs_.schedule(bytes(image_), text("ours"), theirs));
  ticks(1);  // not of one instant
  theirs = every(100, 200);
  ASSERT_TRUE(programs_.schedule(bytes(image_), text("ours"), theirs));
  host_.domid = 7;
  ticks(2);  // of another domain; the first one comes for the schedule that is over
  host_.domid = 0;
  auto feed = start();
  auto news = take(feed);
  EXPECT_EQ(numbers(news), Numbers{});
  EXPECT_EQ(news.others, 2u);
  ticks(2);
  news = take(feed);
  EXPECT_EQ(numbers(news).front(), 3u);
  EXPECT_EQ(news.others, 0u);
  EXPECT_EQ(left().front(), 3u) << "nobody else will take the others";

  const Root root{
      .kind = Root::Kind::kFrame, .vcpu = 0, .frame = {host_.guest.root()}, .levels = 4};
  auto rooted = every(100, 200);
  rooted.run.root = root;
  StandingFeed of_root{*channel_, order(image_, rooted), Use::kTakeOver};
  ASSERT_TRUE(of_root.start());
  EXPECT_EQ(take(of_root).others, 0u);
  rooted.run.root.frame.value += 1;
  StandingFeed of_another{*channel_, order(image_, rooted), Use::kTakeOver};
  ASSERT_TRUE(of_another.start());
  ticks(1);
  EXPECT_GT(take(of_another).others, 0u);
}

TEST_F(StandingFeedTest, ARunWithoutItsDomainIsNobodyElses) {
  auto feed = start();
  host_.has_domain = false;
  ticks(1);
  host_.has_domain = true;
  const auto news = take(feed);
  ASSERT_EQ(news.runs.size(), 1u);
  EXPECT_EQ(news.runs[0].head.report.state, std::uint32_t{SEVMON_RUN_NO_TARGET});
  EXPECT_EQ(news.others, 0u);
}

TEST_F(StandingFeedTest, SchedulesAnewWhatSomebodyElseScheduledForAnotherDomain) {
  auto feed = start();
  ticks(1);
  take(feed);
  ASSERT_TRUE(programs_.schedule(bytes(image_), text("ours"), every(100, 200)));
  host_.domid = 7;
  ticks(2);
  host_.domid = 0;
  EXPECT_GT(take(feed).others, 0u);
  host_.advance_seconds(1);
  const auto news = take(feed);
  EXPECT_EQ(news.gaps.size(), 1u) << "theirs are none of ours";
  EXPECT_TRUE(news.is_scheduled_anew);
}

TEST_F(StandingFeedTest, NamesTheProgramsInTheWayAndLosesNoCount) {
  const auto large = large_result();
  ASSERT_TRUE(programs_.schedule(bytes(large), {}, every(100, 200)));
  ticks(3);
  auto feed = start();
  ASSERT_TRUE(programs_.unschedule(large.name()));
  ticks(10);
  const auto news = take(feed);
  EXPECT_TRUE(news.runs.empty());
  EXPECT_EQ(news.in_the_way, (std::vector{large.name()}));
  std::uint64_t skipped = news.skipped;
  ASSERT_TRUE(programs_.collect(3));
  const auto after = take(feed);
  EXPECT_TRUE(after.in_the_way.empty());
  skipped += after.skipped;
  EXPECT_EQ(after.runs.size() + skipped, programs_.collect(0)->next_number - 4);
}

/// The host sets the VM back: numbers that were used are used again.
TEST_F(StandingFeedTest, NoticesThatTheAgentWasSetBack) {
  auto feed = start();
  ticks(5);
  EXPECT_EQ(take(feed).runs.size(), 5u);
  EXPECT_TRUE(take(feed).runs.empty());
  agent_.state().ids[0].programs->ring.last_number = 2;
  ticks(1);
  const auto news = feed.collect();
  ASSERT_FALSE(news);
  EXPECT_EQ(news.error().code, ErrorCode::kMismatch);
  EXPECT_EQ(left(), (Numbers{3})) << "it is not the one of that number that was looked at";
  auto again = start();
  EXPECT_EQ(numbers(take(again)), (Numbers{3}));
}

TEST_F(StandingFeedTest, NoticesThatTheAgentsClockWentBack) {
  auto feed = start();
  ticks(5);
  take(feed);
  host_.now_ns -= 500'000'000;
  const auto news = feed.collect();
  ASSERT_FALSE(news);
  EXPECT_EQ(news.error().code, ErrorCode::kMismatch);
}

TEST_F(StandingFeedTest, EndsAScheduleOfWhichItNeverHeard) {
  auto feed = make();
  between_.loses = SEVMON_ITEM_PROGRAM_SCHEDULE;
  ASSERT_FALSE(feed.start());
  between_.loses = 0;
  EXPECT_TRUE(feed.is_ours());
  EXPECT_EQ(scheduled_max_ms(), 200u);
  ASSERT_TRUE(feed.end());
  EXPECT_EQ(scheduled_max_ms(), 0u);
}

TEST_F(StandingFeedTest, StartsAgainAfterAnAnswerThatWasLost) {
  auto feed = make();
  between_.loses = SEVMON_ITEM_PROGRAM_SCHEDULE;
  ASSERT_FALSE(feed.start());
  ticks(1);
  between_.loses = 0;
  ASSERT_TRUE(feed.start());
  EXPECT_EQ(numbers(take(feed)), (Numbers{1}));
}

TEST_F(StandingFeedTest, DoesNothingToAnotherBoot) {
  auto feed = start();
  ticks(2);
  take(feed);
  between_.boot = {9, 9, 9};
  EXPECT_EQ(feed.collect().error().code, ErrorCode::kConnect);
  EXPECT_TRUE(feed.end());
  EXPECT_EQ(left(), (Numbers{1, 2}));
  EXPECT_EQ(scheduled_max_ms(), 200u);
}

}  // namespace
}  // namespace sevmon::ids::test
