/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What an IDS asks for and can take many calls of the host: a run of a program,
 * whose answer is the result, or the check of one (COMMIT), whose answer is the
 * verdict.  After each slice it waits, and any later call that has its token
 * goes on with it.
 *
 * An IDS has one at a time.  When nobody goes on with it (Dom0 is free not
 * to), the IDS's next one takes its place after
 * SEVMON_DEMAND_ABANDONED_SECONDS.
 */
#ifndef SEVMON_AGENT_DEMAND_H
#define SEVMON_AGENT_DEMAND_H

#include "check.h"
#include "run.h"

SEVMON_BEGIN_C

#define SEVMON_DEMAND_ABANDONED_SECONDS 2

enum sevmon_demand_place {
    SEVMON_DEMAND_NONE,
    SEVMON_DEMAND_TAKEN,   /* somebody is at work on it: the rest is theirs */
    SEVMON_DEMAND_WAITING, /* for the call that goes on with it */
};

struct sevmon_demand {
    /*
     * These, and the program of either, are guarded by the IDS's lock; whoever
     * has it TAKEN can read them.
     */
    enum sevmon_demand_place place;
    uint32_t number; /* so that a token is of one only */
    uint64_t waiting_ns;
    bool is_check; /* else it is a run */

    /* Of the request. */
    const void *way; /* nobody goes on with it by another one */
    uint64_t n;
    uint32_t session;
    struct sevmon_response_head head;

    struct sevmon_run run;
    struct sevmon_check check;
};

/*
 * Take the IDS's run for the RUN item that is the request in `work`, whose
 * response's head is filled.  Returns SEVMON_STATUS_OK: sevmon_demand_slice()
 * is next; otherwise NO_PROGRAM, BUSY, BAD_ITEM.
 */
unsigned int sevmon_demand_start(struct sevmon_agent *agent,
                                 struct sevmon_work *work,
                                 const struct sevmon_root *root);

/*
 * Likewise for the COMMIT item that is the request.  *is_ready: the program can
 * be run already, and nothing is taken.  NO_PROGRAM, BUSY, BAD_ITEM.
 */
unsigned int sevmon_demand_check(struct sevmon_agent *agent,
                                 struct sevmon_work *work, bool *is_ready);

/*
 * Take what `token` names and return its IDS, if it is waiting; else
 * NULL.  The request's session and number are put back into work->header.
 */
struct sevmon_ids *sevmon_demand_resume(struct sevmon_agent *agent,
                                        struct sevmon_work *work,
                                        uint32_t token);

/*
 * Go on with what this call has taken, of the session in `work`.  Returns true:
 * the body of its answer is in work->out, and its place is free; false: it
 * waits, and work->token names it.
 */
bool sevmon_demand_slice(struct sevmon_agent *agent, struct sevmon_work *work);

/* What nobody went on with makes room.  Needs the IDS's lock. */
void sevmon_demand_reap(struct sevmon_demand *demand, uint64_t now_ns);

/* The session of what this call has taken is over: so is that. */
void sevmon_demand_drop(struct sevmon_ids *ids);

SEVMON_END_C

#endif /* SEVMON_AGENT_DEMAND_H */
