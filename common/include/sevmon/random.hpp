// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace sevmon::common {

/// Fold what the CPU draws (RDRAND) into `out`. A host that sets a machine's memory back sets every
/// generator in it back as well, and the same numbers would come again; what the CPU draws is not
/// in memory. On top only: alone it would have to be trusted.
/// @return false when the CPU draws nothing; `out` may then be changed in part.
bool mix_in_rdrand(std::span<std::uint8_t> out);

/// What is random in a message's nonce (SEVMON_XNONCE_BYTES), without a call of the system's
/// generator for each. It goes over the wire in clear, so some of the system's may lie here
/// beforehand; the CPU's are mixed in when one is needed. A process that was forked, or set back by
/// its host, has the former twice and the latter not. Where the CPU draws nothing, each one is the
/// system's. Not thread-safe.
class MessageRandom {
 public:
  using Bytes = std::array<std::uint8_t, 12>;
  /// Fills all of it with random numbers. @return false if it cannot.
  using System = bool (*)(std::span<std::uint8_t>);

  explicit MessageRandom(System system) : system_{system} {}
  /// @return nothing when the system has none.
  std::optional<Bytes> draw();

 private:
  System system_;
  std::array<Bytes, 32> pool_{};
  std::size_t left_ = 0;
};

}  // namespace sevmon::common
