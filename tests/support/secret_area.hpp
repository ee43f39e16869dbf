// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <vector>

#include <sevmon/wire.h>

#include "support/bytes.hpp"

namespace sevmon::tests {

using Guid = std::array<std::uint8_t, 16>;
inline constexpr Guid kAreaGuid = SEVMON_SECRET_AREA_GUID;
inline constexpr Guid kKeysGuid = SEVMON_SECRET_KEYS_GUID;

inline Bytes secret_head(const Guid& guid, std::uint32_t bytes) {
  Bytes head(guid.begin(), guid.end());
  for (unsigned shift = 0; shift < 32; shift += 8)
    head.push_back(static_cast<std::uint8_t>(bytes >> shift));
  return head;
}

/// An entry with `data`; `more` is added to the length that it claims.
inline Bytes secret_entry(const Guid& guid, ByteView data, std::uint32_t more = 0) {
  auto entry = secret_head(guid, static_cast<std::uint32_t>(20 + data.size()) + more);
  entry.insert(entry.end(), data.begin(), data.end());
  return entry;
}

/// A whole area; `more` is added to the length that its head claims.
inline Bytes secret_area(const std::vector<Bytes>& entries, std::uint32_t more = 0) {
  Bytes body;
  for (const auto& entry : entries) body.insert(body.end(), entry.begin(), entry.end());
  return secret_entry(kAreaGuid, body, more);
}

}  // namespace sevmon::tests
