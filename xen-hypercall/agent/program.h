/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The programs that an IDS has loaded: docs/programs.md.  They belong to its
 * id, not to a session, and are named by what they are: to load one that is
 * there already changes nothing.
 */
#ifndef SEVMON_AGENT_PROGRAM_H
#define SEVMON_AGENT_PROGRAM_H

#include "agent-state.h"
#include "bpf-verify.h"
#include "run.h"

SEVMON_BEGIN_C

/*
 * `image` and `map` are written under the IDS's lock while the program is
 * LOADING, by nobody else while it is OWNED, and by its one run (the map) when
 * it is READY.
 */
struct sevmon_program {
    uint8_t sha256[32];
    uint32_t bytes;
    uint32_t state; /* SEVMON_PROGRAM_* */
    bool running;
    uint64_t runs;
    uint64_t used_ns;
    uint8_t image[SEVMON_PROGRAM_MAX_BYTES] __attribute__((__aligned__(8)));
    uint8_t map[SEVMON_PROGRAM_MAX_MAP_BYTES] __attribute__((__aligned__(8)));
};

/* Of one IDS; guarded by its lock but for what is said above and in run.h. */
struct sevmon_programs {
    struct sevmon_program program[SEVMON_MAX_PROGRAMS];
    struct sevmon_run run;
    bool verifying; /* somebody has the verifier */
    struct sevmon_bpf_verifier verifier;
};

/*
 * Do a valid item of those kinds but RUN; its payload follows it.  `out` is
 * zero and has room for the kind's result.  Returns SEVMON_STATUS_*.
 */
unsigned int sevmon_program_item(struct sevmon_agent *agent,
                                 struct sevmon_ids *ids,
                                 const struct sevmon_item *item, uint8_t *out);

/* The READY one of that name, or NULL.  Needs the IDS's lock. */
struct sevmon_program *sevmon_program_find(struct sevmon_programs *programs,
                                           uint64_t name);

SEVMON_END_C

#endif /* SEVMON_AGENT_PROGRAM_H */
