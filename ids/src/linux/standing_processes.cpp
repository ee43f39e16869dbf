// SPDX-License-Identifier: Apache-2.0
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

}  // namespace

StandingOrder StandingProcesses::order(const ProcessProgram& program, ProgramSchedule schedule) {
  schedule.run.budget = SEVMON_PROCESSES_BUDGET;
  const auto image = std::as_bytes(std::span{program.image().bytes});
  const sevmon_processes_input from_the_beginning{};
  const auto input = common::bytes_of(from_the_beginning);
  return {{image.begin(), image.end()}, {input.begin(), input.end()}, schedule};
}

Result<void> StandingProcesses::check_input(std::span<const std::byte> input) {
  if (input.size() == sizeof(sevmon_processes_input) &&
      common::Reader{input}.take<sevmon_processes_input>().id != 0)
    return Error{ErrorCode::kTooLarge, "more processes than a standing program's result holds"};
  return {};
}

Result<StandingProcesses> StandingProcesses::start(Channel& channel, const ProcessProgram& program,
                                                   const ProgramSchedule& schedule) {
  StandingFeed feed{channel, order(program, schedule), StandingFeed::Use::kJoin};
  if (auto ok = feed.start(); !ok) {
    // The agent may have scheduled it, and the answer be lost.
    static_cast<void>(feed.end());
    return ok.error();
  }
  return StandingProcesses{std::move(feed)};
}

StandingProcesses::StandingProcesses(StandingProcesses&& other) noexcept
    : feed_{std::exchange(other.feed_, std::nullopt)}, runs_{std::move(other.runs_)} {}

StandingProcesses::~StandingProcesses() {
  // The agent may be gone by now, and with it the schedule: there is nobody to tell.
  if (feed_) static_cast<void>(feed_->end());
}

Result<void> StandingProcesses::wait() {
  const auto quiet = kQuietIntervals * feed_->max();
  std::this_thread::sleep_for(quiet);
  auto news = feed_->collect();
  if (!news) return news.error();
  runs_ = std::move(news->runs);
  if (!runs_.empty()) feed_->looked_at(runs_.back().head.number);
  if (!runs_.empty()) return {};
  return Error{ErrorCode::kTimeout,
               "the standing program gave no result in " + std::to_string(quiet.count()) + " ms"};
}

Result<ProgramRun> StandingProcesses::next(std::span<const std::byte> input) {
  if (auto ok = check_input(input); !ok) return ok.error();
  if (runs_.empty())
    if (auto ok = wait(); !ok) return ok.error();
  auto run = std::move(runs_.back());
  runs_.pop_back();
  return as_program_run(std::move(run));
}

}  // namespace sevmon::ids
