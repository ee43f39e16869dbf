/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * One run of a program: its memory, and slices of it.  Who asked for it and
 * where its result goes is its owner's: demand.c, standing.c.
 */
#ifndef SEVMON_AGENT_RUN_H
#define SEVMON_AGENT_RUN_H

#include "agent-state.h"
#include "bpf-run.h"
#include "gcm.h"
#include "walk.h"

SEVMON_BEGIN_C

/* In instructions; what helpers cost counts.  Of a call of the host's: */
#define SEVMON_RUN_SLICE (1U << 14)
/* Between two looks at the clock, while the target is paused: */
#define SEVMON_RUN_ATOMIC_SLICE (1U << 11)

struct sevmon_program;

/* What is to be run, as the IDS asked for it. */
struct sevmon_order {
    struct sevmon_run_head asked;
    uint16_t domid;
    uint32_t input_bytes;
    uint8_t input[SEVMON_MAX_PAYLOAD_BYTES] __attribute__((__aligned__(8)));
};

/* The one that the program used last; all zero: none. */
struct sevmon_digest_key {
    struct sevmon_gcm_key gcm;
    uint8_t raw[SEVMON_DIGEST_KEY_BYTES];
    bool is_set;
};

struct sevmon_run {
    struct sevmon_agent *agent;
    struct sevmon_program *program;
    struct sevmon_order order;
    struct sevmon_root root;
    struct sevmon_run_report report;
    struct sevmon_bpf_run bpf;
    /* For its helpers; valid during a slice. */
    const struct sevmon_host *host;
    struct sevmon_target target;
    struct sevmon_vcpu_state vcpu_state;
    struct sevmon_digest_key digest_key;
    uint32_t room_bytes; /* for the result, up to sizeof(result) */
    uint8_t result[SEVMON_CLASS_PAGES(SEVMON_CLASS_15_PAGES) *
                   SEVMON_PAGE_BYTES] __attribute__((__aligned__(8)));
};

/* Budget, flags and pause. */
bool sevmon_run_is_valid(const struct sevmon_run_head *asked);

/*
 * Begin anew, by `order`, which is filled, as are agent, program, root and
 * room_bytes.  `map`: the program's variables, SEVMON_PROGRAM_MAX_MAP_BYTES.
 */
void sevmon_run_begin(struct sevmon_run *run, uint8_t *map);

/*
 * Go on with it.  Returns true when it ended: then `report` and `result` say
 * how, and sevmon_run_wipe() is next.
 */
bool sevmon_run_slice(struct sevmon_run *run);

/*
 * Until then the target rests from the last pause, three times as long as that
 * took: no atomic run, on demand or standing, begins before.
 */
static inline uint64_t sevmon_pause_rest_until(const struct sevmon_agent *agent)
{
    return __atomic_load_n(&agent->pause_rest_until_ns, __ATOMIC_RELAXED);
}

/* What it had of the target's. */
void sevmon_run_wipe(struct sevmon_run *run);

SEVMON_END_C

#endif /* SEVMON_AGENT_RUN_H */
