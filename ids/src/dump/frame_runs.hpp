// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace sevmon::ids {

/// Adjacent frames.
struct FrameRun {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  bool operator==(const FrameRun&) const = default;
};

/// Frames in ascending order, as few runs as they are.
class FrameRuns {
 public:
  /// `run` begins at or after the end of all that is there.
  void append(FrameRun run);
  std::span<const FrameRun> runs() const { return runs_; }
  std::uint64_t frames() const { return frames_; }

 private:
  std::vector<FrameRun> runs_;
  std::uint64_t frames_ = 0;
};

/// Sorted, what overlaps or touches made one, empty ones left out.
FrameRuns merge(std::vector<FrameRun> runs);

/// What of `all` is not in `runs`.
FrameRuns without(const FrameRuns& all, const FrameRuns& runs);

}  // namespace sevmon::ids
