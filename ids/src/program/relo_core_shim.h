/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SEVMON_RELO_CORE_SHIM_H
#define SEVMON_RELO_CORE_SHIM_H

#include <linux/types.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct btf;

/* One relocation of .BTF.ext. */
struct sevmon_core_relocation {
  const struct btf *local;  /* the program's types */
  const struct btf *kernel; /* may be NULL when there is no candidate */
  __u32 type_id;            /* one of the program's, not void */
  __u32 access_str_off;     /* in its strings: "0:1:2", digits and colons alone */
  __u32 kind;               /* enum bpf_core_relo_kind */
  const __u32 *candidates;  /* the kernel's types of that name */
  __u32 candidate_count;
  void *insn;      /* 16 bytes if it is a 64-bit immediate, else 8 */
  int poisoned;    /* out: the kernel has no such thing; the instruction is a call of nothing */
  char place[256]; /* out: what it is about, "task_struct.comm" */
};

/* @return 0, or -errno and sevmon_core_last_words(). */
int sevmon_core_relocate(struct sevmon_core_relocation *relocation);

/* Of a type's name without its flavour: "task_struct___old" is a "task_struct". */
size_t sevmon_core_essential_length(const char *name);

/* What relo_core.c last complained of on this thread; never NULL. */
const char *sevmon_core_last_words(void);

#ifdef __cplusplus
}
#endif

#endif
