/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a hostile caller's buffers can be, and what Xen must find there.
 */
#ifndef FUZZ_PLACES_H
#define FUZZ_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Deterministic for a seed, on any machine (SplitMix64). */
static inline uint64_t fuzz_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;

    return z ^ z >> 31;
}

static inline uint64_t fuzz_below(uint64_t *state, uint64_t limit)
{
    return fuzz_random(state) % limit;
}

static inline bool fuzz_one_in(uint64_t *state, uint64_t n)
{
    return fuzz_below(state, n) == 0;
}

struct place {
    uint8_t *p;
    size_t readable; /* bytes that Xen can copy from `p` */
    size_t writable; /* bytes that it can copy to `p` */
    bool racy;       /* mapping or content changes meanwhile, or not ours to foresee */
    bool ours;       /* this process can look at all of it */
};

/* Room for a page, and after it for what an answer would overwrite. */
void *place_with_nothing_behind(void);

/*
 * Make the mappings and start the thread that changes some of them.
 * `foreign`: a page of another domain, mapped there; or NULL.
 */
void places_init(void *foreign);

/* Where a frame can be: half of the time, in a good buffer. */
struct place place_for_frame(uint64_t *state);
/* Where an answer can go.  Never where writing would break this Dom0. */
struct place place_for_answer(uint64_t *state);

/* Bytes in the page of `foreign` that say whose it is. */
#define FOREIGN_TEXT "another domain's page"

#endif /* FUZZ_PLACES_H */
