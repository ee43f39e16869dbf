/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* From a virtual address to the target's frame: AMD APM vol. 2, 5.3. */
#ifndef SEVMON_AGENT_WALK_H
#define SEVMON_AGENT_WALK_H

#include "host.h"

SEVMON_BEGIN_C

struct sevmon_root {
    uint64_t frame;
    uint8_t levels; /* 4 or 5 */
};

/*
 * Walk `gva` from `root`.  `out` is zeroed, then filled as far as the walk
 * came; `level` is where it ended, 0 if it did not begin.  The page itself is
 * not looked at.  Reads each entry once, writes nothing, holds nothing.
 *
 * Returns SEVMON_STATUS_OK, NOT_MAPPED, NOT_CANONICAL, XEN, NO_FRAME (a
 * table), or BAD_TABLE.
 */
unsigned int sevmon_walk(const struct sevmon_host *host,
                         const struct sevmon_target *target,
                         const struct sevmon_root *root, uint64_t gva,
                         struct sevmon_translation *out, uint8_t *level);

/*
 * host->frame_map(), for a frame number out of anywhere: what no page-table
 * entry can hold is SEVMON_STATUS_NO_FRAME without asking the host.
 */
unsigned int sevmon_map(const struct sevmon_host *host,
                        const struct sevmon_target *target, uint64_t frame,
                        struct sevmon_frame *out);

SEVMON_END_C

#endif /* SEVMON_AGENT_WALK_H */
