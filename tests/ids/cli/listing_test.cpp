// SPDX-License-Identifier: Apache-2.0
#include "listing.hpp"

#include <gtest/gtest.h>

#include <sevmon/processes.hpp>

#include "command.hpp"

namespace sevmon::cli {
namespace {

using ids::Consistency;
using Kind = ids::ProcessNote::Kind;

int exit_code(Consistency consistency, std::initializer_list<Kind> kinds, bool is_less = false) {
  ids::ProcessList list;
  list.consistency = consistency;
  for (const auto kind : kinds) list.notes.push_back({.kind = kind, .text = {}});
  return exit_code_of(list, is_less);
}

TEST(Listing, ExitCode) {
  EXPECT_EQ(exit_code(Consistency::kConsistent, {}), kExitOk);
  EXPECT_EQ(exit_code(Consistency::kRetried, {}), kExitOk);
  EXPECT_EQ(exit_code(Consistency::kTorn, {Kind::kTear}), kExitUnknown);
  for (const auto kind : {Kind::kHiddenFromPids, Kind::kHiddenFromTasks, Kind::kDifference}) {
    EXPECT_EQ(exit_code(Consistency::kRetried, {kind}), kExitFindings);
    EXPECT_EQ(exit_code(Consistency::kRetried, {Kind::kTear, kind}), kExitFindings);
    EXPECT_EQ(exit_code(Consistency::kTorn, {Kind::kTear, kind}), kExitFindings)
        << "a tear on purpose helps nobody";
  }
}

TEST(Listing, ExitCodeOfLessThanWasAskedFor) {
  EXPECT_EQ(exit_code(Consistency::kConsistent, {}, true), kExitUnknown);
  EXPECT_EQ(exit_code(Consistency::kTorn, {Kind::kTear}, true), kExitUnknown);
  EXPECT_EQ(exit_code(Consistency::kConsistent, {Kind::kHiddenFromPids}, true), kExitFindings)
      << "who has the methods not compared hides nothing";
}

}  // namespace
}  // namespace sevmon::cli
