// SPDX-License-Identifier: Apache-2.0
#include "linux/module_records.hpp"

#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "programs/modules.h"

namespace sevmon::ids {
namespace {

constexpr std::uint64_t kModule = 0xffffffffc0001000;

void append(std::vector<std::byte>& bytes, const auto& value) {
  const auto at = bytes.size();
  bytes.resize(at + sizeof value);
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

sevmon_module_record record(std::uint64_t number) {
  sevmon_module_record made{};
  made.module = kModule + number * 0x1000;
  made.refcount = 2;
  std::memset(made.name, 'x', sizeof made.name);
  return made;
}

sevmon_module_words words(std::uint64_t walk, std::uint64_t count) {
  sevmon_module_words made{.walk = walk, .count = count, .word = {}};
  for (std::uint64_t i = 0; i < count && i < SEVMON_MODULE_WORDS; ++i)
    made.word[i] = kModule + i * 0x1000;
  return made;
}

sevmon_modules_trailer trailer(std::uint32_t records, std::uint32_t end = SEVMON_MODULES_DONE,
                               std::uint32_t walk = 0, std::uint32_t skip = 0) {
  sevmon_modules_trailer made{};
  made.records = records;
  made.end = end;
  made.walk = walk;
  made.skip = skip;
  return made;
}

template <typename... Parts>
ProgramRun run_of(const Parts&... parts) {
  ProgramRun run;
  run.report.state = SEVMON_RUN_DONE;
  run.report.cost = 100;
  (append(run.result, parts), ...);
  return run;
}

/// What these runs, one after another, are taken as; what each was asked for goes to `asked`.
ModuleSightings read(const std::vector<ProgramRun>& runs, std::uint32_t max_modules = 1000,
                     std::vector<std::pair<std::uint32_t, std::uint32_t>>* asked = nullptr) {
  std::size_t at = 0;
  const auto found = read_module_records(
      [&](std::span<const std::byte> bytes) -> common::Result<ProgramRun> {
        sevmon_modules_input input{};
        EXPECT_EQ(bytes.size(), sizeof input);
        std::memcpy(&input, bytes.data(), sizeof input);
        if (asked != nullptr) asked->emplace_back(input.walk, input.skip);
        return runs.at(at++);
      },
      max_modules);
  EXPECT_TRUE(found);
  EXPECT_EQ(at, runs.size());
  return found ? *found : ModuleSightings{};
}

TEST(ModuleRecords, OfOneRun) {
  const auto found = read(
      {run_of(record(0), record(1), words(SEVMON_MODULES_USES, 4), words(SEVMON_MODULES_SYSFS, 2),
              words(SEVMON_MODULES_TREE, 13), words(SEVMON_MODULES_TREE, 1), trailer(6))});
  EXPECT_TRUE(found.tears.empty());
  ASSERT_EQ(found.listed.size(), 2U);
  EXPECT_EQ(found.listed[1].address.value, kModule + 0x1000);
  EXPECT_EQ(found.listed[1].name, std::string(56, 'x'));
  EXPECT_EQ(found.listed[1].refcount, 2);
  ASSERT_EQ(found.uses.size(), 2U);
  EXPECT_EQ(found.uses[1].first.value, kModule + 0x2000);
  EXPECT_EQ(found.uses[1].second.value, kModule + 0x3000);
  EXPECT_EQ(found.in_sysfs.size(), 2U);
  EXPECT_EQ(found.in_tree.size(), 14U);
  EXPECT_EQ(found.use.runs, 1U);
  EXPECT_EQ(found.use.cost, 100U);
}

TEST(ModuleRecords, GoOnWhereItSaysAndWithoutATrailerAfterWhatThereIs) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> asked;
  const auto found =
      read({run_of(record(0), trailer(1, SEVMON_MODULES_NO_SPACE, SEVMON_MODULES_LIST, 1)),
            run_of(record(1)), run_of(trailer(0, SEVMON_MODULES_NO_SPACE, SEVMON_MODULES_USES, 0)),
            run_of(words(SEVMON_MODULES_USES, 12)), run_of(words(SEVMON_MODULES_TREE, 13)),
            run_of(trailer(0))},
           1000, &asked);
  EXPECT_TRUE(found.tears.empty());
  EXPECT_EQ(asked, (std::vector<std::pair<std::uint32_t, std::uint32_t>>{
                       {0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 6}, {3, 13}}));
  EXPECT_EQ(found.listed.size(), 2U);
}

TEST(ModuleRecords, EachLengthThatIsNoResultIsTorn) {
  const auto whole = run_of(record(0), record(1), trailer(2));
  for (std::size_t bytes = 0; bytes < whole.result.size(); ++bytes) {
    auto run = whole;
    run.result.resize(bytes);
    // Whole records alone are a result without space for the trailer: tried elsewhere.
    if (bytes != 0 && bytes % sizeof(sevmon_module_record) == 0) continue;
    EXPECT_EQ(read({run}).tears.size(), 1U) << bytes;
  }
}

/// The walks that are whole can be relied on.
TEST(ModuleRecords, ATearIsOfItsWalk) {
  auto last = trailer(0);
  last.tears = 1;
  last.reason = SEVMON_MODULES_TEAR_NODE;
  last.torn_walks = 1U << SEVMON_MODULES_TREE;
  const auto found = read({run_of(last)});
  EXPECT_TRUE(found.is_tree_torn);
  EXPECT_FALSE(found.is_list_torn || found.is_sysfs_torn);
  const auto lost = read({run_of(trailer(0, 77))});
  EXPECT_TRUE(lost.is_tree_torn && lost.is_list_torn && lost.is_sysfs_torn);
}

TEST(ModuleRecords, WhatCannotBeIsTorn) {
  auto none = record(0);
  none.module = 0x7000;
  auto unread = record(0);
  unread.unread = 1;
  auto torn = trailer(0);
  torn.tears = 3;
  torn.reason = SEVMON_MODULES_TEAR_LINK;
  auto not_zero = trailer(0);
  not_zero.zero = 1;
  auto budget = run_of(trailer(0));
  budget.report.state = SEVMON_RUN_OVER_BUDGET;
  const std::vector<std::pair<const char*, ProgramRun>> cases{
      {"counts other records", run_of(record(0), trailer(2))},
      {"counts other records", run_of(not_zero)},
      {"of neither kind", run_of(none, trailer(1))},
      {"of neither kind", run_of(words(SEVMON_MODULES_WALKS, 1), trailer(1))},
      {"of neither kind", run_of(words(SEVMON_MODULES_LIST, 1), trailer(1))},
      {"of 0 words", run_of(words(SEVMON_MODULES_TREE, 0), trailer(1))},
      {"of 14 words", run_of(words(SEVMON_MODULES_TREE, 14), trailer(1))},
      {"of 3 words", run_of(words(SEVMON_MODULES_USES, 3), trailer(1))},
      {"not in order", run_of(words(SEVMON_MODULES_TREE, 1), record(0), trailer(2))},
      {"cannot be read", run_of(unread, trailer(1))},
      {"does not lead back, and 2 more places", run_of(torn)},
      {"ends with 77", run_of(trailer(0, 77))},
      {"ended early", budget},
      {"does not get on", run_of(trailer(0, SEVMON_MODULES_NO_SPACE, 0, 0))},
      {"go on where it ended",
       run_of(record(0), trailer(1, SEVMON_MODULES_NO_SPACE, SEVMON_MODULES_LIST, 0))},
      {"go on where it ended",
       run_of(record(0), trailer(1, SEVMON_MODULES_NO_SPACE, SEVMON_MODULES_LIST, 7))},
      {"go on where it ended",
       run_of(record(0), trailer(1, SEVMON_MODULES_NO_SPACE, SEVMON_MODULES_TREE, 1))},
      {"go on where it ended",
       run_of(record(0), trailer(1, SEVMON_MODULES_NO_SPACE, SEVMON_MODULES_WALKS, 0))},
  };
  for (const auto& [text, run] : cases) {
    const auto found = read({run});
    ASSERT_EQ(found.tears.size(), 1U) << text;
    EXPECT_NE(found.tears[0].text.find(text), std::string::npos) << found.tears[0].text;
  }
}

TEST(ModuleRecords, MoreModulesThanTheBoundAreTorn) {
  const auto run = run_of(record(0), record(1), record(2), trailer(3));
  EXPECT_EQ(read({run}, 2).listed.size(), 2U);
  EXPECT_EQ(read({run}, 2).tears.size(), 1U);
  EXPECT_EQ(read({run}, 3).tears.size(), 0U);
}

TEST(ModuleRecords, RunsWithoutAnEndAreCutOff) {
  unsigned runs = 0;
  const auto found = read_module_records(
      [&](std::span<const std::byte>) -> common::Result<ProgramRun> {
        ++runs;
        return run_of(words(SEVMON_MODULES_TREE, 1));
      },
      64);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->tears.size(), 1U);
  EXPECT_LE(runs, 65U);
}

TEST(ModuleRecords, AnErrorOfTheRunIsNoTear) {
  const auto found = read_module_records(
      [](std::span<const std::byte>) -> common::Result<ProgramRun> {
        return common::Error{common::ErrorCode::kTimeout, "no answer"};
      },
      10);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, common::ErrorCode::kTimeout);
}

}  // namespace
}  // namespace sevmon::ids
