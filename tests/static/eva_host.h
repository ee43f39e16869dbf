/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host (xen-hypercall/agent/host.h) that answers whatever that header
 * allows, and an agent with any number of keys and sessions.
 */
#ifndef SEVMON_EVA_HOST_H
#define SEVMON_EVA_HOST_H

#include "agent-state.h"

extern struct sevmon_agent eva_agent;
extern const struct sevmon_host eva_host;

/* Arbitrary, initialised bytes. */
void eva_any(void *p, size_t bytes);

/* 1 to 8 keys; any identities, challenges, buckets and sessions. */
void eva_any_agent(void);

#endif
