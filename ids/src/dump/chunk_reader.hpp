// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <sevmon/channel.hpp>
#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

#include "dump/frame_runs.hpp"

namespace sevmon::ids {

inline constexpr std::uint64_t kChunkFrames = 4096;  // 16 MiB
// One is written, one waits for its last answers, one is asked for.
inline constexpr std::size_t kChunks = 3;

/// Some frames of a target's physical memory, read.
struct Chunk {
  FrameRun frames;                    // that were asked for
  std::span<const FrameRun> present;  // those of them that there are
  std::span<const std::byte> bytes;   // from frames.first on; zeros where there is none
  std::uint64_t first_ns = 0;         // the agent's clock at the first answer, and at the last
  std::uint64_t last_ns = 0;

  std::span<const std::byte> bytes_of(FrameRun run) const;
};

/// Takes a chunk. From another thread than that which reads, one at a time, in ascending order.
using TakeChunk = std::function<common::Result<void>(const Chunk&)>;

/// Read `frames` of a target, chunk after chunk, with full pipelines, in constant memory: a slow
/// taker makes the requests wait. A chunk that follows one without any frame is first asked for by
/// a few bytes of each, which costs a quarter. `stop` ends it early, without an error; chunks that
/// are not complete by then are not taken.
/// @return errors of `take` and of the channel; kRefused when the agent cannot serve it.
common::Result<void> read_chunks(Channel& channel, common::DomId domain, const FrameRuns& frames,
                                 const std::atomic<bool>& stop, const TakeChunk& take);

}  // namespace sevmon::ids
