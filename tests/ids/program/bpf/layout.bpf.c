// SPDX-License-Identifier: Apache-2.0
// Constants, variables with and without a first value, functions behind the entry.
#include <sevmon/program.bpf.h>

static const __u32 table[4] = {2, 3, 5, 7};
static volatile __u8 odd = 9;
static volatile __u64 kept = 0x1122334455667788;
static volatile __u64 counter;
static volatile char rest[100];
volatile const __u64 aligned __attribute__((aligned(16))) = 42;

static __noinline __u64 inner(__u64 value) {
  return value * 3 + kept;
}

__noinline __u64 outer(__u64 value) {
  return inner(value) + inner(value + 1);
}

SEVMON_PROGRAM
long layout(const __u8 *input, __u64 bytes) {
  __u32 index = bytes > 0 ? input[0] & 3 : 0;
  struct {
    __u64 counter, table, outer, aligned, odd;
  } answer;

  rest[99] = 1;
  answer.counter = ++counter;
  answer.table = table[index];
  answer.outer = outer(index);
  answer.aligned = aligned;
  answer.odd = odd;
  return sevmon_append_struct(&answer);
}
