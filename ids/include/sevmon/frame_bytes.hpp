// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace sevmon::ids {

/// std::allocator, but what a container makes without a value keeps whatever the memory held.
template <typename T>
struct LeftUnset : std::allocator<T> {
  LeftUnset() = default;
  template <typename U>
  LeftUnset(const LeftUnset<U>&) noexcept {}
  template <typename U>
  struct rebind {
    using other = LeftUnset<U>;
  };
  template <typename U>
  void construct(U* place) {
    ::new (static_cast<void*>(place)) U;
  }
  template <typename U, typename... Args>
  void construct(U* place, Args&&... args) {
    std::construct_at(place, std::forward<Args>(args)...);
  }
};

/// A frame as it is received, up to 62 KB of it. Its bytes are whatever they are until somebody
/// writes them: zeros that are overwritten at once would cost as much as reading them again.
#ifdef SEVMON_PLAIN_FRAME_BYTES  // builds with sanitizers, of all that they link
using FrameBytes = std::vector<std::byte>;
#else
using FrameBytes = std::vector<std::byte, LeftUnset<std::byte> >;
#endif

}  // namespace sevmon::ids
