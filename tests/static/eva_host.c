/* SPDX-License-Identifier: Apache-2.0 */
#include "eva_host.h"

struct sevmon_agent eva_agent;

static uint8_t page[SEVMON_PAGE_BYTES];

void eva_any(void *p, size_t bytes)
{
    Frama_C_make_unknown(p, bytes);
}

static unsigned int one_of(unsigned int first, unsigned int second)
{
    return Frama_C_nondet(first, second);
}

static unsigned int target_get(uint16_t domid, struct sevmon_target *target)
{
    if ( Frama_C_nondet(0, 1) )
        return SEVMON_ANSWER_NO_DOMAIN;
    target->domain = NULL;
    eva_any(&target->domid, sizeof(target->domid));
    eva_any(&target->kind, sizeof(target->kind));
    eva_any(&target->forbidden_start, sizeof(uint64_t));
    eva_any(&target->forbidden_end, sizeof(uint64_t));
    eva_any(&target->c_bit_mask, sizeof(uint64_t));

    return SEVMON_ANSWER_OK;
}

static void target_put(struct sevmon_target *target)
{
    //@ assert \initialized(&target->domain);
}

static unsigned int vcpu_root(const struct sevmon_target *target,
                              unsigned int vcpu, uint64_t *frame,
                              unsigned int *levels)
{
    if ( Frama_C_nondet(0, 1) )
        return SEVMON_ANSWER_NO_ROOT;
    eva_any(frame, sizeof(*frame));
    eva_any(levels, sizeof(*levels)); /* more than host.h allows */

    return SEVMON_ANSWER_OK;
}

/* Another vCPU may rewrite the page at any time: it holds anything. */
static unsigned int frame_map(const struct sevmon_target *target,
                              uint64_t frame, struct sevmon_frame *out)
{
    //@ assert frame <= 0xffffffffff;
    if ( Frama_C_nondet(0, 1) )
        return SEVMON_STATUS_NO_FRAME;
    eva_any(page, sizeof(page));
    out->bytes = page;
    out->cookie = NULL;

    return SEVMON_STATUS_OK;
}

static void frame_unmap(struct sevmon_frame *frame)
{
    //@ assert frame->bytes == &page[0];
}

static unsigned int vcpu_state(const struct sevmon_target *target,
                               unsigned int vcpu,
                               struct sevmon_vcpu_state *state)
{
    eva_any(state, sizeof(*state));

    return one_of(one_of(SEVMON_STATUS_OK, SEVMON_STATUS_NO_VCPU),
                  SEVMON_STATUS_UNSUPPORTED);
}

static unsigned int trap_table(const struct sevmon_target *target,
                               unsigned int vcpu, struct sevmon_trap *traps)
{
    eva_any(traps, 256 * sizeof(*traps));

    return one_of(one_of(SEVMON_STATUS_OK, SEVMON_STATUS_NO_VCPU),
                  SEVMON_STATUS_UNSUPPORTED);
}

static unsigned int boot_record(const struct sevmon_target *target,
                                struct sevmon_boot_record *record)
{
    eva_any(record, sizeof(*record));

    return one_of(SEVMON_STATUS_OK, SEVMON_STATUS_UNSUPPORTED);
}

static void status(const struct sevmon_target *target,
                   struct sevmon_status *out)
{
    eva_any(out, sizeof(*out));
}

static uint64_t time_ns(void)
{
    return sevmon_eva_any();
}

static int get_random(void *bytes, size_t count)
{
    if ( Frama_C_nondet(0, 1) )
        return -EIO;
    eva_any(bytes, count);

    return 0;
}

static bool pause(struct sevmon_target *target, uint64_t until_ns)
{
    return Frama_C_nondet(0, 1);
}

static void resume(struct sevmon_target *target)
{
}

static void wake(uint64_t at_ns)
{
}

/* The core's own is not looked into where others are under analysis. */
static uint64_t programs[1 << 18];

static void *allocate(size_t bytes)
{
    //@ assert bytes <= sizeof(programs);
    memset(programs, 0, bytes);

    return Frama_C_nondet(0, 1) ? programs : NULL;
}

static void release(void *memory)
{
    //@ assert memory == &programs[0];
}

/*@ requires \valid(digest + (0 .. 31));
    requires bytes > 0;
    requires \valid_read((const char *)message + (0 .. bytes - 1));
    requires \initialized((const char *)message + (0 .. bytes - 1)); */
static void sha256(uint8_t digest[32], const void *message, size_t bytes)
{
    eva_any(digest, 32);
}

/*@ requires \valid(hash); */
static void sha256_begin(struct sevmon_sha256 *hash)
{
    eva_any(hash, sizeof(*hash));
}

/*@ requires \valid(hash) && \initialized(hash);
    requires bytes > 0;
    requires \valid_read((const char *)part + (0 .. bytes - 1));
    requires \initialized((const char *)part + (0 .. bytes - 1)); */
static void sha256_add(struct sevmon_sha256 *hash, const void *part,
                       size_t bytes)
{
    eva_any(hash, sizeof(*hash));
}

/*@ requires \valid(hash) && \initialized(hash);
    requires \valid(digest + (0 .. 31)); */
static void sha256_end(struct sevmon_sha256 *hash, uint8_t digest[32])
{
    eva_any(digest, 32);
}

const struct sevmon_host eva_host = {
    .target_get = target_get,
    .target_put = target_put,
    .vcpu_root = vcpu_root,
    .frame_map = frame_map,
    .frame_unmap = frame_unmap,
    .vcpu_state = vcpu_state,
    .trap_table = trap_table,
    .boot_record = boot_record,
    .status = status,
    .pause = pause,
    .resume = resume,
    .wake = wake,
    .time_ns = time_ns,
    .allocate = allocate,
    .release = release,
    .random = get_random,
    .sha256 = sha256,
    .sha256_begin = sha256_begin,
    .sha256_add = sha256_add,
    .sha256_end = sha256_end,
};

/* Whatever other CPUs did since this one held the lock last. */
static void change_guarded(struct sevmon_ids *ids)
{
    unsigned int i;

    eva_any(ids->challenge, sizeof(ids->challenge));
    eva_any(&ids->bucket_full_ns, sizeof(ids->bucket_full_ns));
    eva_any(ids->connection, sizeof(ids->connection));
    for ( i = 0; i < SEVMON_MAX_CONNECTIONS; i++ )
        ids->connection[i].has_requested = Frama_C_nondet(0, 1);
}

void eva_any_agent(void)
{
    unsigned int i;

    eva_agent.host = &eva_host;
    eva_agent.keys = Frama_C_unsigned_int_interval(1, SEVMON_MAX_KEYS);
    eva_any(eva_agent.agent_id, SEVMON_ID_BYTES);
    eva_any(eva_agent.boot_nonce, SEVMON_ID_BYTES);
    eva_any(eva_agent.boot_secret, SEVMON_PSK_BYTES);
    eva_any(&eva_agent.started_ns, sizeof(uint64_t));
    eva_any(eva_agent.counter, sizeof(eva_agent.counter));
    eva_any(&eva_agent.handshakes, sizeof(uint32_t));
    for ( i = 0; i < SEVMON_MAX_KEYS; i++ )
    {
        struct sevmon_ids *ids = &eva_agent.ids[i];

        eva_any(ids->ids_id, SEVMON_ID_BYTES);
        eva_any(ids->psk, SEVMON_PSK_BYTES);
        ids->lock.held = 0;
        change_guarded(ids);
    }
}

/* Nobody holds two locks, or gives back what it does not hold. */
static int held;

void sevmon_lock(struct sevmon_lock *lock)
{
    unsigned int i;

    //@ assert held == 0;
    held = 1;
    for ( i = 0; i < SEVMON_MAX_KEYS; i++ )
        if ( lock == &eva_agent.ids[i].lock )
            change_guarded(&eva_agent.ids[i]);
}

void sevmon_unlock(struct sevmon_lock *lock)
{
    //@ assert held == 1;
    held = 0;
}
