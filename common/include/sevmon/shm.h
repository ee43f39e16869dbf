/* SPDX-License-Identifier: MIT */
/*
 * Lanes: the channel's frames through memory that the agent's host and the IDS
 * both map.  docs/protocol.md, 7.1, says what happens in which order.
 *
 * Neither end trusts a byte of it: whoever owns the memory can write anything
 * at any time.  So each end keeps its own indices and never reads them back,
 * checks the other's, masks what it turns into an offset, and copies each byte
 * once before it looks at it.
 */
#ifndef SEVMON_SHM_H
#define SEVMON_SHM_H

#include "wire.h"

#define SEVMON_SHM_MAGIC   0x454e414c4d564553ULL /* "SEVMLANE" */
#define SEVMON_SHM_VERSION 1

#define SEVMON_LANE_BYTES    0x100000
#define SEVMON_SHM_MAX_LANES 16

/* In a lane.  Between these there is nothing, and nobody looks at it. */
#define SEVMON_SHM_AGENT_OFFSET    0
#define SEVMON_SHM_IDS_OFFSET      128 /* CPUs fetch lines in pairs */
#define SEVMON_SHM_CONTROL_BYTES   SEVMON_PAGE_BYTES
#define SEVMON_SHM_REQUEST_OFFSET  0x10000
#define SEVMON_SHM_REQUEST_BYTES   0x10000
#define SEVMON_SHM_RESPONSE_OFFSET 0x80000
#define SEVMON_SHM_RESPONSE_BYTES  0x80000

/* Written by the agent alone. */
struct sevmon_shm_agent {
    uint64_t magic;
    uint32_t version;
    uint32_t lanes;         /* that are served, from the memory's start */
    uint32_t accepted;      /* the claim that is served; 0: none */
    uint32_t request_head;  /* up to here requests were taken */
    uint32_t response_tail; /* up to here there are answers */
    uint32_t poll_ns;       /* between two looks, now; a hint */
    uint8_t  zero[32];
};
SEVMON_WIRE_SIZE(struct sevmon_shm_agent, 64);

/* Written by the IDS alone, but for the agent's start. */
struct sevmon_shm_ids {
    uint32_t claim; /* drawn anew by each client; 0: none */
    uint32_t request_tail;
    uint32_t response_head;
    uint8_t  zero[52];
};
SEVMON_WIRE_SIZE(struct sevmon_shm_ids, 64);

/*
 * A ring holds records: struct sevmon_envelope, its frame, zeros up to a
 * multiple of 16.  Indices count bytes and run on past 2^32; the offset in the
 * ring is the index modulo its size, so a record may go round its end.
 */
#define SEVMON_SHM_ALIGN 16U
#define SEVMON_SHM_RECORD_BYTES(frame_bytes) \
    ((sizeof(struct sevmon_envelope) + (frame_bytes) + SEVMON_SHM_ALIGN - 1) & \
     ~(SEVMON_SHM_ALIGN - 1))

#endif /* SEVMON_SHM_H */
