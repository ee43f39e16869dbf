/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* HELLO and INITIATE: docs/protocol.md, 3.1 and 3.2. */
#ifndef SEVMON_AGENT_HANDSHAKE_H
#define SEVMON_AGENT_HANDSHAKE_H

#include "agent-state.h"

SEVMON_BEGIN_C

/* Each takes the frame at work->in and returns as sevmon_agent_frame(). */
int sevmon_hello(struct sevmon_agent *agent, struct sevmon_work *work);
int sevmon_handshake(struct sevmon_agent *agent, struct sevmon_work *work);

SEVMON_END_C

#endif /* SEVMON_AGENT_HANDSHAKE_H */
