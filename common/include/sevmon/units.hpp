// SPDX-License-Identifier: MIT
#pragma once

#include <compare>
#include <cstdint>

namespace sevmon::common {

/// Spaces that do not convert into one another. Addresses are in bytes, frames count 4 KiB.

struct Gva {  // guest-virtual address
  std::uint64_t value = 0;
  auto operator<=>(const Gva&) const = default;
};

struct Gpa {  // guest-physical address, in the target's frame space
  std::uint64_t value = 0;
  auto operator<=>(const Gpa&) const = default;
};

/// A frame of the target's own frame space: what its page tables hold. PV: machine frames;
/// PVH, HVM, images: guest frames.
struct Frame {
  std::uint64_t value = 0;
  auto operator<=>(const Frame&) const = default;
};

struct DomId {
  std::uint16_t value = 0xffff;  // SEVMON_DOMID_DOM0
  auto operator<=>(const DomId&) const = default;
};

constexpr Gva operator+(Gva a, std::uint64_t bytes) {
  return {a.value + bytes};
}
constexpr Gva operator-(Gva a, std::uint64_t bytes) {
  return {a.value - bytes};
}

}  // namespace sevmon::common
