// SPDX-License-Identifier: Apache-2.0
//
// Programs at one instant (run.c) and on the agent's own schedule (standing.c, ring.c).
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "support/program_client.hpp"

namespace sevmon::tests {
namespace {

constexpr std::uint64_t kGva = 0xffffffff81000000;
constexpr std::uint64_t kMap = SEVMON_BPF_ADDRESS(SEVMON_REGION_MAP);
constexpr std::uint64_t kMs = 1'000'000;

/// Appends `bytes` of its map and returns how often it was run: ++*(u64 *)map.
BpfProgram counting(std::int64_t bytes = 8) {
  BpfProgram program;
  program.load_imm64(6, kMap).add(BPF_LDX | BPF_MEM | BPF_DW, 7, 6);
  program.add(BPF_ALU64 | BPF_ADD, 7, 0, 0, 1).add(BPF_STX | BPF_MEM | BPF_DW, 6, 7);
  for (std::int64_t left = bytes; left > 0; left -= SEVMON_HELPER_MAX_BYTES)
    program.mov_reg(1, 6)
        .mov(2, std::min<std::int64_t>(left, SEVMON_HELPER_MAX_BYTES))
        .call(SEVMON_HELPER_APPEND);
  program.mov_reg(0, 7).exit();
  return program;
}

BpfProgram endless() {
  BpfProgram program;
  program.jump(-1).mov(0, 0).exit();
  return program;
}

/// *kGva, 8 bytes of it, to the result.
BpfProgram reading() {
  BpfProgram program;
  program.load_imm64(1, kMap).mov(2, 8).load_imm64(3, kGva).call(SEVMON_HELPER_READ).mov_reg(6, 0);
  program.load_imm64(1, kMap).mov(2, 8).call(SEVMON_HELPER_APPEND).mov_reg(0, 6).exit();
  return program;
}

class Programs : public ::testing::Test {
 protected:
  Image load(BpfProgram program, std::uint32_t map_bytes = 8, ProgramClient* by = nullptr) {
    Image image{program, {}, map_bytes};
    (by ? by : &client)->load_all(image);
    return image;
  }

  FakeHost host;
  FakeAgent agent{host};
  ProgramClient client{agent};
};

// ---- Atomic runs ----

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

// ---- Standing programs ----

class Standing : public Programs {
 protected:
  sevmon_schedule_head every(const Image& image, std::uint32_t min_ms, std::uint32_t max_ms) const {
    return {.run = {.program = image.name(), .budget = 1'000'000, .flags = 0, .pause_us = 0},
            .min_ms = min_ms,
            .max_ms = max_ms};
  }
  void schedule(const Image& image, std::uint32_t min_ms = 100, std::uint32_t max_ms = 300) {
    host.wake_at = 0;  // an earlier time would stay: to no harm, but ticks are counted here
    ASSERT_EQ(client.schedule(every(image, min_ms, max_ms)), SEVMON_STATUS_OK);
  }
  void ticks(unsigned count) {
    for (unsigned i = 0; i < count; ++i) agent.tick(host);
  }
};

TEST_F(Standing, RunsWithoutARequestAndKeepsItsResults) {
  const auto image = load(counting());
  schedule(image);
  EXPECT_TRUE(client.collect().results.empty());
  ticks(3);
  const auto got = client.collect();
  EXPECT_EQ(got.head.next_number, 4u);
  EXPECT_EQ(got.head.waiting, 0u);
  ASSERT_EQ(got.results.size(), 3u);
  for (std::uint64_t i = 0; i < 3; ++i) {
    const auto& [head, bytes] = got.results[i];
    EXPECT_EQ(head.number, i + 1);
    EXPECT_EQ(head.program, image.name());
    EXPECT_EQ(head.domid, 0u) << "resolved";
    EXPECT_EQ(head.kind, SEVMON_TARGET_PV);
    EXPECT_EQ(head.levels, 4u);
    EXPECT_EQ(head.root_frame, host.guest.root());
    EXPECT_EQ(head.report.state, SEVMON_RUN_DONE);
    EXPECT_EQ(head.report.r0, i + 1);
    EXPECT_EQ(head.report.runs, i);
    EXPECT_EQ(tests::load<std::uint64_t>(bytes), i + 1);
  }
}

TEST_F(Standing, ResultsStayUntilTheyWereSeen) {
  const auto image = load(counting());
  schedule(image);
  ticks(3);
  EXPECT_EQ(client.collect().results.size(), 3u);
  EXPECT_EQ(client.collect().results.size(), 3u) << "that answer may have been lost";
  const auto rest = client.collect(2);
  ASSERT_EQ(rest.results.size(), 1u);
  EXPECT_EQ(rest.results.at(0).first.number, 3u);
  EXPECT_TRUE(client.collect(3).results.empty());
  EXPECT_TRUE(client.collect(~0ULL).results.empty());
  ticks(1);
  EXPECT_EQ(client.collect().results.at(0).first.number, 4u);
}

TEST_F(Standing, BelongsToTheIdsNotToASession) {
  const auto image = load(counting());
  schedule(image);
  ticks(1);
  ProgramClient another{agent, {.connection_id = {7}}};
  EXPECT_EQ(another.collect().results.size(), 1u);
  host.advance_seconds(1000);  // all sessions are over
  ticks(1);
  ProgramClient later{agent, {.connection_id = {8}}};
  EXPECT_EQ(later.collect().results.size(), 2u);
}

TEST_F(Standing, OfOneIdsAreNoneOfAnothers) {
  FakeHost& shared = host;
  FakeAgent two{shared, {test_key(0), test_key(1)}};
  ProgramClient one{two, {}, test_key(0)}, other{two, {}, test_key(1)};
  const auto image = load(counting(), 8, &one);
  ASSERT_EQ(one.schedule(every(image, 100, 200)), SEVMON_STATUS_OK);
  two.tick(host);
  EXPECT_EQ(one.collect().results.size(), 1u);
  EXPECT_TRUE(other.collect().results.empty());
  EXPECT_EQ(other.collect().head.next_number, 1u);
  EXPECT_EQ(other.unschedule(image), SEVMON_STATUS_NO_PROGRAM);
}

TEST_F(Standing, TimesLieInTheIntervalAndAreDrawn) {
  const auto image = load(counting());
  schedule(image, 100, 300);
  std::set<std::uint64_t> seen;
  for (unsigned i = 0; i < 64; ++i) {
    const auto gap = host.wake_at - host.now_ns;
    EXPECT_GE(gap, 100 * kMs);
    EXPECT_LE(gap, 300 * kMs);
    seen.insert(gap / (20 * kMs));
    ticks(1);
    client.collect(~0ULL);
  }
  EXPECT_GE(seen.size(), 8u) << "of ten or eleven parts of the interval";
  schedule(image, 250, 250);
  EXPECT_EQ(host.wake_at, host.now_ns + 250 * kMs) << "no wider than asked for";
}

TEST_F(Standing, WithoutRandomnessItRunsAsOftenAsItMay) {
  const auto image = load(counting());
  schedule(image, 100, 86400000);
  host.random_fails = true;
  ticks(1);
  EXPECT_EQ(host.wake_at, host.now_ns + 100 * kMs);
  host.random_fails = false;
}

TEST_F(Standing, IsNotRunBeforeItIsDue) {
  const auto image = load(counting());
  schedule(image);
  const auto due = host.wake_at.exchange(0);
  host.now_ns = due - 1;
  sevmon_agent_tick(&agent.state());
  EXPECT_TRUE(client.collect().results.empty());
  EXPECT_EQ(host.wake_at, due) << "asked for again";
}

TEST_F(Standing, SeveralRunInTheOrderInWhichTheyAreDue) {
  std::vector<Image> images;
  for (unsigned i = 0; i < SEVMON_MAX_PROGRAMS; ++i) {
    images.push_back(load(counting(8 + 8 * i), 64));
    ASSERT_EQ(client.schedule(every(images.back(), 10 + i, 10 + i)), SEVMON_STATUS_OK);
  }
  ticks(40);
  const auto got = client.collect();
  std::map<std::uint64_t, unsigned> runs;
  std::uint64_t before = 0;
  for (const auto& [head, bytes] : got.results) {
    ++runs[head.program];
    EXPECT_GE(head.report.started_ns, before);
    before = head.report.started_ns;
  }
  for (const auto& image : images) EXPECT_GE(runs[image.name()], 8u);
}

TEST_F(Standing, HasVariablesOfItsOwn) {
  const auto image = load(counting());
  EXPECT_EQ(client.run(image.name()).report.r0, 1u);
  schedule(image);
  ticks(2);
  EXPECT_EQ(client.run(image.name()).report.r0, 2u);
  EXPECT_EQ(client.collect().results.at(1).first.report.r0, 2u);
  schedule(image);
  ticks(1);
  EXPECT_EQ(client.collect(2).results.at(0).first.report.r0, 1u) << "anew";
}

TEST_F(Standing, GetsItsInputEachTime) {
  BpfProgram program;  // append(r1, r2)
  program.call(SEVMON_HELPER_APPEND).exit();
  const auto image = load(std::move(program));
  const Bytes input(SEVMON_MAX_PAYLOAD_BYTES - sizeof(sevmon_schedule_head), 0xa5);
  ASSERT_EQ(client.schedule(every(image, 10, 10), input), SEVMON_STATUS_OK);
  ticks(2);
  const auto got = client.collect();
  EXPECT_EQ(got.results.at(0).second, input);
  EXPECT_EQ(got.results.at(1).second, input);
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

TEST_F(Standing, ARunInSlicesLeavesTimeBetweenThem) {
  const auto image = load(endless(), 0);
  auto head = every(image, 10, 10);
  head.run.budget = 10 * SEVMON_RUN_SLICE;
  ASSERT_EQ(client.schedule(head), SEVMON_STATUS_OK);
  host.tick_ns = 1000;
  ticks(1);
  EXPECT_GT(host.wake_at, host.now_ns) << "not at once";
  EXPECT_TRUE(client.collect().results.empty()) << "it is under way";
  EXPECT_EQ(client.schedule(head), SEVMON_STATUS_BUSY);
  EXPECT_EQ(client.unload(image), SEVMON_STATUS_BUSY);
  ticks(11);
  const auto got = client.collect();
  ASSERT_EQ(got.results.size(), 1u);
  EXPECT_EQ(got.results.at(0).first.report.state, SEVMON_RUN_OVER_BUDGET);
  EXPECT_GE(got.results.at(0).first.report.slices, 10u);
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

TEST_F(Standing, WhatIsTakenOffRunsNoMore) {
  const auto image = load(counting());
  schedule(image);
  ticks(1);
  EXPECT_EQ(client.list()[0].min_ms, 100u);
  EXPECT_EQ(client.list()[0].max_ms, 300u);
  EXPECT_EQ(client.list()[0].standing_runs, 1u);
  EXPECT_GT(client.list()[0].standing_ns, client.list()[0].scheduled_ns);
  EXPECT_LE(client.list()[0].standing_ns, host.now_ns);
  EXPECT_EQ(client.unload(image), SEVMON_STATUS_BUSY) << "it is scheduled";
  EXPECT_EQ(client.unschedule(image), SEVMON_STATUS_OK);
  EXPECT_EQ(client.list()[0].max_ms, 0u);
  EXPECT_EQ(client.list()[0].scheduled_ns, 0u);
  EXPECT_EQ(client.list()[0].standing_runs, 0u);
  EXPECT_EQ(client.list()[0].standing_ns, 0u);
  ticks(1);
  EXPECT_EQ(host.wake_at, 0u) << "nothing is due";
  EXPECT_EQ(client.collect().results.size(), 1u) << "what was seen stays";
  EXPECT_EQ(client.unschedule(image), SEVMON_STATUS_OK) << "again";
  EXPECT_EQ(client.unload(image), SEVMON_STATUS_OK);
  EXPECT_EQ(client.unschedule(image), SEVMON_STATUS_NO_PROGRAM);
}

TEST_F(Standing, WhatIsTakenOffDuringARunLeavesNoResult) {
  const auto image = load(endless(), 0);
  auto head = every(image, 10, 10);
  head.run.budget = 3 * SEVMON_RUN_SLICE;
  ASSERT_EQ(client.schedule(head), SEVMON_STATUS_OK);
  ticks(1);
  EXPECT_EQ(client.unschedule(image), SEVMON_STATUS_OK);
  EXPECT_EQ(client.unload(image), SEVMON_STATUS_BUSY);
  ticks(1);
  EXPECT_TRUE(client.collect().results.empty());
  EXPECT_EQ(client.collect().head.next_number, 1u);
  EXPECT_EQ(client.unload(image), SEVMON_STATUS_OK);
}

TEST_F(Standing, IsNotLetGoOfForOthers) {
  const auto image = load(counting());
  schedule(image);
  for (unsigned i = 1; i <= 2 * SEVMON_MAX_PROGRAMS; ++i) {
    host.advance_seconds(1);
    load(counting(8 + 8 * i), 256);
  }
  const auto entries = client.list();
  EXPECT_TRUE(std::ranges::any_of(entries, [&](const auto& entry) {
    return std::ranges::equal(entry.sha256, image.sha256());
  }));
}

TEST_F(Standing, WhenNobodyCollectsItSkipsAndSaysSo) {
  constexpr std::uint32_t kBytes = SEVMON_HELPER_MAX_BYTES * 10;
  const auto image = load(counting(kBytes), SEVMON_PROGRAM_MAX_MAP_BYTES);
  schedule(image, 10, 10);
  ticks(100);
  auto got = client.collect();
  EXPECT_EQ(got.head.next_number, 101u);
  const auto kept = got.head.results + got.head.waiting;
  EXPECT_EQ(kept, (SEVMON_RING_BYTES - SEVMON_STANDING_MAX_BYTES - 96) / (kBytes + 96) + 1);
  EXPECT_EQ(got.head.skipped, 100 - kept);
  EXPECT_EQ(got.results.at(0).first.number, 1u) << "what was seen first stays";
  for (std::uint64_t last = 0; last < kept;) {
    got = client.collect(last);
    ASSERT_FALSE(got.results.empty());
    for (const auto& [head, bytes] : got.results) {
      EXPECT_EQ(head.number, ++last);
      EXPECT_EQ(bytes.size(), kBytes);
      EXPECT_EQ(tests::load<std::uint64_t>(bytes), last);
    }
  }
  ticks(1);
  got = client.collect(kept);
  ASSERT_EQ(got.results.size(), 1u);
  EXPECT_EQ(got.results.at(0).first.number, 101u);
  EXPECT_EQ(got.results.at(0).first.report.r0, kept + 1) << "what was skipped did not run";
}

TEST_F(Standing, RingKeepsEveryLengthOverItsEnd) {
  BpfProgram program;  // append(map, ++*(u32 *)map % 4000)
  program.load_imm64(1, kMap).add(BPF_LDX | BPF_MEM | BPF_W, 2, 1);
  program.add(BPF_ALU64 | BPF_ADD, 2, 0, 0, 1).add(BPF_STX | BPF_MEM | BPF_W, 1, 2);
  program.add(BPF_ALU64 | BPF_MOD, 2, 0, 0, 4000).call(SEVMON_HELPER_APPEND).exit();
  const auto image = load(std::move(program), 4096);
  schedule(image, 10, 10);
  std::uint64_t last = 0;
  for (unsigned round = 0; round < 60; ++round) {
    ticks(7);
    const auto got = client.collect(last);
    ASSERT_EQ(got.head.skipped, 0u);
    for (const auto& [head, bytes] : got.results) {
      ASSERT_EQ(head.number, ++last);
      ASSERT_EQ(bytes.size(), last % 4000);
      if (bytes.size() >= 4) {
        ASSERT_EQ(tests::load<std::uint32_t>(bytes), last);
      }
      ASSERT_TRUE(bytes.size() < 5 || sevmon_is_zero(bytes.data() + 4, bytes.size() - 4));
    }
  }
  EXPECT_GT(last, 400u);
  const auto& ring = agent.state().ids[0].programs->ring;
  client.collect(~0ULL);
  EXPECT_TRUE(sevmon_is_zero(ring.bytes, sizeof(ring.bytes))) << "nothing of the target's is left";
}

TEST_F(Standing, ASmallClassCollectsWhatFitsAndSaysWhatDoesNot) {
  const auto image = load(counting(5000), SEVMON_PROGRAM_MAX_MAP_BYTES);
  schedule(image);
  ticks(1);
  ProgramClient small{agent, {.connection_id = {9}, .size_class = SEVMON_CLASS_1_PAGE}};
  EXPECT_EQ(small.status(SEVMON_ITEM_PROGRAM_COLLECT, bytes_of(sevmon_collect{})),
            SEVMON_STATUS_REFUSED);
  EXPECT_EQ(client.collect().results.size(), 1u);
}

TEST_F(Standing, TheLongestResultFitsOneAnswer) {
  const auto image = load(counting(SEVMON_STANDING_MAX_BYTES), SEVMON_PROGRAM_MAX_MAP_BYTES);
  schedule(image);
  ticks(2);
  const auto got = client.collect();
  ASSERT_EQ(got.results.size(), 1u);
  EXPECT_EQ(got.results.at(0).second.size(), SEVMON_STANDING_MAX_BYTES);
  EXPECT_EQ(got.head.waiting, 1u);
}

TEST_F(Standing, TheRootIsThatOfTheMoment) {
  const auto image = load(reading());
  auto body = program_request(SEVMON_ITEM_PROGRAM_SCHEDULE, bytes_of(every(image, 10, 10)));
  EXPECT_EQ(client.ask(body).results[0].status, SEVMON_STATUS_OK);
  const auto roots = host.roots_read.load();
  ticks(2);
  EXPECT_EQ(host.roots_read, roots + 2) << "a vCPU's, read each time";
  host.root_status = SEVMON_ANSWER_NO_ROOT;
  ticks(1);
  host.root_status = SEVMON_ANSWER_OK;
  EXPECT_EQ(client.collect(2).results.at(0).first.report.state, SEVMON_RUN_NO_ROOT);

  body.head.root_kind = SEVMON_ROOT_FRAME;
  body.head.root_frame = host.guest.root(), body.head.levels = 4;
  EXPECT_EQ(client.ask(body).results[0].status, SEVMON_STATUS_OK);
  host.root_status = SEVMON_ANSWER_NO_ROOT;
  ticks(1);
  host.root_status = SEVMON_ANSWER_OK;
  const auto got = client.collect(3);
  EXPECT_EQ(got.results.at(0).first.report.state, SEVMON_RUN_DONE);
  EXPECT_EQ(got.results.at(0).first.root_frame, host.guest.root());
}

TEST_F(Standing, ADomainThatGoesAwayIsSaid) {
  const auto image = load(counting());
  schedule(image);
  host.has_domain = false;
  ticks(1);
  host.has_domain = true;
  EXPECT_EQ(client.collect().results.at(0).first.report.state, SEVMON_RUN_NO_TARGET);
}

TEST_F(Standing, RefusesWhatIsOutOfRange) {
  const auto image = load(counting());
  const auto refused = [&](const sevmon_schedule_head& head) {
    return client.schedule(head) == SEVMON_STATUS_BAD_ITEM;
  };
  EXPECT_TRUE(refused(every(image, SEVMON_SCHEDULE_MIN_MS - 1, 100)));
  EXPECT_TRUE(refused(every(image, 0, 0)));
  EXPECT_TRUE(refused(every(image, 101, 100)));
  EXPECT_TRUE(refused(every(image, 100, SEVMON_SCHEDULE_MAX_MS + 1)));
  auto head = every(image, 100, 100);
  head.run.flags = SEVMON_RUN_ATOMIC, head.run.pause_us = 25001;
  EXPECT_TRUE(refused(head)) << "more than a quarter of the time";
  head.run.pause_us = 0;
  EXPECT_TRUE(refused(head));
  for (unsigned bit = 1; bit < 32; ++bit) {
    head = every(image, 100, 100), head.run.flags = 1U << bit;
    EXPECT_TRUE(refused(head)) << bit;
  }
  head = every(image, 100, 100), head.run.budget = 0;
  EXPECT_TRUE(refused(head));
  head.run.budget = SEVMON_RUN_MAX_BUDGET + 1;
  EXPECT_TRUE(refused(head));
  head = every(image, 100, 100), head.run.program ^= 1;
  EXPECT_EQ(client.schedule(head), SEVMON_STATUS_NO_PROGRAM);
  for (unsigned bit = 0; bit < 64; ++bit) {
    EXPECT_EQ(client.status(SEVMON_ITEM_PROGRAM_COLLECT,
                            bytes_of(sevmon_collect{.seen = 0, .zero = 1ULL << bit})),
              SEVMON_STATUS_BAD_ITEM);
    EXPECT_EQ(
        client.status(SEVMON_ITEM_PROGRAM_UNSCHEDULE,
                      bytes_of(sevmon_program_name{.program = image.name(), .zero = 1ULL << bit})),
        SEVMON_STATUS_BAD_ITEM);
  }
  EXPECT_EQ(host.wake_at, 0u) << "none of that is scheduled";
}

TEST_F(Standing, AHostWithoutATimerHasNone) {
  host.has_timer = false;
  FakeAgent still{host};
  ProgramClient its{still};
  const auto image = load(counting(), 8, &its);
  EXPECT_EQ(its.schedule(every(image, 100, 100)), SEVMON_STATUS_UNSUPPORTED);
  const auto response = its.ask(request_body({simple_item(SEVMON_ITEM_STATUS)}));
  EXPECT_EQ(tests::load<sevmon_status>(response.item(0)).features, SEVMON_FEATURE_PROGRAMS);
}

TEST_F(Standing, RunsBesideRequestsOnOtherCpus) {
  const auto image = load(counting(1000), 4096);
  schedule(image, 10, 10);
  std::atomic<bool> done{false};
  std::thread timer{[&] {
    while (!done) sevmon_agent_tick(&agent.state());
  }};
  std::uint64_t last = 0, runs = 0;
  for (unsigned i = 0; i < 200 || runs == 0; ++i) {
    host.advance_ns(5 * kMs);
    const auto got = client.collect(last);
    for (const auto& [head, bytes] : got.results) {
      EXPECT_GT(head.number, last);
      last = head.number;
      ++runs;
    }
    EXPECT_EQ(client.run(image.name()).status, SEVMON_STATUS_OK);
    if (i % 16 == 0) client.schedule(every(image, 10, 20));
  }
  done = true;
  timer.join();
}

}  // namespace
}  // namespace sevmon::tests
