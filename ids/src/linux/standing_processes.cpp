// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <thread>
#include <utility>

#include <sevmon/cursor.hpp>
#include <sevmon/process_program.hpp>

#include "programs/processes.h"

namespace sevmon::ids {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

// Who hides from requests need not come back the moment one is over. Nothing is sent for so many of
// the longest intervals, and what ran last in that time counts first.
constexpr unsigned kQuietIntervals = 4;

std::uint64_t name_of(const sevmon_program_entry& entry) {
  return common::Reader{std::as_bytes(std::span{entry.sha256})}.take<std::uint64_t>();
}

}  // namespace

StandingProcesses::StandingProcesses(Channel& channel, std::uint64_t name,
                                     std::chrono::milliseconds max)
    : channel_{&channel}, name_{name}, max_{max} {}

StandingProcesses::StandingProcesses(StandingProcesses&& other) noexcept
    : channel_{other.channel_},
      name_{other.name_},
      max_{other.max_},
      is_ours_{std::exchange(other.is_ours_, false)},
      first_{other.first_},
      last_{other.last_},
      forget_{other.forget_},
      runs_{std::move(other.runs_)} {}

StandingProcesses::~StandingProcesses() {
  if (!is_ours_) return;
  Programs programs{*channel_};
  // The agent may be gone by now, and with it the schedule: there is nobody to tell.
  static_cast<void>(programs.unschedule(name_));
  // Also of what ran since the last answer.
  const auto rest = programs.collect(forget_);
  if (!rest) return;
  note_arrival(rest->runs);
  if (forget_ != 0) static_cast<void>(programs.collect(forget_));
}

void StandingProcesses::note_arrival(std::span<const StandingRun> runs) {
  // Only what this made is let go of: behind the first result of another's, all stay.
  for (const auto& run : runs) {
    if (!is_ours_ || run.head.program != name_ || run.head.number <= first_) return;
    forget_ = run.head.number;
  }
}

Result<StandingProcesses> StandingProcesses::start(Channel& channel, const ProcessProgram& program,
                                                   ProgramSchedule schedule) {
  const auto bytes = std::as_bytes(std::span{program.image().bytes});
  Programs programs{channel};
  const auto entries = programs.list();
  if (!entries) return entries.error();
  StandingProcesses standing{channel, Programs::name_of(bytes), schedule.max};
  const auto entry = std::ranges::find_if(*entries, [&](const auto& each) {
    return name_of(each) == standing.name_ && each.max_ms != 0;
  });
  if (entry != entries->end()) {
    standing.max_ = std::chrono::milliseconds{entry->max_ms};
  } else {
    schedule.run.budget = SEVMON_PROCESSES_BUDGET;
    const sevmon_processes_input from_the_beginning{};
    if (auto ok = programs.schedule(bytes, common::bytes_of(from_the_beginning), schedule); !ok)
      return ok.error();
    standing.is_ours_ = true;
  }
  // What waits already is of another time.
  const auto waiting = programs.collect(0);
  if (!waiting) return waiting.error();
  standing.first_ = standing.last_ = waiting->next_number - 1;
  return standing;
}

ProgramRun StandingProcesses::give(StandingRun run) {
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

Result<void> StandingProcesses::wait() {
  const auto quiet = kQuietIntervals * max_;
  std::this_thread::sleep_for(quiet);
  auto collected = Programs{*channel_}.collect(forget_);
  if (!collected) return collected.error();
  note_arrival(collected->runs);
  for (auto& run : collected->runs) {
    if (run.head.program != name_ || run.head.number <= last_) continue;
    last_ = run.head.number;
    runs_.push_back(std::move(run));
  }
  if (!runs_.empty()) return {};
  if (collected->waiting != 0)
    return Error{ErrorCode::kTooLarge,
                 "results of other programs are in the way: `sevmon program results` takes them"};
  return Error{ErrorCode::kTimeout,
               "the standing program gave no result in " + std::to_string(quiet.count()) + " ms"};
}

Result<ProgramRun> StandingProcesses::next(std::span<const std::byte> input) {
  if (input.size() == sizeof(sevmon_processes_input) &&
      common::Reader{input}.take<sevmon_processes_input>().id != 0)
    return Error{ErrorCode::kTooLarge, "more processes than a standing program's result holds"};
  if (runs_.empty())
    if (auto ok = wait(); !ok) return ok.error();
  auto run = std::move(runs_.back());
  runs_.pop_back();
  return give(std::move(run));
}

}  // namespace sevmon::ids
