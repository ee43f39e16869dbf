/* SPDX-License-Identifier: MIT */
/* What digests.bpf.c takes and gives: read by the program and by the IDS. */
#ifndef SEVMON_PROGRAMS_DIGESTS_H
#define SEVMON_PROGRAMS_DIGESTS_H

#include <sevmon/program.h>

struct sevmon_digests_input {
    uint64_t address; /* of a page */
    uint32_t pages;   /* up to SEVMON_DIGESTS_MAX_PAGES */
    uint32_t zero;
    uint8_t  key[SEVMON_DIGEST_KEY_BYTES]; /* drawn for this run */
};
SEVMON_WIRE_SIZE(struct sevmon_digests_input, 48);

/*
 * Result: 8 bytes for each page, in order.  The lowest is a SEVMON_STATUS_*:
 * OK, and the seven above it are the first bytes of the page's digest but one;
 * or why there is none, and they are zero.
 */
#define SEVMON_DIGESTS_MAX_PAGES  7500
#define SEVMON_DIGESTS_STATUS     0xffULL

/* Each page costs some 700 instructions. */
#define SEVMON_DIGESTS_BUDGET     (1024ULL * SEVMON_DIGESTS_MAX_PAGES)

#endif /* SEVMON_PROGRAMS_DIGESTS_H */
