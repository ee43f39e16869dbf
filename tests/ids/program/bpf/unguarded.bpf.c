// SPDX-License-Identifier: Apache-2.0
// Asks for a member that only the new kernel has.
#include <sevmon/program.bpf.h>

struct point {
  long y;
} SEVMON_KERNEL_TYPE;

SEVMON_PROGRAM
long unguarded(const void *input, __u64 bytes) {
  const struct point *point = input;

  if (bytes < 64) return -1;
  return point->y;
}
