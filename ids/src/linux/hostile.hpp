// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <sevmon/result.hpp>
#include <sevmon/units.hpp>

// For walks over data whose author may be the attacker.
namespace sevmon::ids {

/// Could something of the kernel's be at `address`? The upper half (with 4 levels it starts at
/// 0xffff800000000000, with 5 at 0xff00000000000000) without its last MiB, where pointers hold
/// error numbers and address arithmetic would wrap.
inline bool is_kernel_address(std::uint64_t address) {
  return address >= 0xff00000000000000 && address < 0xfffffffffff00000;
}

/// Likewise for a slab or static object, aligned like a pointer.
inline bool is_kernel_pointer(std::uint64_t pointer) {
  return is_kernel_address(pointer) && pointer % 8 == 0;
}

/// Is this error about what was read (a tear, to be noted) rather than about the channel (the end)?
inline bool is_about_data(const common::Error& error) {
  return error.code == common::ErrorCode::kNotMapped || error.code == common::ErrorCode::kTorn;
}

}  // namespace sevmon::ids
