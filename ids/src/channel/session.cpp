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
  const auto random = random_array<SEVMON_XNONCE_BYTES>();
  Sealed sealed{n, std::vector<std::byte>(SEVMON_REQUEST_FRAME_BYTES)};
  common::Writer writer{sealed.frame};
  writer.put(header);
  writer.put(random);
  const auto aad = as_u8(common::bytes_of(header));
  requests_.seal(make_nonce(random, n), aad, as_u8(common::bytes_of(body)),
                 as_u8(std::span{sealed.frame}.subspan(SEVMON_BODY_OFFSET)));
  return sealed;
}

std::optional<std::vector<std::byte>> Session::open(const sevmon_header& header,
                                                    std::span<const std::byte> frame) {
  if (header.type != SEVMON_FRAME_RESPONSE || header.session != number_ ||
      header.size_class != size_class_)
    return std::nullopt;
  common::Reader reader{frame};
  const auto aad = reader.bytes(sizeof(sevmon_header));
  const auto random = reader.bytes(SEVMON_XNONCE_BYTES);
  const auto sealed = reader.bytes(reader.left());
  if (reader.failed() || sealed.size() < Xaes::kTagBytes) return std::nullopt;
  std::vector<std::byte> body(sealed.size() - Xaes::kTagBytes);
  const auto nonce = make_nonce(as_u8(random).first<SEVMON_XNONCE_BYTES>(), header.n);
  if (!responses_.open(nonce, as_u8(aad), as_u8(sealed), as_u8(std::span{body})))
    return std::nullopt;
  is_confirmed_ = true;
  return body;
}

}  // namespace sevmon::ids
