// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <malloc.h>

namespace sevmon::common {

/// Of a program, at its start: of what is freed so many bytes stay with it. glibc keeps 128 KiB,
/// and sixteen answers of 62 KB under way are more: given back to the system and asked for again,
/// each took several times as long (docs/performance.md).
inline void keep_freed_memory(int bytes) {
  ::mallopt(M_TRIM_THRESHOLD, bytes);
  // glibc raises this one by itself no more once the other is set; what is above is mapped anew
  // each time.
  ::mallopt(M_MMAP_THRESHOLD, bytes / 2);
}

/// Enough for an IDS's deepest pipeline, and for a dump's buffers.
constexpr int kIdsHeapBytes = 64 << 20;

}  // namespace sevmon::common
