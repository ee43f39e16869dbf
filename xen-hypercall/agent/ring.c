/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "ring.h"

#define HEAD_BYTES ((uint32_t)sizeof(struct sevmon_result_head))

_Static_assert(SEVMON_RING_BYTES % 8 == 0, "records are aligned");
_Static_assert(SEVMON_STANDING_MAX_BYTES % 8 == 0, "and the longest result");
_Static_assert(SEVMON_RING_BYTES / 2 > SEVMON_STANDING_MAX_BYTES +
               sizeof(struct sevmon_result_head), "of which several fit");

static uint32_t aligned(uint32_t bytes)
{
    return (bytes + 7) & ~7U;
}

/* `at`: from the oldest on. */
static uint32_t place_of(const struct sevmon_ring *ring, uint32_t at)
{
    return (ring->start + at) % SEVMON_RING_BYTES;
}

static void copy_in(struct sevmon_ring *ring, uint32_t at, const void *from,
                    uint32_t bytes)
{
    uint32_t place = place_of(ring, at);
    uint32_t first = SEVMON_RING_BYTES - place;

    if ( first > bytes )
        first = bytes;
    memcpy(ring->bytes + place, from, first);
    memcpy(ring->bytes, (const uint8_t *)from + first, bytes - first);
}

static void copy_out(const struct sevmon_ring *ring, uint32_t at, void *to,
                     uint32_t bytes)
{
    uint32_t place = place_of(ring, at);
    uint32_t first = SEVMON_RING_BYTES - place;

    if ( first > bytes )
        first = bytes;
    memcpy(to, ring->bytes + place, first);
    memcpy((uint8_t *)to + first, ring->bytes, bytes - first);
}

/* The oldest one's; what it had of the target's goes. */
static void drop_first(struct sevmon_ring *ring, uint32_t bytes)
{
    uint32_t first = SEVMON_RING_BYTES - ring->start;

    if ( first > bytes )
        first = bytes;
    sevmon_wipe(ring->bytes + ring->start, first);
    sevmon_wipe(ring->bytes, bytes - first);
    ring->start = place_of(ring, bytes);
    ring->used -= bytes;
    ring->results--;
}

static uint32_t bytes_at(const struct sevmon_ring *ring, uint32_t at,
                         struct sevmon_result_head *head)
{
    copy_out(ring, at, head, HEAD_BYTES);

    return HEAD_BYTES + aligned(head->report.result_bytes);
}

bool sevmon_ring_has_room(const struct sevmon_ring *ring)
{
    return HEAD_BYTES + SEVMON_STANDING_MAX_BYTES <=
           SEVMON_RING_BYTES - ring->used;
}

void sevmon_ring_skip(struct sevmon_ring *ring)
{
    ring->last_number++;
    ring->skipped++;
}

void sevmon_ring_put(struct sevmon_ring *ring,
                     const struct sevmon_result_head *head,
                     const uint8_t *result)
{
    static const uint8_t zeros[8];
    uint32_t bytes = head->report.result_bytes;
    uint32_t at = ring->used;
    struct sevmon_result_head numbered = *head;

    numbered.number = ++ring->last_number;
    copy_in(ring, at, &numbered, HEAD_BYTES);
    copy_in(ring, at + HEAD_BYTES, result, bytes);
    copy_in(ring, at + HEAD_BYTES + bytes, zeros, aligned(bytes) - bytes);
    ring->used += HEAD_BYTES + aligned(bytes);
    ring->results++;
}

void sevmon_ring_forget(struct sevmon_ring *ring, uint64_t seen)
{
    struct sevmon_result_head head;

    while ( ring->results )
    {
        uint32_t bytes = bytes_at(ring, 0, &head);

        if ( head.number > seen )
            return;
        drop_first(ring, bytes);
    }
}

uint32_t sevmon_ring_copy(const struct sevmon_ring *ring, uint8_t *out,
                          uint32_t room_bytes)
{
    struct sevmon_collected *collected = (struct sevmon_collected *)out;
    struct sevmon_result_head head;
    uint32_t at = 0, bytes;

    collected->next_number = ring->last_number + 1;
    collected->skipped = ring->skipped;
    collected->waiting = ring->results;
    while ( collected->waiting )
    {
        bytes = bytes_at(ring, at, &head);
        if ( bytes > room_bytes - sizeof(*collected) - at )
            break;
        copy_out(ring, at, out + sizeof(*collected) + at, bytes);
        at += bytes;
        collected->results++;
        collected->waiting--;
    }
    if ( collected->waiting && !collected->results )
        return 0;

    return sizeof(*collected) + at;
}
