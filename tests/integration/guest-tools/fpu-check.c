/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Do hypercalls leave the vector registers of Dom0's processes alone?
 *
 *   fpu-check [--calls N]     N hypercalls (300,000), registers checked
 *                             around each, beside processes that check theirs
 *   fpu-check --watch SECONDS only those processes: for traffic from outside
 *
 * Every process has its own patterns in XMM0-15, or YMM0-15 where the CPU has
 * AVX, its own rounding mode in MXCSR, and a new pattern each time. The calls
 * alternate between HELLO and a first handshake message with a wrong tag, over
 * which the agent runs AES-GCM in XMM registers.
 *
 * Prints one line that starts with "fpu-check: OK" and counts what was
 * checked, and exits 0; else says which register of whom differed, exit 1.
 */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "sevmon-call.h"

#define WATCHERS 3

struct registers {
    uint8_t vector[16][32];
    uint32_t mxcsr;
    uint32_t unused[7];
} __attribute__((aligned(32)));

/* Shared with the processes that are forked. */
struct shared {
    volatile int stop;
    volatile unsigned long checks[WATCHERS];
    volatile unsigned long failures;
};

#define EACH(X) \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define LOAD_XMM(n)  "movups " #n "*32(%[in]), %%xmm" #n "\n\t"
#define STORE_XMM(n) "movups %%xmm" #n ", " #n "*32(%[out])\n\t"
#define LOAD_YMM(n)  "vmovups " #n "*32(%[in]), %%ymm" #n "\n\t"
#define STORE_YMM(n) "vmovups %%ymm" #n ", " #n "*32(%[out])\n\t"
#define CLOBBERS \
    "rcx", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", \
    "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

/* One block, so that the compiler uses no vector register in between. */
#define AROUND(LOAD, STORE, MIDDLE) \
    __asm__ volatile ( "ldmxcsr 512(%[in])\n\t" EACH(LOAD) \
                       MIDDLE \
                       EACH(STORE) "stmxcsr 512(%[out])\n\t" \
                       : "+a" (rax), "+D" (rdi), "+S" (rsi), "+d" (rdx) \
                       : [in] "r" (in), [out] "r" (out) : CLOBBERS )

#define SYSCALL "syscall\n\t"
#define SPIN    "1: pause\n\tdec %%rdx\n\tjnz 1b\n\t"

static int has_avx;

static long around_syscall(const struct registers *in, struct registers *out, long rax, long rdi,
                           long rsi, long rdx)
{
    if ( has_avx )
        AROUND(LOAD_YMM, STORE_YMM, SYSCALL);
    else
        AROUND(LOAD_XMM, STORE_XMM, SYSCALL);

    return rax;
}

static void around_spin(const struct registers *in, struct registers *out, long rounds)
{
    long rax = 0, rdi = 0, rsi = 0, rdx = rounds;

    if ( has_avx )
        AROUND(LOAD_YMM, STORE_YMM, SPIN);
    else
        AROUND(LOAD_XMM, STORE_XMM, SPIN);
}

/* xorshift64: patterns that no two processes or rounds share. */
static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;

    return *state;
}

static void make_pattern(struct registers *in, uint64_t *state)
{
    for ( int i = 0; i < 16; i++ )
        for ( int j = 0; j < 32; j += 8 )
        {
            uint64_t word = next(state);

            memcpy(&in->vector[i][j], &word, sizeof(word));
        }
    /* All exceptions masked, one of four rounding modes. */
    in->mxcsr = 0x1f80 | (next(state) & 3) << 13;
}

/* Returns 0 if `out` is `in`. */
static int compare(const char *who, const struct registers *in, const struct registers *out)
{
    size_t bytes = has_avx ? 32 : 16;
    int failed = 0;

    for ( int i = 0; i < 16; i++ )
        if ( memcmp(in->vector[i], out->vector[i], bytes) )
        {
            printf("fpu-check: %s: register %d differs\n", who, i);
            failed = 1;
        }
    if ( in->mxcsr != out->mxcsr )
    {
        printf("fpu-check: %s: MXCSR is %#x, was %#x\n", who, out->mxcsr, in->mxcsr);
        failed = 1;
    }

    return failed;
}

static void watch(struct shared *shared, int index)
{
    static struct registers in, out;
    uint64_t state = 0x9e3779b97f4a7c15ULL * (index + 2);

    /* Switches matter, not who has the CPU. */
    if ( nice(10) < 0 )
        _exit(1);
    while ( !shared->stop )
    {
        make_pattern(&in, &state);
        around_spin(&in, &out, 1 + next(&state) % 5000);
        if ( compare("watcher", &in, &out) )
            __atomic_add_fetch(&shared->failures, 1, __ATOMIC_RELAXED);
        shared->checks[index]++;
        /* Waking up takes the CPU from the caller at any point of its way. */
        if ( !(next(&state) & 3) )
            usleep(1);
    }
    fflush(stdout);
    _exit(0);
}

static void start_watchers(struct shared *shared, pid_t pids[WATCHERS])
{
    for ( int i = 0; i < WATCHERS; i++ )
    {
        pids[i] = fork();
        if ( pids[i] == 0 )
            watch(shared, i);
        if ( pids[i] < 0 )
        {
            perror("fork");
            exit(1);
        }
    }
}

static void stop_watchers(struct shared *shared, const pid_t pids[WATCHERS])
{
    int status;

    shared->stop = 1;
    for ( int i = 0; i < WATCHERS; i++ )
        if ( waitpid(pids[i], &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) )
        {
            printf("fpu-check: watcher %d died\n", i);
            shared->failures++;
        }
}

/* Returns how many calls went wrong, in registers or in what Xen returned. */
static unsigned long call_many(unsigned long calls)
{
    static struct registers in, out;
    struct sevmon_hello *hello = sevmon_buffer(sizeof(*hello));
    struct sevmon_handshake *initiate = sevmon_buffer(sizeof(*initiate));
    void *answer = sevmon_buffer(XEN_SEVMON_MAX_ANSWER_BYTES);
    struct privcmd_hypercall *call = sevmon_buffer(sizeof(*call));
    uint64_t state = 0x123456789abcdefULL;
    unsigned long wrong = 0;
    int fd = sevmon_open();

    sevmon_make_hello(hello);
    memset(initiate, 0x5a, sizeof(*initiate));
    initiate->header = hello->header;
    initiate->header.type = SEVMON_FRAME_INITIATE;

    for ( unsigned long i = 0; i < calls && wrong < 20; i++ )
    {
        const void *frame = i & 1 ? (void *)hello : (void *)initiate;
        long expected = i & 1 ? (long)sizeof(struct sevmon_challenge) : -EBADMSG;
        long rc;

        /* Answers overwrite no argument, but the patterns must be new. */
        make_pattern(&in, &state);
        *call = (struct privcmd_hypercall){
            .op = __HYPERVISOR_sevmon_op,
            .arg = { XEN_SEVMON_OP_frame, (uintptr_t)frame, SEVMON_HANDSHAKE_FRAME_BYTES,
                     (uintptr_t)answer, XEN_SEVMON_MAX_ANSWER_BYTES },
        };
        rc = around_syscall(&in, &out, SYS_ioctl, fd, IOCTL_PRIVCMD_HYPERCALL, (long)call);
        if ( rc != expected )
        {
            printf("fpu-check: call %lu returned %ld, not %ld\n", i, rc, expected);
            wrong++;
        }
        wrong += compare("caller", &in, &out);
    }

    return wrong;
}

int main(int argc, char **argv)
{
    struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned long calls = 300000, wrong = 0, checks = 0;
    unsigned int seconds = 0;
    pid_t pids[WATCHERS];

    if ( argc == 3 && !strcmp(argv[1], "--calls") )
        calls = strtoul(argv[2], NULL, 10);
    else if ( argc == 3 && !strcmp(argv[1], "--watch") )
        seconds = strtoul(argv[2], NULL, 10);
    else if ( argc != 1 )
    {
        fprintf(stderr, "usage: fpu-check [--calls N | --watch SECONDS]\n");
        return 2;
    }
    if ( shared == MAP_FAILED )
    {
        perror("mmap");
        return 1;
    }

    __builtin_cpu_init();
    has_avx = __builtin_cpu_supports("avx");
    setvbuf(stdout, NULL, _IOLBF, 0);

    start_watchers(shared, pids);
    if ( seconds )
    {
        calls = 0;
        sleep(seconds);
    }
    else
        wrong = call_many(calls);
    stop_watchers(shared, pids);

    for ( int i = 0; i < WATCHERS; i++ )
    {
        checks += shared->checks[i];
        /* A watcher that never ran would make this test pass in vain. */
        if ( !shared->checks[i] )
            wrong++;
    }
    if ( wrong || shared->failures )
    {
        printf("fpu-check: FAILED: %lu calls, %lu checks of others\n", wrong, shared->failures);
        return 1;
    }
    printf("fpu-check: OK calls=%lu watcher-checks=%lu registers=%s,mxcsr\n", calls, checks,
           has_avx ? "ymm" : "xmm");

    return 0;
}
