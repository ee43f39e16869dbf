/* SPDX-License-Identifier: GPL-2.0-only */
/* The one table through which the agent reaches Xen. */
#include <xen/sha2.h>
#include <xen/time.h>
#include <xen/vmap.h>

#include "glue.h"

static uint64_t cf_check time_ns(void)
{
    s_time_t now = NOW();

    /* 0 means "never" to the agent. */
    return now > 0 ? now : 1;
}

/*
 * vmalloc'd memory is nobody's but Xen's.  It stays where it is when the agent
 * ends: that is when it did not start, or the machine is about to sleep.
 */
static void *cf_check allocate(size_t bytes)
{
    return vzalloc(bytes);
}

static void cf_check release(void *memory)
{
}

static void cf_check sha256(uint8_t digest[32], const void *message,
                            size_t bytes)
{
    sha2_256_digest(digest, message, bytes);
}

static struct sha2_256_state *state_of(struct sevmon_sha256 *hash)
{
    BUILD_BUG_ON(sizeof(struct sha2_256_state) > sizeof(hash->state));

    return (struct sha2_256_state *)hash->state;
}

static void cf_check sha256_begin(struct sevmon_sha256 *hash)
{
    sha2_256_init(state_of(hash));
}

static void cf_check sha256_add(struct sevmon_sha256 *hash, const void *part,
                                size_t bytes)
{
    sha2_256_update(state_of(hash), part, bytes);
}

static void cf_check sha256_end(struct sevmon_sha256 *hash, uint8_t digest[32])
{
    sha2_256_final(state_of(hash), digest);
}

const struct sevmon_host sevmon_host = {
    .target_get = sevmon_target_get,
    .target_put = sevmon_target_put,
    .vcpu_root = sevmon_vcpu_root,
    .frame_map = sevmon_frame_map,
    .frame_unmap = sevmon_frame_unmap,
    .vcpu_state = sevmon_vcpu_state,
    .trap_table = sevmon_trap_table,
    .boot_record = sevmon_boot_record,
    .status = sevmon_status,
    .pause = sevmon_pause,
    .resume = sevmon_resume,
    .wake = sevmon_wake,
    .time_ns = time_ns,
    .allocate = allocate,
    .release = release,
    .random = sevmon_random,
    .sha256 = sha256,
    .sha256_begin = sha256_begin,
    .sha256_add = sha256_add,
    .sha256_end = sha256_end,
};
