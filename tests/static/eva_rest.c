/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zero_rest() of request.c, after each number of bytes of data: where the zeros
 * begin and how many they are depend on each other, which Eva sees one number
 * at a time.  memset() is what its contract here says.
 */
#include "eva_host.h"

/*@ requires bytes == 0 || \valid((char *)to + (0 .. bytes - 1));
    assigns ((char *)to)[0 .. bytes - 1] \from value; */
void eva_zero(void *to, int value, size_t bytes);

#define memset eva_zero
#include "request.c"
#undef memset

/* Eva joins what it keeps apart at the end of a function: not one block. */
#define BLOCK 128U

static void rest_block(struct answer *answer, uint32_t first, uint32_t last)
{
    uint32_t bytes;

    for ( bytes = first; bytes <= last; bytes++ )
    {
        answer->data_bytes = bytes;
        answer->zeroed = false; /* or there is nothing to show */
        zero_rest(answer);
    }
}

void eva_rest(void)
{
    static uint8_t data[SEVMON_PAGE_BYTES * 15];
    struct answer answer = { 0 };
    unsigned int size_class;
    uint32_t at;

    for ( size_class = 0; size_class < SEVMON_CLASSES; size_class++ )
    {
        answer.room_bytes = SEVMON_CLASS_PAGES(size_class) * SEVMON_PAGE_BYTES;
        answer.data = data + sizeof(data) - answer.room_bytes;
        for ( at = 0; at < answer.room_bytes; at += BLOCK )
            rest_block(&answer, at, at + BLOCK - 1);
        rest_block(&answer, at, at);
    }
}
