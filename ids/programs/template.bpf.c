// SPDX-License-Identifier: MIT
/*
 * A program to begin with: the version of the kernel that runs, as /proc/version has it. Copy it,
 * declare what you read, append what you find. docs/programs.md is the guide.
 */
#include <sevmon/program.bpf.h>

/* Just the members that are used; their offsets come from the kernel's profile. */
struct new_utsname {
  char release[65];
} SEVMON_KERNEL_TYPE;

struct uts_namespace {
  struct new_utsname name;
} SEVMON_KERNEL_TYPE;

/* A symbol of the kernel: its address. */
extern const struct uts_namespace init_uts_ns __ksym;

/* What is appended: numbers little-endian, no padding, a size that does not change. */
struct answer {
  __u64 runs;
  __s64 status; /* 0, or the negative of a SEVMON_STATUS_* */
  char release[65];
  char zero[7];
};

/* Global variables are the program's map: they last from one run to the next. */
static __u64 runs;

SEVMON_PROGRAM
long template(const void *input, __u64 input_bytes) {
  struct answer answer = {.runs = ++runs};

  (void)input;
  (void)input_bytes;
  answer.status = bpf_core_read(answer.release, sizeof(answer.release), &init_uts_ns.name.release);
  return sevmon_append_struct(&answer);
}
