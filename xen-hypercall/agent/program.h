/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The programs that an IDS has loaded: docs/programs.md.  They belong to its
 * id, not to a session, and are named by what they are: to load one that is
 * there already changes nothing.
 */
#ifndef SEVMON_AGENT_PROGRAM_H
#define SEVMON_AGENT_PROGRAM_H

#include "agent-state.h"
#include "demand.h"
#include "ring.h"
#include "standing.h"

SEVMON_BEGIN_C

/*
 * `image` and `map` are written under the IDS's lock while the program is
 * LOADING, by its check while it is OWNED, and by its one run on demand (the
 * map) when it is READY.
 */
struct sevmon_program {
    uint8_t sha256[32];
    uint32_t bytes;
    uint32_t state; /* SEVMON_PROGRAM_* */
    bool running; /* on demand */
    uint64_t runs;
    uint64_t used_ns;
    uint8_t image[SEVMON_PROGRAM_MAX_BYTES] __attribute__((__aligned__(8)));
    uint8_t map[SEVMON_PROGRAM_MAX_MAP_BYTES] __attribute__((__aligned__(8)));
    struct sevmon_schedule schedule;
};

/*
 * Of one IDS; guarded by its lock but for what is said above, in demand.h and
 * in standing.h.
 */
struct sevmon_programs {
    struct sevmon_program program[SEVMON_MAX_PROGRAMS];
    struct sevmon_demand demand;
    struct sevmon_ring ring;
};

/*
 * Do a valid item of those kinds but COMMIT, RUN, SCHEDULE and COLLECT; its
 * payload follows it.  `out` is zero and has room for the kind's result.  Returns
 * SEVMON_STATUS_*.
 */
unsigned int sevmon_program_item(struct sevmon_agent *agent,
                                 struct sevmon_ids *ids,
                                 const struct sevmon_item *item, uint8_t *out);

/* What the image's map begins with, then zeros. */
void sevmon_program_fill_map(const struct sevmon_program *program,
                             uint8_t *map);

/* The READY one of that name, or NULL.  Needs the IDS's lock. */
struct sevmon_program *sevmon_program_find(struct sevmon_programs *programs,
                                           uint64_t name);

/* Likewise, whatever its state. */
struct sevmon_program *sevmon_program_find_any(
    struct sevmon_programs *programs, uint64_t name);

SEVMON_END_C

#endif /* SEVMON_AGENT_PROGRAM_H */
