/* SPDX-License-Identifier: Apache-2.0 */
/* Of the machine itself: memory, ports and PCI registers. */
#include <sys/io.h>
#include <sys/wait.h>

#include "dom0-powers.h"

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
void *map_frame(uint16_t domid, uint64_t frame, int protection, int *error)
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

/* The machine's memory map, which a PV Dom0 is allowed to see. */
unsigned int machine_map(struct range *ranges, unsigned int most)
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
 * The machine's first page can be mapped, with the firmware's data; who writes
 * there faults for ever, in Linux, so a child does. In a corner that no
 * firmware uses.
 */
static void closed_first_page(void)
{
    uint8_t *page = map_frame(DOMID_IO, 0, PROT_READ, NULL), before = page[0x4f5];
    pid_t child = fork();

    if ( !child )
    {
        volatile uint8_t *place = map_frame(DOMID_IO, 0, PROT_READ | PROT_WRITE, NULL);

        alarm(2);
        place[0x4f5] = before ^ 0x55;
        _exit(0);
    }
    waitpid(child, NULL, 0);
    expect("first page written", 0, page[0x4f5], before);
    munmap(page, PAGE);
}

/*
 * RAM of the machine through every domain that is not a guest: none of it,
 * whoever owns it. All of the first megabyte but its first page, where tables
 * of the firmware are; of the rest every 37th frame.
 */
void ram(void)
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
    closed_first_page();
}

/* Interrupt controllers, and the IOMMU that QEMU's machines have. */
void devices(void)
{
    expect("local APIC mapped", 0, try_map(DOMID_IO, 0xfee00, PROT_READ | PROT_WRITE) != 0, 1);
    if ( !access("/sys/firmware/acpi/tables/DMAR", F_OK) || !pv )
        expect("IOMMU mapped", 0, try_map(DOMID_IO, 0xfed90, PROT_READ | PROT_WRITE) != 0, 1);
    /* PV: it can be mapped, for reading; who writes faults for ever, in Linux. */
    if ( !pv )
        expect("I/O APIC mapped", 0, try_map(DOMID_IO, 0xfec00, PROT_READ | PROT_WRITE) != 0, 1);
}

/* Works: the firmware's read-only memory, which a PV Dom0 may map. */
void control_map(void)
{
    if ( pv )
        expect("firmware's memory mapped", 0xf0, try_map(DOMID_IO, 0xf0, PROT_READ), 0);
}

/* ---- ports and PCI ------------------------------------------------------ */

uint32_t config_read(unsigned int bdf, unsigned int reg, unsigned int bytes)
{
    outl(0x80000000U | bdf << 8 | (reg & ~3U), 0xcf8);

    return bytes == 1 ? inb(0xcfc + (reg & 3)) : bytes == 2 ? inw(0xcfc + (reg & 3)) : inl(0xcfc);
}

void config_write(unsigned int bdf, unsigned int reg, unsigned int bytes, uint32_t value)
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

void open_ports(void)
{
    if ( iopl(3) )
    {
        perror("iopl");
        exit(1);
    }
}

void pci(void)
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

/* Who writes and cannot may fault for ever, in Linux: a child does. */
static void closed_by_memory(const char *what, uint64_t base, unsigned int bdf, unsigned int reg,
                             uint8_t flip)
{
    uint8_t before = config_read(bdf, reg, 1);
    pid_t child = fork();

    if ( !child )
    {
        int error;
        volatile uint8_t *page = map_frame(DOMID_IO, base / PAGE + bdf, PROT_READ | PROT_WRITE,
                                           &error);

        if ( error )
            _exit(1);
        alarm(2);
        page[reg] = before ^ flip;
        _exit(0);
    }
    waitpid(child, NULL, 0);
    expect(what, reg, config_read(bdf, reg, 1), before);
    if ( config_read(bdf, reg, 1) != before )
        config_write(bdf, reg, 1, before);
}

/* The memory in which configuration shows, whether Xen uses it or not. */
void configuration_memory(void)
{
    uint64_t base;
    uint8_t *page;
    int error;

    open_ports();
    expect("Q35", config_read(0, 0, 4), config_read(0, 0, 4), 0x29c08086);
    base = config_read(0, 0x60, 4) & 0xf0000000;
    page = map_frame(DOMID_IO, base / PAGE, PROT_READ, &error);
    expect("Q35: configuration in memory, mapped", base, error, 0);
    expect("Q35: configuration in memory", base, *(volatile uint32_t *)page, 0x29c08086);
    closed_by_memory("Q35: SMRAM, by memory", base, 0, 0x9d, 0x40);
    closed_by_memory("ICH9: base of power management, by memory", base, 0x1f << 3, 0x41, 0x01);
}

/* Nobody uses the chipset's here. */
static unsigned int disk_controller(void)
{
    unsigned int bdf = 0;

    open_ports();
    while ( bdf < 256 && config_read(bdf, 0x0a, 2) != 0x0101 && /* IDE */
            config_read(bdf, 0x0a, 2) != 0x0106 /* AHCI */ )
        bdf++;
    expect("a disk controller", bdf, bdf < 256, 1);

    return bdf;
}

static long name_device(int op, unsigned int bdf, unsigned int flags)
{
    struct physdev_pci_device_add *add = zeroed();

    add->devfn = bdf;
    add->flags = flags;
    add->physfn.bus = 0xfe;

    return call(__HYPERVISOR_physdev_op, op, (uintptr_t)add, 0, 0);
}

/*
 * Xen 4.20 kept lists of whose functions devices are, on Dom0's word, and freed
 * devices that were in them.  What Xen has named once it never forgets.
 */
void named_devices(void)
{
    unsigned int bdf = disk_controller(), none = 0;

    if ( newer )
        expect("physdev_op pci_device_add as a virtual function", bdf,
               name_device(PHYSDEVOP_pci_device_add, bdf, XEN_PCI_DEV_VIRTFN), -EOPNOTSUPP);
    while ( none < 256 && config_read(none, 0, 4) != 0xffffffff )
        none++;
    expect("physdev_op pci_device_add of nothing", none,
           name_device(PHYSDEVOP_pci_device_add, none, 0), -ENODEV);
    expect("physdev_op pci_device_remove", bdf, name_device(PHYSDEVOP_pci_device_remove, bdf, 0),
           pv ? 0 : -EPERM);
    expect("physdev_op pci_device_add", bdf, name_device(PHYSDEVOP_pci_device_add, bdf, 0), 0);
}

/*
 * A device answers before the machine does: at Xen's way to all configuration,
 * at the interrupt controllers and at VMware's port.
 */
#define BUS_MASTER 0x20 /* the disk controller's ports: 16 or 32 */
void device_ports(void)
{
    static const uint32_t closed[] = { 0xce1, 0xcf1, 0x21, 0x5641, 0x10ce1 };
    unsigned int bdf = disk_controller();
    uint32_t home = config_read(bdf, BUS_MASTER, 4);

    expect("disk controller: ports", home, home & 1, 1);
    for ( size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++ )
    {
        config_write(bdf, BUS_MASTER, 4, closed[i]);
        expect("disk controller: ports laid over others", closed[i],
               config_read(bdf, BUS_MASTER, 4), home);
    }
    config_write(bdf, BUS_MASTER, 2, 0xce1);
    expect("disk controller: two bytes", 0xce1, config_read(bdf, BUS_MASTER, 4), home);
    config_write(bdf, BUS_MASTER + 1, 1, 0x0c);
    expect("disk controller: one byte", 0x0c, config_read(bdf, BUS_MASTER, 4), home);
    config_write(bdf, BUS_MASTER, 2, 1);
    expect("disk controller: half of nowhere", 1, config_read(bdf, BUS_MASTER, 4), home);

    config_write(bdf, BUS_MASTER, 4, 0xffffffff);
    expect("disk controller: how many ports", home,
           (~config_read(bdf, BUS_MASTER, 4) | 3) + 1 <= 32, 1);
    config_write(bdf, BUS_MASTER, 4, 0);
    expect("disk controller: ports nowhere", home, config_read(bdf, BUS_MASTER, 4), 1);
    config_write(bdf, BUS_MASTER, 4, 0xd001);
    expect("disk controller: other ports", home, config_read(bdf, BUS_MASTER, 4), 0xd001);
    config_write(bdf, BUS_MASTER, 4, home);
    expect("disk controller: its ports again", home, config_read(bdf, BUS_MASTER, 4), home);
}

/* Works: Dom0 drives its network card. */
void control_pci(void)
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

#define VMWARE_MAGIC 0x564d5868

static uint32_t vmware_version(void)
{
    uint32_t eax = VMWARE_MAGIC, ebx = 0, ecx = 10;

    __asm__ volatile ( "inl %w3, %0" : "+a" (eax), "+b" (ebx), "+c" (ecx) : "d" (0x5658) );

    return ebx;
}

unsigned int pm1_control(void)
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

/* The byte by which firmware knows a reset that is a wake-up. */
static void cmos(void)
{
    outb(0x0f, 0x70);
    outb(0xfe, 0x71);
    outb(0x0f, 0x70);
    expect("CMOS written", 0x0f, inb(0x71), 0xff);
    outb(0x0f, 0x70);
    outb(0, 0x71);
}

/* Its first item is the signature "QEMU"; so begins its register for DMA. */
static void fw_cfg(void)
{
    outw(0, 0x510);
    expect("fw_cfg: an item read", 0x511, inb(0x511), 0xff);
    expect("fw_cfg: address for DMA", 0x514, inl(0x514), 0xffffffffU);
}

/* What QEMU takes out of the machine. Each has a register that is not all ones. */
static void hot_plug(int q35)
{
    unsigned int devices = q35 ? 0xcc0 : 0xae00, cpus = q35 ? 0xcd8 : 0xaf00;

    expect("hot-plug of PCI devices", devices, inl(devices), 0xffffffffU);
    expect("hot-plug of CPUs", cpus, inl(cpus), 0xffffffffU);
}

void ports(void)
{
    unsigned int pm1 = pm1_control(), host;

    open_ports();
    cmos();
    fw_cfg();
    host = config_read(0, 0, 4);
    hot_plug(host == 0x29c08086);
    /* VMware's: its version, with a magic number as the answer's sign. */
    expect("VMware's port", 0x5658, vmware_version() != VMWARE_MAGIC, 1);
    closed_port("A20", 0x92);
    expect("keyboard controller: status", 0x64, inb(0x64), 0xff);
    closed_port("keyboard controller: data", 0x60);
    /* Without the bit that starts it. */
    outb(2, 0xcf9);
    expect("reset", 0xcf9, inb(0xcf9), 0xff);
    if ( host == 0x29c08086 )
    {
        expect("ICH9: system management interrupts", pm1 + 0x2c, inl(pm1 + 0x2c), 0xffffffffU);
        expect("ICH9: watchdog", pm1 + 0x5c, inl(pm1 + 0x5c), 0xffffffffU);
    }
    expect("PM1a event", pm1 - 4, inw(pm1 - 4) != 0xffff, 1);
    closed_port("system management interrupt: status", 0xb3);
    closed_port("ISA DMA: page of channel 2", 0x81);
    closed_port("ISA DMA: page of channel 5", 0x8b);
    closed_port("ISA DMA: count of channel 5", 0xc6);
    closed_port("interrupt controller: mask", 0x21);
    /* A PV Dom0 sleeps and powers off through Xen. */
    if ( pv )
        expect("PM1a control", 0, inw(pm1), 0xffff);
    else
        expect("PM1a control: ACPI is on", 0, inw(pm1) & 1, 1);
}
