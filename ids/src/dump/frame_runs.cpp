// SPDX-License-Identifier: Apache-2.0
#include "dump/frame_runs.hpp"

#include <algorithm>

namespace sevmon::ids {

void FrameRuns::append(FrameRun run) {
  if (run.count == 0) return;
  frames_ += run.count;
  if (!runs_.empty() && runs_.back().first + runs_.back().count == run.first)
    runs_.back().count += run.count;
  else
    runs_.push_back(run);
}

FrameRuns merge(std::vector<FrameRun> runs) {
  std::ranges::sort(runs, {}, &FrameRun::first);
  FrameRuns merged;
  std::uint64_t end = 0;  // of what is there
  for (const auto& run : runs) {
    const auto from = std::max(run.first, end);
    if (run.first + run.count <= from) continue;
    end = run.first + run.count;
    merged.append({from, end - from});
  }
  return merged;
}

FrameRuns without(const FrameRuns& all, const FrameRuns& runs) {
  FrameRuns rest;
  auto cut = runs.runs().begin();
  for (const auto& run : all.runs()) {
    auto at = run.first;
    const auto end = run.first + run.count;
    while (at < end) {
      while (cut != runs.runs().end() && cut->first + cut->count <= at) ++cut;
      const auto stop = cut == runs.runs().end() ? end : std::min(end, cut->first);
      if (stop > at) rest.append({at, stop - at});
      if (stop == end) break;
      at = std::min(end, cut->first + cut->count);
    }
  }
  return rest;
}

}  // namespace sevmon::ids
