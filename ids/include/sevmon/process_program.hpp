// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/kernel.hpp>
#include <sevmon/list_program.hpp>
#include <sevmon/program.hpp>
#include <sevmon/programs.hpp>
#include <sevmon/result.hpp>
#include <sevmon/standing.hpp>

namespace sevmon::ids {

/// ids/programs/processes.bpf.c. Its run() is for ProcessOptions::run_program.
class ProcessProgram : public ListProgram {
 public:
  /// @return kNotFound naming the member, type or symbol that the kernel has not.
  static common::Result<ProcessProgram> link(const ProgramTarget& target);
  /// For the kernel that runs. @return also kUnsupported when what is known of it has no types.
  static common::Result<ProcessProgram> link(const Kernel& kernel);

 private:
  explicit ProcessProgram(ProgramImage image);
};

/// The same program, run by Xen itself: what the target's processes are while no request shows that
/// somebody looks. Scheduled for as long as this lives, unless the IDS had scheduled it before;
/// then that schedule stays, and so do its results. Uses the channel, which must outlive it.
class StandingProcesses {
 public:
  /// For a feed in `schedule`'s intervals.
  static StandingOrder order(const ProcessProgram& program, ProgramSchedule schedule);
  /// @return kTooLarge when `input`, a list's for its program, asks for what comes after a full
  ///         result: nobody can have a schedule's runs go on with that.
  static common::Result<void> check_input(std::span<const std::byte> input);

  /// A schedule in `schedule`'s intervals. @return as StandingFeed::start().
  static common::Result<StandingProcesses> start(Channel& channel, const ProcessProgram& program,
                                                 const ProgramSchedule& schedule);
  StandingProcesses(StandingProcesses&& other) noexcept;
  StandingProcesses& operator=(StandingProcesses&&) = delete;
  StandingProcesses(const StandingProcesses&) = delete;
  StandingProcesses& operator=(const StandingProcesses&) = delete;
  ~StandingProcesses();

  /// A run that took place in a time without a request: sends nothing for some of the schedule's
  /// intervals, collects what ran meanwhile, and gives that, the last one first, a call at a time.
  /// For ProcessOptions::run_program.
  /// @return kTimeout when nothing ran; as check_input(), StandingFeed::collect().
  common::Result<ProgramRun> next(std::span<const std::byte> input);

  /// Let next() wait again: what ran so far is older than something that is to be compared with it.
  void restart() { runs_.clear(); }

 private:
  explicit StandingProcesses(StandingFeed feed) : feed_{std::move(feed)} {}
  common::Result<void> wait();

  std::optional<StandingFeed> feed_;  // none: moved from
  std::vector<StandingRun> runs_;
};

}  // namespace sevmon::ids
