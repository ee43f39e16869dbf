/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "helpers.h"

#define PAGE_MASK_BITS (SEVMON_PAGE_BYTES - 1ULL)
#define BYTES_PER_INSN 8

/* A helper while it runs. */
struct call {
    struct sevmon_run *run;
    const uint64_t *arg; /* r1 to r5 */
    uint32_t cost;
};

/*
 * The program's own `bytes` at `address`, or NULL: then the run is over, as
 * with any other access outside of its regions.
 */
static uint8_t *own(struct call *call, uint64_t address, uint64_t bytes,
                    bool write)
{
    struct sevmon_bpf_run *bpf = &call->run->bpf;
    uint8_t *memory = NULL;

    if ( bytes <= SEVMON_HELPER_MAX_BYTES )
        memory = sevmon_bpf_memory(bpf, address, bytes, write);
    if ( !memory )
        bpf->state = SEVMON_RUN_FAULT;
    call->cost += bytes / BYTES_PER_INSN;

    return memory;
}

/* r0 of a helper that failed. */
static uint64_t failure(unsigned int status)
{
    return -(uint64_t)status;
}

/* How many of `bytes` are in the page of `address`. */
static uint64_t within_page(uint64_t address, uint64_t bytes)
{
    uint64_t left = SEVMON_PAGE_BYTES - (address & PAGE_MASK_BITS);

    return bytes < left ? bytes : left;
}

/* The page of `address`; `root` NULL: that is a physical one. */
static unsigned int map_page(struct call *call, const struct sevmon_root *root,
                             uint64_t address, struct sevmon_frame *page)
{
    const struct sevmon_run *run = call->run;
    struct sevmon_translation translation;
    unsigned int status = SEVMON_STATUS_OK;
    uint8_t level;

    call->cost += SEVMON_HELPER_COST;
    translation.frame = address / SEVMON_PAGE_BYTES;
    if ( root )
        status = sevmon_walk(run->host, &run->target, root, address,
                             &translation, &level);
    if ( status == SEVMON_STATUS_OK )
        status = sevmon_map(run->host, &run->target, translation.frame, page);

    return status;
}

/* Within one page. */
static unsigned int read_page(struct call *call,
                              const struct sevmon_root *root,
                              uint64_t address, uint8_t *to, uint64_t bytes)
{
    const struct sevmon_run *run = call->run;
    struct sevmon_frame page;
    unsigned int status = map_page(call, root, address, &page);

    if ( status != SEVMON_STATUS_OK )
        return status;
    memcpy(to, page.bytes + (address & PAGE_MASK_BITS), bytes);
    run->host->frame_unmap(&page);

    return SEVMON_STATUS_OK;
}

static uint64_t read_range(struct call *call, const struct sevmon_root *root,
                           uint64_t address)
{
    uint64_t bytes = (uint32_t)call->arg[1], done, part;
    uint8_t *to = own(call, call->arg[0], bytes, true);

    if ( !to )
        return 0;
    for ( done = 0; done < bytes; done += part )
    {
        unsigned int status;

        part = within_page(address + done, bytes - done);
        status = read_page(call, root, address + done, to + done, part);
        if ( status != SEVMON_STATUS_OK )
        {
            memset(to, 0, bytes);
            return failure(status);
        }
    }

    return 0;
}

/* The table at arg[3] in the kernel's memory is the root. */
static uint64_t read_user(struct call *call)
{
    const struct sevmon_run *run = call->run;
    struct sevmon_translation translation;
    struct sevmon_root root = { .levels = run->root.levels };
    unsigned int status;
    uint8_t level, *to;

    call->cost += SEVMON_HELPER_COST;
    status = sevmon_walk(run->host, &run->target, &run->root, call->arg[3],
                         &translation, &level);
    if ( status == SEVMON_STATUS_OK )
    {
        root.frame = translation.frame;
        return read_range(call, &root, call->arg[2]);
    }
    to = own(call, call->arg[0], (uint32_t)call->arg[1], true);
    if ( to )
        memset(to, 0, (uint32_t)call->arg[1]);

    return failure(status);
}

/* Up to a NUL or the range's end, whatever lies behind it. */
static uint64_t read_string(struct call *call)
{
    uint64_t capacity = (uint32_t)call->arg[1], address = call->arg[2];
    uint8_t *to = own(call, call->arg[0], capacity, true);
    uint64_t done = 0, part, length;

    if ( !to || !capacity )
        return 0;
    while ( done < capacity )
    {
        unsigned int status;

        part = within_page(address + done, capacity - done);
        status = read_page(call, &call->run->root, address + done, to + done,
                           part);
        if ( status != SEVMON_STATUS_OK )
        {
            memset(to, 0, capacity);
            return failure(status);
        }
        for ( length = done; length < done + part; length++ )
            if ( !to[length] )
            {
                memset(to + length, 0, capacity - length);
                return length;
            }
        done += part;
    }
    to[capacity - 1] = 0;

    return capacity - 1;
}

static uint64_t translate(struct call *call)
{
    const struct sevmon_run *run = call->run;
    struct sevmon_translation translation;
    uint8_t *to = own(call, call->arg[0], sizeof(translation), true);
    unsigned int status;
    uint8_t level;

    if ( !to )
        return 0;
    call->cost += SEVMON_HELPER_COST;
    status = sevmon_walk(run->host, &run->target, &run->root, call->arg[1],
                         &translation, &level);
    memcpy(to, &translation, sizeof(translation));

    return failure(status);
}

static uint64_t append(struct call *call)
{
    struct sevmon_run *run = call->run;
    uint32_t bytes = (uint32_t)call->arg[1];
    const uint8_t *from = own(call, call->arg[0], bytes, false);

    if ( !from )
        return 0;
    if ( bytes > run->room_bytes - run->report.result_bytes )
        return failure(SEVMON_STATUS_NO_SPACE);
    memcpy(run->result + run->report.result_bytes, from, bytes);
    run->report.result_bytes += bytes;

    return 0;
}

static uint64_t vcpu_state(struct call *call)
{
    struct sevmon_run *run = call->run;
    uint8_t *to = own(call, call->arg[0], sizeof(run->vcpu_state), true);
    unsigned int status;

    if ( !to )
        return 0;
    call->cost += SEVMON_HELPER_VCPU_COST;
    /* A host may write some of it and then find that it cannot. */
    memset(&run->vcpu_state, 0, sizeof(run->vcpu_state));
    status = run->host->vcpu_state(&run->target, (uint32_t)call->arg[1],
                                   &run->vcpu_state);
    if ( status != SEVMON_STATUS_OK )
        memset(&run->vcpu_state, 0, sizeof(run->vcpu_state));
    memcpy(to, &run->vcpu_state, sizeof(run->vcpu_state));

    return failure(status);
}

/* A program digests many pages under one key: it is expanded once. */
static const struct sevmon_gcm_key *digest_key(struct call *call,
                                               const uint8_t *raw)
{
    struct sevmon_digest_key *key = &call->run->digest_key;

    if ( !key->is_set || !sevmon_equal(key->raw, raw, sizeof(key->raw)) )
    {
        call->cost += SEVMON_HELPER_KEY_COST;
        memcpy(key->raw, raw, sizeof(key->raw));
        sevmon_gcm_set_key(&key->gcm, raw);
        key->is_set = true;
    }

    return &key->gcm;
}

static uint64_t digest(struct call *call)
{
    const struct sevmon_run *run = call->run;
    uint8_t *to = own(call, call->arg[0], SEVMON_DIGEST_BYTES, true);
    const uint8_t *raw = own(call, call->arg[1], SEVMON_DIGEST_KEY_BYTES,
                             false);
    uint32_t bytes = (uint32_t)call->arg[2];
    uint64_t address = call->arg[3];
    const struct sevmon_gcm_key *key;
    uint8_t nonce[SEVMON_GCM_NONCE_BYTES];
    struct sevmon_frame page;
    unsigned int status = SEVMON_STATUS_BAD_ITEM;

    if ( !to || !raw )
        return 0;
    /* Before `to` is written, which may be in the key. */
    key = digest_key(call, raw);
    memset(to, 0, SEVMON_DIGEST_BYTES);
    if ( bytes && bytes == within_page(address, bytes) )
        status = map_page(call, &run->root, address, &page);
    if ( status != SEVMON_STATUS_OK )
        return failure(status);

    memcpy(nonce, &address, sizeof(address));
    memcpy(nonce + sizeof(address), &bytes, sizeof(bytes));
    call->cost += bytes / BYTES_PER_INSN;
    sevmon_gcm_seal(key, nonce, page.bytes + (address & PAGE_MASK_BITS), bytes,
                    NULL, 0, NULL, to);
    run->host->frame_unmap(&page);

    return 0;
}

static const uint8_t arguments_of[SEVMON_HELPERS] = {
    [SEVMON_HELPER_READ] = 3,
    [SEVMON_HELPER_READ_PHYSICAL] = 3,
    [SEVMON_HELPER_READ_USER] = 4,
    [SEVMON_HELPER_READ_STRING] = 3,
    [SEVMON_HELPER_TRANSLATE] = 2,
    [SEVMON_HELPER_APPEND] = 2,
    [SEVMON_HELPER_VCPU_STATE] = 2,
    [SEVMON_HELPER_TIME] = 0,
    [SEVMON_HELPER_DIGEST] = 4,
};

bool sevmon_callback sevmon_helper_arguments(int32_t number,
                                             unsigned int *arguments)
{
    if ( number < 1 || number >= SEVMON_HELPERS )
        return false;
    *arguments = arguments_of[array_index_nospec((unsigned int)number,
                                                 SEVMON_HELPERS)];

    return true;
}

static uint64_t call_helper(struct call *call, int32_t number)
{
    switch ( number )
    {
    case SEVMON_HELPER_READ:
        return read_range(call, &call->run->root, call->arg[2]);

    case SEVMON_HELPER_READ_PHYSICAL:
        return read_range(call, NULL, call->arg[2]);

    case SEVMON_HELPER_READ_USER:
        return read_user(call);

    case SEVMON_HELPER_READ_STRING:
        return read_string(call);

    case SEVMON_HELPER_TRANSLATE:
        return translate(call);

    case SEVMON_HELPER_APPEND:
        return append(call);

    case SEVMON_HELPER_VCPU_STATE:
        return vcpu_state(call);

    case SEVMON_HELPER_TIME:
        return call->run->host->time_ns();

    case SEVMON_HELPER_DIGEST:
        return digest(call);
    }
    call->run->bpf.state = SEVMON_RUN_BAD_INSN;

    return 0;
}

uint32_t sevmon_callback sevmon_helper_call(struct sevmon_bpf_run *bpf,
                                            int32_t number)
{
    struct call call = {
        .run = (struct sevmon_run *)((uint8_t *)bpf -
                                     offsetof(struct sevmon_run, bpf)),
        .arg = &bpf->reg[1],
        .cost = SEVMON_HELPER_COST,
    };

    bpf->reg[0] = call_helper(&call, number);

    return call.cost;
}
