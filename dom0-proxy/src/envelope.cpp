// SPDX-License-Identifier: Apache-2.0
#include "envelope.hpp"

#include <errno.h>

namespace sevmon::proxy {

EnvelopeBytes encode_answer(std::uint32_t tag, std::uint32_t frame_bytes) {
  return common::encode_envelope({.bytes = frame_bytes, .tag = tag, .status = 0, .zero = 0});
}

EnvelopeBytes encode_notice(std::uint32_t tag, std::int32_t notice) {
  return common::encode_envelope({.bytes = 0, .tag = tag, .status = notice, .zero = 0});
}

std::int32_t notice_for(int error) {
  switch (error) {
    case EBADMSG:
    case EINVAL:
      return SEVMON_NOTICE_REJECTED;
    case ENOSYS:
    case ENODEV:
    case EPERM:
      return SEVMON_NOTICE_NO_AGENT;
    case EBUSY:
      return SEVMON_NOTICE_BUSY;
    case ETIMEDOUT:
      return SEVMON_NOTICE_TIMEOUT;
    default:
      return SEVMON_NOTICE_INTERNAL;
  }
}

}  // namespace sevmon::proxy
