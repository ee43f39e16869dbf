// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <sevmon/wire.h>
#include <sevmon/result.hpp>

namespace sevmon::proxy {

/// What dom0-proxy and its helper say to one another on a SOCK_SEQPACKET socket of this machine:
/// one message is this header and the frame, nothing else.
struct IpcHeader {
  std::uint64_t id;     // chosen by the proxy, repeated in the reply
  std::int32_t status;  // request: 0; reply: 0, or -errno and no frame
  std::uint32_t bytes;  // of the frame
};
static_assert(sizeof(IpcHeader) == 16);

inline constexpr std::size_t kMinFrameBytes = sizeof(sevmon_header);
inline constexpr std::size_t kMaxFrameBytes = SEVMON_REQUEST_FRAME_BYTES;  // to the agent
inline constexpr std::size_t kMaxAnswerBytes = SEVMON_MAX_FRAME_BYTES;     // from it
inline constexpr std::size_t kMaxIpcRequestBytes = sizeof(IpcHeader) + kMaxFrameBytes;
inline constexpr std::size_t kMaxIpcReplyBytes = sizeof(IpcHeader) + kMaxAnswerBytes;

/// errno values are below this (Linux, include/linux/err.h).
inline constexpr std::int32_t kMaxErrno = 4095;

struct IpcMessage {
  std::uint64_t id = 0;
  std::int32_t status = 0;
  std::span<const std::byte> frame;  // into the message
};

/// @return kTruncated, kTooLarge, kMalformed (a size that is not the message's, a status).
common::Result<IpcMessage> decode_ipc_request(std::span<const std::byte> message);
common::Result<IpcMessage> decode_ipc_reply(std::span<const std::byte> message);

/// The header to send before `frame_bytes` bytes.
std::array<std::byte, sizeof(IpcHeader)> encode_ipc_header(const IpcHeader& header);

/// Room for several of the largest messages, so that a worker seldom waits for the reader: the
/// system's default holds three. Best effort: the default does work.
void enlarge_socket_buffers(int fd);

}  // namespace sevmon::proxy
