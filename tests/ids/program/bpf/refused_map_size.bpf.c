// SPDX-License-Identifier: Apache-2.0
#include <sevmon/program.bpf.h>

static volatile char large[SEVMON_PROGRAM_MAX_MAP_BYTES + 1];

SEVMON_PROGRAM
long one(void) {
  return large[1];
}
