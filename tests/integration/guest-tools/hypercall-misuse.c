/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the hypercall says to callers that use it wrongly, each answer exact
 * (xen-hypercall/include/public/sevmon.h), and that it works afterwards.
 *
 *   hypercall-misuse [--random N]   N random frames besides (20,000)
 *
 * Prints "hypercall-misuse: OK" with the number of cases, and exits 0; else
 * each case that went otherwise, exit 1.
 */
#include <sys/wait.h>

#include "sevmon-call.h"

#define FRAME  SEVMON_HANDSHAKE_FRAME_BYTES
#define ANSWER XEN_SEVMON_MAX_ANSWER_BYTES
#define PAGE   4096UL

static int fd;
static unsigned int cases, failures;
static struct sevmon_hello *hello; /* a good one */
static uint8_t *answer;            /* a good buffer */

static void expect(const char *what, long got, long wanted)
{
    cases++;
    if ( got == wanted )
        return;
    failures++;
    printf("hypercall-misuse: %s: returned %ld, not %ld\n", what, got, wanted);
}

/* The good call with one thing changed, and then the good call. */
static void try(const char *what, long wanted, uint64_t cmd, const void *in, uint64_t in_bytes,
                void *out, uint64_t out_bytes)
{
    expect(what, sevmon_call(fd, cmd, in, in_bytes, out, out_bytes), wanted);
    expect("a good call after it", sevmon_call(fd, XEN_SEVMON_OP_frame, hello, FRAME, answer, ANSWER),
           FRAME);
}

static void commands(void)
{
    static const uint32_t unknown[] = { 0, 3, 0x7fffffff, 0x80000000, 0xffffffff };

    for ( size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++ )
        try("unknown command", -EOPNOTSUPP, unknown[i], hello, FRAME, answer, ANSWER);
    for ( uint32_t token = 0; token < 64; token++ )
        try("no such run", -EBADMSG, XEN_SEVMON_OP_continue, NULL, token, answer, ANSWER);
    try("no such run", -EBADMSG, XEN_SEVMON_OP_continue, NULL, 0xffffffff, answer, ANSWER);
    try("capacity out of range", -EINVAL, XEN_SEVMON_OP_continue, NULL, 0, answer, ANSWER - 1);
}

static void sizes(void)
{
    static const uint32_t bad_in[] = { 0, 1, 15, 1021, 4096, 0x7fffffff, 0x80000000, 0xffffffff };
    static const uint32_t bad_out[] = { 0, 1, FRAME, ANSWER - 1 };
    uint8_t *frame = sevmon_buffer(PAGE);

    memcpy(frame, hello, sizeof(*hello));
    for ( size_t i = 0; i < sizeof(bad_in) / sizeof(bad_in[0]); i++ )
        try("frame size out of range", -EINVAL, XEN_SEVMON_OP_frame, frame, bad_in[i], answer,
            ANSWER);
    for ( size_t i = 0; i < sizeof(bad_out) / sizeof(bad_out[0]); i++ )
        try("capacity out of range", -EINVAL, XEN_SEVMON_OP_frame, frame, FRAME, answer,
            bad_out[i]);
    try("any larger capacity", FRAME, XEN_SEVMON_OP_frame, frame, FRAME, answer, 0xffffffff);
    for ( uint32_t bytes = 16; bytes <= XEN_SEVMON_MAX_FRAME_BYTES; bytes++ )
        if ( bytes != FRAME )
            try("frame of another size", -EBADMSG, XEN_SEVMON_OP_frame, frame, bytes, answer,
                ANSWER);
}

static void pointers(void)
{
    static const uintptr_t nowhere[] = {
        0,                     /* not mapped */
        0x00007ffffffff000ULL, /* the last page of user space: never mapped */
        0x0000800000000000ULL, /* not canonical */
        0x8000000000000000ULL,
        0xffff800000000000ULL, /* PV: Xen's machine-to-physical table */
        0xffff82d040200000ULL, /* PV: Xen's text */
        0xffff830000000000ULL, /* PV: Xen's map of all memory */
        0xffff87fffffff000ULL, /* PV: the end of it */
        0xffffffffffffff00ULL, /* wraps around */
    };

    for ( size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++ )
    {
        try("frame nowhere", -EFAULT, XEN_SEVMON_OP_frame, (void *)nowhere[i], FRAME, answer,
            ANSWER);
        try("answer nowhere", -EFAULT, XEN_SEVMON_OP_frame, hello, FRAME, (void *)nowhere[i],
            ANSWER);
    }
}

/* Two pages, the second one with `protection`. */
static uint8_t *before_page(int protection)
{
    uint8_t *p = sevmon_buffer(2 * PAGE);

    if ( mprotect(p + PAGE, PAGE, protection) )
    {
        perror("mprotect");
        exit(1);
    }

    return p + PAGE;
}

static void protections(void)
{
    uint8_t *none = before_page(PROT_NONE), *read_only = before_page(PROT_READ);

    try("frame not readable", -EFAULT, XEN_SEVMON_OP_frame, none, FRAME, answer, ANSWER);
    try("answer not writable", -EFAULT, XEN_SEVMON_OP_frame, hello, FRAME, none, ANSWER);
    try("answer read-only", -EFAULT, XEN_SEVMON_OP_frame, hello, FRAME, read_only, ANSWER);

    memcpy(none - FRAME + 1, hello, FRAME - 1);
    try("last byte of the frame not readable", -EFAULT, XEN_SEVMON_OP_frame, none - FRAME + 1,
        FRAME, answer, ANSWER);
    try("last byte of the answer not writable", -EFAULT, XEN_SEVMON_OP_frame, hello, FRAME,
        none - FRAME + 1, ANSWER);
    try("last byte of the answer read-only", -EFAULT, XEN_SEVMON_OP_frame, hello, FRAME,
        read_only - FRAME + 1, ANSWER);

    /* What the answer does not need is not touched. */
    memcpy(none - FRAME, hello, FRAME);
    try("frame that ends at a page's end", FRAME, XEN_SEVMON_OP_frame, none - FRAME, FRAME, answer,
        ANSWER);
    try("answer that ends at a page's end", FRAME, XEN_SEVMON_OP_frame, hello, FRAME, none - FRAME,
        ANSWER);
}

static void alignments(void)
{
    uint8_t *in = sevmon_buffer(PAGE), *out = sevmon_buffer(ANSWER + PAGE);

    for ( unsigned int shift = 1; shift < 16; shift++ )
    {
        memcpy(in + shift, hello, FRAME);
        try("unaligned frame", FRAME, XEN_SEVMON_OP_frame, in + shift, FRAME, answer, ANSWER);
        try("unaligned answer", FRAME, XEN_SEVMON_OP_frame, hello, FRAME, out + shift, ANSWER);
    }
    memcpy(out, hello, FRAME);
    try("answer over the frame", FRAME, XEN_SEVMON_OP_frame, out, FRAME, out, ANSWER);
}

/* Every reserved bit and every field of the only frame that is plain. */
static void frame_bits(void)
{
    struct sevmon_hello *frame = sevmon_buffer(sizeof(*frame));
    uint8_t *bytes = (uint8_t *)frame;

    for ( unsigned int bit = 0; bit < FRAME * 8; bit++ )
    {
        size_t id = offsetof(struct sevmon_hello, ids_id) * 8;

        if ( bit >= id && bit < id + SEVMON_ID_BYTES * 8 )
            continue;
        memcpy(frame, hello, sizeof(*frame));
        bytes[bit / 8] ^= 1 << bit % 8;
        try("HELLO with a bit flipped", -EBADMSG, XEN_SEVMON_OP_frame, frame, FRAME, answer,
            ANSWER);
    }
}

static void random_frames(unsigned int count)
{
    uint8_t *frame = sevmon_buffer(PAGE);
    unsigned int taken = 0;

    srandom(1);
    for ( unsigned int i = 0; i < count; i++ )
    {
        uint32_t bytes = random() & 1 ? (random() & 1 ? 144 : 1020) : 16 + random() % 1005;
        long rc;

        for ( unsigned int j = 0; j < XEN_SEVMON_MAX_FRAME_BYTES; j++ )
            frame[j] = random() >> 7;
        frame[0] = random() % 8;
        frame[1] = 1;
        frame[2] = random() % 4;
        frame[3] = 0;
        rc = sevmon_call(fd, XEN_SEVMON_OP_frame, frame, bytes, answer, ANSWER);
        taken += rc >= 0;
        cases++;
        if ( rc != -EBADMSG )
        {
            failures++;
            printf("hypercall-misuse: a random frame of %u bytes returned %ld\n", bytes, rc);
        }
    }
    expect("random frames that were taken", taken, 0);
}

/* Another user cannot open the device; whoever can, may call. */
static void other_user(void)
{
    pid_t pid = fork();
    int status = 0;

    if ( pid == 0 )
    {
        if ( setgid(65534) || setuid(65534) )
            _exit(100);
        _exit(open("/dev/xen/privcmd", O_RDWR) < 0 ? errno : 0);
    }
    if ( pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) )
        status = -1;
    expect("open() by another user", WIFEXITED(status) ? WEXITSTATUS(status) : -1, EACCES);
}

int main(int argc, char **argv)
{
    unsigned int randoms = 20000;

    if ( argc == 3 && !strcmp(argv[1], "--random") )
        randoms = strtoul(argv[2], NULL, 10);
    else if ( argc != 1 )
    {
        fprintf(stderr, "usage: hypercall-misuse [--random N]\n");
        return 2;
    }

    fd = sevmon_open();
    hello = sevmon_buffer(sizeof(*hello));
    answer = sevmon_buffer(ANSWER);
    sevmon_make_hello(hello);

    expect("a good call", sevmon_call(fd, XEN_SEVMON_OP_frame, hello, FRAME, answer, ANSWER),
           FRAME);
    commands();
    sizes();
    pointers();
    protections();
    alignments();
    frame_bits();
    random_frames(randoms);
    other_user();

    if ( failures )
    {
        printf("hypercall-misuse: FAILED: %u of %u cases\n", failures, cases);
        return 1;
    }
    printf("hypercall-misuse: OK cases=%u\n", cases);

    return 0;
}
