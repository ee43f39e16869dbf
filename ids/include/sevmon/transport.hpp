// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <sevmon/frame_bytes.hpp>
#include <sevmon/result.hpp>

namespace sevmon::ids {

/// What came back for one frame: the agent's frame, or a relay's notice (SEVMON_NOTICE_*).
/// Nothing in it is authenticated.
struct Delivery {
  std::uint32_t tag = 0;
  std::int32_t notice = 0;  // 0: `frame` is one
  FrameBytes frame;         // empty with a notice
};

/// Moves opaque frames to an agent and back, in any order. Not thread-safe: Channel owns one.
class FrameTransport {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  virtual ~FrameTransport() = default;
  /// Queue one frame. `tag` comes back with its answer.
  /// @return kConnect when the peer is gone, kTimeout when it takes no more bytes until `deadline`.
  virtual common::Result<void> send(std::span<const std::byte> frame, std::uint32_t tag,
                                    Deadline deadline) = 0;
  /// Wait for the next delivery; one that is there already is returned even after `deadline`. A
  /// delivery of which a part has come by then is kept for the next call.
  /// @return kTimeout after `deadline`; kConnect at the end of the stream; kMalformed on an
  ///         envelope that cannot be (over the size limit, reserved bits).
  virtual common::Result<Delivery> receive(Deadline deadline) = 0;
  /// "tcp:127.0.0.1:7100", for messages.
  virtual std::string describe() const = 0;
};

/// Connect to `host:port` within `timeout`, finding the address of a name included.
/// @return kConnect, kTimeout, kUsage (bad port).
common::Result<std::unique_ptr<FrameTransport>> connect_tcp(const std::string& host,
                                                            const std::string& port,
                                                            std::chrono::milliseconds timeout);

/// Memory that an agent's host and this process both map, or one lane of it
/// (docs/protocol.md, 7.1).
class ShmLane;

/// Open and map `path`, a device's resource2 or a file, and take its first lane that no other
/// client has, for as long as the result lives. Needs nothing of the system afterwards. From the
/// first call on this process handles SIGBUS for these mappings: a file that is cut is no crash;
/// and the calling thread's timers are exact (PR_SET_TIMERSLACK).
/// @return kIo; kUnsupported: no file; kTruncated: too small; kConnect: all lanes are taken.
common::Result<std::shared_ptr<ShmLane>> open_shm(const std::string& path);

/// Begin to speak to the agent at the lane's other end. Whoever spoke over this lane before, in
/// this process, is cut off.
/// @return kConnect: no agent made this memory its own; kTimeout: one did, and does not answer now;
///         kUnsupported: another version.
common::Result<std::unique_ptr<FrameTransport>> connect_shm(std::shared_ptr<ShmLane> lane,
                                                            std::chrono::milliseconds timeout);

}  // namespace sevmon::ids
