/* SPDX-License-Identifier: MIT */
/*
 * What a program includes: the agent's helpers as functions, and what makes the result.
 * docs/programs.md is its guide.
 *
 * The kernel's types come from `sevmon profile types` (#include "vmlinux.h" before this), or are
 * declared by the program itself with just the members that it uses:
 *
 *   struct task_struct {
 *     int pid;
 *   } SEVMON_KERNEL_TYPE;
 *
 * Their offsets are not the compiler's: the IDS puts in those of the kernel that runs.
 */
#ifndef SEVMON_PROGRAM_BPF_H
#define SEVMON_PROGRAM_BPF_H

/* There is no C library for this machine, and the kernel's types have these names too. */
#define SEVMON_NO_STDINT
#ifndef __VMLINUX_H__
typedef unsigned char __u8, uint8_t;
typedef unsigned short __u16, uint16_t;
typedef unsigned int __u32, uint32_t;
typedef unsigned long long __u64, uint64_t;
typedef signed char __s8, int8_t;
typedef short __s16, int16_t;
typedef int __s32, int32_t;
typedef long long __s64, int64_t;
typedef unsigned long size_t;
typedef _Bool bool;
#define true 1
#define false 0
#endif

#include <sevmon/program.h>

#define SEC(name) __attribute__((section(name), used))
/* The one function that the agent calls: long run(void *input, __u64 input_bytes). */
#define SEVMON_PROGRAM SEC("sevmon")
/* extern const struct task_struct init_task __ksym; its address is the kernel's. */
#define __ksym __attribute__((section(".ksyms")))
#ifndef __weak
#define __weak __attribute__((weak))
#endif
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif
#define SEVMON_KERNEL_TYPE __attribute__((preserve_access_index))
#ifndef NULL
#define NULL ((void *)0)
#endif
#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif

/*
 * Helpers. 0, or what they give; else the negative of a SEVMON_STATUS_*, and what they could not
 * read is zero. program.h says more.
 */
static long (*const sevmon_read)(void *to, __u32 bytes, const void *address) =
    (void *)SEVMON_HELPER_READ;
static long (*const sevmon_read_physical)(void *to, __u32 bytes, __u64 address) =
    (void *)SEVMON_HELPER_READ_PHYSICAL;
static long (*const sevmon_read_user)(void *to, __u32 bytes, const void *address,
                                      const void *pgd) = (void *)SEVMON_HELPER_READ_USER;
static long (*const sevmon_read_string)(void *to, __u32 capacity, const void *address) =
    (void *)SEVMON_HELPER_READ_STRING;
static long (*const sevmon_translate)(struct sevmon_translation *to, const void *address) =
    (void *)SEVMON_HELPER_TRANSLATE;
static long (*const sevmon_append)(const void *from, __u32 bytes) = (void *)SEVMON_HELPER_APPEND;
static long (*const sevmon_get_vcpu_state)(struct sevmon_vcpu_state *to, __u32 vcpu) =
    (void *)SEVMON_HELPER_VCPU_STATE;
static __u64 (*const sevmon_time)(void) = (void *)SEVMON_HELPER_TIME;
static long (*const sevmon_digest)(__u8 to[SEVMON_DIGEST_BYTES],
                                   const __u8 key[SEVMON_DIGEST_KEY_BYTES], __u32 bytes,
                                   const void *address) = (void *)SEVMON_HELPER_DIGEST;

/* A whole structure to the result, or nothing of it. */
#define sevmon_append_struct(pointer) sevmon_append((pointer), sizeof(*(pointer)))

/*
 * libbpf's BPF_CORE_READ(), bpf_core_read(), bpf_core_field_exists() and their like. What could not
 * be read is 0 in BPF_CORE_READ(); where that must not pass unnoticed, ask bpf_core_read().
 */
#define bpf_probe_read_kernel sevmon_read
#define bpf_probe_read_kernel_str sevmon_read_string
#ifndef ___bpf_concat /* libbpf has these in bpf_helpers.h, with Linux's own helpers */
#define ___bpf_concat(a, b) a##b
#define ___bpf_apply(fn, n) ___bpf_concat(fn, n)
#define ___bpf_nth(_, _1, _2, _3, _4, _5, _6, _7, _8, _9, _a, _b, _c, N, ...) N
#define ___bpf_narg(...) ___bpf_nth(_, ##__VA_ARGS__, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#endif
#include <bpf/bpf_core_read.h>

/* The structure that holds a member, by the member's place in the kernel that runs. */
#define sevmon_container_of(pointer, type, member) \
  ((type *)((__u64)(pointer) - __builtin_preserve_field_info(((type *)0)->member, \
                                                             BPF_FIELD_BYTE_OFFSET)))

/*
 * sevmon_repeat(i, 1000) { ... }: at most that often. A loop over the target's memory needs such a
 * bound, since the target can make it a ring; the budget would end it without a result.
 */
#define sevmon_repeat(i, most) for (__u32 i = 0; i < (most); i++)

/* Keep the compiler from what it knows of a value, so that a test before a use stays one. */
#define sevmon_opaque(value) __asm__ volatile("" : "+r"(value))

#endif /* SEVMON_PROGRAM_BPF_H */
