// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <sevmon/codec.hpp>

namespace sevmon::proxy {

using common::EnvelopeBytes;

/// Before an answer of `frame_bytes` bytes.
EnvelopeBytes encode_answer(std::uint32_t tag, std::uint32_t frame_bytes);

/// A notice (SEVMON_NOTICE_*) about the frame with `tag`, or about the connection with tag 0.
EnvelopeBytes encode_notice(std::uint32_t tag, std::int32_t notice);

/// The notice for the hypercall's `error` (an errno, positive): docs/protocol.md, section 8.
std::int32_t notice_for(int error);

}  // namespace sevmon::proxy
