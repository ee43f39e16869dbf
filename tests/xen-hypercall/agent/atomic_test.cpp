// SPDX-License-Identifier: Apache-2.0
//
// Programs at one instant (run.c), and what standing ones may pause altogether.
#include <gtest/gtest.h>

#include "support/program_fixtures.hpp"

namespace sevmon::tests {
namespace {

class Atomic : public Programs {
 protected:
  static sevmon_run_head atomically(const Image& image, std::uint32_t pause_us = 1000,
                                    std::uint64_t budget = 1'000'000) {
    return {.program = image.name(),
            .budget = budget,
            .flags = SEVMON_RUN_ATOMIC,
            .pause_us = pause_us};
  }
};

TEST_F(Atomic, PausesTheTargetForTheWholeRun) {
  const auto image = load(reading());
  host.guest.map(kGva, from_text("contents"));
  bool paused = false;
  host.on_map = [&](std::uint64_t) { paused = host.paused; };
  const auto before = host.pauses.load();
  const auto got = client.run(atomically(image));
  EXPECT_EQ(got.report.state, SEVMON_RUN_DONE);
  EXPECT_EQ(got.result, from_text("contents"));
  EXPECT_TRUE(paused) << "while it was read";
  EXPECT_FALSE(host.paused) << "and no longer";
  EXPECT_EQ(host.pauses, before + 1);
  client.run(image.name());
  EXPECT_FALSE(paused) << "a run that is not atomic pauses nothing";
  EXPECT_EQ(host.pauses, before + 1);
}

TEST_F(Atomic, SaysForHowLong) {
  const auto image = load(reading());
  host.pause_takes_ns = 300'000;
  const auto got = client.run(atomically(image));
  EXPECT_EQ(got.report.state, SEVMON_RUN_DONE);
  EXPECT_EQ(got.report.paused_ns, 300'000u) << "from the first vCPU on";
  EXPECT_EQ(client.run(image.name()).report.paused_ns, 0u);
  const auto response = client.ask(request_body({simple_item(SEVMON_ITEM_STATUS)}));
  EXPECT_EQ(tests::load<sevmon_status>(response.item(0)).longest_pause_ns, 300'000u);
}

TEST_F(Atomic, StopsWhenItsTimeIsOverAndIsNeverContinued) {
  const auto image = load(endless(), 0);
  host.tick_ns = 10'000;  // each look at the clock
  const auto frame = client.run_frame(atomically(image, 1000, SEVMON_RUN_MAX_BUDGET));
  const auto answer = agent.frame(frame);
  ASSERT_GT(answer.rc, 0) << "one call, whatever it does";
  const auto got = client.result(answer);
  EXPECT_EQ(got.report.state, SEVMON_RUN_OVER_TIME);
  EXPECT_EQ(got.report.slices, 1u);
  EXPECT_GE(got.report.paused_ns, 1000u * 1000);
  EXPECT_LE(got.report.paused_ns, 1000u * 1000 + 4 * host.tick_ns) << "a look too late at most";
  EXPECT_FALSE(host.paused);
}

TEST_F(Atomic, KeepsWhatItAppendedInTime) {
  BpfProgram program;  // append(map, 8) for ever
  program.load_imm64(1, kMap).mov(2, 8).call(SEVMON_HELPER_APPEND).jump(-5).mov(0, 0).exit();
  const auto image = load(std::move(program));
  host.tick_ns = 100'000;
  const auto got = client.run(atomically(image, 1000, SEVMON_RUN_MAX_BUDGET));
  EXPECT_EQ(got.report.state, SEVMON_RUN_OVER_TIME);
  EXPECT_GT(got.result.size(), 0u);
}

TEST_F(Atomic, StopsAtItsBudget) {
  const auto image = load(endless(), 0);
  const auto got = client.run(atomically(image, 1000, 5000));
  EXPECT_EQ(got.report.state, SEVMON_RUN_OVER_BUDGET);
  EXPECT_EQ(got.report.cost, 5000u);
  EXPECT_FALSE(host.paused);
}

TEST_F(Atomic, DoesNotRunWhenTheTargetDoesNotStop) {
  const auto image = load(counting());
  host.can_pause = false;
  auto got = client.run(atomically(image));
  EXPECT_EQ(got.report.state, SEVMON_RUN_NOT_PAUSED);
  EXPECT_EQ(got.report.cost, 0u);
  EXPECT_TRUE(got.result.empty());
  host.can_pause = true;
  host.pause_takes_ns = 1000 * 1000;
  EXPECT_EQ(client.run(atomically(image)).report.state, SEVMON_RUN_NOT_PAUSED) << "in time";
  host.pause_takes_ns = 0;
  host.now_ns += 3 * kMs;  // that it was tried is rested from as well
  EXPECT_EQ(client.run(atomically(image)).report.r0, 1u);
}

TEST_F(Atomic, RefusesFlagsAndPausesOutOfRange) {
  const auto image = load(counting());
  for (unsigned bit = 1; bit < 32; ++bit) {
    auto head = atomically(image);
    head.flags |= 1U << bit;
    EXPECT_EQ(client.run(head).status, SEVMON_STATUS_BAD_ITEM) << bit;
  }
  for (const std::uint32_t pause : {0U, SEVMON_RUN_MAX_PAUSE_US + 1U, ~0U})
    EXPECT_EQ(client.run(atomically(image, pause)).status, SEVMON_STATUS_BAD_ITEM) << pause;
  auto head = atomically(image);
  head.flags = 0;
  EXPECT_EQ(client.run(head).status, SEVMON_STATUS_BAD_ITEM) << "a pause of a run that has none";
  EXPECT_EQ(client.run(atomically(image, SEVMON_RUN_MAX_PAUSE_US)).report.r0, 1u);
}

TEST_F(Standing, AtomicRunsPauseTheTarget) {
  const auto image = load(reading());
  host.guest.map(kGva, from_text("contents"));
  auto head = every(image, 100, 100);
  head.run.flags = SEVMON_RUN_ATOMIC, head.run.pause_us = 25000;
  ASSERT_EQ(client.schedule(head), SEVMON_STATUS_OK);
  bool paused = false;
  host.on_map = [&](std::uint64_t) { paused = host.paused; };
  ticks(1);
  EXPECT_TRUE(paused);
  EXPECT_FALSE(host.paused);
  host.on_map = nullptr;
  const auto got = client.collect();
  EXPECT_EQ(got.results.at(0).first.flags, SEVMON_RUN_ATOMIC);
  EXPECT_EQ(got.results.at(0).second, from_text("contents"));
}

/// Whoever asks, over however many lanes and connections.
TEST_F(Atomic, LeavesTheTargetThreeQuartersOfTheTime) {
  const auto image = load(counting());
  host.pause_takes_ns = 8 * kMs;
  ASSERT_EQ(client.run(atomically(image, 50000)).status, SEVMON_STATUS_OK);
  const auto ended = host.now_ns.load();
  EXPECT_EQ(client.run(atomically(image, 50000)).status, SEVMON_STATUS_BUSY);
  auto head = atomically(image, 50000);
  head.flags = 0, head.pause_us = 0;
  EXPECT_EQ(client.run(head).status, SEVMON_STATUS_OK) << "that pauses nothing";
  host.now_ns = ended + 23 * kMs;
  EXPECT_EQ(client.run(atomically(image, 50000)).status, SEVMON_STATUS_BUSY);
  host.now_ns = ended + 25 * kMs;
  EXPECT_EQ(client.run(atomically(image, 50000)).status, SEVMON_STATUS_OK);
}

TEST_F(Standing, RestsFromPausesOnDemand) {
  auto head = every(load(counting(8), 64), 40, 40);
  head.run.flags = SEVMON_RUN_ATOMIC, head.run.pause_us = 10000;
  ASSERT_EQ(client.schedule(head), SEVMON_STATUS_OK);
  const auto due = host.wake_at.load();
  host.now_ns = due - 1 * kMs;
  host.pause_takes_ns = 8 * kMs;
  head.run.pause_us = 50000;
  ASSERT_EQ(client.run(head.run).status, SEVMON_STATUS_OK);
  const auto ended = host.now_ns.load();
  ticks(1);
  EXPECT_TRUE(client.collect().results.empty());
  EXPECT_GE(host.wake_at, ended + 23 * kMs) << "nor is it asked for all the time";
  ticks(1);
  EXPECT_EQ(client.collect().results.size(), 1U);
}

TEST_F(Standing, AllTogetherPauseTheTargetForAQuarterOfTheTime) {
  for (unsigned i = 0; i < SEVMON_MAX_PROGRAMS; ++i) {
    auto head = every(load(counting(8 + 8 * i), 64), 40, 40);
    head.run.flags = SEVMON_RUN_ATOMIC, head.run.pause_us = 10000;
    ASSERT_EQ(client.schedule(head), SEVMON_STATUS_OK);
  }
  host.pause_takes_ns = 8 * kMs;
  const std::uint64_t began = host.now_ns;
  std::uint64_t paused = 0;
  for (unsigned i = 0; i < 100; ++i) {
    ticks(1);
    if (i % 8 == 0) {  // an earlier time that somebody asks for changes nothing
      host.wake_at = host.now_ns.load();
      ticks(1);
    }
    const auto got = client.collect();
    for (const auto& [head, bytes] : got.results) paused += head.report.paused_ns;
    client.collect(~0ULL);
  }
  EXPECT_GE(paused, 50 * 8 * kMs) << "they ran";
  EXPECT_LE(paused * SEVMON_SCHEDULE_PAUSE_PART, host.now_ns - began + 50 * kMs);
}

}  // namespace
}  // namespace sevmon::tests
