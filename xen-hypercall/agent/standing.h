/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Standing programs: run at times that nobody in the target knows, without a
 * call of its.  Their results wait in the IDS's ring.  Schedules and results
 * belong to the IDS's id, not to a session.
 *
 * sevmon_agent_tick() is the one that runs them, one at a time, in the order
 * in which they are due.
 */
#ifndef SEVMON_AGENT_STANDING_H
#define SEVMON_AGENT_STANDING_H

#include "run.h"

SEVMON_BEGIN_C

/* Of a program; guarded by the IDS's lock, but for the map of one that runs. */
struct sevmon_schedule {
    bool on;
    bool running; /* the tick is at work on it */
    uint8_t root_kind;
    uint16_t vcpu;
    uint32_t min_ms;
    uint32_t max_ms;
    uint64_t due_ns;
    uint64_t since_ns;
    uint64_t runs;    /* that ended */
    uint64_t last_ns; /* when the last of them did */
    struct sevmon_root root; /* SEVMON_ROOT_FRAME */
    struct sevmon_order order;
    uint8_t map[SEVMON_PROGRAM_MAX_MAP_BYTES] __attribute__((__aligned__(8)));
};

struct sevmon_standing {
    struct sevmon_ids *ids; /* whose run it is; NULL: none */
    bool has_room;          /* for its result; otherwise it is skipped */
    uint64_t rest_until_ns; /* nothing runs before, whatever is due */
    struct sevmon_run run;
};

/*
 * Schedule the program that the payload behind a valid SCHEDULE item names,
 * with the domain and root of the request's head.  Returns SEVMON_STATUS_OK;
 * BAD_ITEM, NO_PROGRAM; BUSY: its last run is not over; UNSUPPORTED: the host
 * cannot.
 */
unsigned int sevmon_schedule(struct sevmon_agent *agent,
                             struct sevmon_ids *ids,
                             const struct sevmon_request_head *head,
                             const struct sevmon_item *item);

/* Of one that is on.  Needs the IDS's lock. */
void sevmon_schedule_describe(const struct sevmon_schedule *schedule,
                              struct sevmon_program_entry *entry);

/* Returns SEVMON_STATUS_OK, also if it had none; BAD_ITEM, NO_PROGRAM. */
unsigned int sevmon_unschedule(struct sevmon_ids *ids,
                               const struct sevmon_program_name *asked);

/* As sevmon_ring_copy(), after sevmon_ring_forget(). */
uint32_t sevmon_standing_collect(struct sevmon_ids *ids, uint64_t seen,
                                 uint8_t *out, uint32_t room_bytes);

SEVMON_END_C

#endif /* SEVMON_AGENT_STANDING_H */
