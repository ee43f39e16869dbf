/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport.c, whose seal_body() another step shows than the rest:
 *
 *   eva_seal   seal_body() and sevmon_request_end(), for each number of late
 *              pages, and for two of them at each place within a page
 *   eva_frame  (eva_frame.c) the rest, with their contracts
 *
 * Late pages lie one behind the other: request.c puts each after the last.
 */
#include "eva_host.h"

#include "transport.c"

/*@ requires \valid(scratch) && 0 < bytes <= 62012;
    requires \valid(body + (0 .. bytes - 1));
    requires \initialized(&scratch->gcm.round_key[0 .. 59]);
    requires \initialized(&scratch->stream);
    assigns body[0 .. bytes - 1], scratch->stream \from *scratch;
    ensures \initialized(body + (0 .. bytes - 1));
    ensures \initialized(&scratch->stream.ghash[0 .. 15]);
    ensures \initialized(&scratch->stream.le_ctr[0 .. 3]);
    ensures \initialized(&scratch->stream.aad_bytes);
    ensures \initialized(&scratch->stream.bytes); */
static void seal_body(struct sevmon_request_work *scratch, uint8_t *body,
                      uint32_t bytes);

static struct sevmon_work work;

/* Every second one of the target, or the others of them. */
static bool hold(unsigned int late_pages, uint8_t *data, unsigned int odd)
{
    struct sevmon_request_work *scratch = &work.scratch.request;
    static const uint8_t zeros[SEVMON_PAGE_BYTES];
    struct sevmon_frame page;
    unsigned int i;

    if ( eva_host.frame_map(&scratch->target, 0, &page) )
        return false;
    scratch->late_pages = late_pages;
    for ( i = 0; i < late_pages; i++ )
    {
        struct sevmon_late_page *late = &scratch->late[i];

        late->frame.bytes = i % 2 == odd ? page.bytes : NULL;
        late->from = late->frame.bytes ? late->frame.bytes : zeros;
        late->to = data + i * SEVMON_PAGE_BYTES;
    }

    return true;
}

/* The first page at `at` of the data, or the last of them at its end. */
static void seal(unsigned int late_pages, uint32_t at, unsigned int odd)
{
    struct sevmon_request_work *scratch = &work.scratch.request;
    uint8_t *body = &work.out[SEVMON_FRAME_SHIFT + SEVMON_BODY_OFFSET];
    uint32_t bytes = SEVMON_RESPONSE_BODY_BYTES(SEVMON_CLASS_15_PAGES);
    uint32_t first = SEVMON_DATA_OFFSET + at;

    if ( first + late_pages * SEVMON_PAGE_BYTES > bytes )
        first = bytes - late_pages * SEVMON_PAGE_BYTES;
    eva_any(&scratch->gcm, sizeof(scratch->gcm));
    eva_any(&scratch->stream, sizeof(scratch->stream));
    eva_any(body, bytes);
    if ( !hold(late_pages, body + first, odd) )
        return;
    seal_body(scratch, body, bytes);
    sevmon_request_end(&eva_agent, &work);
    //@ assert work.scratch.request.late_pages == 0;
}

static void seal_all(unsigned int odd)
{
    unsigned int i, at;

    for ( i = 0; i <= SEVMON_LATE_PAGES; i++ )
    {
        seal(i, 0, odd);
        seal(i, 8, odd);
        seal(i, SEVMON_PAGE_BYTES - 8, odd);
    }
    for ( at = 0; at < SEVMON_PAGE_BYTES; at += 8 )
        seal(2, at, odd);
}

void eva_seal(void)
{
    eva_any_agent();
    work.scratch.request.target.domain = NULL;
    seal_all(0);
    seal_all(1);
}
