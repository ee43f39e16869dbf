// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <sevmon/wire.h>

namespace sevmon::common {

/// Fills all of it with random numbers. @return false if it cannot.
using RandomSource = bool (*)(std::span<std::uint8_t>);

/// What the CPU draws (RDRAND). CPUs have returned one value for ever, with the carry flag set, all
/// ones on some AMD family 17h after resume: then, too, there is none.
bool draw_rdrand(std::span<std::uint8_t> out);

/// Fold what the CPU draws into `out`. A host that sets a machine's memory back sets every
/// generator in it back as well, and the same numbers would come again; what the CPU draws is not
/// in memory. On top only: alone it would have to be trusted.
/// @return false when the CPU draws nothing; `out` is as random then as it was.
bool mix_in(std::span<std::uint8_t> out, RandomSource cpu = draw_rdrand);

/// What is random in a message's nonce, without a call of the system's generator for each. It goes
/// over the wire in clear, so some of the system's may lie here beforehand; the CPU's are mixed in
/// when one is needed. A process that was forked, or set back by its host, has the former twice and
/// the latter not. Where the CPU draws nothing, each one is the system's. Not thread-safe.
class MessageRandom {
 public:
  using Bytes = std::array<std::uint8_t, SEVMON_XNONCE_BYTES>;

  explicit MessageRandom(RandomSource system, RandomSource cpu = draw_rdrand)
      : system_{system}, cpu_{cpu} {}
  /// @return nothing when the system has none.
  std::optional<Bytes> draw();

 private:
  RandomSource system_, cpu_;
  std::array<Bytes, 32> pool_{};
  std::size_t left_ = 0;
};

}  // namespace sevmon::common
