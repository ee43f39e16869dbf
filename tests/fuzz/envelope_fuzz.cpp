// SPDX-License-Identifier: Apache-2.0
// Target: common::decode_envelope in both directions, and common::decode_header on what follows.
// Property: what decodes re-encodes to the same bytes, and never promises more than the limit.
#include <cstdint>
#include <cstdlib>
#include <span>

#include <sevmon/codec.hpp>
#include <sevmon/cursor.hpp>

using namespace sevmon::common;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto in = std::as_bytes(std::span{data, size});
  if (const auto header = decode_header(in))
    if (frame_bytes(header->type, header->size_class) != size) std::abort();
  static_cast<void>(decode_challenge(in, {1}, {2}));
  if (size < sizeof(sevmon_envelope)) return 0;
  const auto head = in.first<sizeof(sevmon_envelope)>();
  for (const auto direction : {Direction::kToAgent, Direction::kToIds})
    if (const auto envelope = decode_envelope(head, direction)) {
      if (!std::ranges::equal(encode_envelope(*envelope), head)) std::abort();
      if (envelope->bytes > SEVMON_MAX_FRAME_BYTES) std::abort();
      if ((envelope->bytes == 0) != (envelope->status != 0)) std::abort();
    }
  return 0;
}
