// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "support/bytes.hpp"

namespace sevmon::tests {

/// A fuzz target's property does not hold.
inline void must(bool holds, const char* property) {
  if (holds) return;
  std::fprintf(stderr, "property violated: %s\n", property);
  std::abort();
}

/// A fuzzer's bytes, taken from the front. Past their end everything is zero.
class FuzzInput {
 public:
  FuzzInput(const std::uint8_t* data, std::size_t size) : rest_{data, size} {}

  bool empty() const { return rest_.empty(); }
  Bytes take(std::size_t count) {
    const auto here = std::min(count, rest_.size());
    Bytes bytes(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(here));
    bytes.resize(count);
    rest_ = rest_.subspan(here);
    return bytes;
  }
  template <typename T>
  T number() {
    return load<T>(take(sizeof(T)));
  }

 private:
  ByteView rest_;
};

}  // namespace sevmon::tests
