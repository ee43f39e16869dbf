/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef SEVMON_AGENT_BPF_VERIFY_H
#define SEVMON_AGENT_BPF_VERIFY_H

#include "bpf.h"

SEVMON_BEGIN_C

struct sevmon_bpf_verdict {
    uint32_t reason; /* SEVMON_VERDICT_* */
    uint32_t insn;   /* where */
};

/* Does a helper of that number exist?  Then *arguments is how many. */
typedef bool sevmon_bpf_helper_fn(int32_t number, unsigned int *arguments);

/* One verification: all that it has to know between two steps. */
struct sevmon_bpf_verifier {
    const struct sevmon_bpf_insn *insns;
    sevmon_bpf_helper_fn *helper;
    uint32_t count;
    uint32_t pass;  /* over the instructions, which is under way */
    uint32_t at;    /* the instruction that is looked at next */
    uint32_t begin; /* of the function that it is in, in one pass */
    uint32_t queued;
    bool again;     /* the pass needs another round */
    struct sevmon_bpf_verdict verdict;
    /* For each instruction: registers set on every way there, in bits. */
    uint16_t set[SEVMON_PROGRAM_MAX_INSNS];
    uint16_t queue[SEVMON_PROGRAM_MAX_INSNS];
    uint16_t function[SEVMON_PROGRAM_MAX_INSNS]; /* where its one begins */
    uint8_t marks[SEVMON_PROGRAM_MAX_INSNS];
    uint8_t depth[SEVMON_PROGRAM_MAX_INSNS]; /* of functions, at their begin */
};

/*
 * May `count` instructions be run?  Encodings, registers, jumps, ends, helpers,
 * places off r10, call depth: RFC 9669 and what the interpreter relies on.  It
 * relies on no more than encodings, registers' numbers and jumps; accesses to
 * memory it checks itself.
 *
 * In time linear in `count`: each instruction is looked at at most once for
 * each register that turns out not to be set, and SEVMON_BPF_MAX_DEPTH times
 * besides.
 *
 * This begins; `insns` must stay as they are until the verdict is there.
 */
void sevmon_bpf_verify_start(struct sevmon_bpf_verifier *verifier,
                             const struct sevmon_bpf_insn *insns,
                             uint32_t count, sevmon_bpf_helper_fn *helper);

/*
 * Go on for up to `looks` looks at an instruction.  Returns true when
 * verifier->verdict is there; it does not depend on the sizes of steps.
 */
bool sevmon_bpf_verify_step(struct sevmon_bpf_verifier *verifier,
                            uint32_t looks);

/* Both, to the end. */
struct sevmon_bpf_verdict sevmon_bpf_verify(
    struct sevmon_bpf_verifier *verifier, const struct sevmon_bpf_insn *insns,
    uint32_t count, sevmon_bpf_helper_fn *helper);

SEVMON_END_C

#endif /* SEVMON_AGENT_BPF_VERIFY_H */
