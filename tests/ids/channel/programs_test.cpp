// SPDX-License-Identifier: Apache-2.0
//
// Programs loaded and run by the IDS's end in the agent's own code.
#include <sevmon/programs.hpp>

#include <gtest/gtest.h>

#include "ids/channel/hostile_wire.hpp"
#include "support/program_client.hpp"

namespace sevmon::ids::test {
namespace {

using common::ErrorCode;
using tests::BpfProgram;
using tests::Image;

class ProgramsTest : public ::testing::Test, public Responder {
 protected:
  ProgramsTest() {
    options_.answer_timeout = std::chrono::seconds{20};
    const auto file = tests::key_file({tests::test_key()});
    channel_ = *Channel::open(std::make_unique<HostileWire>(*this, attack_),
                              *Key::parse(std::as_bytes(std::span{file})), options_);
  }

  std::optional<Bytes> answer(std::span<const std::byte> frame) override {
    auto answer = agent_.frame(as_u8(frame), *work_);
    for (unsigned i = 0; answer.rc == -ERESTART; ++i) {
      if (i >= abandon_after_) return std::nullopt;
      answer = agent_.go_on(sevmon_work_token(work_.get()), *work_);
    }
    if (answer.rc <= 0) return std::nullopt;
    const auto bytes = std::as_bytes(std::span{answer.frame});
    return Bytes{bytes.begin(), bytes.end()};
  }

  static Image echo() {  // append(input); return 5
    BpfProgram program;
    program.call(SEVMON_HELPER_APPEND).mov(0, 5).exit();
    return Image{program};
  }
  static Image endless() {
    BpfProgram program;
    program.jump(-1).exit();
    return Image{program};
  }
  static std::span<const std::byte> bytes(const Image& image) {
    return std::as_bytes(std::span{image.bytes});
  }
  static std::span<const std::byte> text(std::string_view text) {
    return std::as_bytes(std::span{text});
  }

  tests::FakeHost host_;
  tests::FakeAgent agent_{host_};
  std::unique_ptr<sevmon_work> work_ = std::make_unique<sevmon_work>();
  unsigned abandon_after_ = ~0u;
  Attack attack_;
  ChannelOptions options_;
  std::unique_ptr<Channel> channel_;
};

TEST_F(ProgramsTest, LoadsOnceAndRuns) {
  Programs programs{*channel_};
  const auto image = echo();
  const auto first = programs.run(bytes(image), text("hello"));
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_TRUE(first->was_loaded);
  EXPECT_EQ(first->report.state, SEVMON_RUN_DONE);
  EXPECT_EQ(first->report.r0, 5u);
  EXPECT_TRUE(std::ranges::equal(first->result, text("hello")));
  const auto before = channel_->stats().round_trips;
  const auto second = programs.run(bytes(image), text("again"));
  EXPECT_FALSE(second->was_loaded);
  EXPECT_TRUE(std::ranges::equal(second->result, text("again")));
  EXPECT_EQ(channel_->stats().round_trips - before, 1u);
  EXPECT_EQ(Programs::name_of(bytes(image)), image.name());
}

TEST_F(ProgramsTest, LoadsAnImageOfManyRequests) {
  BpfProgram program;
  for (int i = 0; i < 4000; ++i) program.mov(0, i);
  program.exit();
  const Image image{program};
  const auto run = Programs{*channel_}.run(bytes(image), {});
  ASSERT_TRUE(run) << run.error().message();
  EXPECT_EQ(run->report.r0, 3999u);
}

TEST_F(ProgramsTest, SaysHowARunEnded) {
  ProgramRunOptions options;
  options.budget = 100'000;
  const auto run = Programs{*channel_}.run(bytes(endless()), {}, options);
  ASSERT_TRUE(run) << run.error().message();
  EXPECT_EQ(run->report.state, SEVMON_RUN_OVER_BUDGET);
  EXPECT_EQ(run->report.cost, 100'000u);
}

TEST_F(ProgramsTest, SaysWhatTheVerifierRefuses) {
  BpfProgram program;
  program.mov(0, 1).mov_reg(0, 7).exit();
  const auto run = Programs{*channel_}.run(bytes(Image{program}), {});
  ASSERT_FALSE(run);
  EXPECT_EQ(run.error().code, ErrorCode::kRefused);
  EXPECT_NE(run.error().detail.find("instruction 1: a register is read that may not be set"),
            std::string::npos)
      << run.error().detail;
}

TEST_F(ProgramsTest, RefusesWhatCannotBeSent) {
  Programs programs{*channel_};
  const auto image = echo();
  EXPECT_EQ(programs.load(bytes(image).first(SEVMON_PROGRAM_MIN_BYTES - 1)).error().code,
            ErrorCode::kUsage);
  const std::vector<std::byte> large(SEVMON_PROGRAM_MAX_BYTES + 1);
  EXPECT_EQ(programs.load(large).error().code, ErrorCode::kUsage);
  EXPECT_EQ(programs.run(bytes(image), std::span{large}.first(905)).error().code,
            ErrorCode::kUsage);
  EXPECT_TRUE(programs.run(bytes(image), std::span{large}.first(904)));
  ProgramRunOptions options;
  for (const auto budget : {0ULL, SEVMON_RUN_MAX_BUDGET + 1}) {
    options.budget = budget;
    EXPECT_EQ(programs.run(bytes(image), {}, options).error().code, ErrorCode::kUsage);
  }
}

TEST_F(ProgramsTest, ListsAndUnloads) {
  Programs programs{*channel_};
  const auto image = echo();
  EXPECT_TRUE(programs.list()->empty());
  EXPECT_EQ(programs.unload(image.name()).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(programs.load(bytes(image)));
  ASSERT_TRUE(programs.run(bytes(image), text("x")));
  const auto list = programs.list();
  ASSERT_EQ(list->size(), 1u);
  EXPECT_EQ(list->front().runs, 1u);
  EXPECT_EQ(list->front().bytes, image.bytes.size());
  EXPECT_TRUE(programs.unload(image.name()));
  EXPECT_TRUE(programs.list()->empty());
}

/// What Dom0 does not go on with, a run or a COMMIT before it, is in the way for a while and no
/// more.
TEST_F(ProgramsTest, WaitsForWhatWasAbandoned) {
  options_.answer_timeout = std::chrono::milliseconds{50};
  const auto file = tests::key_file({tests::test_key()});
  Programs programs{*channel_};
  for (const bool is_loaded : {false, true}) {
    if (is_loaded) {
      ASSERT_TRUE(programs.load(bytes(endless())));
    }
    abandon_after_ = 0;
    auto hasty = Channel::open(std::make_unique<HostileWire>(*this, attack_),
                               *Key::parse(std::as_bytes(std::span{file})), options_);
    EXPECT_FALSE((Programs{**hasty}.run(bytes(endless()), {})));
    const auto& demand = agent_.state().ids[0].programs->demand;
    EXPECT_EQ(demand.place, SEVMON_DEMAND_WAITING);
    EXPECT_EQ(demand.is_check, !is_loaded);
    abandon_after_ = ~0u;
    const auto busy = programs.run(bytes(echo()), text("x"));
    EXPECT_EQ(busy.error().code, ErrorCode::kRefused);
    EXPECT_NE(busy.error().detail.find("busy"), std::string::npos) << busy.error().detail;
    host_.advance_seconds(3);
    EXPECT_TRUE(programs.run(bytes(echo()), text("x")));
  }
}

TEST_F(ProgramsTest, NamesADomainThatIsNotThere) {
  ProgramRunOptions options;
  options.domain = {9};
  const auto run = Programs{*channel_}.run(bytes(echo()), text("x"), options);
  EXPECT_EQ(run.error().code, ErrorCode::kRefused);
  EXPECT_EQ(run.error().detail, "no such domain");
}

TEST_F(ProgramsTest, EveryCodeHasWords) {
  for (std::uint32_t state = SEVMON_RUN_DONE; state <= SEVMON_RUN_NO_TARGET; ++state)
    EXPECT_EQ(describe_run(state).find("state"), std::string::npos) << state;
  for (std::uint32_t reason = 0; reason <= SEVMON_VERDICT_HEAD; ++reason)
    EXPECT_EQ(describe_verdict(reason).find("reason "), std::string::npos) << reason;
  for (std::uint16_t status = 0; status <= SEVMON_STATUS_REFUSED; ++status)
    EXPECT_EQ(describe_status(status, 0).find("status "), std::string::npos) << status;
}

// ---- Atomic ----

TEST_F(ProgramsTest, RunsAtomically) {
  Programs programs{*channel_};
  ProgramRunOptions options;
  options.pause = std::chrono::milliseconds{5};
  host_.pause_takes_ns = 1'000'000;
  const auto run = programs.run(bytes(echo()), text("hello"), options);
  ASSERT_TRUE(run) << run.error().message();
  EXPECT_EQ(run->report.paused_ns, 1'000'000u);
  EXPECT_EQ(host_.pauses, 1u);
  EXPECT_FALSE(is_truncated(run->report));
  options.budget = 10;
  EXPECT_TRUE(is_truncated(programs.run(bytes(endless()), {}, options)->report));
}

TEST_F(ProgramsTest, RefusesPausesOutOfRange) {
  Programs programs{*channel_};
  ProgramRunOptions options;
  for (const auto us : {0L, -1L, SEVMON_RUN_MAX_PAUSE_US + 1L}) {
    options.pause = std::chrono::microseconds{us};
    EXPECT_EQ(programs.run(bytes(echo()), {}, options).error().code, ErrorCode::kUsage) << us;
  }
}

// ---- Standing ----

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

}  // namespace
}  // namespace sevmon::ids::test
