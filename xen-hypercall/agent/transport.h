/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* REQUEST and RESPONSE, the sealed frames: docs/protocol.md, 3.3 and 4.1. */
#ifndef SEVMON_AGENT_TRANSPORT_H
#define SEVMON_AGENT_TRANSPORT_H

#include "agent-state.h"

SEVMON_BEGIN_C

/* Takes the frame at work->in and returns as sevmon_agent_frame(). */
int sevmon_transport(struct sevmon_agent *agent, struct sevmon_work *work);

/* Goes on with a run or check and returns as sevmon_agent_continue(). */
int sevmon_transport_continue(struct sevmon_agent *agent,
                              struct sevmon_work *work, uint32_t token);

SEVMON_END_C

#endif /* SEVMON_AGENT_TRANSPORT_H */
