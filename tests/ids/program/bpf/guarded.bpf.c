// SPDX-License-Identifier: Apache-2.0
// Members that only one of the kernels has, each behind a question.
#include <sevmon/program.bpf.h>

struct point {
  int x;
  long y;
} SEVMON_KERNEL_TYPE;

struct point___old {
  long long z;
} SEVMON_KERNEL_TYPE;

SEVMON_PROGRAM
long guarded(const void *input, __u64 bytes) {
  const struct point *now = input;
  const struct point___old *before = input;

  if (bytes < 64) return -1;
  if (bpf_core_field_exists(now->y)) return now->y;
  if (bpf_core_field_exists(before->z)) return before->z + 1000;
  return 0;
}
