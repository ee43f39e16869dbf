/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A lane of shared memory as a way to the agent: <sevmon/shm.h>.  The host
 * calls when it finds time; nobody is told that there is something to do.
 *
 * The memory is hostile: whatever its other end writes, and whenever, costs at
 * most the lane.  One call at a time for each lane.
 */
#ifndef SEVMON_AGENT_LANE_H
#define SEVMON_AGENT_LANE_H

#include "agent.h"

#include <sevmon/shm.h>

SEVMON_BEGIN_C

struct sevmon_lane {
    uint8_t *memory;
    /* Never read back from there. */
    uint32_t claim;         /* the last one that was seen */
    uint32_t request_head;
    uint32_t response_tail;
    bool serves;            /* that claim; false: until the next one, nothing */
    bool runs;              /* a program, for the request whose tag this is: */
    uint32_t tag;
    uint32_t token;
};

enum sevmon_lane_state {
    SEVMON_LANE_NOTHING,  /* was there to do */
    SEVMON_LANE_ANSWERED, /* a frame, or a client came or went: look soon */
    SEVMON_LANE_RUNNING,  /* a program that is not finished: call again */
    SEVMON_LANE_BLOCKED,  /* requests wait for the client to take answers */
};

/*
 * Begin to serve the SEVMON_LANE_BYTES at `memory`, aligned to a page, one of
 * the first `lanes` of the device or file.  Clients that were there find out.
 */
void sevmon_lane_init(struct sevmon_lane *lane, void *memory,
                      unsigned int lanes);

/* Serve it no more.  A client that is there finds out. */
void sevmon_lane_end(struct sevmon_lane *lane);

/*
 * Would sevmon_lane_poll() find something to do?  Looks at one cache line of
 * shared memory and uses no vector register, so a timer's interrupt may ask.
 */
bool sevmon_lane_is_due(const struct sevmon_lane *lane);

/*
 * Do one thing: greet a client, answer one frame, or run one slice of a
 * program.  Needs what sevmon_agent_frame() needs.
 */
enum sevmon_lane_state sevmon_lane_poll(struct sevmon_agent *agent,
                                        struct sevmon_lane *lane,
                                        struct sevmon_work *work);

/* Tell the client how long the host sleeps between two looks. */
void sevmon_lane_set_poll(struct sevmon_lane *lane, uint32_t poll_ns);

SEVMON_END_C

#endif /* SEVMON_AGENT_LANE_H */
