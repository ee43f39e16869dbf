/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What a request asks and the response's body: docs/protocol.md, 5 and 6. */
#ifndef SEVMON_AGENT_REQUEST_H
#define SEVMON_AGENT_REQUEST_H

#include "agent-state.h"

SEVMON_BEGIN_C

/* What comes after a request was looked at. */
enum sevmon_next {
    SEVMON_NEXT_SEAL,
    SEVMON_NEXT_CLOSE, /* seal; a CLOSE item was answered */
    SEVMON_NEXT_SLICE, /* sevmon_demand_slice(); it is taken */
};

/*
 * Answer the opened request in work->in: write the whole body of a response of
 * the session's size class to work->out, but for the pages in scratch.request's
 * `late`: in order, they are the caller's to copy.  Their frames are held until
 * sevmon_request_end(), which every SEAL and CLOSE needs.  Holds no lock.
 */
enum sevmon_next sevmon_request(struct sevmon_agent *agent,
                                struct sevmon_work *work);
void sevmon_request_end(struct sevmon_agent *agent, struct sevmon_work *work);

SEVMON_END_C

#endif /* SEVMON_AGENT_REQUEST_H */
