// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "helper/agent_call.hpp"

#include <sevmon/result.hpp>

struct xencall_handle;

namespace sevmon::proxy {

/// XEN_SEVMON_OP_frame through libxencall. Two buffers per worker, allocated once: the frame is
/// copied into one, Xen writes the answer into the other.
class XenCall : public AgentCall {
 public:
  /// @return kIo when /dev/xen/privcmd (or /dev/xen/hypercall, if it is there) cannot be opened.
  static common::Result<std::unique_ptr<XenCall>> open(unsigned workers);
  ~XenCall() override;

  long call(unsigned worker, std::span<const std::byte> frame,
            std::span<const std::byte>& answer) override;

  /// One frame that no agent takes: tells whether there is one. @return 0, or -errno: -ENOSYS
  /// without our Xen, -ENODEV with an agent that is off.
  int probe();

 private:
  struct Buffers {
    std::byte* frame = nullptr;
    std::byte* answer = nullptr;
  };

  explicit XenCall(xencall_handle* handle) : handle_{handle} {}

  xencall_handle* const handle_;
  std::vector<Buffers> buffers_;
};

}  // namespace sevmon::proxy
