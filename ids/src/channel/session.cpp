// SPDX-License-Identifier: Apache-2.0
#include "channel/session.hpp"

#include <cassert>

#include <sevmon/cursor.hpp>

namespace sevmon::ids {
namespace {

using std::chrono::seconds;

// The agent forgets by its own clock, and a frame takes a while to get there.
constexpr seconds kTransit{2};

/// AES blocks of one exchange in the response's direction, the greater one; with the length block
/// and the tag's own.
std::uint64_t blocks_per_answer(std::uint8_t size_class) {
  return SEVMON_RESPONSE_BODY_BYTES(size_class) / 16 + 3;
}

}  // namespace

Session::Session(const TransportKeys& keys, std::uint32_t number, std::uint8_t size_class,
                 TimePoint started)
    : requests_{keys.requests},
      responses_{keys.responses},
      number_{number},
      size_class_{size_class},
      started_{started} {}

bool Session::can_send(TimePoint now) const {
  const auto age = now - started_;
  if (is_retired_ || next_n_ >= SEVMON_MAX_MESSAGES) return false;
  if (next_n_ >= SEVMON_MAX_BLOCKS / blocks_per_answer(size_class_)) return false;
  if (!is_confirmed_ && age >= seconds{SEVMON_PENDING_SECONDS} - kTransit) return false;
  return age < seconds{SEVMON_EXPIRE_SECONDS} - kTransit;
}

bool Session::is_worn() const {
  return next_n_ >= SEVMON_MAX_BLOCKS / blocks_per_answer(size_class_) / 2;
}

Session::Sealed Session::seal(const sevmon_request_body& body) {
  assert(next_n_ < SEVMON_MAX_MESSAGES);
  const auto n = next_n_++;
  const sevmon_header header{.type = SEVMON_FRAME_REQUEST,
                             .version = SEVMON_PROTOCOL_VERSION,
                             .size_class = size_class_,
                             .flags = 0,
                             .session = number_,
                             .n = n};
  const auto random = random_.draw();
  if (!random) throw CryptoFailure{"OpenSSL: no randomness"};
  Sealed sealed{n, std::vector<std::byte>(SEVMON_REQUEST_FRAME_BYTES)};
  common::Writer writer{sealed.frame};
  writer.put(header);
  writer.put(*random);
  const auto aad = as_u8(common::bytes_of(header));
  requests_.seal(make_nonce(*random, n), aad, as_u8(common::bytes_of(body)),
                 as_u8(std::span{sealed.frame}.subspan(SEVMON_BODY_OFFSET)));
  return sealed;
}

std::optional<std::vector<std::byte>> Session::open(const sevmon_header& header,
                                                    std::span<const std::byte> frame) {
  std::vector<std::byte> opened{frame.begin(), frame.end()};
  if (!open_in_place(header, opened)) return std::nullopt;
  const auto body = body_in(opened);
  return std::vector<std::byte>{body.begin(), body.end()};
}

bool Session::open_in_place(const sevmon_header& header, std::span<std::byte> frame) {
  if (!is_for(header) || frame.size() < SEVMON_SEALED_OVERHEAD) return false;
  const auto bytes = as_u8(frame);
  const auto aad = bytes.first<sizeof(sevmon_header)>();
  const auto random = bytes.subspan<sizeof(sevmon_header), SEVMON_XNONCE_BYTES>();
  const auto sealed = bytes.subspan(kBodyOffset);
  const auto body = sealed.first(sealed.size() - Xaes::kTagBytes);
  if (!responses_.open(make_nonce(random, header.n), aad, sealed, body)) return false;
  is_confirmed_ = true;
  return true;
}

}  // namespace sevmon::ids
