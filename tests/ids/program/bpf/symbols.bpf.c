// SPDX-License-Identifier: Apache-2.0
// Addresses of the kernel's symbols.
#include <sevmon/program.bpf.h>

extern const char first[] __ksym;
extern const char maybe[] __ksym __weak;

SEVMON_PROGRAM
long symbols(const void *input, __u64 bytes) {
  __u64 out[3];

  (void)input;
  (void)bytes;
  out[0] = (__u64)first;
  out[1] = (__u64)&first[24];
  out[2] = (__u64)maybe;
  return sevmon_append(out, sizeof(out));
}
