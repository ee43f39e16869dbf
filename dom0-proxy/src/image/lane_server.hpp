// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "image/image_agent.hpp"
#include "lane.h"

#include <sevmon/result.hpp>

namespace sevmon::proxy {

/// Lanes of shared memory in a file, as Xen serves them in a device's memory: for tests, benches
/// and development. A thread of its own looks for requests until this ends: all the time while they
/// come, else ever less often, at most a millisecond apart.
class LaneServer {
 public:
  /// Make `path` if it is not there (4 lanes, nobody else's), and serve all lanes that it has room
  /// for. `agent` stays alive as long as this does.
  /// @return kIo; kUnsupported: no file; kTruncated: no room for a lane; kRefused: somebody serves
  /// it.
  static common::Result<std::unique_ptr<LaneServer>> start(ImageAgent& agent,
                                                           const std::string& path);
  ~LaneServer();
  LaneServer(const LaneServer&) = delete;
  LaneServer& operator=(const LaneServer&) = delete;

  /// "4 lanes in FILE"
  std::string describe() const;

 private:
  LaneServer(ImageAgent& agent, std::string path, int fd)
      : agent_{agent}, path_{std::move(path)}, fd_{fd} {}
  common::Result<void> map();
  void run();
  bool look();
  void say_poll(std::uint32_t poll_ns);

  ImageAgent& agent_;
  const std::string path_;
  const int fd_;
  std::uint8_t* memory_ = nullptr;
  std::size_t bytes_ = 0;
  std::vector<sevmon_lane> lanes_;
  std::atomic<bool> is_over_{false};
  std::thread thread_;
};

}  // namespace sevmon::proxy
