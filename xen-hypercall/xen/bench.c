/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Debugging only: what a page costs inside Xen, once Dom0 runs.  AES-256-GCM
 * alone over batches of 15 of Dom0's pages, and in turns with that whole
 * requests for the same batches, from the sealed request to the answer copied
 * out: by an agent of this file's own, with keys that anybody knows.
 *
 * Some batches each time, so that Dom0 goes on beside it.
 */
#include <xen/init.h>
#include <xen/lib.h>
#include <xen/mm.h>
#include <xen/sched.h>
#include <xen/string.h>
#include <xen/tasklet.h>
#include <xen/timer.h>

#include "glue.h"

#include "agent/session.h"

#define PAGES 15 /* a batch */
#define BATCHES 4370 /* 256 MiB, if Dom0 has as many that adjoin */
#define SLICE 32 /* batches each time */
#define ROUNDS 5
#define DELAY SECONDS(25) /* for Dom0 to boot */

/* A Linux of 4 levels has all memory here, without its KASLR. */
#define DOM0_DIRECT_MAP 0xffff888000000000UL

/* Guest's frames from `pfn` on lie in Xen's frames from `mfn` on. */
struct batch {
    unsigned long mfn, pfn;
};

static struct {
    struct sevmon_agent agent;
    struct sevmon_work work;
    uint8_t requests[SLICE][SEVMON_REQUEST_FRAME_BYTES];
    uint8_t out[SEVMON_MAX_FRAME_BYTES];
    struct sevmon_gcm_key gcm;
    struct batch batches[BATCHES];
    uint32_t session;
    unsigned int count, next, round;
    uint64_t n, gcm_ns, agent_ns;
} bench;

static const uint8_t key[SEVMON_AES_KEY_BYTES] = { 1, 2, 3 };

static struct timer timer;

static bool is_batch(const struct domain *d, unsigned long mfn)
{
    unsigned int i;

    for ( i = 0; i < PAGES; i++ )
        if ( !mfn_valid(_mfn(mfn + i)) ||
             page_get_owner(mfn_to_page(_mfn(mfn + i))) != d ||
             get_gpfn_from_mfn(mfn + i) != get_gpfn_from_mfn(mfn) + i )
            return false;

    return true;
}

static void find_batches(const struct domain *d)
{
    unsigned long mfn = 0;

    while ( mfn + PAGES <= max_page && bench.count < BATCHES )
    {
        if ( !is_batch(d, mfn) )
        {
            mfn++;
            continue;
        }
        bench.batches[bench.count].mfn = mfn;
        bench.batches[bench.count].pfn = get_gpfn_from_mfn(mfn);
        bench.count++;
        mfn += PAGES;
    }
}

static bool begin_bench(void)
{
    struct {
        struct sevmon_key_head head;
        struct sevmon_key_entry entry;
    } file = {
        .head = { .magic = SEVMON_KEY_MAGIC, .version = 1, .count = 1,
                  .agent_id = { 1 } },
        .entry = { .ids_id = { 1 }, .psk = { 1 } },
    };
    const struct sevmon_new_session session = {
        .connection_id = key,
        .request_key = key,
        .response_key = key,
        .now_ns = NOW(),
        .size_class = SEVMON_CLASS_15_PAGES,
    };

    if ( sevmon_agent_start(&bench.agent, &sevmon_host, &file, sizeof(file)) ||
         sevmon_session_add(&bench.agent, &bench.agent.ids[0], &session,
                            &bench.session) != SEVMON_ACCEPT_OK )
        return false;
    sevmon_gcm_set_key(&bench.gcm, key);
    find_batches(hardware_domain);

    return bench.count;
}

static void make_nonce(uint8_t nonce[SEVMON_XAES_NONCE_BYTES],
                       const uint8_t random[SEVMON_XNONCE_BYTES], uint64_t n)
{
    unsigned int i;

    memset(nonce, 0, SEVMON_XAES_NONCE_BYTES);
    memcpy(nonce, random, SEVMON_XNONCE_BYTES);
    for ( i = 0; i < 8; i++ )
        nonce[16 + i] = n >> (56 - 8 * i);
}

/* As an IDS does: docs/protocol.md, 3.3. */
static void seal_request(uint8_t *frame, const struct batch *batch)
{
    static struct sevmon_request_body body;
    static struct sevmon_gcm_key gcm;
    const struct sevmon_header header = {
        .type = SEVMON_FRAME_REQUEST,
        .version = SEVMON_PROTOCOL_VERSION,
        .size_class = SEVMON_CLASS_15_PAGES,
        .session = bench.session,
        .n = bench.n++,
    };
    uint8_t nonce[SEVMON_XAES_NONCE_BYTES];
    unsigned int i;

    memset(&body, 0, sizeof(body));
    body.head.domid = SEVMON_DOMID_DOM0;
    body.head.root_kind = SEVMON_ROOT_VCPU;
    body.head.items = PAGES;
    for ( i = 0; i < PAGES; i++ )
    {
        body.items[i].type = SEVMON_ITEM_READ_VIRTUAL;
        body.items[i].bytes = SEVMON_PAGE_BYTES;
        body.items[i].address =
            DOM0_DIRECT_MAP + (batch->pfn + i) * SEVMON_PAGE_BYTES;
    }

    make_nonce(nonce, key, header.n); /* any bytes do: the key is no secret */
    memcpy(frame, &header, sizeof(header));
    memcpy(frame + sizeof(header), nonce, SEVMON_XNONCE_BYTES);
    sevmon_xaes_derive(&gcm, key, nonce);
    sevmon_gcm_seal(&gcm, nonce + SEVMON_XNONCE_BYTES, frame, sizeof(header),
                    (const uint8_t *)&body, sizeof(body),
                    frame + SEVMON_BODY_OFFSET,
                    frame + SEVMON_BODY_OFFSET + sizeof(body));
}

static bool ask(const uint8_t *request)
{
    int rc;

    memcpy(sevmon_work_in(&bench.work), request, SEVMON_REQUEST_FRAME_BYTES);
    rc = sevmon_agent_frame(&bench.agent, &bench.work,
                            SEVMON_REQUEST_FRAME_BYTES);
    if ( rc <= 0 )
        return false;
    memcpy(bench.out, sevmon_work_out(&bench.work), rc);

    return true;
}

/* Whether the last answer has all its pages. */
static bool check(void)
{
    static struct sevmon_gcm_key gcm;
    const struct sevmon_response_head *head =
        (const void *)(bench.out + SEVMON_BODY_OFFSET);
    const struct sevmon_item_result *results = (const void *)(head + 1);
    uint8_t *body = bench.out + SEVMON_BODY_OFFSET;
    uint8_t nonce[SEVMON_XAES_NONCE_BYTES];
    uint32_t bytes = SEVMON_RESPONSE_BODY_BYTES(SEVMON_CLASS_15_PAGES);
    unsigned int i, good = 0;

    make_nonce(nonce, bench.out + sizeof(struct sevmon_header), bench.n - 1);
    sevmon_xaes_derive(&gcm, key, nonce);
    if ( !sevmon_gcm_open(&gcm, nonce + SEVMON_XNONCE_BYTES, bench.out,
                          sizeof(struct sevmon_header), body, bytes,
                          body + bytes, body) )
        return false;
    for ( i = 0; i < PAGES; i++ )
        good += results[i].status == SEVMON_STATUS_OK &&
                results[i].bytes == SEVMON_PAGE_BYTES;

    return head->status == SEVMON_ANSWER_OK && good == PAGES;
}

static bool slice(unsigned int count)
{
    static const uint8_t nonce[SEVMON_GCM_NONCE_BYTES];
    const struct batch *batches = &bench.batches[bench.next];
    bool good = true;
    unsigned int i;
    s_time_t begin;

    for ( i = 0; i < count; i++ )
        seal_request(bench.requests[i], &batches[i]);

    begin = NOW();
    for ( i = 0; i < count; i++ )
        sevmon_gcm_seal(&bench.gcm, nonce, key, 16,
                        mfn_to_virt(batches[i].mfn), PAGES * PAGE_SIZE,
                        bench.out, bench.out + PAGES * PAGE_SIZE);
    bench.gcm_ns += NOW() - begin;

    begin = NOW();
    for ( i = 0; i < count; i++ )
        good = ask(bench.requests[i]) && good;
    bench.agent_ns += NOW() - begin;

    return good && check();
}

/* Returns whether there is more to do. */
static bool step(void)
{
    unsigned int count = min(bench.count - bench.next, SLICE + 0U);

    if ( !bench.count && !begin_bench() )
    {
        printk("sevmon: bench: cannot start\n");
        return false;
    }
    if ( !count )
        return true;
    if ( !slice(count) )
    {
        printk("sevmon: bench: pages are missing\n");
        return false;
    }
    bench.next += count;
    if ( bench.next < bench.count )
        return true;

    printk("sevmon: bench: %u pages: AES-GCM alone %lu us, walk, seal and copy out %lu us\n",
           bench.count * PAGES, bench.gcm_ns / 1000, bench.agent_ns / 1000);
    bench.next = 0;
    bench.gcm_ns = bench.agent_ns = 0;

    return ++bench.round < ROUNDS;
}

static void cf_check tick(void *unused)
{
    struct sevmon_cpu *cpu = sevmon_this_cpu();
    bool has_more = false;

    sync_local_execstate();
    if ( cpu && sevmon_enter(cpu) )
    {
        has_more = step();
        sevmon_leave(cpu);
    }
    if ( has_more )
        set_timer(&timer, NOW() + MILLISECS(1));
    else
        printk("sevmon: bench: over\n");
}

static DECLARE_TASKLET(tasklet, tick, NULL);

static void cf_check expired(void *unused)
{
    tasklet_schedule(&tasklet);
}

void __init sevmon_bench(void)
{
    init_timer(&timer, expired, NULL, smp_processor_id());
    set_timer(&timer, NOW() + DELAY);
}
