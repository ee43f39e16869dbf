/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many pages does Xen have free? Prints "xen-memory: OK free=N", or why it
 * does not know. What the processes of a Dom0 that is at rest use comes out of
 * Dom0's own share, so a number that falls is memory that Xen keeps.
 */
#include "sevmon-call.h"

/* Xen's public sysctl.h and xen.h. */
#define __HYPERVISOR_sysctl 35
#define XEN_SYSCTL_physinfo 3
#define FIRST_VERSION 0x10
#define LAST_VERSION 0x20

struct physinfo {
    uint32_t cmd;
    uint32_t interface_version;
    uint32_t counts[10];
    uint64_t total_pages;
    uint64_t free_pages;
    uint8_t rest[128];
};

int main(void)
{
    int fd = sevmon_open();
    struct physinfo *info = sevmon_buffer(sizeof(*info));

    /* Xen takes its own version of the interface only. */
    for ( uint32_t version = FIRST_VERSION; version <= LAST_VERSION; version++ )
    {
        struct privcmd_hypercall call = { .op = __HYPERVISOR_sysctl, .arg = { (uintptr_t)info } };

        memset(info, 0, sizeof(*info));
        info->cmd = XEN_SYSCTL_physinfo;
        info->interface_version = version;
        if ( ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &call) == 0 )
        {
            printf("xen-memory: OK free=%llu of %llu pages\n",
                   (unsigned long long)info->free_pages, (unsigned long long)info->total_pages);
            return 0;
        }
    }
    printf("xen-memory: FAILED: %s\n", strerror(errno));

    return 1;
}
