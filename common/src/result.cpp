// SPDX-License-Identifier: MIT
#include <sevmon/result.hpp>

namespace sevmon::common {

std::string_view name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUsage:
      return "usage";
    case ErrorCode::kKey:
      return "key";
    case ErrorCode::kTruncated:
      return "truncated";
    case ErrorCode::kTooLarge:
      return "too large";
    case ErrorCode::kMalformed:
      return "malformed";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kMismatch:
      return "mismatch";
    case ErrorCode::kNotFound:
      return "not found";
    case ErrorCode::kNotMapped:
      return "not mapped";
    case ErrorCode::kTorn:
      return "torn";
    case ErrorCode::kConnect:
      return "connection";
    case ErrorCode::kTimeout:
      return "timeout";
    case ErrorCode::kForged:
      return "forged";
    case ErrorCode::kRefused:
      return "refused";
    case ErrorCode::kIo:
      return "i/o";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "unknown";
}

}  // namespace sevmon::common
