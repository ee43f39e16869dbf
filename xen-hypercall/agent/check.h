/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What is looked at before a program can be run (COMMIT): its image's digest,
 * its head, its instructions.  In slices; demand.c is who owns it.
 */
#ifndef SEVMON_AGENT_CHECK_H
#define SEVMON_AGENT_CHECK_H

#include "agent-state.h"
#include "bpf-verify.h"

SEVMON_BEGIN_C

/* Of a call of the host's: bytes that are hashed; looks at an instruction. */
#define SEVMON_CHECK_SLICE_BYTES (1U << 12)
#define SEVMON_CHECK_SLICE_LOOKS (1U << 11)

struct sevmon_program;

/* The program is OWNED from begin to leave: nobody else writes to it. */
struct sevmon_check {
    const struct sevmon_host *host;
    struct sevmon_program *program;
    uint32_t hashed_bytes;
    bool is_verifying;
    bool has_verdict;
    struct sevmon_bpf_verdict verdict;
    struct sevmon_sha256 hash;
    struct sevmon_bpf_verifier verifier;
};

/* Begin anew, with a program that is LOADING.  Needs the IDS's lock. */
void sevmon_check_begin(struct sevmon_check *check,
                        const struct sevmon_host *host,
                        struct sevmon_program *program);

/* Go on with it.  Returns true when check->verdict is there. */
bool sevmon_check_slice(struct sevmon_check *check);

/*
 * The program is READY, or FREE when it was refused; without a verdict it is
 * LOADING as before, and the next check begins anew.  Needs the IDS's lock.
 */
void sevmon_check_leave(struct sevmon_check *check);

SEVMON_END_C

#endif /* SEVMON_AGENT_CHECK_H */
