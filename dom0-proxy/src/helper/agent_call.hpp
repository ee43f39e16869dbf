// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

namespace sevmon::proxy {

/// The one thing that the helper does. Each worker has its own buffers, so calls of different
/// workers may run at once.
class AgentCall {
 public:
  virtual ~AgentCall() = default;

  /// Hand `frame` (16..1020 bytes) to the agent. On success `answer` is in `worker`'s buffer, until
  /// that worker's next call.
  /// @return the answer's size in bytes, or -errno.
  virtual long call(unsigned worker, std::span<const std::byte> frame,
                    std::span<const std::byte>& answer) = 0;
};

}  // namespace sevmon::proxy
