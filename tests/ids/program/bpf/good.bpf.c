// SPDX-License-Identifier: Apache-2.0
// What ordinary programs do, and the check must follow: arrays by an index that was compared, loops,
// pointers into structures, calls with a pointer to the caller's stack, an input of any length.
#include <sevmon/program.bpf.h>

struct row {
  __u32 key;
  __u64 value;
  __u8 tail[12];
};

static struct row rows[20];
static __u32 used;
static const __u8 classes[256] = {[3] = 7};
static char names[8][16];

__noinline long sum(const struct row *from, __u64 *total, int count) {
  for (int i = 0; i < count && i < 20; i++) *total += from[i].value;
  return 0;
}

static __noinline struct row *find(__u32 key) {
  for (__u32 i = 0; i < used && i < 20; i++)
    if (rows[i].key == key) return &rows[i];
  if (used >= 20) return NULL;
  rows[used].key = key;
  return &rows[used++];
}

SEVMON_PROGRAM
long good(const __u8 *input, __u64 bytes) {
  __u64 total = 0;
  __u8 buffer[64];
  struct row *row;
  long length;

  if (bytes >= 4) total += classes[input[1]] + *(const __u32 *)input;
  for (int i = 0; i < 64; i += 4) *(__u32 *)&buffer[i] = i;
  for (int i = 63; i >= 0; i--) total += buffer[i];
  row = find((__u32)total);
  if (row) row->value++;
  sum(rows, &total, (int)used);
  for (__u32 i = 0; i < 8; i++) sevmon_read(names[i], sizeof(names[i]), (const void *)(total + i));
  length = sevmon_read_string(buffer, sizeof(buffer), (const void *)total);
  if (length > 0 && length < 64) sevmon_append(buffer, length);
  for (struct row *at = rows; at < rows + 20; at++) total ^= at->value;
  return (long)total;
}
