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
#define __XEN_TOOLS__ 1
#include <sys/io.h>

#include "sevmon-call.h"

#include <xen/domctl.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/sysctl.h>

#define PAGE 4096UL

static int fd;
static unsigned int cases, failures;
static int pv, newer; /* than Xen 4.17, by which the rest goes */

static void expect(const char *what, unsigned int number, long got, long wanted)
{
    cases++;
    if ( got == wanted )
        return;
    failures++;
    printf("dom0-powers: %s %#x: returned %ld, not %ld\n", what, number, got, wanted);
}

static long call(uint64_t op, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    struct privcmd_hypercall call = { .op = op, .arg = { a, b, c, d } };
    int rc = ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &call);

    return rc < 0 ? -errno : rc;
}

static long call1(uint64_t op, void *arg)
{
    return call(op, (uintptr_t)arg, 0, 0, 0);
}

static void *zeroed(void)
{
    static uint8_t *page;

    if ( !page )
        page = sevmon_buffer(4 * PAGE);
    memset(page, 0, 4 * PAGE);

    return page;
}

static int in(uint32_t value, const uint32_t *list, size_t count)
{
    while ( count-- )
        if ( list[count] == value )
            return 1;

    return 0;
}
#define IN(value, list) in(value, list, sizeof(list) / sizeof((list)[0]))

/*
 * Every number is tried, so also what this Xen does not have and a later one
 * may: a policy comes before the rest.
 */
static void platform_op(void)
{
    static const uint32_t allowed[] = {
        XENPF_settime32, XENPF_settime64, XENPF_firmware_info, XENPF_get_cpuinfo,
        XENPF_get_cpu_version, XENPF_getidletime, XENPF_enter_acpi_sleep,
    };

    for ( uint32_t cmd = 0; cmd < 128; cmd++ )
    {
        xen_platform_op_t *op = zeroed();

        if ( IN(cmd, allowed) || (newer && cmd == 64 /* get_dom0_console */) )
            continue;
        op->cmd = cmd;
        op->interface_version = XENPF_INTERFACE_VERSION;
        expect("platform_op", cmd, call1(__HYPERVISOR_platform_op, op), -EPERM);
    }
}

/* Tools' interfaces have a version for each Xen: -EACCES says that it is another one. */
static uint32_t find_version(uint64_t hypercall, uint32_t cmd)
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

static void sysctl(void)
{
    static const uint32_t allowed[] = {
        XEN_SYSCTL_readconsole, XEN_SYSCTL_physinfo, XEN_SYSCTL_getdomaininfolist,
    };
    uint32_t version = find_version(__HYPERVISOR_sysctl, XEN_SYSCTL_physinfo);

    for ( uint32_t cmd = 0; cmd < 128; cmd++ )
    {
        struct xen_sysctl *op = zeroed();

        if ( IN(cmd, allowed) )
            continue;
        op->cmd = cmd;
        op->interface_version = version;
        expect("sysctl", cmd, call1(__HYPERVISOR_sysctl, op), -EPERM);
    }

    struct xen_sysctl *op = zeroed();

    op->cmd = XEN_SYSCTL_readconsole;
    op->interface_version = version;
    op->u.readconsole.clear = 1;
    expect("sysctl readconsole, clear", 1, call1(__HYPERVISOR_sysctl, op), -EPERM);
}

/* Xen 4.20 looks at the arguments of these first: not valid, or not there. */
static long domctl_refusal(uint32_t cmd, long rc)
{
    static const uint32_t late[] = {
        XEN_DOMCTL_ioport_permission, XEN_DOMCTL_bind_pt_irq, XEN_DOMCTL_memory_mapping,
        XEN_DOMCTL_ioport_mapping, XEN_DOMCTL_set_target, XEN_DOMCTL_unbind_pt_irq,
        XEN_DOMCTL_get_device_group, 88 /* gsi_permission */,
    };

    if ( newer && IN(cmd, late) && (rc == -EINVAL || rc == -EOPNOTSUPP) )
        return -EPERM;

    return rc;
}

/* With arguments that are: what the confinement closed. */
static void give_back(uint32_t version)
{
    struct xen_domctl *op = zeroed();

    op->cmd = XEN_DOMCTL_ioport_permission;
    op->interface_version = version;
    op->u.ioport_permission.first_port = 0xb2;
    op->u.ioport_permission.nr_ports = 2;
    op->u.ioport_permission.allow_access = 1;
    expect("domctl, ports for itself", op->cmd, call1(__HYPERVISOR_domctl, op), -EPERM);

    op = zeroed();
    op->cmd = XEN_DOMCTL_iomem_permission;
    op->interface_version = version;
    op->u.iomem_permission.first_mfn = 1;
    op->u.iomem_permission.nr_mfns = 0x9e;
    op->u.iomem_permission.allow_access = 1;
    expect("domctl, memory for itself", op->cmd, call1(__HYPERVISOR_domctl, op), -EPERM);
}

/* On itself, and to make a guest. */
static void domctl(void)
{
    uint32_t version = find_version(__HYPERVISOR_domctl, XEN_DOMCTL_getdomaininfo);

    for ( uint32_t cmd = 0; cmd < 1016; cmd = cmd == 127 ? 1000 : cmd + 1 )
    {
        struct xen_domctl *op = zeroed();

        op->cmd = cmd;
        op->interface_version = version;
        expect("domctl", cmd, domctl_refusal(cmd, call1(__HYPERVISOR_domctl, op)), -EPERM);
    }

    give_back(version);

    struct xen_domctl *op = zeroed();

    op->cmd = XEN_DOMCTL_shadow_op;
    op->interface_version = version;
    expect("paging_domctl_cont", 49, call1(49, op), -EPERM);
}

static long memory(unsigned int cmd, void *arg)
{
    return call(__HYPERVISOR_memory_op, cmd, (uintptr_t)arg, 0, 0);
}

static void memory_op(void)
{
    xen_memory_reservation_t *claim = zeroed();

    claim->nr_extents = 1;
    claim->domid = 0;
    expect("memory_op claim_pages", 0, memory(XENMEM_claim_pages, claim), -EPERM);

    xen_pod_target_t *pod = zeroed();

    pod->domid = 0;
    expect("memory_op get_pod_target", 0, memory(XENMEM_get_pod_target, pod),
           pv ? -EINVAL : -EPERM);
    expect("memory_op set_pod_target", 0, memory(XENMEM_set_pod_target, pod),
           pv ? -EINVAL : -EPERM);

    /* Of Xen and of the machine: no reservation is theirs. */
    static const uint16_t others[] = { DOMID_XEN, DOMID_IO };
    static const uint32_t reservations[] = {
        XENMEM_increase_reservation, XENMEM_decrease_reservation, XENMEM_populate_physmap,
    };

    for ( size_t i = 0; i < 2; i++ )
        for ( size_t j = 0; j < 3; j++ )
        {
            xen_memory_reservation_t *op = zeroed();
            xen_pfn_t *frame = (xen_pfn_t *)(op + 1);
            long rc;

            *frame = 0x100;
            op->extent_start.p = frame;
            op->nr_extents = 1;
            op->domid = others[i];
            rc = memory(reservations[j], op);
            expect("memory_op: extents done for Xen", reservations[j], rc > 0 ? rc : 0, 0);
        }

    xen_mem_acquire_resource_t *resource = zeroed();

    resource->domid = 0;
    resource->type = XENMEM_resource_grant_table;
    resource->nr_frames = 1;
    resource->frame_list.p = (xen_pfn_t *)(resource + 1);
    expect("memory_op acquire_resource", 0, memory(XENMEM_acquire_resource, resource), -EPERM);

    xen_mem_access_op_t *access = zeroed();

    access->domid = 0;
    expect("memory_op access_op", 0, memory(XENMEM_access_op, access) < 0, 1);
    expect("memory_op sharing_op", 0, memory(XENMEM_sharing_op, zeroed()) < 0, 1);
    expect("memory_op paging_op", 0, memory(XENMEM_paging_op, zeroed()) < 0, 1);
}

static void physdev_op(void)
{
    struct physdev_apic *apic = zeroed();

    apic->apic_physbase = 0xfec00000;
    apic->reg = 0x3e; /* the last pin, masked: what it is anyway */
    apic->value = 0x10000;
    expect("physdev_op apic_write", 0,
           call(__HYPERVISOR_physdev_op, PHYSDEVOP_apic_write, (uintptr_t)apic, 0, 0),
           pv ? -EPERM : -ENOSYS);

    static const uint16_t others[] = { DOMID_XEN, DOMID_IO, 1 };

    for ( size_t i = 0; i < 3; i++ )
    {
        struct physdev_map_pirq *map = zeroed();

        map->domid = others[i];
        map->type = MAP_PIRQ_TYPE_GSI;
        map->index = 9;
        map->pirq = 9;
        expect("physdev_op map_pirq for another domain", others[i],
               call(__HYPERVISOR_physdev_op, PHYSDEVOP_map_pirq, (uintptr_t)map, 0, 0) < 0, 1);
    }
}

/* Whole hypercalls. */
static void hypercalls(void)
{
    static const uint32_t absent[] = {
        11, 27 /* xsm_op */, 37 /* kexec_op */, 38 /* tmem_op */, 39 /* argo_op */, 43, 44,
        45, 46, 47, 50, 51, 52, 53, 54, 56, 57, 58, 59, 60, 61, 62, 63, 64, 127,
    };

    for ( size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++ )
        expect("hypercall", absent[i], call(absent[i], 0, (uintptr_t)zeroed(), 0, 0), -ENOSYS);

    for ( unsigned int op = 0; op < 18; op++ )
        expect("xenoprof_op", op, call(__HYPERVISOR_xenoprof_op, op, (uintptr_t)zeroed(), 0, 0),
               pv && !newer ? -EPERM : -ENOSYS);

    for ( unsigned int op = 0; op < 8; op++ )
    {
        long rc = call(__HYPERVISOR_xenpmu_op, op, (uintptr_t)zeroed(), 0, 0);

        expect("xenpmu_op", op, rc == -EOPNOTSUPP ? -EPERM : rc, -EPERM);
    }

    for ( unsigned int op = 0; op < 4; op++ )
        expect("hypfs_op", op, call(__HYPERVISOR_hypfs_op, op, (uintptr_t)zeroed(), 1, 0), -EPERM);

    expect("dm_op", 0, call(__HYPERVISOR_dm_op, 0, 1, (uintptr_t)zeroed(), 0) < 0, 1);
    for ( uint32_t cmd = 0; cmd < 8; cmd++ )
    {
        uint32_t *mc = zeroed();

        mc[0] = cmd;
        mc[1] = 0x01ecc003; /* XEN_MCA_INTERFACE_VERSION */
        expect("mca", cmd, call1(48, mc), pv ? -EPERM : -ENOSYS);
    }

    uint32_t *shutdown = zeroed(); /* domain 0, reason 0 */

    expect("sched_op remote_shutdown", 4,
           call(__HYPERVISOR_sched_op, 4, (uintptr_t)shutdown, 0, 0), -EPERM);
    expect("xen_version build_id", 10, call(__HYPERVISOR_xen_version, 10, 0, 0, 0), -EPERM);
}

/* ---- frames ------------------------------------------------------------- */

struct privcmd_mmapbatch_v2 {
    unsigned int num;
    uint16_t dom;
    uint64_t addr;
    const uint64_t *arr;
    int *err;
};
#define IOCTL_PRIVCMD_MMAPBATCH_V2 \
    _IOC(_IOC_NONE, 'P', 4, sizeof(struct privcmd_mmapbatch_v2))

/* `frame` of `domid`; the caller unmaps. `*error` becomes 0 or -errno. */
static void *map_frame(uint16_t domid, uint64_t frame, int protection, int *error)
{
    int failed = -1;
    void *p = mmap(NULL, PAGE, protection, MAP_SHARED, fd, 0);
    struct privcmd_mmapbatch_v2 batch = {
        .num = 1, .dom = domid, .addr = (uintptr_t)p, .arr = &frame, .err = &failed,
    };

    if ( p == MAP_FAILED )
    {
        perror("mmap");
        exit(1);
    }
    if ( ioctl(fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &batch) && errno != ENOENT )
        failed = -errno;
    if ( error )
        *error = failed;

    return p;
}

/* 0 if it can be mapped, else -errno. */
static int try_map(uint16_t domid, uint64_t frame, int protection)
{
    int error;

    munmap(map_frame(domid, frame, protection, &error), PAGE);

    return error;
}

struct range {
    uint64_t start, bytes;
    uint32_t type;
} __attribute__((packed));

/* The machine's memory map, which a PV Dom0 is allowed to see. */
static unsigned int machine_map(struct range *ranges, unsigned int most)
{
    xen_memory_map_t *map = zeroed();

    map->nr_entries = most;
    map->buffer.p = (void *)(map + 1);
    if ( memory(XENMEM_machine_memory_map, map) )
        return 0;
    memcpy(ranges, map->buffer.p, map->nr_entries * sizeof(*ranges));

    return map->nr_entries;
}

/*
 * RAM of the machine through every domain that is not a guest: none of it,
 * whoever owns it. All of the first megabyte but its first page, where tables
 * of the firmware are; of the rest every 37th frame.
 */
static void ram(void)
{
    static const uint16_t owners[] = { DOMID_IO, DOMID_XEN };
    struct range ranges[64];
    unsigned int count = machine_map(ranges, 64), frames = 0;

    expect("entries in the machine's memory map", 0, count > 3, 1);
    for ( unsigned int i = 0; i < count; i++ )
    {
        uint64_t start = (ranges[i].start + PAGE - 1) / PAGE;
        uint64_t end = (ranges[i].start + ranges[i].bytes) / PAGE;

        if ( ranges[i].type != 1 )
            continue;
        for ( uint64_t frame = start ? start : 1; frame < end; frame += frame < 0x100 ? 1 : 37 )
            for ( size_t j = 0; j < 2; j++, frames++ )
                expect("RAM mapped as that of a machine", frame,
                       try_map(owners[j], frame, PROT_READ | PROT_WRITE) != 0, 1);
    }
    expect("frames tried", 0, frames > 1000, 1);
}

/* Interrupt controllers, and the IOMMU that QEMU's machines have. */
static void devices(void)
{
    expect("local APIC mapped", 0, try_map(DOMID_IO, 0xfee00, PROT_READ | PROT_WRITE) != 0, 1);
    if ( !access("/sys/firmware/acpi/tables/DMAR", F_OK) || !pv )
        expect("IOMMU mapped", 0, try_map(DOMID_IO, 0xfed90, PROT_READ | PROT_WRITE) != 0, 1);
    /* PV: it can be mapped, for reading; who writes faults for ever, in Linux. */
    if ( !pv )
        expect("I/O APIC mapped", 0, try_map(DOMID_IO, 0xfec00, PROT_READ | PROT_WRITE) != 0, 1);
}

/* Works: the firmware's read-only memory, which a PV Dom0 may map. */
static void control_map(void)
{
    if ( pv )
        expect("firmware's memory mapped", 0xf0, try_map(DOMID_IO, 0xf0, PROT_READ), 0);
}

/* ---- ports and PCI ------------------------------------------------------ */

static uint32_t config_read(unsigned int bdf, unsigned int reg, unsigned int bytes)
{
    outl(0x80000000U | bdf << 8 | (reg & ~3U), 0xcf8);

    return bytes == 1 ? inb(0xcfc + (reg & 3)) : bytes == 2 ? inw(0xcfc + (reg & 3)) : inl(0xcfc);
}

static void config_write(unsigned int bdf, unsigned int reg, unsigned int bytes, uint32_t value)
{
    outl(0x80000000U | bdf << 8 | (reg & ~3U), 0xcf8);
    if ( bytes == 1 )
        outb(value, 0xcfc + (reg & 3));
    else if ( bytes == 2 )
        outw(value, 0xcfc + (reg & 3));
    else
        outl(value, 0xcfc);
}

/* A write must not arrive, by the ports and by the kernel's own way. */
static void closed_register(const char *what, unsigned int bdf, unsigned int reg, uint8_t flip)
{
    char path[64];
    uint8_t old = config_read(bdf, reg, 1), now = old ^ flip;
    int file;

    config_write(bdf, reg, 1, now);
    expect(what, reg, config_read(bdf, reg, 1), old);

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/0000:00:%02x.%x/config", bdf >> 3, bdf & 7);
    file = open(path, O_RDWR);
    if ( file < 0 )
        return;
    if ( pwrite(file, &now, 1, reg) == 1 )
        expect(what, reg, config_read(bdf, reg, 1), old);
    close(file);
    if ( config_read(bdf, reg, 1) != old )
        config_write(bdf, reg, 1, old);
}

static void open_ports(void)
{
    if ( iopl(3) )
    {
        perror("iopl");
        exit(1);
    }
}

static void pci(void)
{
    unsigned int host, power;

    open_ports();
    host = config_read(0, 0, 4);
    if ( host == 0x12378086 ) /* i440FX and PIIX4 */
    {
        power = 1 << 3 | 3;
        closed_register("i440FX: SMRAM", 0, 0x72, 0x40);
        closed_register("i440FX: memory below 1 MiB", 0, 0x5a, 0x30);
        closed_register("PIIX4: base of power management", power, 0x41, 0x01);
    }
    else if ( host == 0x29c08086 ) /* Q35 and ICH9 */
    {
        power = 0x1f << 3;
        closed_register("Q35: SMRAM", 0, 0x9d, 0x40);
        closed_register("Q35: memory below 1 MiB", 0, 0x91, 0x30);
        closed_register("Q35: base of PCI configuration", 0, 0x63, 0x10);
        closed_register("ICH9: base of power management", power, 0x41, 0x01);
    }
    else
        expect("host bridge known to this test", host, 0, 1);
}

/* Works: Dom0 drives its network card. */
static void control_pci(void)
{
    open_ports();
    for ( unsigned int bdf = 0; bdf < 256; bdf++ )
        if ( config_read(bdf, 0, 2) != 0xffff && config_read(bdf, 0x0a, 2) == 0x0200 )
        {
            uint8_t old = config_read(bdf, 0x3c, 1);

            config_write(bdf, 0x3c, 1, old ^ 0xf);
            expect("network card: configuration written", bdf, config_read(bdf, 0x3c, 1),
                   old ^ 0xf);
            config_write(bdf, 0x3c, 1, old);
            return;
        }
    expect("a network card", 0, 0, 1);
}

/* In a register that can be written, a value other than all ones. */
static void closed_port(const char *what, unsigned int port)
{
    outb(0x12, port);
    expect(what, port, inb(port), 0xff);
}

static unsigned int pm1_control(void)
{
    uint32_t port = 0;
    int file = open("/sys/firmware/acpi/tables/FACP", O_RDONLY);

    if ( file < 0 || pread(file, &port, sizeof(port), 64) != sizeof(port) || !port )
    {
        printf("dom0-powers: the firmware does not say where PM1a control is\n");
        exit(1);
    }
    close(file);

    return port;
}

static void ports(void)
{
    open_ports();
    closed_port("system management interrupt: status", 0xb3);
    closed_port("ISA DMA: page of channel 2", 0x81);
    closed_port("ISA DMA: page of channel 5", 0x8b);
    closed_port("ISA DMA: count of channel 5", 0xc6);
    closed_port("interrupt controller: mask", 0x21);
    /* A PV Dom0 sleeps and powers off through Xen. */
    if ( pv )
        expect("PM1a control", 0, inw(pm1_control()), 0xffff);
    else
        expect("PM1a control: ACPI is on", 0, inw(pm1_control()) & 1, 1);
}

/* ---- what still works --------------------------------------------------- */

static void allowed(void)
{
    uint32_t version = find_version(__HYPERVISOR_sysctl, XEN_SYSCTL_physinfo);
    struct xen_sysctl *sys = zeroed();
    char *text = (char *)zeroed() + PAGE;
    xen_platform_op_t *platform;
    struct range ranges[64];

    sys->cmd = XEN_SYSCTL_physinfo;
    sys->interface_version = version;
    expect("sysctl physinfo", 0, call1(__HYPERVISOR_sysctl, sys), 0);
    expect("sysctl physinfo: pages", 0, sys->u.physinfo.total_pages > 1000, 1);

    memset(sys, 0, sizeof(*sys));
    sys->cmd = XEN_SYSCTL_readconsole;
    sys->interface_version = version;
    sys->u.readconsole.buffer.p = text;
    sys->u.readconsole.count = 2 * PAGE;
    expect("sysctl readconsole", 0, call1(__HYPERVISOR_sysctl, sys), 0);
    expect("sysctl readconsole: bytes", 0, sys->u.readconsole.count > 100, 1);

    platform = zeroed();
    platform->cmd = XENPF_get_cpuinfo;
    platform->interface_version = XENPF_INTERFACE_VERSION;
    expect("platform_op get_cpuinfo", 0, call1(__HYPERVISOR_platform_op, platform), 0);

    if ( pv )
    {
        struct physdev_apic *apic = zeroed();

        apic->apic_physbase = 0xfec00000;
        apic->reg = 1;
        expect("physdev_op apic_read", 0,
               call(__HYPERVISOR_physdev_op, PHYSDEVOP_apic_read, (uintptr_t)apic, 0, 0), 0);
        expect("machine's memory map", 0, machine_map(ranges, 64) > 3, 1);
    }

    memcpy(text = zeroed(), "dom0-powers: Dom0 can write to the console\n", 43);
    expect("console_io write", 0, call(__HYPERVISOR_console_io, 0, 43, (uintptr_t)text, 0), 0);

    control_map();
    control_pci();
}

/*
 * The last one: a sleep, of a kind that the machine does not have, so that it
 * goes on. The agent does not: its keys are gone.
 */
static void sleep_(void)
{
    struct sevmon_hello *hello = sevmon_buffer(sizeof(*hello));
    uint8_t *answer = sevmon_buffer(XEN_SEVMON_MAX_ANSWER_BYTES);

    sevmon_make_hello(hello);
    expect("a call of the agent", 0,
           sevmon_call(fd, XEN_SEVMON_OP_frame, hello, SEVMON_HANDSHAKE_FRAME_BYTES, answer,
                       XEN_SEVMON_MAX_ANSWER_BYTES), SEVMON_HANDSHAKE_FRAME_BYTES);

    if ( pv )
    {
        xen_platform_op_t *op = zeroed();

        op->cmd = XENPF_enter_acpi_sleep;
        op->interface_version = XENPF_INTERFACE_VERSION;
        op->u.enter_acpi_sleep.flags = 2; /* no such flag */
        expect("platform_op enter_acpi_sleep", 0, call1(__HYPERVISOR_platform_op, op), -EINVAL);
    }
    else
    {
        open_ports();
        outw(1 << 13 | 6 << 10 | 1, pm1_control());
    }

    expect("a call of the agent, after the sleep", 0,
           sevmon_call(fd, XEN_SEVMON_OP_frame, hello, SEVMON_HANDSHAKE_FRAME_BYTES, answer,
                       XEN_SEVMON_MAX_ANSWER_BYTES), -ENODEV);
}

static const struct {
    const char *name;
    void (*run)(void);
} groups[] = {
    { "platform_op", platform_op }, { "sysctl", sysctl },   { "domctl", domctl },
    { "memory_op", memory_op },     { "ram", ram },         { "devices", devices },
    { "physdev_op", physdev_op },   { "hypercalls", hypercalls }, { "pci", pci },
    { "ports", ports },             { "allowed", allowed }, { "sleep", sleep_ },
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
