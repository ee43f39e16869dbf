/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef SEVMON_AGENT_BPF_RUN_H
#define SEVMON_AGENT_BPF_RUN_H

#include "bpf.h"

SEVMON_BEGIN_C

#define SEVMON_REGIONS 5

#define SEVMON_BPF_ADDRESS(region) \
    ((uint64_t)(region) << SEVMON_REGION_SHIFT)

struct sevmon_bpf_region {
    uint8_t *memory;
    uint32_t bytes;
    bool writable;
};

struct sevmon_bpf_frame {
    uint64_t kept[4]; /* r6 to r9 of the caller */
    uint32_t pc;      /* where it goes on */
};

/* A run: what is between two slices of it.  Filled by sevmon_bpf_start(). */
struct sevmon_bpf_run {
    const struct sevmon_bpf_insn *insns;
    uint32_t count;
    uint32_t pc; /* next; of a run that failed: the one that did */
    uint64_t reg[16]; /* r0 to r10; any number that fits an instruction */
    uint64_t budget; /* instructions, and what helpers cost, still allowed */
    uint32_t depth;
    uint32_t state; /* SEVMON_RUN_* */
    struct sevmon_bpf_frame frames[SEVMON_BPF_MAX_DEPTH];
    struct sevmon_bpf_region region[SEVMON_REGIONS];
    /*
     * Do helper `number` with r1 to r5 in `run`; its result goes to r0.
     * Returns what it costs, in instructions.  May set the state.  NULL: there
     * are none.
     */
    uint32_t (*helper)(struct sevmon_bpf_run *run, int32_t number);
    void *context; /* the helper's; not looked at */
    uint8_t stack[SEVMON_BPF_MAX_DEPTH * SEVMON_BPF_STACK_BYTES];
};

/*
 * Make ready to run verified instructions from the first: r1 is the address of
 * `input`, r2 its length, the stack is zero.  Map and data are the caller's to
 * set afterwards.
 */
void sevmon_bpf_start(struct sevmon_bpf_run *run,
                      const struct sevmon_bpf_insn *insns, uint32_t count,
                      void *input, uint32_t input_bytes, uint64_t budget);

/* Run for about `slice` instructions, at least one.  Returns the state. */
uint32_t sevmon_bpf_continue(struct sevmon_bpf_run *run, uint32_t slice);

/*
 * Where the `bytes` at `address` are, if all of them are in one region (to be
 * written, if `write`); else NULL.  The one way from a program's addresses to
 * memory, for the interpreter and helpers.
 */
uint8_t *sevmon_bpf_memory(const struct sevmon_bpf_run *run, uint64_t address,
                           uint64_t bytes, bool write);

SEVMON_END_C

#endif /* SEVMON_AGENT_BPF_RUN_H */
