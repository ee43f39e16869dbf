/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hypercall as a process in Dom0 makes it: straight through privcmd, with
 * no library between, so that what Xen answers is what a test sees.
 */
#ifndef SEVMON_CALL_H
#define SEVMON_CALL_H

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sevmon.h>
#include <sevmon/wire.h>

/* Linux's include/uapi/xen/privcmd.h. */
struct privcmd_hypercall {
    uint64_t op;
    uint64_t arg[5];
};
#define IOCTL_PRIVCMD_HYPERCALL _IOC(_IOC_NONE, 'P', 0, sizeof(struct privcmd_hypercall))

static inline int sevmon_open(void)
{
    int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);

    if ( fd < 0 )
    {
        perror("/dev/xen/privcmd");
        exit(1);
    }

    return fd;
}

/* Memory that stays present: Xen does not fault pages in. */
static inline void *sevmon_buffer(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);

    if ( p == MAP_FAILED )
    {
        perror("mmap");
        exit(1);
    }

    return p;
}

/* After a fork(), pages that nobody has written to since cannot be written by Xen. */
static inline void sevmon_touch(uint8_t *p, size_t bytes)
{
    for ( size_t i = 0; i < bytes; i += 4096 )
        ((volatile uint8_t *)p)[i] = 0;
    ((volatile uint8_t *)p)[bytes - 1] = 0;
}

/* Returns what Xen returned: a size, or -errno. */
static inline long sevmon_call(int fd, uint64_t cmd, const void *in, uint64_t in_bytes,
                               void *out, uint64_t out_bytes)
{
    struct privcmd_hypercall call = {
        .op = __HYPERVISOR_sevmon_op,
        .arg = { cmd, (uintptr_t)in, in_bytes, (uintptr_t)out, out_bytes },
    };
    int rc = ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &call);

    return rc < 0 ? -errno : rc;
}

static inline void sevmon_make_hello(struct sevmon_hello *hello)
{
    memset(hello, 0, sizeof(*hello));
    hello->header.type = SEVMON_FRAME_HELLO;
    hello->header.version = SEVMON_PROTOCOL_VERSION;
    /* No such IDS: the agent answers all the same. */
    memset(hello->ids_id, 0x5a, sizeof(hello->ids_id));
}

#endif /* SEVMON_CALL_H */
