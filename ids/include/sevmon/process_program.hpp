// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/kernel.hpp>
#include <sevmon/list_program.hpp>
#include <sevmon/program.hpp>
#include <sevmon/programs.hpp>
#include <sevmon/result.hpp>

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
/// then that schedule stays, and so do its results. Uses program and channel, which must outlive
/// it.
class StandingProcesses {
 public:
  /// @return as Programs::schedule().
  static common::Result<StandingProcesses> start(Channel& channel, const ProcessProgram& program,
                                                 ProgramSchedule schedule);
  StandingProcesses(StandingProcesses&& other) noexcept;
  StandingProcesses& operator=(StandingProcesses&&) = delete;
  StandingProcesses(const StandingProcesses&) = delete;
  StandingProcesses& operator=(const StandingProcesses&) = delete;
  ~StandingProcesses();

  /// A run that took place in a time without a request: sends nothing for some of the schedule's
  /// intervals, collects what ran meanwhile, and gives that, the last one first, a call at a time.
  /// For ProcessOptions::run_program.
  /// @return kTimeout when nothing ran; kTooLarge when `input` asks for what comes after a full
  ///         result, or results of other programs are in the way; as Programs::collect().
  common::Result<ProgramRun> next(std::span<const std::byte> input);

  /// Let next() wait again: what ran so far is older than something that is to be compared with it.
  void restart() { runs_.clear(); }

 private:
  StandingProcesses(Channel& channel, std::uint64_t name, std::chrono::milliseconds max);
  static ProgramRun give(StandingRun run);
  common::Result<void> wait();
  void note_arrival(std::span<const StandingRun> runs);

  Channel* channel_;
  std::uint64_t name_;
  std::chrono::milliseconds max_;
  bool is_ours_ = false;      // scheduled by this
  std::uint64_t first_ = 0;   // the last number that there was before
  std::uint64_t last_ = 0;    // that was collected
  std::uint64_t forget_ = 0;  // up to here all that waits is ours, and has arrived
  std::vector<StandingRun> runs_;
};

}  // namespace sevmon::ids
