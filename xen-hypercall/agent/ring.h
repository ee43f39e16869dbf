/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Results that wait for their IDS, in order.  A run takes place only if there
 * is room for the longest result, and is counted otherwise.  So what waits
 * stays, for whoever keeps the IDS from collecting; and a program that reports
 * changes does not take note of one whose report is lost.
 *
 * Needs the IDS's lock, all of it.
 */
#ifndef SEVMON_AGENT_RING_H
#define SEVMON_AGENT_RING_H

#include "port.h"

#include <sevmon/program.h>

SEVMON_BEGIN_C

/* All zero: empty. */
struct sevmon_ring {
    uint64_t last_number; /* given to a run */
    uint64_t skipped;
    uint32_t results;
    uint32_t start; /* of the oldest */
    uint32_t used;  /* bytes */
    uint8_t bytes[SEVMON_RING_BYTES];
};

/* For any result. */
bool sevmon_ring_has_room(const struct sevmon_ring *ring);

/* Number a run that did not take place. */
void sevmon_ring_skip(struct sevmon_ring *ring);

/*
 * Number a run, and keep its result: `head`, but for the number, and
 * head->report.result_bytes at `result`.  Needs room.
 */
void sevmon_ring_put(struct sevmon_ring *ring,
                     const struct sevmon_result_head *head,
                     const uint8_t *result);

/* Let go of what has a number up to `seen`. */
void sevmon_ring_forget(struct sevmon_ring *ring, uint64_t seen);

/*
 * A sevmon_collected and the oldest results to `out`, which has room for that
 * and is zero.  Returns the bytes used; 0 if not even the oldest one fits.
 */
uint32_t sevmon_ring_copy(const struct sevmon_ring *ring, uint8_t *out,
                          uint32_t room_bytes);

SEVMON_END_C

#endif /* SEVMON_AGENT_RING_H */
