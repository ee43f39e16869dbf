// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include <sevmon/result.hpp>

#include "profile/bytes.hpp"

namespace sevmon::ids {

inline constexpr std::size_t kMaxVmlinuxBytes = 512u << 20;

/// The kernel's ELF file, out of a bzImage or out of itself, perhaps with relocations behind it.
/// @return kTruncated, kMalformed, kUnsupported, kTooLarge: what was read, at which file offset.
common::Result<std::vector<std::byte>> extract_vmlinux(ByteSpan file,
                                                       std::size_t limit_bytes = kMaxVmlinuxBytes);

}  // namespace sevmon::ids
