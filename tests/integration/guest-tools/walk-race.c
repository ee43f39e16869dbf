/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page tables that change while the agent walks them.
 *
 *   walk-race --key HEX [--rounds N] [--seed S] [FORBIDDEN_FRAME...]
 *
 * First, tables of this process's own: five pages that it says are page tables,
 * and whose entries a thread on another CPU rewrites all the time: the next
 * table, a page, a large page, nothing, the table itself, the top again, a
 * device, beyond all memory, and each FORBIDDEN_FRAME (Xen's, which the test
 * knows from outside).  Each read must give one page's bytes, whole, or a
 * negative; each entry that a translation reports must be one that was written.
 *
 * Then, the kernel's tables: a thread maps, unmaps, moves, protects and discards
 * memory of this process, and the agent reads there.
 *
 * Prints counts per outcome, then "walk-race: OK"; else what was wrong, exit 1.
 */
#include <pthread.h>
#include <sched.h>

#include "fuzz-places.h"
#include "sevmon-session.h"

#define PAGE    4096UL
#define PRESENT 0x67ULL /* present, writable, user, accessed, dirty */
#define LARGE   0x80ULL
#define LEVELS  5
#define READ    64
#define REGION  (512 * PAGE)
#define PATTERN 0xcc
#define MAX_FORBIDDEN 256

static struct {
    const char *key;
    unsigned long rounds;
    uint64_t seed, forbidden[MAX_FORBIDDEN];
    unsigned int forbiddens;
} options = { .rounds = 20000, .seed = 1 };

static struct session session;

/* table[1] is the leaf's, table[5] the top of five levels; [0] is unused. */
static uint64_t *table[LEVELS + 1];
static uint64_t frame[LEVELS + 1];
static uint8_t *page_a, *page_b;
static uint64_t frame_a, frame_b, address;
static unsigned int quiet; /* offset in a page that no table's entry uses */

static uint64_t choices[LEVELS + 1][MAX_FORBIDDEN + 16];
static unsigned int choices_of[LEVELS + 1];
static volatile bool stop;

static void give_up(const char *what, uint64_t detail)
{
    printf("walk-race: FAILED: %s (%#lx)\n", what, detail);
    exit(1);
}

static void stay_on(unsigned int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if ( pthread_setaffinity_np(pthread_self(), sizeof(set), &set) )
        give_up("there is no such CPU", cpu);
}

static unsigned int index_of(unsigned int level)
{
    return address >> (12 + 9 * (level - 1)) & 511;
}

static void choose(unsigned int level, uint64_t entry)
{
    choices[level][choices_of[level]++] = entry;
}

/* What the entry at each level can be. */
static void make_choices(void)
{
    static const uint64_t nobodys[] = { 0xa0, 0xfec00, 0xfee00, 0xfffffff, 0xfffffffffe };

    for ( unsigned int level = 1; level <= LEVELS; level++ )
    {
        uint64_t next = level > 1 ? frame[level - 1] : frame_a;

        choose(level, next << 12 | PRESENT); /* first: see rewrite() */
        choose(level, next << 12 | (PRESENT & ~1ULL));
        choose(level, 0);
        choose(level, frame[level] << 12 | PRESENT);
        choose(level, frame[4] << 12 | PRESENT);
        if ( level == 1 )
            choose(level, frame_b << 12 | PRESENT);
        else /* at levels 2 and 3 this is page A again, above a mistake */
            choose(level, (frame_a & ~((1ULL << (9 * (level - 1))) - 1)) << 12 | PRESENT | LARGE);
        for ( unsigned int i = 0; i < sizeof(nobodys) / sizeof(nobodys[0]); i++ )
            choose(level, nobodys[i] << 12 | PRESENT);
        for ( unsigned int i = 0; i < options.forbiddens; i++ )
            choose(level, options.forbidden[i] << 12 | PRESENT);
    }
}

static void *rewrite(void *unused)
{
    uint64_t state = options.seed;

    stay_on(1);
    while ( !stop )
    {
        unsigned int level = 1 + fuzz_below(&state, LEVELS);
        uint64_t entry = choices[level][fuzz_below(&state, choices_of[level])];

        /* Mostly good, or no walk would reach its end. */
        if ( !fuzz_one_in(&state, 4) )
            entry = choices[level][0];
        else if ( level == 1 && fuzz_one_in(&state, 4) )
            entry = frame_b << 12 | PRESENT;
        else if ( fuzz_one_in(&state, 8) )
            entry = frame[level] << 12 | PRESENT;

        __atomic_store_n(&table[level][index_of(level)], entry, __ATOMIC_RELAXED);
        for ( unsigned int i = 0; i < 200; i++ )
            __builtin_ia32_pause();
    }

    return unused;
}

/* No table's entry is another's when a table stands in for one of another level. */
static bool are_distinct(void)
{
    for ( unsigned int i = 1; i <= LEVELS; i++ )
        for ( unsigned int j = 1; j < i; j++ )
            if ( index_of(i) == index_of(j) )
                return false;

    return true;
}

static void make_tables(void)
{
    uint64_t state = options.seed;
    bool used;

    /* Above Xen's range; and so that large pages at A's place hold A. */
    do {
        page_a = sevmon_buffer(PAGE);
        frame_a = session_frame_of(&session, 0, page_a, NULL);
        address = 0xffff000000000000ULL | 300ULL << 39 | (frame_a & 0x7ffffff) << 12;
    } while ( !are_distinct() );
    page_b = sevmon_buffer(PAGE);
    frame_b = session_frame_of(&session, 0, page_b, NULL);
    memset(page_a, 0xaa, PAGE);
    memset(page_b, 0xbb, PAGE);
    for ( unsigned int level = 1; level <= LEVELS; level++ )
    {
        table[level] = sevmon_buffer(PAGE);
        frame[level] = session_frame_of(&session, 0, table[level], NULL);
    }
    do {
        quiet = fuzz_below(&state, PAGE / READ) * READ;
        used = false;
        for ( unsigned int level = 1; level <= LEVELS; level++ )
            used |= index_of(level) * 8 / READ == quiet / READ;
    } while ( used );
    make_choices();
}

enum outcome { SAW_A, SAW_B, SAW_TABLE, NOT_MAPPED, NO_FRAME, BAD_TABLE, OTHER, OUTCOMES };
static unsigned long outcomes[OUTCOMES];

static bool all(const uint8_t *p, size_t bytes, uint8_t value)
{
    return p[0] == value && !memcmp(p, p + 1, bytes - 1);
}

static enum outcome outcome_of(uint16_t status, const uint8_t *data)
{
    switch ( status )
    {
    case SEVMON_STATUS_NOT_MAPPED:
        return all(data, READ, 0) ? NOT_MAPPED : OTHER;
    case SEVMON_STATUS_NO_FRAME:
        return all(data, READ, 0) ? NO_FRAME : OTHER;
    case SEVMON_STATUS_BAD_TABLE:
        return all(data, READ, 0) ? BAD_TABLE : OTHER;
    case SEVMON_STATUS_OK:
        return all(data, READ, 0xaa) ? SAW_A
               : all(data, READ, 0xbb) ? SAW_B
               : all(data, READ, 0) ? SAW_TABLE : OTHER;
    }

    return OTHER;
}

static void check_translation(const struct sevmon_translation *t)
{
    for ( unsigned int i = 0; i < t->reached; i++ )
    {
        bool known = t->entry[i] == 0;

        /* A walk through a table that is another level's meets its entries. */
        for ( unsigned int level = 1; level <= LEVELS && !known; level++ )
            for ( unsigned int j = 0; j < choices_of[level] && !known; j++ )
                known = t->entry[i] == choices[level][j];
        /* Page A or B as a table: its bytes are entries that are not present or none of ours. */
        known |= t->entry[i] == 0xbbbbbbbbbbbbbbbbULL || t->entry[i] == 0xaaaaaaaaaaaaaaaaULL;
        if ( !known )
            give_up("an entry that nobody wrote", t->entry[i]);
    }
}

static void own_tables(void)
{
    struct sevmon_request_body body = { .head = {
        .domid = SEVMON_DOMID_DOM0, .root_kind = SEVMON_ROOT_FRAME, .items = 9 } };
    pthread_t thread;

    make_tables();
    for ( unsigned int i = 0; i < 8; i++ )
        body.items[i] = session_item(SEVMON_ITEM_READ_VIRTUAL, READ, address + quiet);
    body.items[8] = session_item(SEVMON_ITEM_TRANSLATE, 0, address);
    if ( pthread_create(&thread, NULL, rewrite, NULL) )
        give_up("no thread", 0);

    for ( unsigned long round = 0; round < options.rounds; round++ )
    {
        body.head.levels = round & 1 ? 5 : 4;
        body.head.root_frame = frame[body.head.levels];
        if ( session_ask(&session, &body)->status != SEVMON_ANSWER_OK )
            give_up("a request was refused", round);
        for ( unsigned int i = 0; i < 8; i++ )
        {
            uint16_t status = session_results(&session)[i].status;
            enum outcome outcome = outcome_of(status, session_data(&session, i));

            outcomes[outcome]++;
            if ( outcome == OTHER )
                give_up("bytes or a status that no choice gives", status);
        }
        check_translation((const void *)session_data(&session, 8));
    }
    stop = true;
    pthread_join(thread, NULL);
    printf("walk-race: own tables: rounds=%lu a=%lu b=%lu table=%lu not-mapped=%lu no-frame=%lu "
           "bad-table=%lu\n", options.rounds, outcomes[SAW_A], outcomes[SAW_B],
           outcomes[SAW_TABLE], outcomes[NOT_MAPPED], outcomes[NO_FRAME], outcomes[BAD_TABLE]);
    for ( unsigned int i = 0; i < OTHER; i++ )
        if ( !outcomes[i] )
            give_up("an outcome was never seen", i);
}

/* Two regions: memory moves between them. */
static uint8_t *region;

static void *remap(void *unused)
{
    uint64_t state = options.seed + 1;

    stay_on(1);
    while ( !stop )
    {
        uint8_t *p = region + fuzz_below(&state, REGION / PAGE) * PAGE;

        switch ( fuzz_below(&state, 6) )
        {
        case 0:
            munmap(p, PAGE);
            break;
        case 1:
            mprotect(p, PAGE, PROT_NONE);
            break;
        case 2:
            madvise(p, PAGE, MADV_DONTNEED);
            break;
        case 3:
            mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, region + REGION);
            break;
        default:
            if ( mmap(p, PAGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p )
                memset(p, PATTERN, PAGE);
        }
    }

    return unused;
}

static void kernel_tables(void)
{
    struct sevmon_request_body body = { .head = { .domid = SEVMON_DOMID_DOM0, .items = 32 } };
    unsigned long saw = 0, fresh = 0, not_mapped = 0, no_frame = 0, stale = 0;
    uint64_t state = options.seed + 2;
    pthread_t thread;

    stop = false;
    region = mmap(NULL, REGION + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(region, PATTERN, REGION);
    if ( pthread_create(&thread, NULL, remap, NULL) )
        give_up("no thread", 0);

    for ( unsigned long round = 0; round < options.rounds; round++ )
    {
        for ( unsigned int i = 0; i < body.head.items; i++ )
            body.items[i] = session_item(SEVMON_ITEM_READ_VIRTUAL, READ,
                                         (uintptr_t)region + fuzz_below(&state, REGION / READ) * READ);
        if ( session_ask(&session, &body)->status != SEVMON_ANSWER_OK )
            give_up("a request was refused", round);
        for ( unsigned int i = 0; i < body.head.items; i++ )
        {
            uint16_t status = session_results(&session)[i].status;
            const uint8_t *data = session_data(&session, i);

            if ( status == SEVMON_STATUS_OK )
                /* A page that was given back between walk and read: another use of Dom0's. */
                ++*(all(data, READ, PATTERN) ? &saw : all(data, READ, 0) ? &fresh : &stale);
            else if ( !all(data, READ, 0) )
                give_up("a negative with bytes", status);
            else if ( status == SEVMON_STATUS_NOT_MAPPED )
                not_mapped++;
            else if ( status == SEVMON_STATUS_NO_FRAME )
                no_frame++;
            else
                give_up("another status", status);
        }
    }
    stop = true;
    pthread_join(thread, NULL);
    printf("walk-race: kernel's tables: rounds=%lu pattern=%lu fresh=%lu not-mapped=%lu "
           "no-frame=%lu stale=%lu\n", options.rounds, saw, fresh, not_mapped, no_frame, stale);
    if ( !saw || !not_mapped )
        give_up("an outcome was never seen", 0);
    if ( stale > saw )
        give_up("mostly other bytes than were written", stale);
}

int main(int argc, char **argv)
{
    for ( int i = 1; i < argc; i++ )
    {
        if ( !strcmp(argv[i], "--key") && i + 1 < argc )
            options.key = argv[++i];
        else if ( !strcmp(argv[i], "--rounds") && i + 1 < argc )
            options.rounds = strtoul(argv[++i], NULL, 0);
        else if ( !strcmp(argv[i], "--seed") && i + 1 < argc )
            options.seed = strtoul(argv[++i], NULL, 0);
        else if ( options.forbiddens < MAX_FORBIDDEN )
            options.forbidden[options.forbiddens++] = strtoul(argv[i], NULL, 0);
    }
    if ( !options.key )
    {
        fprintf(stderr, "usage: see the head of walk-race.c\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    stay_on(0);
    session_init(&session, sevmon_open(), options.key, 3, SEVMON_CLASS_1_PAGE);
    session_open(&session);
    own_tables();
    kernel_tables();
    printf("walk-race: OK\n");

    return 0;
}
