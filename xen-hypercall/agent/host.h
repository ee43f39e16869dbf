/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the agent core needs from where it runs: Xen, a memory image, a test.
 * The core reaches memory, time, randomness and vCPUs through this table and
 * nothing else.
 *
 * Every function may be called on several CPUs at once, never from an
 * interrupt, and never while the core holds one of its locks.  None may sleep
 * or schedule.  None but allocate() allocates, and that one only while the
 * agent starts.
 */
#ifndef SEVMON_AGENT_HOST_H
#define SEVMON_AGENT_HOST_H

#include "port.h"

#include <sevmon/wire.h>

/* A monitored domain, held from target_get() to target_put(). */
struct sevmon_target {
    void *domain;         /* the host's own handle */
    uint16_t domid;       /* resolved, never SEVMON_DOMID_DOM0 */
    uint8_t kind;         /* SEVMON_TARGET_* */
    /*
     * Virtual range that virtual items refuse: what Xen keeps for itself in a
     * PV guest's address space.  Empty when both are 0.
     */
    uint64_t forbidden_start; /* inclusive */
    uint64_t forbidden_end;   /* exclusive */
    /* The SEV C-bit in page-table entries, from CPUID 8000_001F; 0: none. */
    uint64_t c_bit_mask;
};

/* A mapped frame, from frame_map() to frame_unmap(). */
struct sevmon_frame {
    const uint8_t *bytes; /* SEVMON_PAGE_BYTES; may change under the reader */
    void *cookie;         /* the host's */
};

/* A SHA-256 that is not finished.  Copied and thrown away like any number. */
struct sevmon_sha256 {
    uint64_t state[16]; /* the host's own */
};

struct sevmon_host {
    /*
     * Find and hold domain `domid` (SEVMON_DOMID_DOM0: the hardware domain).
     * Returns SEVMON_ANSWER_OK, or SEVMON_ANSWER_NO_DOMAIN and holds nothing.
     */
    unsigned int (*target_get)(uint16_t domid, struct sevmon_target *target);
    void (*target_put)(struct sevmon_target *target);

    /*
     * Frame of the kernel's page table that `vcpu` uses now, and its levels
     * (4 or 5).  Returns SEVMON_ANSWER_OK, or SEVMON_ANSWER_NO_ROOT.
     */
    unsigned int (*vcpu_root)(const struct sevmon_target *target,
                              unsigned int vcpu, uint64_t *frame,
                              unsigned int *levels);

    /*
     * Map 4 KiB frame number `frame` of the target's frame space, if it is RAM
     * that the target owns: never MMIO, foreign, Xen's; never allocating or
     * unsharing.  Holds a reference until frame_unmap(); up to
     * SEVMON_LATE_PAGES + 1 frames are held at a time.
     * Returns SEVMON_STATUS_OK, or SEVMON_STATUS_NO_FRAME and holds nothing.
     */
    unsigned int (*frame_map)(const struct sevmon_target *target,
                              uint64_t frame, struct sevmon_frame *out);
    void (*frame_unmap)(struct sevmon_frame *frame);

    /*
     * Fill a zeroed structure.  Each returns SEVMON_STATUS_OK,
     * SEVMON_STATUS_NO_VCPU or SEVMON_STATUS_UNSUPPORTED; then the structure
     * is not sent.
     */
    unsigned int (*vcpu_state)(const struct sevmon_target *target,
                               unsigned int vcpu,
                               struct sevmon_vcpu_state *state);
    unsigned int (*trap_table)(const struct sevmon_target *target,
                               unsigned int vcpu,
                               struct sevmon_trap traps[256]);
    unsigned int (*boot_record)(const struct sevmon_target *target,
                                struct sevmon_boot_record *record);
    /*
     * Fill what the host knows: host, key_source, sev, iommu, target_frames,
     * target_vcpus, c_bit_mask, lanes, lanes_ns, host_version.  The core fills the rest.
     */
    void (*status)(const struct sevmon_target *target,
                   struct sevmon_status *status);

    /*
     * Pause the target's vCPUs, but the one that this call comes from, until
     * resume().  Returns false, with none of them paused, if another call
     * pauses any, or if one still runs at `until_ns` of the host's clock.
     */
    bool (*pause)(struct sevmon_target *target, uint64_t until_ns);
    void (*resume)(struct sevmon_target *target);

    /*
     * Call sevmon_agent_tick() at `at_ns` of the host's clock or soon after,
     * or at an earlier time that is still to come; on no behalf of the target.
     * NULL: there are no standing programs.
     */
    void (*wake)(uint64_t at_ns);

    /* Monotonic, nanoseconds since the host booted; never 0. */
    uint64_t (*time_ns)(void);

    /*
     * Zeroed memory that nobody else sees, NULL if there is none; and back
     * with it, wiped.  At the agent's start and end only.
     */
    void *(*allocate)(size_t bytes);
    void (*release)(void *memory);

    /*
     * Fill with cryptographically good randomness.  What SEVMON_XNONCE_BYTES
     * are asked for goes into a nonce, in clear, and nothing else has that
     * size.  Returns 0, or -EIO: then the bytes must not be used and the agent
     * does not answer.
     */
    int (*random)(void *bytes, size_t count);

    /* FIPS 180-4 SHA-256, one shot. */
    void (*sha256)(uint8_t digest[32], const void *message, size_t bytes);

    /* The same of a message that comes in parts, of any length each. */
    void (*sha256_begin)(struct sevmon_sha256 *hash);
    void (*sha256_add)(struct sevmon_sha256 *hash, const void *part,
                       size_t bytes);
    void (*sha256_end)(struct sevmon_sha256 *hash, uint8_t digest[32]);
};

#endif /* SEVMON_AGENT_HOST_H */
