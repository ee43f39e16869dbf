/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "request.h"
#include "program.h"
#include "walk.h"

#define PAGE_MASK_BITS (SEVMON_PAGE_BYTES - 1ULL)
#define NO_VCPU 0xffff

/* A request while it is answered. */
struct answer {
    struct sevmon_agent *agent;
    struct sevmon_work *work;
    struct sevmon_ids *ids;
    const struct sevmon_host *host;
    struct sevmon_request_work *scratch;
    struct sevmon_target *target;
    struct sevmon_root root; /* levels 0: no item needs one */
    struct sevmon_response_head *head;
    uint8_t *data;
    uint32_t data_bytes;
    uint32_t room_bytes;
    uint32_t more_bytes; /* of an item's result, over what its kind says */
    const struct sevmon_request_body *body;
    bool zeroed; /* what follows data_bytes */
    bool full; /* an item did not fit: nor do all after it */
    bool close;
    bool goes_on; /* in slices, after which it is answered */
};

/* What a failed read shows, by the path that a good one takes. */
static const uint8_t zero_page[SEVMON_PAGE_BYTES];

/* Which of an item's fields mean something; the others are zero. */
#define USES_BYTES   (1U << 0)
#define USES_ARG     (1U << 1)
#define USES_ADDRESS (1U << 2)
#define USES_ROOT    (1U << 3)
/* Takes up its room even when it fails. */
#define KEEPS_ROOM   (1U << 4)
/* Writes each byte that it takes up. */
#define FILLS_ROOM   (1U << 8)
#define IS_KNOWN     (1U << 5)
/* Alone in its request, which a payload follows: `least`, if not just that. */
#define IS_PROGRAM   (1U << 6)
#define HAS_MORE     (1U << 7)

static const struct item_kind {
    uint16_t bytes; /* of the result; 0 with USES_BYTES: as asked */
    uint16_t flags;
    uint16_t least; /* bytes of payload */
} item_kinds[] = {
    [SEVMON_ITEM_READ_VIRTUAL] = {
        0, IS_KNOWN | USES_BYTES | USES_ADDRESS | USES_ROOT | KEEPS_ROOM |
        FILLS_ROOM, 0 },
    [SEVMON_ITEM_READ_PHYSICAL] = {
        0, IS_KNOWN | USES_BYTES | USES_ADDRESS | KEEPS_ROOM | FILLS_ROOM, 0 },
    [SEVMON_ITEM_TRANSLATE] = {
        sizeof(struct sevmon_translation),
        IS_KNOWN | USES_ADDRESS | USES_ROOT | KEEPS_ROOM, 0 },
    [SEVMON_ITEM_VCPU_STATE] = {
        sizeof(struct sevmon_vcpu_state), IS_KNOWN | USES_ARG, 0 },
    [SEVMON_ITEM_TRAP_TABLE] = {
        256 * sizeof(struct sevmon_trap), IS_KNOWN | USES_ARG, 0 },
    [SEVMON_ITEM_BOOT_RECORD] = {
        sizeof(struct sevmon_boot_record), IS_KNOWN, 0 },
    [SEVMON_ITEM_STATUS] = { sizeof(struct sevmon_status), IS_KNOWN, 0 },
    [SEVMON_ITEM_CLOSE] = { 0, IS_KNOWN, 0 },
    [SEVMON_ITEM_PROGRAM_BEGIN] = {
        sizeof(struct sevmon_program_entry), IS_KNOWN | IS_PROGRAM,
        sizeof(struct sevmon_program_begin) },
    [SEVMON_ITEM_PROGRAM_CHUNK] = {
        0, IS_KNOWN | IS_PROGRAM | HAS_MORE,
        sizeof(struct sevmon_program_chunk) },
    [SEVMON_ITEM_PROGRAM_COMMIT] = {
        sizeof(struct sevmon_program_verdict),
        IS_KNOWN | IS_PROGRAM | KEEPS_ROOM,
        sizeof(struct sevmon_program_name) },
    [SEVMON_ITEM_PROGRAM_UNLOAD] = {
        0, IS_KNOWN | IS_PROGRAM, sizeof(struct sevmon_program_name) },
    [SEVMON_ITEM_PROGRAM_LIST] = {
        SEVMON_MAX_PROGRAMS * sizeof(struct sevmon_program_entry),
        IS_KNOWN | IS_PROGRAM, 0 },
    /* What it answers is the run's: demand.c. */
    [SEVMON_ITEM_PROGRAM_RUN] = {
        0, IS_KNOWN | IS_PROGRAM | HAS_MORE | USES_ROOT,
        sizeof(struct sevmon_run_head) },
    [SEVMON_ITEM_PROGRAM_SCHEDULE] = {
        0, IS_KNOWN | IS_PROGRAM | HAS_MORE | USES_ROOT,
        sizeof(struct sevmon_schedule_head) },
    [SEVMON_ITEM_PROGRAM_UNSCHEDULE] = {
        0, IS_KNOWN | IS_PROGRAM, sizeof(struct sevmon_program_name) },
    /* And results, as many as there is room for. */
    [SEVMON_ITEM_PROGRAM_COLLECT] = {
        sizeof(struct sevmon_collected), IS_KNOWN | IS_PROGRAM,
        sizeof(struct sevmon_collect) },
};

/* All zero for a type that does not exist. */
static struct item_kind kind_of(const struct sevmon_item *item)
{
    const struct item_kind none = { 0, 0, 0 };

    if ( item->type >= ARRAY_SIZE(item_kinds) )
        return none;

    return item_kinds[array_index_nospec((unsigned int)item->type,
                                         ARRAY_SIZE(item_kinds))];
}

static bool is_valid_item(const struct sevmon_item *item,
                          struct item_kind kind)
{
    if ( item->zero )
        return false;
    if ( kind.flags & IS_PROGRAM )
        return !item->arg && !item->address &&
               (kind.flags & HAS_MORE ? item->bytes >= kind.least
                                      : item->bytes == kind.least);
    if ( (kind.flags & USES_BYTES)
         ? !item->bytes || item->bytes > SEVMON_PAGE_BYTES ||
           (item->address & PAGE_MASK_BITS) + item->bytes > SEVMON_PAGE_BYTES
         : item->bytes )
        return false;
    if ( !(kind.flags & USES_ARG) && item->arg )
        return false;

    return (kind.flags & USES_ADDRESS) || !item->address;
}

/*
 * Whole pages are copied when it is their turn to be sealed (transport.c): by
 * then they are in the cache, and there they are still when they are sealed.
 */
static void copy_later(struct sevmon_request_work *scratch,
                       const struct sevmon_frame *frame, uint8_t *out)
{
    struct sevmon_late_page *late = &scratch->late[scratch->late_pages++];

    late->frame = *frame;
    late->from = frame->bytes ? frame->bytes : zero_page;
    late->to = out;
}

/* Copy from a page, or zeros from no page: the same work either way. */
static unsigned int read_frame(struct answer *answer, uint64_t frame,
                               unsigned int status,
                               const struct sevmon_item *item, uint8_t *out)
{
    struct sevmon_frame page = { NULL, NULL };
    const uint8_t *from;

    if ( status == SEVMON_STATUS_OK )
        status = sevmon_map(answer->host, answer->target, frame, &page);
    if ( item->bytes == SEVMON_PAGE_BYTES &&
         answer->scratch->late_pages < SEVMON_LATE_PAGES )
    {
        copy_later(answer->scratch, &page, out);
        return status;
    }
    from = page.bytes ? page.bytes : zero_page;
    memcpy(out, from + (item->address & PAGE_MASK_BITS), item->bytes);
    if ( page.bytes )
        answer->host->frame_unmap(&page);

    return status;
}

void sevmon_request_end(struct sevmon_agent *agent, struct sevmon_work *work)
{
    struct sevmon_request_work *scratch = &work->scratch.request;
    unsigned int i;

    if ( !scratch->late_pages )
        return;
    for ( i = 0; i < scratch->late_pages; i++ )
        if ( scratch->late[i].frame.bytes )
            agent->host->frame_unmap(&scratch->late[i].frame);
    scratch->late_pages = 0;
    agent->host->target_put(&scratch->target);
}

static unsigned int read_virtual(struct answer *answer,
                                 const struct sevmon_item *item, uint8_t *out,
                                 uint8_t *level)
{
    struct sevmon_translation translation;
    unsigned int status =
        sevmon_walk(answer->host, answer->target, &answer->root,
                    item->address, &translation, level);

    return read_frame(answer, translation.frame, status, item, out);
}

static unsigned int get_status(struct answer *answer, uint8_t *out)
{
    const struct sevmon_agent *agent = answer->agent;
    struct sevmon_status *status = (struct sevmon_status *)out;
    unsigned int i;

    answer->host->status(answer->target, status);
    status->protocol_version = SEVMON_PROTOCOL_VERSION;
    status->agent_version = SEVMON_AGENT_VERSION;
    status->keys = agent->keys;
    status->features = SEVMON_FEATURE_PROGRAMS | SEVMON_FEATURE_HASH |
                       (answer->host->wake ? SEVMON_FEATURE_STANDING : 0) |
                       (status->lanes ? SEVMON_FEATURE_SHM : 0);
    status->max_items = SEVMON_MAX_ITEMS;
    status->max_connections = SEVMON_MAX_CONNECTIONS;
    status->max_pages = SEVMON_CLASS_PAGES(SEVMON_CLASS_15_PAGES);
    status->window_bits = SEVMON_WINDOW_BITS;
    status->uptime_ns = answer->head->time_ns - agent->started_ns;
    status->time_ns = answer->head->time_ns;
    for ( i = 0; i < SEVMON_COUNTERS; i++ )
        status->counter[i] = __atomic_load_n(&agent->counter[i],
                                             __ATOMIC_RELAXED);
    status->target_kind = answer->target->kind;
    status->longest_call_ns =
        __atomic_load_n(&agent->longest_call_ns, __ATOMIC_RELAXED);
    status->longest_standing_ns =
        __atomic_load_n(&agent->longest_standing_ns, __ATOMIC_RELAXED);
    status->longest_pause_ns =
        __atomic_load_n(&agent->longest_pause_ns, __ATOMIC_RELAXED);
    memcpy(status->boot_nonce, agent->boot_nonce, SEVMON_ID_BYTES);
    status->zero = 0;

    return SEVMON_STATUS_OK;
}

static unsigned int collect(struct answer *answer,
                            const struct sevmon_collect *asked, uint8_t *out)
{
    uint32_t bytes;

    if ( asked->zero )
        return SEVMON_STATUS_BAD_ITEM;
    bytes = sevmon_standing_collect(answer->ids, asked->seen, out,
                                    answer->room_bytes);
    if ( !bytes )
        return SEVMON_STATUS_REFUSED;
    answer->more_bytes = bytes - sizeof(struct sevmon_collected);

    return SEVMON_STATUS_OK;
}

/* These two are their requests' only items. */
static unsigned int start_run(struct answer *answer)
{
    unsigned int status =
        sevmon_demand_start(answer->agent, answer->work, &answer->root);

    answer->goes_on = status == SEVMON_STATUS_OK;

    return status;
}

static unsigned int start_check(struct answer *answer)
{
    bool is_ready = false;
    unsigned int status =
        sevmon_demand_check(answer->agent, answer->work, &is_ready);

    answer->goes_on = status == SEVMON_STATUS_OK && !is_ready;

    return status;
}

/* `out` is zero and has room for what the item's kind says. */
static unsigned int run_item(struct answer *answer,
                             const struct sevmon_item *item, uint8_t *out,
                             uint8_t *level)
{
    const struct sevmon_host *host = answer->host;

    switch ( item->type )
    {
    case SEVMON_ITEM_READ_VIRTUAL:
        return read_virtual(answer, item, out, level);

    case SEVMON_ITEM_READ_PHYSICAL:
        return read_frame(answer, item->address / SEVMON_PAGE_BYTES,
                          SEVMON_STATUS_OK, item, out);

    case SEVMON_ITEM_TRANSLATE:
        return sevmon_walk(host, answer->target, &answer->root, item->address,
                           (struct sevmon_translation *)out, level);

    case SEVMON_ITEM_VCPU_STATE:
        return host->vcpu_state(answer->target, item->arg,
                                (struct sevmon_vcpu_state *)out);

    case SEVMON_ITEM_TRAP_TABLE:
        return host->trap_table(answer->target, item->arg,
                                (struct sevmon_trap *)out);

    case SEVMON_ITEM_BOOT_RECORD:
        return host->boot_record(answer->target,
                                 (struct sevmon_boot_record *)out);

    case SEVMON_ITEM_STATUS:
        return get_status(answer, out);

    case SEVMON_ITEM_CLOSE:
        answer->close = true;
        return SEVMON_STATUS_OK;

    case SEVMON_ITEM_PROGRAM_COMMIT:
        return start_check(answer);

    case SEVMON_ITEM_PROGRAM_RUN:
        return start_run(answer);

    case SEVMON_ITEM_PROGRAM_SCHEDULE:
        return sevmon_schedule(answer->agent, answer->ids,
                               &answer->body->head, item);

    case SEVMON_ITEM_PROGRAM_COLLECT:
        return collect(answer, (const void *)&answer->body->items[1], out);
    }

    return sevmon_program_item(answer->agent, answer->ids, item, out);
}

/*
 * Nothing of an earlier answer in this one.  What reads fill is not zeroed: it
 * is most of what there is.
 */
static void zero_rest(struct answer *answer)
{
    if ( !answer->zeroed )
        memset(answer->data + answer->data_bytes, 0,
               answer->room_bytes - answer->data_bytes);
    answer->zeroed = true;
}

static void answer_item(struct answer *answer, const struct sevmon_item *item,
                        struct sevmon_item_result *result)
{
    struct item_kind kind = kind_of(item);
    uint32_t at = (answer->data_bytes + 7) & ~7U;
    uint32_t padding = -answer->data_bytes & 7;
    uint32_t bytes = kind.flags & USES_BYTES ? item->bytes : kind.bytes;

    if ( answer->full )
        result->status = SEVMON_STATUS_NO_SPACE;
    else if ( !(kind.flags & IS_KNOWN) )
        result->status = SEVMON_STATUS_UNSUPPORTED;
    else if ( !is_valid_item(item, kind) )
        result->status = SEVMON_STATUS_BAD_ITEM;
    else if ( at > answer->room_bytes || bytes > answer->room_bytes - at )
    {
        answer->full = true;
        result->status = SEVMON_STATUS_NO_SPACE;
    }
    else
    {
        if ( kind.flags & FILLS_ROOM )
            memset(answer->data + answer->data_bytes, 0, padding);
        else
            zero_rest(answer);
        result->status = run_item(answer, item, answer->data + at,
                                  &result->level);
        if ( result->status == SEVMON_STATUS_OK ||
             (kind.flags & KEEPS_ROOM) )
        {
            bytes += answer->more_bytes;
            result->bytes = bytes;
            answer->data_bytes = bytes ? at + bytes : answer->data_bytes;
        }
        else if ( bytes )
            memset(answer->data + at, 0, bytes);
    }
}

/* The bytes of payload after the first item; false: not a valid one. */
static bool payload_of(const struct sevmon_request_body *body,
                       unsigned int *bytes)
{
    unsigned int i;

    *bytes = 0;
    for ( i = 0; i < body->head.items; i++ )
        if ( kind_of(&body->items[i]).flags & IS_PROGRAM )
        {
            *bytes = body->items[0].bytes;
            return body->head.items == 1 &&
                   *bytes <= SEVMON_MAX_PAYLOAD_BYTES;
        }

    return true;
}

static bool is_valid_head(const struct sevmon_request_body *body)
{
    const struct sevmon_request_head *head = &body->head;
    unsigned int used;

    if ( head->items > SEVMON_MAX_ITEMS || head->zero[0] || head->zero[1] ||
         !payload_of(body, &used) )
        return false;
    used += head->items * sizeof(body->items[0]);
    if ( !sevmon_is_zero((const uint8_t *)body->items + used,
                         sizeof(body->items) - used) )
        return false;
    if ( head->root_kind == SEVMON_ROOT_VCPU )
        return !head->levels && !head->root_frame;

    return head->root_kind == SEVMON_ROOT_FRAME && !head->vcpu &&
           (head->levels == 4 || head->levels == 5);
}

static bool needs_root(const struct sevmon_request_body *body)
{
    unsigned int i;

    for ( i = 0; i < body->head.items; i++ )
        if ( kind_of(&body->items[i]).flags & USES_ROOT )
            return true;

    return false;
}

/* Read the root once for the whole request.  Returns SEVMON_ANSWER_*. */
static unsigned int find_root(struct answer *answer,
                              const struct sevmon_request_body *body)
{
    const struct sevmon_request_head *asked = &body->head;
    unsigned int levels = asked->levels;
    unsigned int status = SEVMON_ANSWER_OK;

    if ( !needs_root(body) )
        return SEVMON_ANSWER_OK;
    answer->root.frame = asked->root_frame;
    if ( asked->root_kind == SEVMON_ROOT_VCPU )
        status = answer->host->vcpu_root(answer->target, asked->vcpu,
                                         &answer->root.frame, &levels);
    if ( status != SEVMON_ANSWER_OK )
        return status;
    if ( levels != 4 && levels != 5 )
        return SEVMON_ANSWER_NO_ROOT;

    answer->root.levels = levels;
    answer->head->root_frame = answer->root.frame;
    answer->head->levels = levels;
    if ( asked->root_kind == SEVMON_ROOT_VCPU )
        answer->head->vcpu = asked->vcpu;

    return SEVMON_ANSWER_OK;
}

static void answer_items(struct answer *answer,
                         const struct sevmon_request_body *body)
{
    struct sevmon_item_result *results =
        (struct sevmon_item_result *)(answer->head + 1);
    unsigned int i;

    for ( i = 0; i < body->head.items; i++ )
        answer_item(answer, &body->items[i], &results[i]);
    answer->head->data_bytes = answer->data_bytes;
}

/* Fill what `answer` points to.  Holds the target if pages are late. */
static void look(struct answer *answer, const struct sevmon_request_body *body)
{
    struct sevmon_response_head *head = answer->head;
    const struct sevmon_host *host = answer->host;

    if ( !is_valid_head(body) )
    {
        head->status = SEVMON_ANSWER_BAD_REQUEST;
        if ( body->head.items <= SEVMON_MAX_ITEMS )
            head->items = body->head.items;
        return;
    }
    head->items = body->head.items;
    head->status = host->target_get(body->head.domid, answer->target);
    if ( head->status != SEVMON_ANSWER_OK )
        return;
    head->domid = answer->target->domid;
    head->kind = answer->target->kind;
    head->status = find_root(answer, body);
    if ( head->status == SEVMON_ANSWER_OK )
        answer_items(answer, body);
    if ( !answer->scratch->late_pages )
        host->target_put(answer->target);
}

enum sevmon_next sevmon_request(struct sevmon_agent *agent,
                                struct sevmon_work *work)
{
    const struct sevmon_request_body *body =
        (const struct sevmon_request_body *)
        &work->in[SEVMON_FRAME_SHIFT + SEVMON_BODY_OFFSET];
    uint8_t *out = &work->out[SEVMON_FRAME_SHIFT + SEVMON_BODY_OFFSET];
    struct sevmon_request_work *scratch = &work->scratch.request;
    struct answer answer = {
        .agent = agent,
        .work = work,
        .ids = scratch->session.ids,
        .host = agent->host,
        .scratch = scratch,
        .target = &scratch->target,
        .head = (struct sevmon_response_head *)out,
        .data = out + SEVMON_DATA_OFFSET,
        .room_bytes =
            SEVMON_RESPONSE_BODY_BYTES(scratch->session.size_class) -
            SEVMON_DATA_OFFSET,
        .body = body,
    };
    struct sevmon_response_head *head = answer.head;

    memset(out, 0, SEVMON_DATA_OFFSET);
    head->n = work->header.n;
    head->time_ns = agent->host->time_ns();
    head->domid = body->head.domid;
    head->vcpu = NO_VCPU;
    scratch->late_pages = 0;
    look(&answer, body);
    zero_rest(&answer);
    if ( answer.goes_on )
        return SEVMON_NEXT_SLICE;

    return answer.close ? SEVMON_NEXT_CLOSE : SEVMON_NEXT_SEAL;
}
