// SPDX-License-Identifier: Apache-2.0
//
// Programs loaded and run by the IDS's end in the agent's own code.
#include <sevmon/programs.hpp>

#include <gtest/gtest.h>

#include "ids/channel/programs_fixture.hpp"

namespace sevmon::ids::test {
namespace {

using common::ErrorCode;
using tests::BpfProgram;
using tests::Image;

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
  host_.now_ns += 3'000'000;  // the target rests
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

}  // namespace
}  // namespace sevmon::ids::test
