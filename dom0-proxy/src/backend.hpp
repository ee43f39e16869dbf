// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <string>
#include <vector>

namespace sevmon::proxy {

struct BackendAnswer {
  int error = 0;                 // 0, or the hypercall's errno, positive
  std::vector<std::byte> frame;  // empty with an error
};

/// What a relay needs from an agent. All calls come from the I/O thread.
class Backend {
 public:
  virtual ~Backend() = default;

  /// Hand in one frame (16..1020 bytes) and wait for its answer. Any number may be under way; they
  /// finish in any order. Cancelling the wait does not call the frame back.
  virtual boost::asio::awaitable<BackendAnswer> submit(std::vector<std::byte> frame) = 0;

  /// Let go of threads and sockets; what is under way fails.
  virtual void stop() = 0;

  /// "xen through /run/dom0-proxy/helper.sock", for the log.
  virtual std::string describe() const = 0;
};

}  // namespace sevmon::proxy
