/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* A key file: struct sevmon_key_head and its entries. */
#ifndef SEVMON_AGENT_KEYFILE_H
#define SEVMON_AGENT_KEYFILE_H

#include "agent-state.h"

SEVMON_BEGIN_C

/*
 * Take agent id, IDS ids and PSKs from a key file.  Returns 0, or -EINVAL, and
 * then `agent` may hold some of them: the caller wipes it.
 */
int sevmon_keyfile_read(struct sevmon_agent *agent, const void *key_file,
                        size_t bytes);

SEVMON_END_C

#endif /* SEVMON_AGENT_KEYFILE_H */
