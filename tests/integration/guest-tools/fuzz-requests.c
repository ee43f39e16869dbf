/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that verify, for what nobody should ask. */
#include "fuzz-frames.h"

#define PAGE_MASK 4095ULL

static uint64_t hostile_virtual(uint64_t *state, const struct hostile_frames *hostile)
{
    static const uint64_t bases[] = {
        0xffff800000000000ULL, 0xffff804000000000ULL, 0xffff82d040200000ULL,
        0xffff82e000000000ULL, 0xffff830000000000ULL, 0xffff880000000000ULL,
        0xffff888000000000ULL, 0xffffc90000000000ULL, 0xffffffff81000000ULL,
        0xffffffffff5fd000ULL, 0x0000800000000000ULL, 0xffff7fffffffffffULL,
        0x0000000000000000ULL,
    };

    if ( fuzz_one_in(state, 4) )
        return (uintptr_t)hostile->mine_at + fuzz_below(state, 4096);
    if ( fuzz_one_in(state, 4) )
        return fuzz_random(state);

    return bases[fuzz_below(state, sizeof(bases) / sizeof(bases[0]))] +
           fuzz_below(state, 1ULL << (1 + fuzz_below(state, 38)));
}

static uint64_t hostile_frame(uint64_t *state, const struct hostile_frames *hostile)
{
    switch ( fuzz_below(state, 8) )
    {
    case 0:
        return hostile->mine;
    case 1:
        return hostile->tables[fuzz_below(state, 4)];
    case 2:
        return fuzz_one_in(state, 2) ? hostile->foreign_here : hostile->foreign;
    case 3: /* VGA, and the interrupt controllers */
        return fuzz_one_in(state, 2) ? 0xa0 + fuzz_below(state, 0x60)
                                     : 0xfec00 + fuzz_below(state, 0x300);
    case 4:
        return fuzz_random(state) >> fuzz_below(state, 64);
    }

    return fuzz_below(state, 1 << 18); /* a gigabyte */
}

static struct sevmon_item hostile_item(uint64_t *state, const struct hostile_frames *hostile)
{
    struct sevmon_item item = { .type = 1 + fuzz_below(state, 7) };

    switch ( item.type )
    {
    case SEVMON_ITEM_READ_VIRTUAL:
        item.address = hostile_virtual(state, hostile);
        break;
    case SEVMON_ITEM_READ_PHYSICAL:
        item.address = hostile_frame(state, hostile) << 12 | fuzz_below(state, 4096);
        break;
    case SEVMON_ITEM_TRANSLATE:
        item.address = hostile_virtual(state, hostile);
        break;
    case SEVMON_ITEM_VCPU_STATE:
    case SEVMON_ITEM_TRAP_TABLE:
        item.arg = fuzz_one_in(state, 4) ? fuzz_random(state) >> fuzz_below(state, 64)
                                         : fuzz_below(state, 3);
        break;
    }
    if ( item.type <= SEVMON_ITEM_READ_PHYSICAL )
    {
        uint64_t left = 4096 - (item.address & PAGE_MASK);

        item.bytes = 1 + fuzz_below(state, fuzz_one_in(state, 4) ? left : left < 64 ? left : 64);
        if ( fuzz_one_in(state, 16) )
            item.bytes = fuzz_random(state);
    }
    if ( fuzz_one_in(state, 64) ) /* anything */
    {
        uint64_t word = fuzz_random(state);

        memcpy(&item, &word, sizeof(word));
        if ( item.type == SEVMON_ITEM_CLOSE )
            item.zero = 1; /* would end the session: seldom is enough */
    }
    if ( fuzz_one_in(state, 4096) )
        item = session_item(SEVMON_ITEM_CLOSE, 0, 0);

    return item;
}

static void hostile_head(struct sevmon_request_head *head, uint64_t *state,
                         const struct hostile_frames *hostile)
{
    static const uint16_t domids[] = { 0, 1, 2, 0x7fef, 0x7ff0, 0x7ff1, 0x7ff2,
                                       0x7ff3, 0x7ff4, 0x7fff, 0x8000, 0xfffe };

    head->domid = SEVMON_DOMID_DOM0;
    if ( fuzz_one_in(state, 8) )
        head->domid = domids[fuzz_below(state, sizeof(domids) / sizeof(domids[0]))];
    else if ( hostile->foreign && fuzz_one_in(state, 8) )
        head->domid = hostile->foreign_id;
    if ( fuzz_one_in(state, 2) )
    {
        head->root_kind = SEVMON_ROOT_FRAME;
        head->levels = 4 + fuzz_one_in(state, 8);
        head->root_frame = hostile_frame(state, hostile);
    }
    else
        head->vcpu = fuzz_one_in(state, 8) ? fuzz_random(state) : fuzz_below(state, 2);
    if ( fuzz_one_in(state, 32) ) /* whatever */
    {
        uint64_t word = fuzz_random(state);

        memcpy((uint8_t *)head + fuzz_below(state, sizeof(*head) - 1), &word, 1);
    }
}

void frame_sealed(struct frame *frame, uint64_t *state, struct session *s,
                  const struct hostile_frames *hostile)
{
    struct sevmon_request_body *body = &frame->body;

    memset(body, 0, sizeof(*body));
    body->head.items = 1 + fuzz_below(state, fuzz_one_in(state, 4) ? SEVMON_MAX_ITEMS : 6);
    for ( unsigned int i = 0; i < body->head.items; i++ )
        body->items[i] = hostile_item(state, hostile);
    hostile_head(&body->head, state, hostile);
    if ( fuzz_one_in(state, 64) )
        body->head.items = fuzz_random(state) >> fuzz_below(state, 64);
    frame->n = s->n;
    session_seal(s, body, frame->bytes);
    frame->size = SEVMON_REQUEST_FRAME_BYTES;
    frame->fate = FRAME_SEALED;
}

static bool is_mine(const uint8_t *p, size_t bytes)
{
    for ( size_t i = 0; i < bytes; i++ )
        if ( p[i] != 0x6d )
            return false;

    return true;
}

static bool is_zero(const uint8_t *p, size_t bytes)
{
    return bytes == 0 || (p[0] == 0 && !memcmp(p, p + 1, bytes - 1));
}

static const char *wrong_read(const struct frame *frame, const struct sevmon_item *item,
                              const struct sevmon_item_result *result, const uint8_t *data,
                              const struct hostile_frames *hostile)
{
    bool dom0 = frame->body.head.domid == SEVMON_DOMID_DOM0 || frame->body.head.domid == 0;
    uint64_t address = item->address, at = address >> 12;

    if ( result->bytes != item->bytes )
        return "a read that occupies another size";
    if ( result->status != SEVMON_STATUS_OK && !is_zero(data, item->bytes) )
        return "a failed read with bytes";
    if ( !dom0 )
        return NULL;
    /* A page's worth of it, if any: nothing of ours holds this text. */
    if ( memmem(data, item->bytes, FOREIGN_TEXT, sizeof(FOREIGN_TEXT) - 1) )
        return "another domain's bytes";
    if ( item->type == SEVMON_ITEM_READ_VIRTUAL )
    {
        if ( hostile->pv && address + item->bytes > 0xffff800000000000ULL &&
             address < 0xffff880000000000ULL && result->status != SEVMON_STATUS_XEN )
            return "Xen's range is not refused";
        return NULL;
    }
    if ( at == hostile->mine && (result->status || !is_mine(data, item->bytes)) )
        return "not what this process wrote";
    if ( at && at == hostile->foreign_here && result->status != SEVMON_STATUS_NO_FRAME )
        return "another domain's frame";
    if ( (at >= 0xfec00 && at < 0xff000) && result->status != SEVMON_STATUS_NO_FRAME )
        return "a device's frame";

    return NULL;
}

const char *answer_wrong(const struct session *s, const struct frame *frame,
                         const struct hostile_frames *hostile)
{
    const struct sevmon_response_head *head = (const void *)s->opened;
    const struct sevmon_item_result *results = session_results(s);
    const struct sevmon_request_body *body = &frame->body;
    uint32_t room = SEVMON_CLASS_PAGES(s->size_class) * SEVMON_PAGE_BYTES;

    if ( head->status > SEVMON_ANSWER_NO_ROOT )
        return "a status of the answer that does not exist";
    if ( head->items != (body->head.items > SEVMON_MAX_ITEMS ? 0 : body->head.items) )
        return "another number of items";
    if ( head->data_bytes > room )
        return "more data than there is room";
    if ( head->status != SEVMON_ANSWER_OK )
        return is_zero((const uint8_t *)results, SEVMON_MAX_ITEMS * sizeof(*results) + room)
                   ? NULL : "a refusal with results";
    for ( unsigned int i = 0; i < head->items; i++ )
    {
        const struct sevmon_item *item = &body->items[i];
        const char *wrong = NULL;

        if ( results[i].status > SEVMON_STATUS_NO_VCPU || results[i].zero || results[i].level > 5 )
            return "a result that does not exist";
        if ( item->type >= SEVMON_ITEM_READ_VIRTUAL && item->type <= SEVMON_ITEM_READ_PHYSICAL &&
             results[i].bytes )
            wrong = wrong_read(frame, item, &results[i], session_data(s, i), hostile);
        if ( wrong )
            return wrong;
    }

    return NULL;
}
