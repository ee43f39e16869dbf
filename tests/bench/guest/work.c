/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work for a monitored system, and how long it took, in nanoseconds.
 *
 *   work cpu N    arithmetic over 16 KiB, N times
 *   work fork N   N processes, one after the other, each of which ends at once
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void compute(unsigned long times)
{
    static volatile uint64_t words[2048];
    unsigned int i;

    while ( times-- )
        for ( i = 1; i < 2048; i++ )
            words[i] = words[i - 1] * 6364136223846793005ULL + i;
}

static void fork_often(unsigned long times)
{
    while ( times-- )
    {
        pid_t child = fork();

        if ( child == 0 )
            _exit(0);
        if ( child < 0 || waitpid(child, NULL, 0) != child )
            exit(1);
    }
}

int main(int argc, char **argv)
{
    uint64_t start = now_ns();

    if ( argc != 3 )
        return 2;
    if ( !strcmp(argv[1], "cpu") )
        compute(strtoul(argv[2], NULL, 10));
    else
        fork_often(strtoul(argv[2], NULL, 10));
    printf("%llu\n", (unsigned long long)(now_ns() - start));

    return 0;
}
