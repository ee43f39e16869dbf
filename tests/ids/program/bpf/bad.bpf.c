// SPDX-License-Identifier: Apache-2.0
// One mistake a line, which the check must find there.
#include <sevmon/program.bpf.h>

struct task_struct {
  int pid;
  struct task_struct *real_parent;
} SEVMON_KERNEL_TYPE;

extern const char first[] __ksym;

static __u64 table[8];
static const __u64 primes[4] = {2, 3, 5, 7};
static volatile __u32 any;

struct padded {
  __u8 a;
  __u64 b;
};

__noinline __u64 *find(__u32 key) {
  if (key > 7) return NULL;
  return &table[key];
}

__noinline long never(void) {
  return any;
}

__noinline long stack(__u32 index) {
  volatile __u64 local[4] = {};
  volatile __u64 unwritten[2];

  if (index > 4) return 0;
  any = local[index];
  any = unwritten[1];
  return any;
}

__noinline long helpers(__u32 bytes) {
  __u64 buffer[2] = {}, other = 0;
  volatile struct padded padded;

  sevmon_read(buffer, 8, &other);
  sevmon_read((void *)first, 8, first);
  if (bytes <= 24) sevmon_read(buffer, bytes, first);
  padded.a = 1;
  padded.b = 2;
  return sevmon_append((const void *)&padded, sizeof(padded));
}

__noinline long walk(void) {
  struct task_struct *task = (void *)first, *parent = NULL;
  long steps = 0;

  while (!bpf_core_read(&parent, sizeof(parent), &task->real_parent) && parent != task) task = parent;
  return steps;
}

SEVMON_PROGRAM
long bad(const __u64 *input, __u64 bytes) {
  __u64 index = any;

  any = table[index];
  if (index < 8) any = primes[index];
  *find(any) = 1;
  any = *(const volatile __u32 *)first;
  any = input[1];
  if (bytes >= 16) any = input[2];
  *(volatile __u64 *)&primes[0] = 9;
  return stack(any) + helpers(any) + walk();
}
