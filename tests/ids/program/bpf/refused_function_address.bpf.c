// SPDX-License-Identifier: Apache-2.0
#include <sevmon/program.bpf.h>

static __noinline long called(long value) {
  return value + 1;
}

SEVMON_PROGRAM
long one(const void *input, __u64 bytes) {
  (void)input;
  return called((long)bytes) + (long)called;
}
