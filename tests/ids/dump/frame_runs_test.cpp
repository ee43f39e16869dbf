// SPDX-License-Identifier: Apache-2.0
#include "dump/frame_runs.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace sevmon::ids::test {
namespace {

std::vector<FrameRun> list(const FrameRuns& runs) {
  return {runs.runs().begin(), runs.runs().end()};
}

TEST(FrameRuns, TouchingOnesAreOne) {
  FrameRuns runs;
  runs.append({1, 2});
  runs.append({3, 1});
  runs.append({5, 0});
  runs.append({6, 1});
  EXPECT_EQ(list(runs), (std::vector<FrameRun>{{1, 3}, {6, 1}}));
  EXPECT_EQ(runs.frames(), 4u);
}

TEST(FrameRuns, LikeSets) {
  std::mt19937 random{1};
  const auto make = [&] {
    std::vector<FrameRun> runs;
    for (unsigned i = random() % 6; i > 0; --i) runs.push_back({random() % 40, random() % 8});
    return runs;
  };
  const auto members = [](std::span<const FrameRun> runs) {
    std::set<std::uint64_t> frames;
    for (const auto& run : runs)
      for (std::uint64_t i = 0; i < run.count; ++i) frames.insert(run.first + i);
    return frames;
  };
  for (int i = 0; i < 5000; ++i) {
    const auto a = make();
    const auto b = make();
    EXPECT_EQ(members(merge(a).runs()), members(a));
    EXPECT_EQ(merge(a).frames(), members(a).size());
    auto rest = members(a);
    for (const auto frame : members(b)) rest.erase(frame);
    const auto left = without(merge(a), merge(b));
    EXPECT_EQ(members(left.runs()), rest);
    EXPECT_EQ(left.frames(), rest.size());
  }
}

}  // namespace
}  // namespace sevmon::ids::test
