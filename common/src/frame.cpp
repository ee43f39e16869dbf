// SPDX-License-Identifier: MIT
#include <string>

#include <sevmon/codec.hpp>
#include <sevmon/cursor.hpp>

namespace sevmon::common {

EnvelopeBytes encode_envelope(const sevmon_envelope& envelope) {
  return std::bit_cast<EnvelopeBytes>(envelope);
}

Result<sevmon_envelope> decode_envelope(std::span<const std::byte, sizeof(sevmon_envelope)> bytes,
                                        Direction direction) {
  Reader reader{bytes};
  const auto envelope = reader.take<sevmon_envelope>();
  const std::size_t limit =
      direction == Direction::kToIds ? SEVMON_MAX_FRAME_BYTES : SEVMON_REQUEST_FRAME_BYTES;
  if (envelope.zero != 0) return Error{ErrorCode::kMalformed, "envelope: reserved bytes"};
  if (envelope.status != 0) {
    if (direction == Direction::kToAgent)
      return Error{ErrorCode::kMalformed, "envelope: a notice towards the agent"};
    if (envelope.status < SEVMON_NOTICE_REJECTED || envelope.status > SEVMON_NOTICE_INTERNAL)
      return Error{ErrorCode::kMalformed, "envelope: notice " + std::to_string(envelope.status)};
    if (envelope.bytes != 0) return Error{ErrorCode::kMalformed, "envelope: a notice with a frame"};
    return envelope;
  }
  if (envelope.bytes < sizeof(sevmon_header))
    return Error{ErrorCode::kMalformed,
                 "envelope: a frame of " + std::to_string(envelope.bytes) + " bytes"};
  if (envelope.bytes > limit)
    return Error{ErrorCode::kTooLarge,
                 "envelope: a frame of " + std::to_string(envelope.bytes) + " bytes"};
  return envelope;
}

std::size_t frame_bytes(std::uint8_t type, std::uint8_t size_class) {
  switch (type) {
    case SEVMON_FRAME_HELLO:
    case SEVMON_FRAME_CHALLENGE:
    case SEVMON_FRAME_INITIATE:
    case SEVMON_FRAME_ACCEPT:
      return size_class == 0 ? SEVMON_HANDSHAKE_FRAME_BYTES : 0;
    case SEVMON_FRAME_REQUEST:
      return size_class < SEVMON_CLASSES ? SEVMON_REQUEST_FRAME_BYTES : 0;
    case SEVMON_FRAME_RESPONSE:
      return size_class < SEVMON_CLASSES ? SEVMON_RESPONSE_FRAME_BYTES(size_class) : 0;
  }
  return 0;
}

Result<sevmon_header> decode_header(std::span<const std::byte> frame) {
  Reader reader{frame};
  const auto header = reader.take<sevmon_header>();
  if (reader.failed()) return Error{ErrorCode::kTruncated, "frame: header"};
  if (header.version != SEVMON_PROTOCOL_VERSION)
    return Error{ErrorCode::kMalformed, "frame: version " + std::to_string(header.version)};
  const auto expected = frame_bytes(header.type, header.size_class);
  if (expected == 0)
    return Error{ErrorCode::kMalformed, "frame: type " + std::to_string(header.type) +
                                            ", size class " + std::to_string(header.size_class)};
  if (frame.size() != expected)
    return Error{
        frame.size() < expected ? ErrorCode::kTruncated : ErrorCode::kMalformed,
        "frame: " + std::to_string(frame.size()) + " bytes of " + std::to_string(expected)};
  const bool is_sealed =
      header.type == SEVMON_FRAME_REQUEST || header.type == SEVMON_FRAME_RESPONSE;
  if (header.flags != 0 || (!is_sealed && (header.session != 0 || header.n != 0)))
    return Error{ErrorCode::kMalformed, "frame: reserved header field"};
  return header;
}

sevmon_hello make_hello(const IdBytes& ids_id) {
  sevmon_hello hello{};
  hello.header.type = SEVMON_FRAME_HELLO;
  hello.header.version = SEVMON_PROTOCOL_VERSION;
  std::ranges::copy(ids_id, hello.ids_id);
  return hello;
}

Result<sevmon_challenge> decode_challenge(std::span<const std::byte> frame, const IdBytes& ids_id,
                                          const IdBytes& agent_id) {
  if (const auto header = decode_header(frame); !header) return header.error();
  Reader reader{frame};
  const auto challenge = reader.take<sevmon_challenge>();
  if (!reader.done() || challenge.header.type != SEVMON_FRAME_CHALLENGE)
    return Error{ErrorCode::kMalformed, "challenge: another type of frame"};
  if (!all_zero(bytes_of(challenge.zero)))
    return Error{ErrorCode::kMalformed, "challenge: reserved bytes"};
  if (!std::ranges::equal(challenge.ids_id, ids_id))
    return Error{ErrorCode::kMismatch, "challenge: for another IDS"};
  if (!std::ranges::equal(challenge.agent_id, agent_id))
    return Error{ErrorCode::kMismatch, "challenge: from another agent"};
  return challenge;
}

}  // namespace sevmon::common
