// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "helper/agent_call.hpp"
#include "process/log.hpp"

#include <sevmon/result.hpp>

namespace sevmon::proxy {

/// Owns a descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_{fd} {}
  Descriptor(Descriptor&& other) noexcept : fd_{other.fd_} { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

/// Listen on a SOCK_SEQPACKET socket at `path` (mode 0660, group `gid` unless -1). A socket file
/// that nobody listens on is replaced. @return kUsage, kIo.
common::Result<Descriptor> listen_seqpacket(const std::string& path, long gid);

/// Serves one proxy at a time with `workers` threads: each receives a frame, calls, sends the
/// result. The next client waits in the listen queue until the last thread of the one before has
/// finished its call; so a client that dies in the middle of one disturbs nobody.
class HelperServer {
 public:
  HelperServer(AgentCall& agent, unsigned workers) : agent_{agent}, workers_{workers} {}

  /// Serve whoever connects to `listen_fd` until `stop_fd` is readable. @return kIo.
  common::Result<void> run(int listen_fd, int stop_fd);

 private:
  void serve(int client_fd, int stop_fd);
  void work(unsigned worker, int client_fd);
  bool answer_one(unsigned worker, int client_fd, std::span<std::byte> buffer);

  AgentCall& agent_;
  const unsigned workers_;
  LimitedLog client_log_;
};

}  // namespace sevmon::proxy
