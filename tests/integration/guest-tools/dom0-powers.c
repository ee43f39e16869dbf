/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Try, as root of Dom0, what docs/dom0-powers.md says is refused, and what it
 * says still works.
 *
 *   dom0-powers GROUP...    see groups[] below
 *
 * Prints "dom0-powers: OK" with the number of cases, and exits 0; else each
 * case that went otherwise, exit 1.
 */
#include "dom0-powers.h"

int fd, pv, newer;
static unsigned int cases, failures;

void expect(const char *what, unsigned int number, long got, long wanted)
{
    cases++;
    if ( got == wanted )
        return;
    failures++;
    printf("dom0-powers: %s %#x: returned %ld, not %ld\n", what, number, got, wanted);
}

long call(uint64_t op, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    struct privcmd_hypercall call = { .op = op, .arg = { a, b, c, d } };
    int rc = ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &call);

    return rc < 0 ? -errno : rc;
}

long call1(uint64_t op, void *arg)
{
    return call(op, (uintptr_t)arg, 0, 0, 0);
}

void *zeroed(void)
{
    static uint8_t *page;

    if ( !page )
        page = sevmon_buffer(4 * PAGE);
    memset(page, 0, 4 * PAGE);

    return page;
}

long memory(unsigned int cmd, void *arg)
{
    return call(__HYPERVISOR_memory_op, cmd, (uintptr_t)arg, 0, 0);
}

/* Tools' interfaces have a version for each Xen: -EACCES says that it is another one. */
uint32_t find_version(uint64_t hypercall, uint32_t cmd)
{
    for ( uint32_t version = 1; version < 256; version++ )
    {
        uint32_t *op = zeroed(); /* cmd, version, as all of them start */

        op[0] = cmd;
        op[1] = version;
        if ( call1(hypercall, op) != -EACCES )
            return version;
    }
    printf("dom0-powers: no version of the interface fits\n");
    exit(1);
}

static const struct {
    const char *name;
    void (*run)(void);
} groups[] = {
    { "platform_op", platform_op }, { "sysctl", sysctl },   { "domctl", domctl },
    { "memory_op", memory_op },     { "ram", ram },         { "devices", devices },
    { "physdev_op", physdev_op },   { "hypercalls", hypercalls }, { "pci", pci },
    { "ports", ports },             { "allowed", allowed }, { "sleep", sleep_ },
    { "msix", msix },               { "no_msix", no_msix }, { "bars", bars },
    { "named_devices", named_devices },
    { "device_ports", device_ports },
    { "configuration_memory", configuration_memory },
};

int main(int argc, char **argv)
{
    unsigned int run = 0;

    fd = sevmon_open();
    /* Only a PV domain has a trap table to set: -EFAULT, not -ENOSYS. */
    newer = call(__HYPERVISOR_xen_version, 0, 0, 0, 0) > (4 << 16 | 17);
    pv = call(__HYPERVISOR_set_trap_table, 1, 0, 0, 0) != -ENOSYS;

    for ( int i = 1; i < argc; i++ )
        for ( size_t j = 0; j < sizeof(groups) / sizeof(groups[0]); j++ )
            if ( !strcmp(argv[i], groups[j].name) )
            {
                groups[j].run();
                run++;
            }

    if ( !run || run != (unsigned int)argc - 1 )
    {
        fprintf(stderr, "usage: dom0-powers GROUP...\n");
        return 2;
    }
    if ( failures )
    {
        printf("dom0-powers: FAILED: %u of %u cases\n", failures, cases);
        return 1;
    }
    printf("dom0-powers: OK cases=%u\n", cases);

    return 0;
}
