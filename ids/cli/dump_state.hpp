// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sevmon/result.hpp>

#include "dump/frame_runs.hpp"

namespace sevmon::cli {

/// What a dump is of and how it is written: one that goes on must be of the same.
struct DumpPlan {
  std::string format;  // "elf" or "lime"
  bool zstd = false;
  std::string target;  // boot nonce of a running one's agent, identity of an image
  bool is_image = false;
  std::uint16_t domain = 0;
  std::vector<ids::FrameRun> frames;  // to read
  bool operator==(const DumpPlan&) const = default;
};

/// Room before the pages for what is known last.
std::uint64_t header_bytes(const DumpPlan& plan);

/// How far a dump has come.
struct DumpProgress {
  ids::FrameRuns read;     // chunks that are done
  ids::FrameRuns present;  // frames of them that there were
  std::uint64_t file_bytes = 0;
  std::uint64_t first_ns = 0;
  std::uint64_t last_ns = 0;
};

/// One chunk's part in it.
struct DumpStep {
  ids::FrameRun read;
  std::vector<ids::FrameRun> present;
  std::uint64_t file_bytes = 0;  // with this chunk
  std::uint64_t first_ns = 0, last_ns = 0;

  void add_to(DumpProgress& progress) const;
};

/// The state of a dump is a file of lines, each with its checksum: the plan, then a line for each
/// chunk. Whatever is cut off, the lines before it hold.
std::string encode(const DumpPlan& plan);
std::string encode(const DumpStep& step);

struct DumpState {
  DumpPlan plan;
  DumpProgress progress;
  std::uint64_t state_bytes = 0;  // of the lines that hold
};

/// @return kMalformed when not even the plan's line holds.
common::Result<DumpState> parse_state(std::string_view text);

/// @return kMismatch saying what `now` has that `then` had not.
common::Result<void> check_same(const DumpPlan& then, const DumpPlan& now);

}  // namespace sevmon::cli
