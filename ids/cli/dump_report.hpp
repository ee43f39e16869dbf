// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "dump/frame_runs.hpp"
#include "dump_state.hpp"
#include "output.hpp"

namespace sevmon::cli {

/// How far a dump is, how fast and for how long yet: a bar on a terminal, lines when asked for.
class DumpMeter {
 public:
  /// `done` frames of `total` are there before it begins.
  DumpMeter(std::uint64_t done, std::uint64_t total, bool lines);
  ~DumpMeter();
  DumpMeter(const DumpMeter&) = delete;
  DumpMeter& operator=(const DumpMeter&) = delete;

  /// From one thread.
  void update(std::uint64_t done);

 private:
  using Clock = std::chrono::steady_clock;
  std::string describe(std::uint64_t done, Clock::time_point now) const;

  const std::uint64_t before_, total_;
  const bool bar_, lines_;
  const Clock::time_point start_;
  Clock::time_point shown_;
  bool is_drawn_ = false;
};

/// "1.5 GiB"
std::string binary_size(std::uint64_t bytes);

/// What a dump holds and what it does not, over which time; for the document and the core's note.
Json describe_dump(const DumpPlan& plan, const DumpProgress& progress);

}  // namespace sevmon::cli
