// SPDX-License-Identifier: Apache-2.0
// Every kind of relocation by type that clang 14 makes; what each gives is for the test to look at.
#include <sevmon/program.bpf.h>

enum colour { RED, GREEN };
enum wide { NARROW, WIDE = 0x100000001ull };

struct point {
  int x;
  int y;
  unsigned flag : 1;
  int low : 2;
} SEVMON_KERNEL_TYPE;

struct point___flavour {
  int x;
  long nowhere;
} SEVMON_KERNEL_TYPE;

struct big {
  char bytes[1];
} SEVMON_KERNEL_TYPE;

struct absent {
  int x;
} SEVMON_KERNEL_TYPE;

#define FIELD(member, what) \
  __builtin_preserve_field_info(((struct point *)0)->member, BPF_FIELD_##what)

static __u64 out[32];

SEVMON_PROGRAM
long kinds(const void *input, __u64 bytes) {
  (void)input;
  (void)bytes;
  out[0] = FIELD(x, BYTE_OFFSET);
  out[1] = FIELD(y, BYTE_SIZE);
  out[2] = FIELD(y, EXISTS);
  out[3] = FIELD(low, SIGNED);
  out[4] = FIELD(flag, SIGNED);
  out[5] = FIELD(flag, LSHIFT_U64);
  out[6] = FIELD(flag, RSHIFT_U64);
  out[7] = bpf_core_field_exists(((struct point___flavour *)0)->nowhere);
  out[8] = bpf_core_type_size(struct big);
  out[9] = bpf_core_type_exists(struct big);
  out[10] = bpf_core_type_exists(struct absent);
  out[11] = bpf_core_type_id_kernel(struct big) != 0;
  out[12] = bpf_core_type_id_local(struct big) != 0;
  out[14] = bpf_core_enum_value_exists(enum colour, GREEN);
  out[15] = bpf_core_enum_value_exists(enum colour, RED);
  out[16] = bpf_core_enum_value(enum colour, RED);
  out[17] = FIELD(flag, BYTE_OFFSET);
  out[18] = FIELD(low, LSHIFT_U64);
  out[19] = FIELD(low, RSHIFT_U64);
  return sevmon_append(out, sizeof(out));
}
