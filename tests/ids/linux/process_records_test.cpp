// SPDX-License-Identifier: Apache-2.0
#include "linux/process_records.hpp"

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sevmon::ids {
namespace {

using common::ErrorCode;

void append(std::vector<std::byte>& bytes, const auto& value) {
  const auto at = bytes.size();
  bytes.resize(at + sizeof value);
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

sevmon_process_record record(std::uint32_t id) {
  sevmon_process_record made{};
  made.id = id;
  made.task = 0xffff888000000000 + id * 0x1000;
  return made;
}

sevmon_processes_trailer trailer(std::uint32_t records, std::uint32_t end = SEVMON_PROCESSES_DONE,
                                 std::uint64_t next = 0) {
  sevmon_processes_trailer made{};
  made.records = records;
  made.end = end;
  made.next = next;
  made.ring_next = 0xffff888000001000;
  made.ring_previous = 0xffff888000002000;
  return made;
}

ProgramRun run_of(const std::vector<std::uint32_t>& ids, const sevmon_processes_trailer& last) {
  ProgramRun run;
  run.report.state = SEVMON_RUN_DONE;
  run.report.cost = 100;
  run.report.slices = 1;
  for (const auto id : ids) append(run.result, record(id));
  append(run.result, last);
  return run;
}

/// What these runs, one after another, are taken as.
ProcessRecords read(std::vector<ProgramRun> runs, std::uint32_t max_records = 1000) {
  std::size_t at = 0;
  auto found = read_process_records(
      [&](std::span<const std::byte>) -> common::Result<ProgramRun> { return runs.at(at++); },
      max_records);
  EXPECT_TRUE(found) << found.error().message();
  EXPECT_EQ(at, runs.size());
  return found ? *found : ProcessRecords{};
}

TEST(ProcessRecords, OfOneRun) {
  const auto found = read({run_of({1, 2, 700}, trailer(3))});
  EXPECT_EQ(found.records.size(), 3U);
  EXPECT_TRUE(found.tears.empty());
  ASSERT_TRUE(found.ring);
  EXPECT_EQ(found.ring->previous.value, 0xffff888000002000U);
  EXPECT_EQ(found.use.runs, 1U);
  EXPECT_EQ(found.use.cost, 100U);
}

TEST(ProcessRecords, GoOnWhereItSays) {
  std::vector<std::uint64_t> asked;
  const auto found = read_process_records(
      [&](std::span<const std::byte> input) -> common::Result<ProgramRun> {
        std::uint64_t id = 0;
        EXPECT_EQ(input.size(), sizeof id);
        std::memcpy(&id, input.data(), sizeof id);
        asked.push_back(id);
        if (asked.size() == 1) return run_of({1, 2}, trailer(2, SEVMON_PROCESSES_NO_SPACE, 9));
        if (asked.size() == 2) return run_of({}, trailer(0, SEVMON_PROCESSES_TOO_MANY, 64));
        auto without_trailer = run_of({65, 66}, trailer(2));
        if (asked.size() > 3) return run_of({}, trailer(0));
        without_trailer.result.resize(2 * sizeof(sevmon_process_record));
        return without_trailer;
      },
      1000);
  ASSERT_TRUE(found);
  EXPECT_EQ(asked, (std::vector<std::uint64_t>{0, 9, 64, 67}));
  EXPECT_EQ(found->records.size(), 4U);
  EXPECT_TRUE(found->tears.empty());
  EXPECT_EQ(found->use.runs, 4U);
}

TEST(ProcessRecords, EachLengthThatIsNoResultIsTorn) {
  const auto whole = run_of({1, 2}, trailer(2));
  for (std::size_t bytes = 0; bytes < whole.result.size(); ++bytes) {
    auto run = whole;
    run.result.resize(bytes);
    // Whole records alone are a result without space for the trailer: tried elsewhere.
    if (bytes != 0 && bytes % sizeof(sevmon_process_record) == 0) continue;
    EXPECT_EQ(read({run}).tears.size(), 1U) << bytes;
  }
  auto longer = whole;
  longer.result.push_back({});
  EXPECT_EQ(read({longer}).tears.size(), 1U);
}

TEST(ProcessRecords, WhatCannotBeIsTorn) {
  const std::vector<std::pair<const char*, ProgramRun>> cases{
      {"counts other records", run_of({1, 2}, trailer(3))},
      {"counts other records", run_of({1, 2}, trailer(1))},
      {"do not ascend", run_of({2, 1}, trailer(2))},
      {"do not ascend", run_of({2, 2}, trailer(2))},
      {"does not get on", run_of({1, 2}, trailer(2, SEVMON_PROCESSES_NO_SPACE, 2))},
      {"does not get on", run_of({}, trailer(0, SEVMON_PROCESSES_TOO_MANY, 0))},
      {"ends with 0", run_of({}, trailer(0, 0))},
      {"ends with 77", run_of({}, trailer(0, 77))},
      {"counts other records", run_of({},
                                      [] {
                                        auto last = trailer(0);
                                        last.zero = 1;
                                        return last;
                                      }())},
  };
  for (const auto& [text, run] : cases) {
    const auto found = read({run});
    ASSERT_EQ(found.tears.size(), 1U) << text;
    EXPECT_NE(found.tears[0].text.find(text), std::string::npos) << found.tears[0].text;
  }
}

TEST(ProcessRecords, EachEndOfARunButDoneIsTorn) {
  for (std::uint32_t state = 0; state < 10; ++state) {
    auto run = run_of({1}, trailer(1));
    run.report.state = state;
    EXPECT_EQ(read({run}).tears.size(), state == SEVMON_RUN_DONE ? 0U : 1U) << state;
  }
}

/// What there is of a result stays.
TEST(ProcessRecords, OfARunThatIsOutOfTimeOrBudgetStay) {
  for (const std::uint32_t state : {SEVMON_RUN_OVER_TIME, SEVMON_RUN_OVER_BUDGET}) {
    auto run = run_of({1, 2, 700}, trailer(3));
    run.report.state = state;
    for (const std::size_t bytes : {run.result.size(), 3 * sizeof(sevmon_process_record),
                                    3 * sizeof(sevmon_process_record) + 1}) {
      run.result.resize(bytes);
      const auto found = read({run});
      EXPECT_EQ(found.records.size(), 3U) << bytes;
      EXPECT_EQ(found.tears.size(), 1U) << bytes;
      EXPECT_FALSE(found.ring) << bytes;
    }
    run.result.clear();
    EXPECT_TRUE(read({run}).records.empty());
  }
}

/// So is a standing program's first result, which no other one goes on with.
TEST(ProcessRecords, WhatCannotBeGoneOnWithIsTorn) {
  unsigned runs = 0;
  const auto run = [&](std::span<const std::byte>) -> common::Result<ProgramRun> {
    if (runs++ == 0) return run_of({1, 2}, trailer(2, SEVMON_PROCESSES_NO_SPACE, 9));
    return common::Error{ErrorCode::kTooLarge, "no more"};
  };
  const auto found = read_process_records(run, 1000);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->records.size(), 2U);
  ASSERT_EQ(found->tears.size(), 1U);
  EXPECT_NE(found->tears[0].text.find("no more"), std::string::npos);
  EXPECT_FALSE(read_process_records(run, 1000)) << "of the first one it is the list's";
}

TEST(ProcessRecords, TearsOfTheTableAreSaid) {
  for (std::uint32_t reason = 0; reason < 6; ++reason) {
    auto last = trailer(1);
    last.tears = 3;
    last.torn = 0xffff888000003000;
    last.reason = reason;
    const auto found = read({run_of({1}, last)});
    ASSERT_EQ(found.tears.size(), 1U);
    EXPECT_EQ(found.tears[0].address.value, 0xffff888000003000U);
    EXPECT_NE(found.tears[0].text.find("2 more places"), std::string::npos);
    EXPECT_EQ(found.records.size(), 1U);
  }
}

TEST(ProcessRecords, WithoutItsHeadThereIsNoRing) {
  auto last = trailer(1);
  last.status = SEVMON_STATUS_NOT_MAPPED;
  EXPECT_FALSE(read({run_of({1}, last)}).ring);
}

TEST(ProcessRecords, MoreThanTheBoundIsTorn) {
  EXPECT_TRUE(read({run_of({1, 2, 3}, trailer(3))}, 3).tears.empty());
  const auto found = read({run_of({1, 2, 3, 4}, trailer(4))}, 3);
  EXPECT_EQ(found.records.size(), 3U);
  EXPECT_EQ(found.tears.size(), 1U);
}

TEST(ProcessRecords, RunsWithoutEndAreCutOff) {
  std::uint64_t next = 0;
  const auto found = read_process_records(
      [&](std::span<const std::byte>) -> common::Result<ProgramRun> {
        return run_of({}, trailer(0, SEVMON_PROCESSES_TOO_MANY, ++next));
      },
      1000);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->tears.size(), 1U);
  EXPECT_EQ(next, 17U);
}

TEST(ProcessRecords, ATableUnlikeAnyIsNotSupported) {
  const auto found = read_process_records(
      [](std::span<const std::byte>) -> common::Result<ProgramRun> {
        return run_of({}, trailer(0, SEVMON_PROCESSES_UNSUPPORTED));
      },
      1000);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kUnsupported);
}

TEST(ProcessRecords, ErrorsOfARunAreTheLists) {
  const auto found = read_process_records(
      [](std::span<const std::byte>) -> common::Result<ProgramRun> {
        return common::Error{ErrorCode::kTimeout, "no answer"};
      },
      1000);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kTimeout);
}

}  // namespace
}  // namespace sevmon::ids
