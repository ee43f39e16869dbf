/* SPDX-License-Identifier: MIT */
/* What programs share that follow the kernel's own pointers, for `sevmon program build` as well. */
#ifndef SEVMON_PROGRAMS_WALK_H
#define SEVMON_PROGRAMS_WALK_H

#include <sevmon/program.bpf.h>

struct list_head {
  struct list_head *next, *prev;
} SEVMON_KERNEL_TYPE;

/* A member's place, in bytes, in the kernel that runs. */
#define OFFSET(type, member) \
  __builtin_preserve_field_info(((type *)0)->member, BPF_FIELD_BYTE_OFFSET)

/* One that points into the kernel's half, at something that pointers can lie in. */
static __always_inline bool is_kernel_pointer(__u64 pointer) {
  return pointer >= 0xff00000000000000 && pointer < 0xfffffffffff00000 && pointer % 8 == 0;
}

/* What is at `address` cannot be, by `why`: counted in the walk's trailer, the first one told. */
#define tear(walk, address, why)                  \
  do {                                            \
    if (!(walk)->trailer.tears++) {               \
      (walk)->trailer.torn = (__u64)(address);    \
      (walk)->trailer.reason = (why);             \
    }                                             \
  } while (0)

#endif
