// SPDX-License-Identifier: Apache-2.0
//
// Programs on the agent's own schedule (standing.c).
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "support/program_fixtures.hpp"

namespace sevmon::tests {
namespace {

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
  EXPECT_EQ(tests::load<sevmon_status>(response.item(0)).features,
            SEVMON_FEATURE_PROGRAMS | SEVMON_FEATURE_HASH);
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
