/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many hypercalls a process in Dom0 makes per second, all through privcmd:
 *
 *   hypercall-bench ROUNDS CALLS SESSION
 *
 * null            xen_version: the way into Xen and back
 * hello           144 bytes in, 144 out, next to no work
 * forged_request  1020 bytes in, opened with AES-GCM, refused
 *
 * SESSION is the number of a live session of 15 pages: for any other the
 * agent refuses before it decrypts. Prints one line of nanoseconds per call
 * for each kind and round, the kinds in turn: "hello 12345".
 */
#include <time.h>

#include "sevmon-call.h"

#define HYPERVISOR_XEN_VERSION 17 /* its command 0: XENVER_version */

static int fd;
static struct sevmon_hello *hello;
static struct sevmon_header *request; /* of a whole frame */
static void *answer;

static long null_call(void)
{
    struct privcmd_hypercall call = { .op = HYPERVISOR_XEN_VERSION };

    return ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &call) > 0;
}

static long hello_call(void)
{
    return sevmon_call(fd, XEN_SEVMON_OP_frame, hello, sizeof(*hello), answer,
                       XEN_SEVMON_MAX_ANSWER_BYTES) == SEVMON_HANDSHAKE_FRAME_BYTES;
}

static long forged_request_call(void)
{
    return sevmon_call(fd, XEN_SEVMON_OP_frame, request, SEVMON_REQUEST_FRAME_BYTES, answer,
                       XEN_SEVMON_MAX_ANSWER_BYTES) == -EBADMSG;
}

static const struct kind {
    const char *name;
    long (*call)(void); /* returns whether the answer was the expected one */
} kinds[] = {
    { "null", null_call },
    { "hello", hello_call },
    { "forged_request", forged_request_call },
};

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void measure(const struct kind *kind, unsigned long calls, int print)
{
    uint64_t start = now_ns(), ns;
    unsigned long i;

    for ( i = 0; i < calls; i++ )
        if ( !kind->call() )
        {
            fprintf(stderr, "hypercall-bench: %s: an unexpected answer\n", kind->name);
            exit(1);
        }
    ns = now_ns() - start;
    if ( print )
        printf("%s %.1f\n", kind->name, (double)ns / calls);
}

int main(int argc, char **argv)
{
    unsigned long rounds, calls, round;
    size_t i;

    if ( argc != 4 )
    {
        fprintf(stderr, "usage: hypercall-bench ROUNDS CALLS SESSION\n");
        return 2;
    }
    rounds = strtoul(argv[1], NULL, 0);
    calls = strtoul(argv[2], NULL, 0);
    fd = sevmon_open();
    answer = sevmon_buffer(XEN_SEVMON_MAX_ANSWER_BYTES);
    hello = sevmon_buffer(sizeof(*hello));
    sevmon_make_hello(hello);
    request = sevmon_buffer(SEVMON_REQUEST_FRAME_BYTES);
    *request = (struct sevmon_header){
        .type = SEVMON_FRAME_REQUEST,
        .version = SEVMON_PROTOCOL_VERSION,
        .size_class = SEVMON_CLASS_15_PAGES,
        .session = strtoul(argv[3], NULL, 0),
    };

    /* The first round warms up. */
    for ( round = 0; round <= rounds; round++ )
        for ( i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++ )
            measure(&kinds[i], calls, round > 0);

    return 0;
}
