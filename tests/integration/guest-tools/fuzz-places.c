/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz-places.h"

#include <pthread.h>

#include "sevmon-call.h"

#define PAGE       4096UL
#define LARGE      (18 * PAGE) /* an answer and an offset of up to a page */

static struct {
    uint8_t *good;       /* LARGE */
    uint8_t *read_only;  /* LARGE, PROT_READ */
    uint8_t *cliff;      /* LARGE, then a page that is not accessible */
    uint8_t *ledge;      /* LARGE, then a read-only page */
    uint8_t *flickering; /* LARGE; protection and presence change */
    uint8_t *changing;   /* LARGE; content changes */
    uint8_t *foreign;    /* a page, of another domain; or NULL */
    uint8_t *device;     /* a page of a device's memory; or NULL */
} at;

static const uint64_t nowhere[] = {
    0,                     /* not mapped */
    0x00007ffffffff000ULL, /* the last page of user space: never mapped */
    0x0000800000000000ULL, /* not canonical */
    0x8000000000000000ULL,
    0xffff7fffffffffffULL,
    0xffff800000000000ULL, /* PV: Xen's machine-to-physical table */
    0xffff804000000000ULL, /* PV: linear page tables and their neighbours */
    0xffff82d040200000ULL, /* PV: Xen's text */
    0xffff82e000000000ULL, /* PV: Xen's frame table */
    0xffff830000000000ULL, /* PV: Xen's map of all memory */
    0xffff87fffffff000ULL, /* PV: the end of it */
    0xffffffffffffff00ULL, /* wraps around */
};

static void *change(void *unused)
{
    uint64_t state = 99;

    for ( ;; )
    {
        static const int protections[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };
        uint8_t *page = at.flickering + fuzz_below(&state, LARGE / PAGE) * PAGE;

        for ( unsigned int i = 0; i < 256; i++ )
            at.changing[fuzz_below(&state, LARGE)] = fuzz_random(&state);
        switch ( fuzz_below(&state, 3) )
        {
        case 0:
            mprotect(page, PAGE, protections[fuzz_below(&state, 3)]);
            break;
        case 1:
            madvise(page, PAGE, MADV_DONTNEED);
            break;
        case 2:
            mmap(page, PAGE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0);
            break;
        }
        usleep(50);
    }

    return unused;
}

void *place_with_nothing_behind(void)
{
    void *p = mmap(NULL, PAGE + LARGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if ( p == MAP_FAILED )
        abort();

    return p;
}

/* The frame buffer of a VGA card: a device, and harmless to write. */
static uint8_t *map_device(void)
{
    int fd = open("/dev/mem", O_RDWR);
    void *p = fd < 0 ? MAP_FAILED
                     : mmap(place_with_nothing_behind(), PAGE, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_FIXED, fd, 0xa0000);

    if ( fd >= 0 )
        close(fd);
    /* Linux on Xen cannot copy such a mapping. */
    if ( p != MAP_FAILED )
        madvise(p, PAGE, MADV_DONTFORK);

    return p == MAP_FAILED ? NULL : p;
}

static void protect(uint8_t *p, size_t bytes, int protection)
{
    if ( mprotect(p, bytes, protection) )
    {
        perror("mprotect");
        exit(1);
    }
}

void places_init(void *foreign)
{
    pthread_t thread;

    at.good = sevmon_buffer(LARGE);
    at.read_only = sevmon_buffer(LARGE);
    memset(at.read_only, 0x33, LARGE);
    protect(at.read_only, LARGE, PROT_READ);
    at.cliff = sevmon_buffer(LARGE + PAGE);
    protect(at.cliff + LARGE, PAGE, PROT_NONE);
    at.ledge = sevmon_buffer(LARGE + PAGE);
    protect(at.ledge + LARGE, PAGE, PROT_READ);
    at.flickering = sevmon_buffer(LARGE);
    at.changing = sevmon_buffer(LARGE);
    at.foreign = foreign;
    at.device = map_device();
    if ( pthread_create(&thread, NULL, change, NULL) )
        abort();
}

static struct place place(uint8_t *p, size_t readable, size_t writable, bool racy, bool ours)
{
    return (struct place){
        .p = p, .readable = readable, .writable = writable, .racy = racy, .ours = ours,
    };
}

static struct place good_place(uint64_t *state)
{
    size_t offset = fuzz_below(state, PAGE);

    return place(at.good + offset, LARGE - offset, LARGE - offset, false, true);
}

static struct place bad_place(uint64_t *state)
{
    uint64_t offset = fuzz_below(state, PAGE), left;

    switch ( fuzz_below(state, 8) )
    {
    case 0:
        return place(at.read_only + offset, LARGE - offset, 0, false, false);
    case 1:
        left = fuzz_one_in(state, 2) ? fuzz_below(state, 1100) : fuzz_below(state, LARGE);
        return place(at.cliff + LARGE - left, left, left, false, true);
    case 2:
        left = fuzz_one_in(state, 2) ? fuzz_below(state, 1100) : fuzz_below(state, LARGE);
        return place(at.ledge + LARGE - left, left + PAGE, left, false, true);
    case 3:
        return place(at.flickering + offset, 0, 0, true, false);
    case 4:
        return place(at.changing + offset, LARGE - offset, LARGE - offset, true, true);
    case 5:
        if ( at.foreign )
            return place(at.foreign + offset, 0, 0, true, false);
        break;
    case 6:
        if ( at.device )
            return place(at.device + offset, 0, 0, true, false);
        break;
    }

    return place((uint8_t *)nowhere[fuzz_below(state, sizeof(nowhere) / sizeof(nowhere[0]))], 0, 0,
                 false, false);
}

struct place place_for_frame(uint64_t *state)
{
    /* The kernel's own memory, which reads as garbage, or is not there. */
    if ( fuzz_one_in(state, 64) )
        return place((uint8_t *)(0xffff888000000000ULL + fuzz_below(state, 1ULL << 30)), 0, 0,
                     true, false);

    return fuzz_one_in(state, 2) ? bad_place(state) : good_place(state);
}

struct place place_for_answer(uint64_t *state)
{
    return fuzz_one_in(state, 2) ? bad_place(state) : good_place(state);
}
