/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * One run of a program, which can take many calls of the host: after each
 * slice it waits, and any later call that has its token goes on with it.
 *
 * An IDS has one at a time.  When nobody goes on with it (Dom0 is free not
 * to), the IDS's next one takes its place after SEVMON_RUN_ABANDONED_SECONDS.
 */
#ifndef SEVMON_AGENT_RUN_H
#define SEVMON_AGENT_RUN_H

#include "agent-state.h"
#include "bpf-run.h"
#include "walk.h"

SEVMON_BEGIN_C

/* Of one call, in instructions; what helpers cost counts. */
#define SEVMON_RUN_SLICE (1U << 14)
#define SEVMON_RUN_ABANDONED_SECONDS 2

struct sevmon_program;

enum sevmon_run_place {
    SEVMON_RUN_NONE,
    SEVMON_RUN_TAKEN,   /* somebody is at work on it: the rest is theirs */
    SEVMON_RUN_WAITING, /* for the call that goes on with it */
};

struct sevmon_run {
    /* These four are guarded by the IDS's lock. */
    enum sevmon_run_place place;
    uint32_t number; /* of runs, so that a token is of one only */
    uint64_t waiting_ns;
    struct sevmon_program *program;

    /* Of the request. */
    uint64_t n;
    uint32_t session;
    uint16_t domid;
    struct sevmon_root root;
    struct sevmon_response_head head;

    struct sevmon_run_report report;
    uint64_t budget;
    struct sevmon_bpf_run bpf;
    /* For its helpers; valid during a slice. */
    const struct sevmon_host *host;
    struct sevmon_target target;
    struct sevmon_vcpu_state vcpu_state;
    uint32_t room_bytes; /* of the result, in this session's class */
    uint8_t input[SEVMON_MAX_PAYLOAD_BYTES] __attribute__((__aligned__(8)));
    uint8_t result[SEVMON_CLASS_PAGES(SEVMON_CLASS_15_PAGES) *
                   SEVMON_PAGE_BYTES] __attribute__((__aligned__(8)));
};

/*
 * Take the IDS's run for the RUN item that is the request in `work`, whose
 * response's head is filled.  Returns SEVMON_STATUS_OK: sevmon_run_slice() is
 * next; otherwise NO_PROGRAM, BUSY, BAD_ITEM.
 */
unsigned int sevmon_run_start(struct sevmon_agent *agent,
                              struct sevmon_work *work,
                              const struct sevmon_root *root);

/*
 * Take the run that `token` names and return its IDS, if it is waiting; else
 * NULL.  The request's session and number are put back into work->header.
 */
struct sevmon_ids *sevmon_run_resume(struct sevmon_agent *agent,
                                     struct sevmon_work *work, uint32_t token);

/*
 * Go on with the run that this call has taken, of the session in `work`.
 * Returns true: the body of its answer is in work->out, and the run is free;
 * false: it waits, and work->token names it.
 */
bool sevmon_run_slice(struct sevmon_agent *agent, struct sevmon_work *work);

/* A run that nobody went on with makes room.  Needs the IDS's lock. */
void sevmon_run_reap(struct sevmon_run *run, uint64_t now_ns);

/* The session of a run that this call has taken is over: so is the run. */
void sevmon_run_drop(struct sevmon_ids *ids);

SEVMON_END_C

#endif /* SEVMON_AGENT_RUN_H */
