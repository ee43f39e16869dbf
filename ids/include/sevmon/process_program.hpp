// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <sevmon/channel.hpp>
#include <sevmon/kernel.hpp>
#include <sevmon/program.hpp>
#include <sevmon/programs.hpp>
#include <sevmon/result.hpp>

namespace sevmon::ids {

/// The library's own program that lists processes (ids/programs/processes.bpf.c), linked for one
/// kernel: where the agent has it, a list takes one round trip for as many processes as fit an
/// answer.
class ProcessProgram {
 public:
  /// @return kNotFound naming the member, type or symbol that the kernel has not.
  static common::Result<ProcessProgram> link(const ProgramTarget& target);
  /// For the kernel that runs. @return also kUnsupported when what is known of it has no types.
  static common::Result<ProcessProgram> link(const Kernel& kernel);

  const ProgramImage& image() const { return image_; }

  /// Run it in the channel's agent, which is sent it if it has it not; `options` but for the
  /// budget. For ProcessOptions::run_program. @return as Programs::run().
  common::Result<ProgramRun> run(Channel& channel, std::span<const std::byte> input,
                                 ProgramRunOptions options);

  /// Round trips that it took to send it, over all runs: 0 where the agent had it.
  std::uint64_t loading_round_trips() const { return loading_round_trips_; }

 private:
  explicit ProcessProgram(ProgramImage image) : image_{std::move(image)} {}

  ProgramImage image_;
  std::uint64_t loading_round_trips_ = 0;
};

}  // namespace sevmon::ids
