// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <sevmon/text.hpp>

namespace sevmon::cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::Result;

Error needed(std::string_view text, const std::string& what) {
  return {ErrorCode::kUsage, "--connect " + ids::escape(text) + ": " + what + " is needed"};
}

}  // namespace

Result<Target> parse_target(std::string_view text) {
  const auto colon = text.find(':');
  const auto scheme = text.substr(0, colon);
  const auto rest = colon == text.npos ? std::string_view{} : text.substr(colon + 1);
  if (scheme == "shm" || scheme == "image") {
    if (colon == text.npos || rest.empty() || rest.find('\0') != rest.npos)
      return needed(text, std::string{scheme} + ":FILE");
    const auto kind = scheme == "shm" ? Target::Kind::kShm : Target::Kind::kImage;
    return Target{.kind = kind, .host = {}, .port = {}, .path = std::string{rest}};
  }
  if (scheme != "tcp" || colon == text.npos)
    return needed(text, "tcp:HOST:PORT, shm:FILE or image:FILE");
  const auto last = rest.rfind(':');
  std::string host{rest.substr(0, last == rest.npos ? 0 : last)};
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty() || last + 1 == rest.size()) return needed(text, "tcp:HOST:PORT");
  return Target{.kind = Target::Kind::kTcp,
                .host = std::move(host),
                .port = std::string{rest.substr(last + 1)},
                .path = {}};
}

}  // namespace sevmon::cli
