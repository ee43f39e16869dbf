// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <malloc.h>

namespace sevmon::common {

/// Of a program, at its start: of what is freed up to so many bytes stay with each of its arenas.
/// glibc keeps 128 KiB, and sixteen answers of 62 KB under way are more: given back to the system
/// and asked for again, each took several times as long (docs/performance.md). What is larger than
/// a frame, and made once, still goes back at once.
inline void keep_freed_memory(int bytes) {
  // glibc moves the second one by itself no more once the first is set. Neither fails.
  ::mallopt(M_TRIM_THRESHOLD, bytes);
  ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
}

/// Enough for an IDS's deepest pipeline.
constexpr int kIdsHeapBytes = 64 << 20;

}  // namespace sevmon::common
