/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames that Dom0 reaches and does not own, and those that it owns.
 *
 *   frame-check --key HEX not-ours    another domain's page, mapped as foreign and by a grant; a
 *                                     device's; as items, as tables, as roots: all "no frame"
 *   frame-check --key HEX scan FILE   ask for every frame; a bit for each that can be read, to FILE
 *   frame-check --key HEX hold N      hold a page, print its frame and its tables' frames; each
 *                                     time that /tmp/hold.go is there, read it N times in all
 *                                     ways, then remove that file; until killed
 *
 * Prints "frame-check: OK", exit 0; else what was wrong, exit 1.
 */
#include <sched.h>
#include <sys/stat.h>

#include "fuzz-places.h"
#include "other-domain.h"
#include "sevmon-session.h"

#include <xengnttab.h>

#define PAGE    4096UL
#define REPEATS 50

static struct session session;

static void give_up(const char *what, uint64_t detail)
{
    printf("frame-check: FAILED: %s (%#lx)\n", what, detail);
    exit(1);
}

static struct sevmon_request_body request(uint16_t domid, unsigned int items)
{
    return (struct sevmon_request_body){ .head = { .domid = domid, .items = items } };
}

static uint16_t ask_one(uint16_t domid, struct sevmon_item item)
{
    struct sevmon_request_body body = request(domid, 1);

    body.items[0] = item;
    if ( session_ask(&session, &body)->status != SEVMON_ANSWER_OK )
        give_up("a request was refused", domid);

    return session_results(&session)[0].status;
}

/* ---- not-ours --------------------------------------------------------- */

static void expect(const char *what, uint16_t got, uint16_t wanted)
{
    if ( got == wanted )
        return;
    printf("frame-check: FAILED: %s: status %u, not %u\n", what, got, wanted);
    exit(1);
}

/* The page at `p`, of whose frame Dom0's tables hold the number. */
static void check_mapping(const char *what, const void *p)
{
    struct sevmon_request_body body = request(SEVMON_DOMID_DOM0, 2);
    uint64_t frame = session_frame_of(&session, 0, p, NULL);

    for ( unsigned int i = 0; i < REPEATS; i++ )
    {
        expect(what, ask_one(SEVMON_DOMID_DOM0,
                             session_item(SEVMON_ITEM_READ_VIRTUAL, 64, (uintptr_t)p)),
               SEVMON_STATUS_NO_FRAME);
        expect(what, ask_one(SEVMON_DOMID_DOM0,
                             session_item(SEVMON_ITEM_READ_PHYSICAL, 64, frame << 12)),
               SEVMON_STATUS_NO_FRAME);
        /* As the top table of a walk. */
        body.head.root_kind = SEVMON_ROOT_FRAME;
        body.head.root_frame = frame;
        body.head.levels = 4;
        body.items[0] = session_item(SEVMON_ITEM_READ_VIRTUAL, 64, (uintptr_t)p);
        body.items[1] = session_item(SEVMON_ITEM_TRANSLATE, 0, (uintptr_t)p);
        if ( session_ask(&session, &body)->status != SEVMON_ANSWER_OK )
            give_up("a root is looked at before it is used", frame);
        expect(what, session_results(&session)[0].status, SEVMON_STATUS_NO_FRAME);
        expect(what, session_results(&session)[1].status, SEVMON_STATUS_NO_FRAME);
    }
    printf("frame-check: %s: frame=%#lx: no frame\n", what, frame);
}

static void *map_foreign(uint32_t domid, xen_pfn_t frame)
{
    xenforeignmemory_handle *memory = xenforeignmemory_open(NULL, 0);
    char *p = memory ? xenforeignmemory_map(memory, domid, PROT_READ | PROT_WRITE, 1, &frame, NULL)
                     : NULL;

    if ( !p )
        fail("xenforeignmemory_map");
    strcpy(p, FOREIGN_TEXT);

    return p;
}

/* Have that domain grant its page to Dom0, as its kernel would. */
static void *map_granted(uint32_t domid, xen_pfn_t frame)
{
    xenforeignmemory_handle *memory = xenforeignmemory_open(NULL, 0);
    xengnttab_handle *gnttab = xengnttab_open(NULL, 0);
    void *table = NULL;
    grant_entry_v1_t *entry;
    void *p;

    if ( !memory || !gnttab )
        fail("opening Xen's devices");
    if ( !xenforeignmemory_map_resource(memory, domid, XENMEM_resource_grant_table,
                                        XENMEM_resource_grant_table_id_shared, 0, 1, &table,
                                        PROT_READ | PROT_WRITE, 0) )
        fail("xenforeignmemory_map_resource");
    entry = table;
    entry[10].domid = 0;
    entry[10].frame = frame;
    __atomic_store_n(&entry[10].flags, GTF_permit_access, __ATOMIC_SEQ_CST);
    p = xengnttab_map_grant_ref(gnttab, domid, 10, PROT_READ | PROT_WRITE);
    if ( !p )
        fail("xengnttab_map_grant_ref");

    return p;
}

static const void *map_device(void)
{
    int fd = open("/dev/mem", O_RDWR);
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0xa0000);

    if ( p == MAP_FAILED )
        fail("/dev/mem");

    return p;
}

static void not_ours(void)
{
    xc_interface *xc = xc_interface_open(NULL, NULL, 0);
    uint32_t domid;
    xen_pfn_t frame;
    char *foreign, *granted;

    if ( !xc )
        fail("xc_interface_open");
    domid = make_domain(xc);
    frame = add_page(xc, domid);
    foreign = map_foreign(domid, frame);
    granted = map_granted(domid, frame);
    if ( strcmp(granted, FOREIGN_TEXT) )
        give_up("the grant maps another page", frame);

    check_mapping("a foreign page", foreign);
    check_mapping("a granted page", granted);
    check_mapping("a device's page", map_device());

    /* The same page as what it is; so the rest does not fail for another reason. */
    expect("the domain's own page",
           ask_one(domid, session_item(SEVMON_ITEM_READ_PHYSICAL, 64, frame << 12)),
           SEVMON_STATUS_OK);
    if ( memcmp(session_data(&session, 0), FOREIGN_TEXT, sizeof(FOREIGN_TEXT)) )
        give_up("the other domain's page holds something else", frame);

    if ( xc_domain_destroy(xc, domid) )
        fail("xc_domain_destroy");
    printf("frame-check: domain=%u destroyed\n", domid);
}

/* ---- scan ------------------------------------------------------------- */

static uint64_t target_frames(void)
{
    struct sevmon_status status;

    expect("status", ask_one(SEVMON_DOMID_DOM0, session_item(SEVMON_ITEM_STATUS, 0, 0)),
           SEVMON_STATUS_OK);
    memcpy(&status, session_data(&session, 0), sizeof(status));

    return status.target_frames;
}

static void scan(const char *path)
{
    /* Beyond the end, too; not where a large frame number would take for ever. */
    uint64_t frames = (target_frames() + 4096) & ~7ULL, readable = 0;
    uint8_t *bits;
    FILE *out = fopen(path, "wb");

    if ( frames > 1 << 20 )
        frames = 1 << 20;
    bits = calloc(1, frames / 8);
    if ( !out || !bits )
        fail(path);
    for ( uint64_t first = 0; first < frames; first += SEVMON_MAX_ITEMS )
    {
        struct sevmon_request_body body = request(SEVMON_DOMID_DOM0, SEVMON_MAX_ITEMS);

        for ( unsigned int i = 0; i < SEVMON_MAX_ITEMS; i++ )
            body.items[i] = session_item(SEVMON_ITEM_READ_PHYSICAL, 8, (first + i) << 12);
        if ( session_ask(&session, &body)->status != SEVMON_ANSWER_OK )
            give_up("a request was refused", first);
        for ( unsigned int i = 0; i < SEVMON_MAX_ITEMS && first + i < frames; i++ )
        {
            uint16_t status = session_results(&session)[i].status;

            if ( status != SEVMON_STATUS_OK && status != SEVMON_STATUS_NO_FRAME )
                give_up("another status", status);
            readable += status == SEVMON_STATUS_OK;
            bits[(first + i) / 8] |= (status == SEVMON_STATUS_OK) << (first + i) % 8;
        }
    }
    if ( fwrite(bits, 1, frames / 8, out) != frames / 8 || fclose(out) )
        fail(path);
    printf("frame-check: scan: frames=%lu readable=%lu\n", frames, readable);
}

/* ---- hold ------------------------------------------------------------- */

static void read_all_ways(const void *p, uint64_t frame, uint64_t root, unsigned long times)
{
    struct sevmon_request_body body = request(SEVMON_DOMID_DOM0, 5);

    body.head.root_kind = SEVMON_ROOT_FRAME;
    body.head.root_frame = root;
    body.items[0] = session_item(SEVMON_ITEM_READ_VIRTUAL, 64, (uintptr_t)p);
    body.items[1] = session_item(SEVMON_ITEM_READ_PHYSICAL, 64, frame << 12);
    body.items[2] = session_item(SEVMON_ITEM_TRANSLATE, 0, (uintptr_t)p);
    /* Half-way: not mapped below the same upper tables. */
    body.items[3] = session_item(SEVMON_ITEM_READ_VIRTUAL, 64, (uintptr_t)p ^ 1ULL << 33);
    body.items[4] = session_item(SEVMON_ITEM_READ_VIRTUAL, 64, (uintptr_t)p ^ 1ULL << 22);
    for ( unsigned long i = 0; i < times; i++ )
    {
        body.head.levels = 4;
        body.head.root_frame = i % 8 ? root : frame; /* the page itself as a table */
        if ( session_ask(&session, &body)->status != SEVMON_ANSWER_OK )
            give_up("a request was refused", i);
        if ( i % 8 && session_results(&session)[0].status != SEVMON_STATUS_OK )
            give_up("the page cannot be read", session_results(&session)[0].status);
    }
}

static void hold(unsigned long times)
{
    struct sevmon_translation t;
    uint8_t *page = sevmon_buffer(PAGE);
    uint64_t frame = session_frame_of(&session, 0, page, &t);
    uint64_t root = ((const struct sevmon_response_head *)session.opened)->root_frame;
    struct stat unused;

    printf("frame-check: hold: frames: %#lx %#lx", frame, root);
    for ( unsigned int i = 0; i + 1 < t.reached; i++ )
        printf(" %#lx", (unsigned long)((t.entry[i] & 0x000ffffffffff000ULL) >> 12));
    printf("\n");
    for ( ;; usleep(100000) )
        if ( stat("/tmp/hold.go", &unused) == 0 )
        {
            read_all_ways(page, frame, root, times);
            unlink("/tmp/hold.go");
        }
}

int main(int argc, char **argv)
{
    cpu_set_t set;

    if ( argc < 4 || strcmp(argv[1], "--key") )
    {
        fprintf(stderr, "usage: see the head of frame-check.c\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    sched_setaffinity(0, sizeof(set), &set);
    session_init(&session, sevmon_open(), argv[2], strcmp(argv[3], "hold") ? 2 : 3,
                 SEVMON_CLASS_1_PAGE);
    session_open(&session);
    if ( !strcmp(argv[3], "not-ours") )
        not_ours();
    else if ( !strcmp(argv[3], "scan") && argc == 5 )
        scan(argv[4]);
    else if ( !strcmp(argv[3], "hold") && argc == 5 )
        hold(strtoul(argv[4], NULL, 0));
    else
        return 2;
    printf("frame-check: OK\n");

    return 0;
}
