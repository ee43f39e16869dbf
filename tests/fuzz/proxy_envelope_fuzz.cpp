// SPDX-License-Identifier: Apache-2.0
// Target: what the relay and its helper take from outside: the envelope on TCP, the messages
// between the two programs. Property: what is accepted is within every limit and encodes to the
// same bytes.
#include <algorithm>
#include <cstdlib>

#include "envelope.hpp"
#include "helper/ipc.hpp"

namespace {

using namespace sevmon;

void require(bool held) {
  if (!held) std::abort();
}

void envelope(std::span<const std::byte> input) {
  if (input.size() < sizeof(sevmon_envelope)) return;
  const auto raw = input.first<sizeof(sevmon_envelope)>();
  const auto decoded = common::decode_envelope(raw, common::Direction::kToAgent);
  if (!decoded) return;
  require(decoded->bytes >= proxy::kMinFrameBytes && decoded->bytes <= proxy::kMaxFrameBytes);
  require(std::ranges::equal(proxy::encode_answer(decoded->tag, decoded->bytes), raw));
}

void message(std::span<const std::byte> input, common::Result<proxy::IpcMessage> decoded,
             std::size_t max_frame_bytes) {
  if (!decoded) return;
  require(decoded->frame.size() <= max_frame_bytes && decoded->status <= 0);
  require(decoded->frame.empty() == (decoded->status != 0));
  const auto head =
      proxy::encode_ipc_header({.id = decoded->id,
                                .status = decoded->status,
                                .bytes = static_cast<std::uint32_t>(decoded->frame.size())});
  require(std::ranges::equal(head, input.first(head.size())));
  require(head.size() + decoded->frame.size() == input.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span{data, size});
  envelope(input);
  message(input, proxy::decode_ipc_request(input), proxy::kMaxFrameBytes);
  message(input, proxy::decode_ipc_reply(input), proxy::kMaxAnswerBytes);
  return 0;
}
