// SPDX-License-Identifier: Apache-2.0
#include "helper/xen_call.hpp"

#include <errno.h>
#include <public/sevmon.h>

extern "C" {
#include <xencall.h>
}

#include <array>
#include <cstdint>
#include <cstring>
#include <string>

#include "helper/ipc.hpp"

namespace sevmon::proxy {

static_assert(XEN_SEVMON_MAX_FRAME_BYTES == kMaxFrameBytes);
static_assert(XEN_SEVMON_MAX_ANSWER_BYTES == kMaxAnswerBytes);

using common::Error;
using common::ErrorCode;

common::Result<std::unique_ptr<XenCall>> XenCall::open(unsigned workers) {
  errno = 0;
  xencall_handle* handle = xencall_open(nullptr, 0);
  if (!handle)
    return Error{ErrorCode::kIo, std::string{"cannot open /dev/xen/privcmd: "} +
                                     std::strerror(errno) +
                                     " (is this Dom0, and is xen-privcmd loaded?)"};
  std::unique_ptr<XenCall> call{new XenCall{handle}};
  for (unsigned worker = 0; worker < workers; ++worker) {
    auto& buffers = call->buffers_.emplace_back();
    buffers.frame = static_cast<std::byte*>(xencall_alloc_buffer(handle, kMaxFrameBytes));
    buffers.answer = static_cast<std::byte*>(xencall_alloc_buffer(handle, kMaxAnswerBytes));
    if (!buffers.frame || !buffers.answer)
      return Error{ErrorCode::kIo, std::string{"hypercall buffers: "} + std::strerror(errno)};
  }
  return call;
}

XenCall::~XenCall() {
  for (const auto& buffers : buffers_) {
    xencall_free_buffer(handle_, buffers.frame);
    xencall_free_buffer(handle_, buffers.answer);
  }
  xencall_close(handle_);
}

long XenCall::call(unsigned worker, std::span<const std::byte> frame,
                   std::span<const std::byte>& answer) {
  const Buffers& buffers = buffers_.at(worker);
  if (frame.size() > kMaxFrameBytes) return -EINVAL;
  std::memcpy(buffers.frame, frame.data(), frame.size());
  const int result = xencall5(handle_, __HYPERVISOR_sevmon_op, XEN_SEVMON_OP_frame,
                              reinterpret_cast<std::uintptr_t>(buffers.frame), frame.size(),
                              reinterpret_cast<std::uintptr_t>(buffers.answer), kMaxAnswerBytes);
  if (result < 0) return errno > 0 ? -errno : -EIO;
  if (static_cast<std::size_t>(result) > kMaxAnswerBytes) return -EIO;
  answer = {buffers.answer, static_cast<std::size_t>(result)};
  return result;
}

int XenCall::probe() {
  const std::array<std::byte, kMinFrameBytes> nothing{};
  std::span<const std::byte> answer;
  const long result = call(0, nothing, answer);
  return result >= 0 || result == -EBADMSG ? 0 : static_cast<int>(result);
}

}  // namespace sevmon::proxy
