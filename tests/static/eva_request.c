/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.c, in steps, because Eva does not relate two unknown numbers to each
 * other: each step takes one of them for known and goes through its values.
 *
 *   eva_walk   the page walk, on its own
 *   eva_head   is_valid_head(), for each count of items
 *   eva_place  one item of each type at each place of the answer's data area
 *   eva_page   the two reads, for each offset within a page
 *   eva_frame  (eva_frame.c) the whole, for up to 59 items
 *
 * A step that uses a function which another step shows takes its contract.
 */
#include "request.c"

#include "eva_host.h"

/*@ requires \valid(out) && \valid(level);
    requires \initialized(&root->frame) && \initialized(&root->levels);
    requires root->levels == 4 || root->levels == 5;
    assigns *out, *level \from gva, *root, *target;
    ensures \initialized((char *)out + (0 .. sizeof(*out) - 1));
    ensures \initialized(level);
    ensures \result == SEVMON_STATUS_OK ||
            \result == SEVMON_STATUS_NOT_MAPPED ||
            \result == SEVMON_STATUS_NOT_CANONICAL ||
            \result == SEVMON_STATUS_XEN ||
            \result == SEVMON_STATUS_NO_FRAME ||
            \result == SEVMON_STATUS_BAD_TABLE;
    ensures out->levels == root->levels && out->reached <= root->levels;
    ensures \result == SEVMON_STATUS_OK ==> out->frame <= 0xffffffffff; */
unsigned int sevmon_walk(const struct sevmon_host *host,
                         const struct sevmon_target *target,
                         const struct sevmon_root *root, uint64_t gva,
                         struct sevmon_translation *out, uint8_t *level);

/*@ requires \valid_read(body);
    requires \initialized((const char *)body + (0 .. sizeof(*body) - 1));
    assigns \result \from *body;
    ensures \result == 0 || (\result == 1 && body->head.items <= 59); */
static bool is_valid_head(const struct sevmon_request_body *body);

/*@ requires \valid(answer) && \valid_read(item);
    requires \valid(out + (0 .. item->bytes - 1));
    assigns out[0 .. item->bytes - 1], \result \from *item, frame, status;
    ensures \initialized(out + (0 .. item->bytes - 1));
    ensures \result == status || \result == SEVMON_STATUS_NO_FRAME; */
static unsigned int read_frame(struct answer *answer, uint64_t frame,
                               unsigned int status,
                               const struct sevmon_item *item, uint8_t *out);

/*@ requires \valid(answer) && \valid_read(item) && \valid(result);
    requires \initialized((const char *)item + (0 .. sizeof(*item) - 1));
    requires answer->data_bytes <= room_bytes;
    requires \valid(answer->data + (0 .. room_bytes - 1));
    assigns result->status, result->level, result->bytes,
            answer->data_bytes, answer->full, answer->close,
            answer->data[0 .. room_bytes - 1] \from *item, *answer;
    ensures answer->data_bytes <= room_bytes;
    ensures \initialized(&result->status) && \initialized(&result->level) &&
            \initialized(&result->bytes) &&
            \initialized(&answer->data_bytes) &&
            \initialized(answer->data + (0 .. room_bytes - 1));
    ensures (answer->full == 0 || answer->full == 1) &&
            (answer->close == 0 || answer->close == 1); */
static void answer_item(struct answer *answer, const struct sevmon_item *item,
                        struct sevmon_item_result *result,
                        uint32_t room_bytes);

void eva_walk(void)
{
    struct sevmon_target target;
    struct sevmon_translation out;
    struct sevmon_root root;
    unsigned int status;
    uint8_t level;

    if ( eva_host.target_get(SEVMON_DOMID_DOM0, &target) )
        return;
    eva_any(&root.frame, sizeof(root.frame));
    for ( root.levels = 4; root.levels <= 5; root.levels++ )
    {
        status = sevmon_walk(&eva_host, &target, &root, sevmon_eva_any(),
                             &out, &level);
        //@ assert \initialized((char *)&out + (0 .. sizeof(out) - 1));
        //@ assert out.reached <= root.levels && level <= root.levels;
        //@ assert status <= SEVMON_STATUS_BAD_TABLE;
        //@ assert out.frame <= 0xffffffffff;
    }
}

void eva_head(void)
{
    struct sevmon_request_body body;
    unsigned int items;

    for ( items = 0; items <= SEVMON_MAX_ITEMS; items++ )
    {
        eva_any(&body, sizeof(body));
        body.head.items = items;
        is_valid_head(&body);
    }
    eva_any(&body, sizeof(body));
    body.head.items =
        Frama_C_unsigned_int_interval(SEVMON_MAX_ITEMS + 1, 0xffff);
    if ( is_valid_head(&body) )
        //@ assert \false;
        ;
}

/*
 * One item, to begin in [first, last] of a data area of `room_bytes`, which
 * ends where the memory does.
 */
static void run(struct sevmon_item item, uint32_t room_bytes, uint32_t first,
                uint32_t last)
{
    struct sevmon_target target;
    struct sevmon_response_head head;
    struct sevmon_item_result result = { 0 };
    uint8_t data[SEVMON_PAGE_BYTES * 15];
    struct answer answer = {
        .agent = &eva_agent,
        .host = &eva_host,
        .target = &target,
        .head = &head,
        .data = data + sizeof(data) - room_bytes,
        .data_bytes = Frama_C_unsigned_int_interval(first, last),
        .full = Frama_C_nondet(0, 1),
    };

    eva_any(data, sizeof(data));
    eva_any(&head, sizeof(head));
    eva_any(&answer.root.frame, sizeof(answer.root.frame));
    answer.root.levels = Frama_C_nondet(4, 5);
    if ( eva_host.target_get(SEVMON_DOMID_DOM0, &target) )
        return;

    answer_item(&answer, &item, &result, room_bytes);
    //@ assert answer.data_bytes <= room_bytes;
}

static void each_place(struct sevmon_item item, uint32_t room_bytes)
{
    uint32_t at;

    /* No item takes more than a page: before the last page all fit ... */
    run(item, room_bytes, 0, room_bytes - SEVMON_PAGE_BYTES);
    /* ... and items begin at multiples of 8. */
    for ( at = room_bytes - SEVMON_PAGE_BYTES + 8; at <= room_bytes; at += 8 )
        run(item, room_bytes, at - 7, at);
}

void eva_place(void)
{
    struct sevmon_item item;
    unsigned int type;

    eva_any_agent();
    eva_any(&item, sizeof(item));
    for ( type = 0; type <= SEVMON_ITEM_CLOSE + 1; type++ )
    {
        item.type = type;
        each_place(item, SEVMON_PAGE_BYTES);
        each_place(item, SEVMON_PAGE_BYTES * 4);
        each_place(item, SEVMON_PAGE_BYTES * 15);
    }
    item.type = Frama_C_unsigned_int_interval(SEVMON_ITEM_CLOSE + 1, 0xff);
    each_place(item, SEVMON_PAGE_BYTES);
}

void eva_page(void)
{
    struct sevmon_item item;
    unsigned int offset;

    eva_any_agent();
    for ( offset = 0; offset < SEVMON_PAGE_BYTES; offset++ )
    {
        eva_any(&item, sizeof(item));
        item.type = Frama_C_nondet(SEVMON_ITEM_READ_VIRTUAL,
                                   SEVMON_ITEM_READ_PHYSICAL);
        item.address = Frama_C_unsigned_long_interval(0, ~0UL >> 12) *
                       SEVMON_PAGE_BYTES + offset;
        run(item, SEVMON_PAGE_BYTES, 0, 0);
    }
}
