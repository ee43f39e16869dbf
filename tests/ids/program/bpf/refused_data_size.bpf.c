// SPDX-License-Identifier: Apache-2.0
#include <sevmon/program.bpf.h>

static const volatile char large[SEVMON_PROGRAM_MAX_DATA_BYTES + 1] = {1};

SEVMON_PROGRAM
long one(void) {
  return large[1];
}
