/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz-frames.h"

static void fill(uint8_t *p, size_t bytes, uint64_t *state)
{
    for ( size_t i = 0; i < bytes; i += 8 )
    {
        uint64_t word = fuzz_random(state);

        memcpy(p + i, &word, bytes - i < 8 ? bytes - i : 8);
    }
}

void frame_random(struct frame *frame, uint64_t *state)
{
    static const uint32_t sizes[] = { 16, 143, 144, 145, 1019, 1020 };

    frame->fate = FRAME_REFUSED;
    frame->size = fuzz_one_in(state, 2) ? sizes[fuzz_below(state, sizeof(sizes) / sizeof(sizes[0]))]
                                        : 16 + fuzz_below(state, 1005);
    fill(frame->bytes, frame->size, state);
    if ( fuzz_one_in(state, 2) )
    {
        frame->bytes[0] = fuzz_below(state, 8);
        frame->bytes[1] = 1;
        frame->bytes[2] = fuzz_below(state, 4);
        frame->bytes[3] = 0;
    }
    /* Nothing random ends in a HELLO's 112 bytes of zero. */
}

static void make_hello(struct frame *frame, uint64_t *state)
{
    struct sevmon_hello *hello = (void *)frame->bytes;

    sevmon_make_hello(hello);
    fill(hello->ids_id, sizeof(hello->ids_id), state);
    frame->size = sizeof(*hello);
    frame->fate = FRAME_HELLO;
}

/* Nobody's first message: its key is unknown, or its challenge is. */
static void make_initiate(struct frame *frame, uint64_t *state, const struct session *s)
{
    struct sevmon_handshake *initiate = (void *)frame->bytes;

    memset(initiate, 0, sizeof(*initiate));
    initiate->header.type = SEVMON_FRAME_INITIATE;
    initiate->header.version = SEVMON_PROTOCOL_VERSION;
    fill((uint8_t *)initiate + sizeof(initiate->header),
         sizeof(*initiate) - sizeof(initiate->header), state);
    if ( s && !fuzz_one_in(state, 4) )
        memcpy(initiate->ids_id, s->ids_id, sizeof(initiate->ids_id));
    frame->size = sizeof(*initiate);
    frame->fate = FRAME_REFUSED;
}

/* Sealed by the key of a live session, and spoilt; without one, random. */
static void make_request(struct frame *frame, uint64_t *state, struct session *s)
{
    struct sevmon_header *header = (void *)frame->bytes;

    fill(frame->bytes, SEVMON_REQUEST_FRAME_BYTES, state);
    *header = (struct sevmon_header){
        .type = SEVMON_FRAME_REQUEST,
        .version = SEVMON_PROTOCOL_VERSION,
        .size_class = fuzz_below(state, 3),
        .session = fuzz_random(state),
        .n = fuzz_below(state, 1 << 24),
    };
    frame->size = SEVMON_REQUEST_FRAME_BYTES;
    frame->fate = FRAME_REFUSED;
    if ( s && !fuzz_one_in(state, 8) )
    {
        const struct sevmon_request_body body = { .head.domid = SEVMON_DOMID_DOM0 };
        unsigned int bit = fuzz_below(state, SEVMON_REQUEST_FRAME_BYTES * 8);

        session_seal(s, &body, frame->bytes);
        frame->bytes[bit / 8] ^= 1 << bit % 8;
    }
}

static void change_header(struct frame *frame, uint64_t *state)
{
    struct sevmon_header *header = (void *)frame->bytes;

    switch ( fuzz_below(state, 6) )
    {
    case 0:
        header->type = 9 + fuzz_below(state, 200);
        break;
    case 1:
        header->version = 2 + fuzz_below(state, 254);
        break;
    case 2:
        header->size_class = 3 + fuzz_below(state, 253);
        break;
    case 3:
        header->flags = 1 + fuzz_below(state, 255);
        break;
    case 4: /* added: a bit that is flipped could be the one that make_request() flipped */
        header->session += 3 + 2 * fuzz_below(state, 0x7ffffffe);
        break;
    case 5:
        header->n = (1ULL << 24) + fuzz_random(state) / 2;
        break;
    }
    frame->fate = FRAME_REFUSED;
}

void frame_mutated(struct frame *frame, uint64_t *state, struct session *s)
{
    switch ( fuzz_below(state, 3) )
    {
    case 0:
        make_hello(frame, state);
        break;
    case 1:
        make_initiate(frame, state, s);
        break;
    case 2:
        make_request(frame, state, s);
        break;
    }
    switch ( fuzz_below(state, 4) )
    {
    case 0:
        change_header(frame, state);
        break;
    case 1: /* another size: too short, or with more behind it */
        frame->size = 16 + fuzz_below(state, 1005);
        if ( frame->size != SEVMON_HANDSHAKE_FRAME_BYTES )
            frame->fate = FRAME_REFUSED;
        break;
    case 2:
        if ( frame->bytes[0] == SEVMON_FRAME_HELLO ) /* a reserved byte */
        {
            frame->bytes[32 + fuzz_below(state, 112)] = 1 + fuzz_below(state, 255);
            frame->fate = FRAME_REFUSED;
        }
        break;
    }
}
