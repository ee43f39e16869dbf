// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <utility>

#include <sevmon/standing.hpp>

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

// What may delay a run that is due: those of other programs, each of which pauses for 100 ms at
// most, and whatever else Xen's CPU is at.
constexpr std::uint64_t kSlackNs = 500'000'000;

constexpr std::uint64_t allowed_ns(std::chrono::milliseconds max) {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds{max}.count()) + kSlackNs;
}

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
                    .allowed_ns = allowed_ns(std::chrono::milliseconds{entry.max_ms})};
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

Result<StandingFeed> StandingFeed::start(Channel& channel, std::span<const std::byte> image,
                                         std::span<const std::byte> input,
                                         const ProgramSchedule& schedule, Use use) {
  Programs programs{channel};
  StandingFeed feed{channel, Programs::name_of(image), schedule.max};
  const sevmon_program_entry* joined = nullptr;
  std::vector<sevmon_program_entry> entries;
  if (use == Use::kJoin) {
    auto listed = programs.list();
    if (!listed) return listed.error();
    entries = *std::move(listed);
    const auto found = std::ranges::find_if(entries, [&](const auto& entry) {
      return name_of(entry) == feed.name_ && entry.max_ms != 0;
    });
    if (found != entries.end()) joined = &*found;
  }
  // Before it is scheduled: afterwards nothing may fail, or nobody would end the schedule.
  if (auto ok = feed.begin(use); !ok) return ok.error();
  if (joined != nullptr) {
    feed.max_ = std::chrono::milliseconds{joined->max_ms};
  } else {
    const auto begun = programs.schedule(image, input, schedule);
    if (!begun) return begun.error();
    // By then the program may have been sent, and each request have waited for a slot of a watch.
    feed.seen_ns_ = begun->time_ns;
    feed.is_ours_ = true;
  }
  return feed;
}

/// From here on nothing may be late.
Result<void> StandingFeed::begin(Use use) {
  const auto waiting = Programs{*channel_}.collect(0);
  if (!waiting) return waiting.error();
  base_ = waiting->next_number - 1;
  seen_ns_ = waiting->agent_ns;
  skipped_ = waiting->skipped;
  if (use == Use::kJoin) first_ = last_ = base_;
  return {};
}

/// Only what this may take is let go of: behind the first result that it may not, all stay.
std::uint64_t StandingFeed::forgettable(std::span<const StandingRun> runs) const {
  std::uint64_t number = forget_;
  for (const auto& run : runs) {
    if (!is_ours_ || run.head.program != name_ || run.head.number <= first_) break;
    number = run.head.number;
  }
  return number;
}

/// Whether it has been too long until now that it ran.
void StandingFeed::look(std::uint64_t now_ns, bool is_open, std::vector<StandingGap>& gaps) {
  const auto ns = now_ns > seen_ns_ ? now_ns - seen_ns_ : 0;
  if (ns <= allowed_ns(max_) || (is_open && is_gap_told_)) return;
  is_gap_told_ = is_open;
  gaps.push_back({.program = name_,
                  .after = seen_,
                  .ns = ns,
                  .allowed_ns = allowed_ns(max_),
                  .is_open = is_open});
}

Result<StandingNews> StandingFeed::collect() {
  auto collected = Programs{*channel_}.collect(forget_);
  if (!collected) return collected.error();
  forget_ = forgettable(collected->runs);
  StandingNews news;
  news.skipped = collected->skipped - std::min(skipped_, collected->skipped);
  skipped_ = collected->skipped;
  for (auto& run : collected->runs) {
    const auto number = run.head.number;
    const auto& report = run.head.report;
    if (run.head.program != name_ || number <= last_) continue;
    last_ = number;
    if (number > base_ && saw_something(report)) {
      look(report.started_ns, false, news.gaps);
      seen_ns_ = report.ended_ns;
      seen_ = number;
      is_gap_told_ = false;
    }
    news.runs.push_back(std::move(run));
  }
  if (news.runs.empty() && collected->waiting != 0)
    return Error{ErrorCode::kTooLarge,
                 "results of other programs are in the way: `sevmon program results` takes them"};
  if (collected->waiting == 0) look(collected->agent_ns, true, news.gaps);
  return news;
}

Result<void> StandingFeed::end(Channel& channel) const {
  if (!is_ours_) return {};
  Programs programs{channel};
  if (auto ok = programs.unschedule(name_); !ok && ok.error().code != ErrorCode::kNotFound)
    return ok;
  // Also of what ran since the last answer.
  const auto rest = programs.collect(forget_);
  if (!rest) return rest.error();
  const auto seen = forgettable(rest->runs);
  if (seen == 0) return {};
  const auto forgotten = programs.collect(seen);
  return forgotten ? Result<void>{} : Result<void>{forgotten.error()};
}

ProgramRun as_program_run(StandingRun run) {
  ProgramRun given;
  given.report = run.head.report;
  given.head.time_ns = run.head.report.started_ns;
  given.head.domid = run.head.domid;
  given.head.kind = run.head.kind;
  given.head.levels = run.head.levels;
  given.head.root_frame = run.head.root_frame;
  given.result = std::move(run.result);
  return given;
}

}  // namespace sevmon::ids
