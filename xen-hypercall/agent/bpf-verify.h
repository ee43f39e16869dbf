/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef SEVMON_AGENT_BPF_VERIFY_H
#define SEVMON_AGENT_BPF_VERIFY_H

#include "bpf.h"

SEVMON_BEGIN_C

struct sevmon_bpf_verdict {
    uint32_t reason; /* SEVMON_VERDICT_* */
    uint32_t insn;   /* where */
};

/* Memory that one verification needs; nothing in it outlives it. */
struct sevmon_bpf_verifier {
    const struct sevmon_bpf_insn *insns;
    uint32_t count;
    uint32_t queued;
    /* For each instruction: registers set on every way there, in bits. */
    uint16_t set[SEVMON_PROGRAM_MAX_INSNS];
    uint16_t queue[SEVMON_PROGRAM_MAX_INSNS];
    uint16_t function[SEVMON_PROGRAM_MAX_INSNS]; /* where its one begins */
    uint8_t marks[SEVMON_PROGRAM_MAX_INSNS];
    uint8_t depth[SEVMON_PROGRAM_MAX_INSNS]; /* of functions, at their begin */
};

/* Does a helper of that number exist?  Then *arguments is how many. */
typedef bool sevmon_bpf_helper_fn(int32_t number, unsigned int *arguments);

/*
 * May `count` instructions be run?  Encodings, registers, jumps, ends, helpers,
 * places off r10, call depth: RFC 9669 and what the interpreter relies on.  It
 * relies on no more than encodings, registers' numbers and jumps; accesses to
 * memory it checks itself.
 *
 * In time linear in `count`: each instruction is looked at at most once for
 * each register that turns out not to be set, and SEVMON_BPF_MAX_DEPTH times
 * besides.
 */
struct sevmon_bpf_verdict sevmon_bpf_verify(
    struct sevmon_bpf_verifier *verifier, const struct sevmon_bpf_insn *insns,
    uint32_t count, sevmon_bpf_helper_fn *helper);

SEVMON_END_C

#endif /* SEVMON_AGENT_BPF_VERIFY_H */
