/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hypercall with arbitrary arguments, as root in Dom0 can make it.
 *
 *   hypercall-fuzz [--seed S] [--jobs J] [--random N] [--mutated N]
 *                  [--key HEX [--sealed N] [--killed N]] [--foreign]
 *
 *   --random N   calls with random frames
 *   --mutated N  calls with HELLO, INITIATE and REQUEST, changed in fields
 *   --sealed N   calls with correctly sealed requests for hostile things
 *   --killed N   processes that are killed in the middle of such calls
 *   --key HEX    an IDS's id and PSK (sevmon-session.h)
 *   --foreign    with a page of another domain, made for this, among the rest
 *
 * Each number is shared out to J processes (2) on as many CPUs, beside a
 * thread of each that changes mappings and contents.  Buffers are good in half
 * of the calls, and in the other half not there, read-only, another domain's, a
 * device's, over a page's end, or changing.  What a process calls follows from
 * its seed, S + its number; the answers to calls whose memory does not change
 * meanwhile are foreseen, each.
 *
 * Prints counts per result, then "hypercall-fuzz: OK" and exits 0; else the
 * first wrong answer of each process, exit 1.
 */
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "fuzz-frames.h"
#include "other-domain.h"

#define ANSWER XEN_SEVMON_MAX_ANSWER_BYTES
#define EDGE   64 /* bytes that are looked at before and after an answer */

static struct {
    uint64_t seed;
    unsigned long random, mutated, sealed, killed;
    unsigned int jobs;
    const char *key;
    bool foreign;
} options = { .seed = 1, .jobs = 2 };

static const long results[] = {
    SEVMON_HANDSHAKE_FRAME_BYTES, SEVMON_RESPONSE_FRAME_BYTES(0), SEVMON_RESPONSE_FRAME_BYTES(1),
    SEVMON_RESPONSE_FRAME_BYTES(2), -EBADMSG, -EFAULT, -EINVAL, -EOPNOTSUPP, -EBUSY,
};
#define RESULTS (sizeof(results) / sizeof(results[0]))

/* One process. */
static struct {
    int fd;
    unsigned int number, vcpu;
    uint64_t state;
    struct session session;
    struct hostile_frames hostile;
    uint64_t foreign_buffer;
    void *foreign_text;
    unsigned long counts[RESULTS], foreseen, reopened;
} job;

static struct sevmon_hello *hello;
static uint8_t *good_answer;

/* One call; `wanted` is 0 when nobody can tell. */
struct call {
    uint64_t cmd, in_bytes, out_bytes;
    struct place in, out;
    enum frame_fate fate;
    long wanted, got;
};

static void give_up(const struct call *call, const char *what)
{
    printf("hypercall-fuzz: FAILED: job=%u state=%#lx cmd=%#lx in=%p,%#lx out=%p,%#lx: %s: "
           "returned %ld, wanted %ld\n",
           job.number, job.state, call->cmd, (void *)call->in.p, call->in_bytes,
           (void *)call->out.p, call->out_bytes, what, call->got, call->wanted);
    fflush(stdout);
    _exit(1);
}

static uint64_t dirty(uint64_t value)
{
    /* The hypercall's integers have 32 bits; a caller's registers 64. */
    return fuzz_one_in(&job.state, 16) ? value | fuzz_random(&job.state) << 32 : value;
}

static void choose_arguments(struct call *call, const struct frame *frame)
{
    uint64_t *state = &job.state;
    bool resized = fuzz_one_in(state, 16);

    call->cmd = dirty(fuzz_one_in(state, 32)   ? fuzz_random(state)
                      : fuzz_one_in(state, 32) ? XEN_SEVMON_OP_continue
                                               : XEN_SEVMON_OP_frame);
    call->in_bytes = dirty(resized ? fuzz_random(state) >> fuzz_below(state, 64) : frame->size);
    call->out_bytes = dirty(ANSWER);
    if ( fuzz_one_in(state, 16) )
        call->out_bytes = fuzz_random(state) >> fuzz_below(state, 64);
    call->in = place_for_frame(state);
    call->out = place_for_answer(state);
    call->fate = frame->fate;
    if ( resized && (uint32_t)call->in_bytes != frame->size )
        call->fate = frame->fate == FRAME_REFUSED ? FRAME_ANYTHING : FRAME_REFUSED;
}

/* Put the frame where the call will find it, as far as that is possible. */
static void put_frame(struct call *call, const struct frame *frame)
{
    uint32_t bytes = call->in_bytes;

    if ( bytes > sizeof(frame->bytes) )
        bytes = sizeof(frame->bytes);
    if ( call->in.ours )
        memcpy(call->in.p, frame->bytes, bytes < call->in.writable ? bytes : call->in.writable);
    if ( call->in.racy || !call->in.ours || bytes > call->in.writable )
        call->fate = FRAME_ANYTHING;
}

static long size_of_answer(enum frame_fate fate)
{
    return fate == FRAME_HELLO ? SEVMON_HANDSHAKE_FRAME_BYTES
                               : SEVMON_RESPONSE_FRAME_BYTES(job.session.size_class);
}

static long foresee(const struct call *call)
{
    uint32_t in_bytes = call->in_bytes;

    /* No program is run here, so there is no run to go on with. */
    if ( (uint32_t)call->cmd == XEN_SEVMON_OP_continue )
        return (uint32_t)call->out_bytes < ANSWER ? -EINVAL : -EBADMSG;
    if ( (uint32_t)call->cmd != XEN_SEVMON_OP_frame )
        return -EOPNOTSUPP;
    if ( in_bytes < 16 || in_bytes > XEN_SEVMON_MAX_FRAME_BYTES ||
         (uint32_t)call->out_bytes < ANSWER )
        return -EINVAL;
    if ( call->in.racy )
        return 0;
    if ( call->in.readable < in_bytes )
        return -EFAULT;
    if ( call->fate == FRAME_REFUSED )
        return -EBADMSG;
    if ( call->fate == FRAME_ANYTHING || call->out.racy )
        return 0;

    return (size_t)size_of_answer(call->fate) <= call->out.writable ? size_of_answer(call->fate)
                                                                    : -EFAULT;
}

static void count(const struct call *call)
{
    for ( unsigned int i = 0; i < RESULTS; i++ )
        if ( results[i] == call->got )
        {
            job.counts[i]++;
            return;
        }
    give_up(call, "a result that the ABI does not have");
}

static void expect_edge(const struct call *call, size_t at)
{
    for ( size_t i = at; i < at + EDGE; i++ )
        if ( call->out.p[i] != 0xe5 )
            give_up(call, "bytes were written that are no answer");
}

/* Only an answer is written, and of it no more than its size. */
static void run(struct call *call)
{
    bool look = call->out.ours && !call->out.racy && call->out.writable >= ANSWER + EDGE &&
                (call->in.p + XEN_SEVMON_MAX_FRAME_BYTES <= call->out.p ||
                 call->out.p + ANSWER + EDGE <= call->in.p);

    call->wanted = foresee(call);
    if ( look )
    {
        memset(call->out.p, 0xe5, EDGE);
        for ( unsigned int i = 0; i < 4; i++ )
            memset(call->out.p + results[i], 0xe5, EDGE);
    }
    call->got = sevmon_call(job.fd, call->cmd, call->in.p, call->in_bytes, call->out.p,
                            call->out_bytes);
    count(call);
    if ( look )
        expect_edge(call, call->got > 0 ? call->got : 0);
}

static void judge(const struct call *call)
{
    job.foreseen += call->wanted != 0;
    if ( call->wanted && call->got != call->wanted )
        give_up(call, "another answer than foreseen");
}

static void one_plain(struct frame *frame)
{
    struct call call;

    choose_arguments(&call, frame);
    put_frame(&call, frame);
    run(&call);
    judge(&call);
}

static bool has_close(const struct frame *frame)
{
    for ( unsigned int i = 0; i < frame->body.head.items && i < SEVMON_MAX_ITEMS; i++ )
        if ( frame->body.items[i].type == SEVMON_ITEM_CLOSE )
            return true;

    return false;
}

static void one_sealed(struct frame *frame)
{
    struct call call;
    const char *wrong;

    frame_sealed(frame, &job.state, &job.session, &job.hostile);
    choose_arguments(&call, frame);
    put_frame(&call, frame);
    run(&call);
    if ( call.got > 0 && call.out.ours && !call.out.racy && call.fate == FRAME_SEALED )
    {
        if ( !session_verify(&job.session, call.out.p, frame->n) )
            give_up(&call, "the answer does not verify");
        wrong = answer_wrong(&job.session, frame, &job.hostile);
        if ( wrong )
            give_up(&call, wrong);
    }
    /* Its three minutes are over; or it was closed, perhaps without an answer. */
    if ( (call.fate == FRAME_SEALED && call.got == -EBADMSG) || has_close(frame) )
    {
        session_open(&job.session);
        job.reopened++;
        return;
    }
    judge(&call);
}

static void expect_good(void)
{
    long rc;

    sevmon_touch(good_answer, SEVMON_HANDSHAKE_FRAME_BYTES);
    rc = sevmon_call(job.fd, XEN_SEVMON_OP_frame, hello, sizeof(*hello), good_answer, ANSWER);

    if ( rc == SEVMON_HANDSHAKE_FRAME_BYTES )
        return;
    printf("hypercall-fuzz: FAILED: a good call returned %ld\n", rc);
    exit(1);
}

static void share(void (*one)(struct frame *), unsigned long calls,
                  void (*make)(struct frame *, uint64_t *, struct session *))
{
    struct frame frame;

    for ( unsigned long i = job.number; i < calls; i += options.jobs )
    {
        if ( make )
            make(&frame, &job.state, options.key ? &job.session : NULL);
        one(&frame);
        if ( !(i % 1024) )
            expect_good();
    }
}

static void make_random(struct frame *frame, uint64_t *state, struct session *s)
{
    (void)s;
    frame_random(frame, state);
}

static void report(const char *what, unsigned long calls)
{
    printf("hypercall-fuzz: seed=%lu job=%u %s calls=%lu foreseen=%lu reopened=%lu results:",
           options.seed + job.number, job.number, what, calls, job.foreseen, job.reopened);
    for ( unsigned int i = 0; i < RESULTS; i++ )
        printf(" %ld=%lu", results[i], job.counts[i]);
    printf("\n");
    fflush(stdout);
    memset(job.counts, 0, sizeof(job.counts));
    job.foreseen = job.reopened = 0;
}

static void stay_on(unsigned int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

static void find_own_frames(void)
{
    struct sevmon_translation t;
    uint8_t *page = sevmon_buffer(4096);

    memset(page, 0x6d, 4096);
    if ( job.foreign_text )
        job.hostile.foreign_here =
            session_frame_of(&job.session, job.vcpu, job.foreign_text, NULL);
    job.hostile.mine_at = page;
    job.hostile.mine = session_frame_of(&job.session, job.vcpu, page, &t);
    for ( unsigned int i = 0; i + 1 < t.reached; i++ )
        job.hostile.tables[i + 1] = (t.entry[i] & 0x000ffffffffff000ULL) >> 12;
    job.hostile.tables[0] =
        ((const struct sevmon_response_head *)job.session.opened)->root_frame;
    job.hostile.pv =
        ((const struct sevmon_response_head *)job.session.opened)->kind == SEVMON_TARGET_PV;
}

/* Another domain, with a page that says so and one for buffers. */
static void make_foreign(void)
{
    xc_interface *xc = xc_interface_open(NULL, NULL, 0);

    if ( !xc )
        fail("opening Xen's devices");
    job.hostile.foreign_id = make_domain(xc);
    job.hostile.foreign = add_page(xc, job.hostile.foreign_id);
    job.foreign_buffer = add_page(xc, job.hostile.foreign_id);
    printf("hypercall-fuzz: domain=%u frame=%#lx\n", job.hostile.foreign_id, job.hostile.foreign);
}

/* In each process: Linux does not give such mappings on to a child. */
static uint8_t *map_foreign(xen_pfn_t frame)
{
    xenforeignmemory_handle *memory = xenforeignmemory_open(NULL, 0);
    void *p = memory ? xenforeignmemory_map2(memory, job.hostile.foreign_id,
                                             place_with_nothing_behind(), PROT_READ | PROT_WRITE,
                                             MAP_SHARED | MAP_FIXED, 1, &frame, NULL)
                     : NULL;

    if ( !p )
        fail("xenforeignmemory_map2");

    return p;
}

static void *map_foreign_pages(void)
{
    uint8_t *text = map_foreign(job.hostile.foreign);

    job.foreign_text = text;
    for ( size_t at = 0; at + sizeof(FOREIGN_TEXT) <= 4096; at += sizeof(FOREIGN_TEXT) )
        memcpy(text + at, FOREIGN_TEXT, sizeof(FOREIGN_TEXT));

    return map_foreign(job.foreign_buffer);
}

static void start_job(unsigned int number)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    job.number = number;
    job.vcpu = number % (cpus > 0 ? cpus : 1);
    job.state = (options.seed + number) * 0x2545f4914f6cdd1dULL;
    job.fd = sevmon_open();
    good_answer = sevmon_buffer(ANSWER);
    hello = sevmon_buffer(sizeof(*hello));
    sevmon_make_hello(hello);
    places_init(options.foreign ? map_foreign_pages() : NULL);
    stay_on(job.vcpu);
    if ( options.key )
    {
        session_init(&job.session, job.fd, options.key, number % SEVMON_MAX_CONNECTIONS,
                     number % SEVMON_CLASSES);
        session_open(&job.session);
        find_own_frames();
    }
}

static void run_job(void)
{
    share(one_plain, options.random, make_random);
    report("random", options.random / options.jobs);
    share(one_plain, options.mutated, frame_mutated);
    report("mutated", options.mutated / options.jobs);
    if ( options.key )
    {
        session_open(&job.session);
        share(one_sealed, options.sealed, NULL);
        report("sealed", options.sealed / options.jobs);
    }
    expect_good();
}

/* A process that makes long calls until it is killed. */
static void be_victim(unsigned int number)
{
    struct frame frame;

    job.state ^= (uint64_t)number << 32;
    stay_on(number % (unsigned int)sysconf(_SC_NPROCESSORS_ONLN));
    sevmon_touch(job.session.answer, ANSWER);
    for ( ;; )
    {
        frame_sealed(&frame, &job.state, &job.session, &job.hostile);
        memcpy(job.session.frame, frame.bytes, sizeof(frame.bytes));
        sevmon_call(job.fd, XEN_SEVMON_OP_frame, job.session.frame, frame.size,
                    job.session.answer, ANSWER);
    }
}

/* Processes that share one session, ended at any moment. */
static void kill_victims(void)
{
    for ( unsigned long i = 0; i < options.killed; i++ )
    {
        struct timespec wait = { .tv_nsec = fuzz_below(&job.state, 4000000) };
        pid_t pid;
        int status;

        if ( i % 64 == 0 )
            session_open(&job.session);
        pid = fork();
        if ( pid == 0 )
            be_victim(i);
        if ( pid < 0 )
            fail("fork");
        nanosleep(&wait, NULL);
        kill(pid, SIGKILL);
        if ( waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) )
        {
            printf("hypercall-fuzz: FAILED: a victim ended by itself: %#x\n", status);
            exit(1);
        }
        job.session.n += 64;
        expect_good();
    }
    printf("hypercall-fuzz: killed=%lu\n", options.killed);
}

static void end_foreign(void)
{
    xc_interface *xc = xc_interface_open(NULL, NULL, 0);

    if ( !xc || xc_domain_destroy(xc, job.hostile.foreign_id) )
        fail("xc_domain_destroy");
    printf("hypercall-fuzz: domain=%u destroyed\n", job.hostile.foreign_id);
}

static void parse(int argc, char **argv)
{
    for ( int i = 1; i < argc; i++ )
    {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if ( !strcmp(argv[i], "--foreign") )
        {
            options.foreign = true;
            continue;
        }
        if ( !strcmp(argv[i], "--key") )
            options.key = value;
        else if ( !strcmp(argv[i], "--seed") )
            options.seed = strtoul(value, NULL, 0);
        else if ( !strcmp(argv[i], "--jobs") )
            options.jobs = strtoul(value, NULL, 0);
        else if ( !strcmp(argv[i], "--random") )
            options.random = strtoul(value, NULL, 0);
        else if ( !strcmp(argv[i], "--mutated") )
            options.mutated = strtoul(value, NULL, 0);
        else if ( !strcmp(argv[i], "--sealed") )
            options.sealed = strtoul(value, NULL, 0);
        else if ( !strcmp(argv[i], "--killed") )
            options.killed = strtoul(value, NULL, 0);
        else
        {
            fprintf(stderr, "usage: see the head of hypercall-fuzz.c\n");
            exit(2);
        }
        i++;
    }
    if ( !options.jobs )
        options.jobs = 1;
}

int main(int argc, char **argv)
{
    unsigned int failed = 0;

    parse(argc, argv);
    if ( options.foreign )
        make_foreign();
    fflush(stdout);
    for ( unsigned int i = 0; i < options.jobs; i++ )
        if ( fork() == 0 )
        {
            start_job(i);
            run_job();
            _exit(0);
        }
    for ( unsigned int i = 0; i < options.jobs; i++ )
    {
        int status;

        wait(&status);
        failed += !WIFEXITED(status) || WEXITSTATUS(status);
        if ( WIFSIGNALED(status) )
            printf("hypercall-fuzz: FAILED: a process ended with signal %d\n", WTERMSIG(status));
    }
    if ( options.killed && options.key && !failed )
    {
        start_job(0);
        kill_victims();
    }
    if ( options.foreign )
        end_foreign();
    if ( !failed )
        printf("hypercall-fuzz: OK\n");

    return failed ? 1 : 0;
}
