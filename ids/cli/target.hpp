// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <sevmon/result.hpp>

namespace sevmon::cli {

/// Where the agent is, as --connect says it.
struct Target {
  enum class Kind : std::uint8_t { kTcp, kShm, kImage };
  Kind kind = Kind::kTcp;
  std::string host, port;  // kTcp
  std::string path;        // the others
  bool operator==(const Target&) const = default;

  /// The agent is somebody else's, so a key is needed.
  bool needs_key() const { return kind != Kind::kImage; }
};

/// "tcp:HOST:PORT", "tcp:[::1]:PORT", "shm:FILE", "image:FILE". Whether there is such a host, port
/// or file, connecting shows. @return kUsage saying what is needed.
common::Result<Target> parse_target(std::string_view text);

}  // namespace sevmon::cli
