/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where devices' memory is, which Dom0 decides by their base addresses, and
 * with it where Xen writes when it programs a device's MSI-X table.  Tried with
 * QEMU's virtio-rng, which nobody drives here: its table is the first thing in
 * a page of its own.
 */
#include <sys/io.h>

#include "dom0-powers.h"

#define RNG 0x10441af4U /* of virtio 1.0 */

#define COMMAND 0x04
#define MEMORY  0x02
#define TABLE_BAR 0x14 /* 32 bits */

#define PBA     0x800 /* after the table, in the same page */
#define BESIDE  0x30  /* after both entries of the table */

#define LOCAL_APIC 0xfee00000U
#define IO_APIC    0xfec00000U
#define HPET       0xfed00000U
#define AMD_IOMMU  0xfed80000U
#define HIGH_END   0x3fe00000U /* of QEMU's RAM; the last pages are the firmware's */

struct device {
    unsigned int bdf;
    uint32_t home; /* where the firmware has put the table */
};

static struct device find(unsigned int skip)
{
    for ( unsigned int bdf = 0; bdf < 256; bdf++ )
        if ( config_read(bdf, 0, 4) == RNG && !skip-- )
            return (struct device){ bdf, config_read(bdf, TABLE_BAR, 4) };
    printf("dom0-powers: no virtio-rng\n");
    exit(1);
}

/* With the device's memory off in between, as Xen wants it of a PVH Dom0. */
static void lay(const struct device *device, uint32_t address)
{
    uint32_t command = config_read(device->bdf, COMMAND, 2);

    config_write(device->bdf, COMMAND, 2, command & ~MEMORY);
    config_write(device->bdf, TABLE_BAR, 4, address);
    config_write(device->bdf, COMMAND, 2, command | MEMORY);
}

static long physdev(int op, void *arg)
{
    return call(__HYPERVISOR_physdev_op, op, (uintptr_t)arg, 0, 0);
}

/* 0 and a number in *pirq, or -errno. */
static long map_entry(const struct device *device, int entry, uint64_t base, int *pirq)
{
    struct physdev_map_pirq *map = zeroed();
    long rc;

    map->domid = DOMID_SELF;
    map->type = MAP_PIRQ_TYPE_MSI_SEG;
    map->index = map->pirq = -1;
    map->devfn = device->bdf;
    map->entry_nr = entry;
    map->table_base = base;
    rc = physdev(PHYSDEVOP_map_pirq, map);
    *pirq = map->pirq;

    return rc;
}

static long unmap_entry(int pirq)
{
    struct physdev_unmap_pirq *unmap = zeroed();

    unmap->domid = DOMID_SELF;
    unmap->pirq = pirq;

    return physdev(PHYSDEVOP_unmap_pirq, unmap);
}

static long msix_of(int op, unsigned int bdf)
{
    struct physdev_pci_device *device = zeroed();

    device->devfn = bdf;

    return physdev(op, device);
}

/* What Linux does when it drives a device: an interrupt, and another. */
static void both_entries(const struct device *device)
{
    int pirq[2];

    for ( int i = 0; i < 2; i++ )
        expect("physdev_op map_pirq, MSI-X entry", i,
               map_entry(device, i, device->home, &pirq[i]), 0);
    for ( int i = 0; i < 2; i++ )
        expect("physdev_op unmap_pirq, MSI-X entry", i, unmap_entry(pirq[i]), 0);
}

static void refused(const char *where, const struct device *device, uint64_t base)
{
    int pirq;
    long rc = map_entry(device, 0, base, &pirq);

    expect(where, config_read(device->bdf, TABLE_BAR, 4), rc, -EPERM);
    if ( !rc )
        unmap_entry(pirq);
}

static void not_prepared(const char *where, const struct device *device)
{
    long rc = msix_of(PHYSDEVOP_prepare_msix, device->bdf);

    expect(where, config_read(device->bdf, TABLE_BAR, 4), rc, -EPERM);
    if ( !rc )
        msix_of(PHYSDEVOP_release_msix, device->bdf);
}

/*
 * One of a PV Dom0's own frames, and where it is in memory: a frame that Dom0
 * may map as its own, and in which one of these pages shows.
 */
#define PAGES  4096UL
#define STRIDE 61UL
#define TRIES  ((HIGH_END / PAGE - 0x1000) / STRIDE)
static uint64_t own_frame(uint64_t **page)
{
    static const uint64_t mark = 0x7365766d6f6e2e21;
    uint64_t *pages = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);

    for ( uint64_t i = 0; i < PAGES; i++ )
    {
        pages[i * PAGE / 8] = mark;
        pages[i * PAGE / 8 + 1] = i;
    }
    for ( uint64_t i = 0; i < STRIDE * TRIES; i++ )
    {
        int error;
        uint64_t frame = 0x1000 + i % TRIES * STRIDE + i / TRIES;
        uint64_t *seen = map_frame(DOMID_SELF, frame, PROT_READ, &error);
        int found = !error && seen[0] == mark && seen[1] < PAGES;

        if ( found )
            *page = pages + seen[1] * PAGE / 8;
        munmap(seen, PAGE);
        if ( found )
            return frame;
    }
    printf("dom0-powers: no frame is one of Dom0's pages\n");
    exit(1);
}

/* A table in RAM: Dom0's own, so that it sees what Xen writes there. */
static void in_ram(const struct device *device)
{
    uint64_t *page, address = own_frame(&page) * PAGE;

    memset(page, 0, PAGE);
    lay(device, address);
    refused("MSI-X table in RAM", device, address);
    expect("MSI-X table in RAM: written by Xen", 0, page[1] >> 32, 0);
    not_prepared("physdev_op prepare_msix in RAM", device);
    memset(page, 0, PAGE);

    lay(device, 0);
    refused("MSI-X table in RAM, as Dom0 says itself", device, address);
    expect("MSI-X table in RAM: written by Xen", 1, page[1] >> 32, 0);
}

static void in_devices(const struct device *device)
{
    static const uint32_t where[] = { LOCAL_APIC, IO_APIC };

    for ( size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++ )
    {
        lay(device, where[i]);
        refused("MSI-X table in an interrupt controller", device, where[i]);
    }
}

/* What Xen keeps as one device's table becomes no other's, to be opened with it. */
static void in_another(const struct device *device, const struct device *other)
{
    int pirq;

    expect("physdev_op map_pirq, MSI-X of the other", 0, map_entry(other, 0, other->home, &pirq),
           0);
    lay(device, other->home);
    refused("MSI-X table in that of another device", device, other->home);
    not_prepared("physdev_op prepare_msix in that of another device", device);
    expect("physdev_op unmap_pirq, MSI-X of the other", 0, unmap_entry(pirq), 0);
}

void msix(void)
{
    struct device device, other;

    open_ports();
    device = find(0);
    other = find(1);
    both_entries(&device);

    in_ram(&device);
    in_devices(&device);
    in_another(&device, &other);

    lay(&device, device.home);
    both_entries(&device);
    expect("physdev_op prepare_msix", 0, msix_of(PHYSDEVOP_prepare_msix, device.bdf), 0);
    expect("physdev_op release_msix", 0, msix_of(PHYSDEVOP_release_msix, device.bdf), 0);
}

/* The host bridge has no MSI-X: Xen looked for its state at address 0, in Dom0's memory. */
void no_msix(void)
{
    expect("physdev_op prepare_msix without MSI-X", 0, msix_of(PHYSDEVOP_prepare_msix, 0), -ENODEV);
    expect("physdev_op release_msix without MSI-X", 0, msix_of(PHYSDEVOP_release_msix, 0), -ENODEV);
}

/* ---- PVH: Xen emulates base addresses, and the pages of an MSI-X table ---- */

/* NULL where Linux itself has something, and does not let anybody. */
static volatile uint32_t *machine(uint32_t address)
{
    int mem = open("/dev/mem", O_RDWR | O_SYNC);
    void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mem, address);

    if ( mem < 0 || (p == MAP_FAILED && errno != EPERM) )
    {
        perror("/dev/mem");
        exit(1);
    }
    close(mem);

    return p == MAP_FAILED ? NULL : p;
}

/* The end of Dom0's RAM; what is above is the machine's, and Xen's. */
static uint32_t own_end(void)
{
    unsigned long start, end, last = 0;
    char line[128];
    FILE *file = fopen("/proc/iomem", "r");

    while ( file && fgets(line, sizeof(line), file) )
        if ( strstr(line, "System RAM") && sscanf(line, "%lx-%lx", &start, &end) == 2 &&
             end < HIGH_END )
            last = end + 1;
    if ( file )
        fclose(file);

    return last;
}

/* What Xen would read for Dom0 beside a table that is there. 1 if it was tried. */
static int beside(const char *what, const struct device *device, uint32_t address)
{
    volatile uint32_t *page = machine(address);

    if ( !page )
        return 0;
    lay(device, address);
    expect(what, address + BESIDE, page[BESIDE / 4], 0xffffffff);
    expect(what, address + PBA, page[PBA / 4], 0xffffffff);
    munmap((void *)page, PAGE);

    return 1;
}

/*
 * Xen's own devices: the HPET's timers write into any memory, and where the
 * I/O APIC's registers repeat nobody emulates them.  Not one bit can be changed.
 */
static void beside_xen(const char *what, const struct device *device, uint32_t address,
                       unsigned int reg)
{
    volatile uint32_t *page = machine(address);
    uint32_t before;

    expect(what, address, page != NULL, 1);
    before = page[reg / 4];
    lay(device, address);
    page[reg / 4] = ~before;
    expect(what, address + reg, page[reg / 4], before);
    munmap((void *)page, PAGE);
}

static void at_home(const struct device *device)
{
    volatile uint32_t *page = machine(device->home);

    lay(device, device->home);
    expect("MSI-X table: an entry is masked", device->home, page[3], 1);
    munmap((void *)page, PAGE);
}

/*
 * With an interrupt as a driver has it, which Xen programs when MSI-X goes on.
 * Xen says on its console that it does not.
 */
static void enable_in_ram(const struct device *device, uint32_t address)
{
    unsigned int control = config_read(device->bdf, 0x34, 1);
    volatile uint32_t *table = machine(device->home);

    while ( control && config_read(device->bdf, control, 1) != 0x11 )
        control = config_read(device->bdf, control + 1, 1);
    table[0] = LOCAL_APIC;
    table[1] = 0;
    table[2] = 0x4030;
    table[3] = 0;
    munmap((void *)table, PAGE);

    lay(device, address);
    config_write(device->bdf, control + 2, 2, 0x8000);
    config_write(device->bdf, control + 2, 2, 0);
}

void bars(void)
{
    uint32_t ram = (own_end() + 0x3fffff) & ~0x3fffffU;
    unsigned int tried = 0;
    struct device device;

    open_ports();
    device = find(0);
    at_home(&device);
    expect("RAM that is not Dom0's", ram, ram > 0x10000000 && ram < HIGH_END, 1);

    beside("IOMMU's registers beside an MSI-X table", &device, AMD_IOMMU);
    beside_xen("HPET beside an MSI-X table", &device, HPET, 0x150); /* timer 2: where to */
    beside_xen("I/O APIC beside an MSI-X table", &device, IO_APIC, 0x100);
    for ( uint32_t address = ram; address < HIGH_END; address += 0x400000 )
        tried += beside("RAM beside an MSI-X table", &device, address);
    expect("pages of RAM tried", tried, tried > 30, 1);
    if ( newer ) /* Xen 4.20 has this operation for a PVH Dom0, too */
    {
        lay(&device, HIGH_END);
        refused("MSI-X table in RAM", &device, HIGH_END);
    }

    at_home(&device);
    enable_in_ram(&device, HIGH_END);
    lay(&device, device.home);
}
