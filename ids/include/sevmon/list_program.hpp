// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <sevmon/channel.hpp>
#include <sevmon/kernel.hpp>
#include <sevmon/program.hpp>
#include <sevmon/programs.hpp>
#include <sevmon/result.hpp>

namespace sevmon::ids {

/// A program of the library's own that makes a list, linked for one kernel: where the agent has it,
/// a list takes one round trip for as much as fits an answer.
class ListProgram {
 public:
  const ProgramImage& image() const { return image_; }

  /// Run it in the channel's agent, which is sent it if it has it not; `options` but for the
  /// budget. For a list's options. @return as Programs::run().
  common::Result<ProgramRun> run(Channel& channel, std::span<const std::byte> input,
                                 ProgramRunOptions options);

  /// Round trips that it took to send it, over all runs: 0 where the agent had it.
  std::uint64_t loading_round_trips() const { return loading_round_trips_; }

 protected:
  ListProgram(ProgramImage image, std::uint64_t budget)
      : image_{std::move(image)}, budget_{budget} {}

  /// @return kNotFound naming the member, type or symbol that the kernel has not.
  static common::Result<ProgramImage> link_object(std::span<const std::uint8_t> object,
                                                  const ProgramTarget& target);
  /// @return kUnsupported when what is known of the kernel has no types.
  static common::Result<ProgramTarget> target_of(const Kernel& kernel);

 private:
  ProgramImage image_;
  std::uint64_t budget_;
  std::uint64_t loading_round_trips_ = 0;
};

}  // namespace sevmon::ids
