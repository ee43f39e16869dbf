// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include <sevmon/programs.hpp>

namespace sevmon::ids {
namespace {

// What may delay a run that is due: those of other programs, each of which pauses for 100 ms at
// most, and whatever else Xen's CPU is at.
constexpr std::uint64_t kSlackNs = 500'000'000;

std::uint64_t name_of(const sevmon_program_entry& entry) {
  std::uint64_t name = 0;
  std::memcpy(&name, entry.sha256, sizeof(name));
  return name;
}

/// What could not pause the target, or had nothing to begin at, ends no gap.
bool saw_something(const sevmon_run_report& report) {
  return report.state != SEVMON_RUN_NOT_PAUSED && report.state != SEVMON_RUN_NO_TARGET &&
         report.state != SEVMON_RUN_NO_ROOT;
}

}  // namespace

std::vector<StandingGap> find_gaps(const Collected& collected,
                                   std::span<const sevmon_program_entry> entries) {
  std::vector<StandingGap> gaps;
  for (const auto& entry : entries) {
    if (entry.max_ms == 0) continue;
    StandingGap gap{.program = name_of(entry),
                    .allowed_ns = std::uint64_t{entry.max_ms} * 1'000'000 + kSlackNs};
    std::uint64_t ended_ns = 0;
    const auto look = [&](std::uint64_t now_ns) {
      gap.ns = now_ns > ended_ns ? now_ns - ended_ns : 0;
      if (ended_ns != 0 && gap.ns > gap.allowed_ns) gaps.push_back(gap);
    };
    // As far as nothing of it is here: what the agent itself says of it.
    const auto begun_ns = std::max(entry.scheduled_ns, entry.standing_ns);
    for (const auto& run : collected.runs) {
      if (run.head.program != gap.program || !saw_something(run.head.report)) continue;
      // The first run of a schedule follows none of it.
      if (run.head.report.runs != 0) look(run.head.report.started_ns);
      gap.after = run.head.number;
      ended_ns = run.head.report.ended_ns;
    }
    gap.is_open = true;
    if (collected.waiting != 0) continue;
    if (gap.after == 0) ended_ns = begun_ns;
    look(collected.agent_ns);
  }
  return gaps;
}

}  // namespace sevmon::ids
