/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What shared memory alone would do: the agent's own lanes, with nobody behind
 * them. Each message is answered with as many bytes as it asks for, of no
 * content, without any cryptography.
 *
 *   lane-echo FILE
 *
 * FILE: a device's resource2, or a file of at least one lane. A message begins,
 * after a frame's header, with the size of its answer, 32 bits.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent-state.h"
#include "lane.h"

/* As long without a message, and it is over: then nobody's CPU is burnt. */
#define LINGER_NS 10000000ULL
#define PAUSE_NS 1000000

static struct sevmon_agent agent;
static struct sevmon_work work;
static struct sevmon_lane lanes[SEVMON_SHM_MAX_LANES];

/* ---- What lane.c calls ----------------------------------------------- */

int sevmon_agent_frame(struct sevmon_agent *at, struct sevmon_work *w, size_t bytes)
{
    uint32_t answer_bytes = 0;

    (void)at;
    if ( bytes >= sizeof(struct sevmon_header) + sizeof(answer_bytes) )
        memcpy(&answer_bytes, sevmon_work_in(w) + sizeof(struct sevmon_header),
               sizeof(answer_bytes));

    return answer_bytes && answer_bytes <= SEVMON_MAX_FRAME_BYTES ? (int)answer_bytes : -EINVAL;
}

int sevmon_agent_continue(struct sevmon_agent *at, struct sevmon_work *w, uint32_t token)
{
    (void)at;
    (void)w;
    (void)token;

    return -EINVAL;
}

uint32_t sevmon_work_token(const struct sevmon_work *w)
{
    return w->token;
}

void sevmon_work_set_way(struct sevmon_work *w, const void *way)
{
    w->way = way;
}

uint8_t *sevmon_work_in(struct sevmon_work *w)
{
    return w->in + SEVMON_FRAME_SHIFT;
}

const uint8_t *sevmon_work_out(const struct sevmon_work *w)
{
    return w->out + SEVMON_FRAME_SHIFT;
}

/* ---- Serving --------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static unsigned int map(const char *path)
{
    struct stat file;
    unsigned int count, i;
    uint8_t *memory;
    int fd = open(path, O_RDWR);

    if ( fd < 0 || fstat(fd, &file) )
    {
        perror("lane-echo");
        exit(1);
    }
    count = file.st_size / SEVMON_LANE_BYTES;
    if ( count > SEVMON_SHM_MAX_LANES )
        count = SEVMON_SHM_MAX_LANES;
    memory = mmap(NULL, count * SEVMON_LANE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if ( !count || memory == MAP_FAILED )
    {
        fprintf(stderr, "lane-echo: cannot map a lane of %s\n", path);
        exit(1);
    }
    for ( i = 0; i < count; i++ )
        sevmon_lane_init(&lanes[i], memory + i * SEVMON_LANE_BYTES, count);

    return count;
}

int main(int argc, char **argv)
{
    const struct timespec pause = { .tv_nsec = PAUSE_NS };
    unsigned int count, i;
    uint64_t last = 0;

    if ( argc != 2 )
    {
        fprintf(stderr, "usage: lane-echo FILE\n");
        return 2;
    }
    count = map(argv[1]);
    for ( ; ; )
    {
        for ( i = 0; i < count; i++ )
            if ( sevmon_lane_poll(&agent, &lanes[i], &work) == SEVMON_LANE_ANSWERED )
                last = now_ns();
        if ( now_ns() - last > LINGER_NS )
            nanosleep(&pause, NULL);
        else
            __builtin_ia32_pause();
    }
}
