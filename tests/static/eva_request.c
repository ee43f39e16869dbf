/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.c, in steps, because Eva does not relate two unknown numbers to each
 * other: each step takes one of them for known and goes through its values.
 *
 *   eva_walk   the page walk, on its own
 *   eva_head   is_valid_head(), for each count of items
 *   eva_rest   (eva_rest.c) zero_rest(), after each number of bytes of data
 *   eva_place  one item of each type at each place of the answer's data area
 *   eva_page   the two reads at any place, for each offset within a page
 *   eva_frame  (eva_frame.c) the whole, for up to 59 items
 *
 * A step that uses a function which another step shows takes its contract.
 * Programs and their runs stand in it as what they may do to an answer.
 */
#include "eva_host.h"

/*
 * A read has two ends, and one unknown number at each.  Both steps go through
 * the same copy: eva_place goes through the places in the answer and leaves the
 * page's end unchecked, eva_page through the offsets within a page.
 */
static bool skips_page;

/*@ requires \valid((char *)to + (0 .. bytes - 1));
    requires skips_page || \valid_read((const char *)from + (0 .. bytes - 1));
    requires skips_page || \initialized((const char *)from + (0 .. bytes - 1));
    assigns ((char *)to)[0 .. bytes - 1]
            \from ((const char *)from)[0 .. bytes - 1]; */
void eva_copy(void *to, const void *from, size_t bytes);

/* The types of items whose payload follows end with it. */
#define LAST_PROGRAM_ITEM SEVMON_ITEM_PROGRAM_COLLECT

#define memcpy eva_copy
#include "request.c"
#undef memcpy

unsigned int sevmon_program_item(struct sevmon_agent *agent,
                                 struct sevmon_ids *ids,
                                 const struct sevmon_item *item, uint8_t *out)
{
    if ( item->type == SEVMON_ITEM_PROGRAM_BEGIN )
        eva_any(out, sizeof(struct sevmon_program_entry));
    else if ( item->type == SEVMON_ITEM_PROGRAM_LIST )
        eva_any(out, SEVMON_MAX_PROGRAMS * sizeof(struct sevmon_program_entry));

    return Frama_C_unsigned_int_interval(SEVMON_STATUS_OK,
                                         SEVMON_STATUS_REFUSED);
}

unsigned int sevmon_demand_start(struct sevmon_agent *agent,
                                 struct sevmon_work *work,
                                 const struct sevmon_root *root)
{
    //@ assert \initialized(&root->frame) && \initialized(&root->levels);

    return Frama_C_unsigned_int_interval(SEVMON_STATUS_OK,
                                         SEVMON_STATUS_REFUSED);
}

unsigned int sevmon_demand_check(struct sevmon_agent *agent,
                                 struct sevmon_work *work, bool *is_ready)
{
    *is_ready = Frama_C_nondet(0, 1);

    return Frama_C_unsigned_int_interval(SEVMON_STATUS_OK,
                                         SEVMON_STATUS_REFUSED);
}

unsigned int sevmon_schedule(struct sevmon_agent *agent,
                             struct sevmon_ids *ids,
                             const struct sevmon_request_head *head,
                             const struct sevmon_item *item)
{
    return Frama_C_unsigned_int_interval(SEVMON_STATUS_OK,
                                         SEVMON_STATUS_REFUSED);
}

uint32_t sevmon_standing_collect(struct sevmon_ids *ids, uint64_t seen,
                                 uint8_t *out, uint32_t room_bytes)
{
    if ( room_bytes < sizeof(struct sevmon_collected) ||
         Frama_C_nondet(0, 1) )
        return 0;
    eva_any(out, room_bytes);

    return Frama_C_unsigned_int_interval(sizeof(struct sevmon_collected),
                                         room_bytes);
}

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

/*@ requires \valid(work);
    requires \initialized(&work->scratch.request.late_pages);
    requires work->scratch.request.late_pages <= SEVMON_LATE_PAGES;
    assigns work->scratch.request.late_pages \from work->scratch.request;
    ensures work->scratch.request.late_pages == 0; */
void sevmon_request_end(struct sevmon_agent *agent, struct sevmon_work *work);

/*@ requires \valid(answer);
    requires answer->data_bytes <= answer->room_bytes;
    requires \valid(answer->data + (0 .. answer->room_bytes - 1));
    assigns answer->zeroed,
            answer->data[0 .. answer->room_bytes - 1] \from *answer;
    ensures answer->zeroed == 1; */
static void zero_rest(struct answer *answer);

/*@ requires \valid(answer) && \valid_read(item) && \valid(result);
    requires \initialized((const char *)item + (0 .. sizeof(*item) - 1));
    requires answer->data_bytes <= answer->room_bytes;
    requires \valid(answer->data + (0 .. answer->room_bytes - 1));
    requires \valid_read(answer->body);
    requires \initialized((const char *)answer->body +
                          (0 .. sizeof(*answer->body) - 1));
    requires answer->scratch->late_pages <= SEVMON_LATE_PAGES;
    assigns result->status, result->level, result->bytes,
            answer->data_bytes, answer->more_bytes, answer->zeroed,
            answer->full, answer->close, answer->goes_on,
            answer->scratch->late_pages
            \from item->type, item->bytes, answer->data_bytes,
                  answer->room_bytes, answer->scratch->late_pages;
    assigns answer->scratch->late[0 .. SEVMON_LATE_PAGES - 1],
            answer->data[0 .. answer->room_bytes - 1] \from *item, *answer;
    ensures answer->data_bytes <= answer->room_bytes;
    ensures \initialized(answer->data + (0 .. answer->room_bytes - 1));
    ensures \initialized(&result->status) && \initialized(&result->level) &&
            \initialized(&result->bytes) &&
            \initialized(&answer->data_bytes);
    ensures answer->scratch->late_pages <= SEVMON_LATE_PAGES;
    ensures (answer->full == 0 || answer->full == 1) &&
            (answer->zeroed == 0 || answer->zeroed == 1) &&
            (answer->goes_on == 0 || answer->goes_on == 1) &&
            (answer->close == 0 || answer->close == 1); */
static void answer_item(struct answer *answer, const struct sevmon_item *item,
                        struct sevmon_item_result *result);

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

/* A body of one item, of these types and lengths. */
static void any_single(unsigned int first_type, unsigned int last_type,
                       unsigned int first_bytes, unsigned int last_bytes)
{
    struct sevmon_request_body body;

    eva_any(&body, sizeof(body));
    body.head.items = 1;
    body.items[0].type = Frama_C_unsigned_int_interval(first_type, last_type);
    body.items[0].bytes =
        Frama_C_unsigned_int_interval(first_bytes, last_bytes);
    is_valid_head(&body);
}

void eva_head(void)
{
    struct sevmon_request_body body;
    unsigned int items, bytes;

    for ( items = 0; items <= SEVMON_MAX_ITEMS; items++ )
        if ( items != 1 )
        {
            eva_any(&body, sizeof(body));
            body.head.items = items;
            is_valid_head(&body);
        }
    /* One can have a payload, whose end is where zeros begin. */
    for ( bytes = 0; bytes <= SEVMON_MAX_PAYLOAD_BYTES; bytes++ )
        any_single(SEVMON_ITEM_PROGRAM_BEGIN, LAST_PROGRAM_ITEM, bytes, bytes);
    any_single(SEVMON_ITEM_PROGRAM_BEGIN, LAST_PROGRAM_ITEM,
               SEVMON_MAX_PAYLOAD_BYTES + 1, 0xffff);
    any_single(0, SEVMON_ITEM_PROGRAM_BEGIN - 1, 0, 0xffff);
    any_single(LAST_PROGRAM_ITEM + 1, 0xff, 0, 0xffff);
    eva_any(&body, sizeof(body));
    body.head.items =
        Frama_C_unsigned_int_interval(SEVMON_MAX_ITEMS + 1, 0xffff);
    if ( is_valid_head(&body) )
        //@ assert \false;
        ;
}

/*
 * One item, to begin in [first, last] of a data area of `room_bytes`, which
 * ends where the memory does.  The contract says what is shown.
 */
static void run(struct sevmon_item item, uint32_t room_bytes, uint32_t first,
                uint32_t last)
{
    struct sevmon_request_body body;
    struct sevmon_target target;
    struct sevmon_request_work scratch;
    struct sevmon_response_head head;
    struct sevmon_item_result result = { 0 };
    uint8_t data[SEVMON_PAGE_BYTES * 15];
    struct answer answer = {
        .agent = &eva_agent,
        .ids = &eva_agent.ids[0],
        .host = &eva_host,
        .scratch = &scratch,
        .target = &target,
        .head = &head,
        .data = data + sizeof(data) - room_bytes,
        .data_bytes = Frama_C_unsigned_int_interval(first, last),
        .room_bytes = room_bytes,
        .body = &body,
        .full = Frama_C_unsigned_int_interval(0, 1),
        .zeroed = Frama_C_unsigned_int_interval(0, 1),
    };

    eva_any(&body, sizeof(body));
    body.items[0] = item;
    scratch.late_pages = Frama_C_unsigned_int_interval(0, SEVMON_LATE_PAGES);
    eva_any(data, sizeof(data));
    eva_any(&head, sizeof(head));
    eva_any(&answer.root.frame, sizeof(answer.root.frame));
    answer.root.levels = Frama_C_unsigned_int_interval(4, 5);
    if ( eva_host.target_get(SEVMON_DOMID_DOM0, &target) )
        return;

    answer_item(&answer, &body.items[0], &result);
}

/* What a read takes up is in the item: one of the two numbers. */
static void reads(uint32_t room_bytes)
{
    struct sevmon_item item;
    uint32_t at;

    eva_any(&item, sizeof(item));
    item.type = Frama_C_unsigned_int_interval(SEVMON_ITEM_READ_VIRTUAL,
                                              SEVMON_ITEM_READ_PHYSICAL);

    /* Longer ones than a page: at any place. */
    item.bytes = Frama_C_unsigned_int_interval(SEVMON_PAGE_BYTES + 1, 0xffff);
    run(item, room_bytes, 0, room_bytes);

    /* All others fit before the last page ... */
    item.bytes = Frama_C_unsigned_int_interval(0, SEVMON_PAGE_BYTES);
    run(item, room_bytes, 0, room_bytes - SEVMON_PAGE_BYTES);
    /* ... and in it items begin at multiples of 8, what is before it zeros. */
    for ( at = room_bytes - SEVMON_PAGE_BYTES + 8; at < room_bytes; at += 8 )
        run(item, room_bytes, at - 7, at);
    for ( at = room_bytes - 7; at <= room_bytes; at++ )
        run(item, room_bytes, at, at);
}

/* What each other type takes up is known: any place at once.  Programs' items
   are alone in their requests (payload_of()), so they begin the answer. */
static void others(uint32_t room_bytes)
{
    struct sevmon_item item;
    unsigned int type;

    eva_any(&item, sizeof(item));
    item.type = 0;
    run(item, room_bytes, 0, room_bytes);
    for ( type = SEVMON_ITEM_READ_PHYSICAL + 1; type <= SEVMON_ITEM_CLOSE;
          type++ )
    {
        item.type = type;
        run(item, room_bytes, 0, room_bytes);
    }
    for ( type = SEVMON_ITEM_PROGRAM_BEGIN; type <= LAST_PROGRAM_ITEM;
          type++ )
    {
        item.type = type;
        run(item, room_bytes, 0, 0);
    }
    item.type = Frama_C_unsigned_int_interval(SEVMON_ITEM_CLOSE + 1,
                                              SEVMON_ITEM_PROGRAM_BEGIN - 1);
    run(item, room_bytes, 0, room_bytes);
    item.type = Frama_C_unsigned_int_interval(LAST_PROGRAM_ITEM + 1, 0xff);
    run(item, room_bytes, 0, room_bytes);
}

void eva_place(void)
{
    unsigned int size_class;

    skips_page = true;
    eva_any_agent();
    for ( size_class = 0; size_class < SEVMON_CLASSES; size_class++ )
    {
        reads(SEVMON_CLASS_PAGES(size_class) * SEVMON_PAGE_BYTES);
        others(SEVMON_CLASS_PAGES(size_class) * SEVMON_PAGE_BYTES);
    }
}

void eva_page(void)
{
    struct sevmon_item item;
    uint32_t most = SEVMON_CLASS_PAGES(SEVMON_CLASS_15_PAGES) *
                    SEVMON_PAGE_BYTES;
    unsigned int offset;

    eva_any_agent();
    for ( offset = 0; offset < SEVMON_PAGE_BYTES; offset++ )
    {
        eva_any(&item, sizeof(item));
        item.type = Frama_C_unsigned_int_interval(SEVMON_ITEM_READ_VIRTUAL,
                                                  SEVMON_ITEM_READ_PHYSICAL);
        /* Of longer ones eva_place shows that nothing comes. */
        item.bytes = Frama_C_unsigned_int_interval(0, SEVMON_PAGE_BYTES);
        item.address = Frama_C_unsigned_long_interval(0, ~0UL >> 12) *
                       SEVMON_PAGE_BYTES + offset;
        run(item, most, 0, most - SEVMON_PAGE_BYTES - 8);
    }
}
