// SPDX-License-Identifier: Apache-2.0
/* Eight bytes at the address that the input is, read again and again: how often they had changed. */
#include <sevmon/program.bpf.h>

SEVMON_PROGRAM
long twice(const __u64 *input, __u64 input_bytes) {
  __u64 before = 0, now = 0;
  long changes = 0;

  if (input_bytes < sizeof(*input)) return -1;
  if (sevmon_read(&before, sizeof(before), (const void *)*input)) return -2;
  sevmon_repeat(i, 1000) {
    if (sevmon_read(&now, sizeof(now), (const void *)*input)) return -2;
    if (now != before) changes++;
    before = now;
  }
  return changes;
}
