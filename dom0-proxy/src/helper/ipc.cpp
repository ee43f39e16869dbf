// SPDX-License-Identifier: Apache-2.0
#include "helper/ipc.hpp"

#include <sys/socket.h>

#include <bit>
#include <cstring>
#include <string>

namespace sevmon::proxy {

namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

Result<IpcMessage> decode(std::span<const std::byte> message, std::size_t max_frame_bytes) {
  if (message.size() < sizeof(IpcHeader))
    return Error{ErrorCode::kTruncated, "message of " + std::to_string(message.size()) + " bytes"};
  IpcHeader header;
  std::memcpy(&header, message.data(), sizeof(header));
  const auto frame = message.subspan(sizeof(header));
  if (frame.size() > max_frame_bytes)
    return Error{ErrorCode::kTooLarge, "frame of " + std::to_string(frame.size()) + " bytes"};
  if (header.bytes != frame.size())
    return Error{ErrorCode::kMalformed, "announces " + std::to_string(header.bytes) +
                                            " bytes, has " + std::to_string(frame.size())};
  return IpcMessage{.id = header.id, .status = header.status, .frame = frame};
}

}  // namespace

Result<IpcMessage> decode_ipc_request(std::span<const std::byte> message) {
  auto request = decode(message, kMaxFrameBytes);
  if (!request) return request;
  if (request->status != 0)
    return Error{ErrorCode::kMalformed, "request with status " + std::to_string(request->status)};
  if (request->frame.size() < kMinFrameBytes)
    return Error{ErrorCode::kTruncated,
                 "frame of " + std::to_string(request->frame.size()) + " bytes"};
  return request;
}

Result<IpcMessage> decode_ipc_reply(std::span<const std::byte> message) {
  auto reply = decode(message, kMaxAnswerBytes);
  if (!reply) return reply;
  if (reply->status > 0 || reply->status < -kMaxErrno)
    return Error{ErrorCode::kMalformed, "status " + std::to_string(reply->status)};
  if (reply->status != 0 && !reply->frame.empty())
    return Error{ErrorCode::kMalformed, "an error with a frame"};
  if (reply->status == 0 && reply->frame.size() < kMinFrameBytes)
    return Error{ErrorCode::kTruncated,
                 "frame of " + std::to_string(reply->frame.size()) + " bytes"};
  return reply;
}

std::array<std::byte, sizeof(IpcHeader)> encode_ipc_header(const IpcHeader& header) {
  return std::bit_cast<std::array<std::byte, sizeof(IpcHeader)>>(header);
}

void enlarge_socket_buffers(int fd) {
  const int bytes = 16 * static_cast<int>(kMaxIpcReplyBytes);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

}  // namespace sevmon::proxy
