/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that the host shares with the machine of the IDS: ivshmem devices.
 * Xen takes each of them for itself; lanes.c serves what is in it.
 *
 * The host makes up all that is read here, and may write the memory at any
 * time.  Dom0 must not reach it: what it could do there, the host can do too,
 * but not every root of Dom0's is the host.
 */
#include <xen/init.h>
#include <xen/iocap.h>
#include <xen/lib.h>
#include <xen/p2m-common.h>
#include <xen/param.h>
#include <xen/pci.h>
#include <xen/pci_regs.h>
#include <xen/sched.h>
#include <xen/vmap.h>

#include <asm/e820.h>
#include <asm/io.h>
#include <asm/p2m.h>
#include <asm/page.h>

#include "glue.h"

#include <sevmon/shm.h>

/* QEMU's docs/specs/ivshmem-spec.txt. */
#define IVSHMEM_ID         0x11101af4U
#define IVSHMEM_MEMORY_BAR 2
#define BARS               6

#define MAX_BYTES (SEVMON_SHM_MAX_LANES * SEVMON_LANE_BYTES)

static bool __initdata wanted = true;
boolean_param("sevmon-shm", wanted);

struct bar {
    paddr_t start;
    paddr_t bytes; /* 0: there is none */
    bool is_64bit; /* the next one is its other half */
};

static struct device {
    pci_sbdf_t sbdf;
    struct bar bar[BARS];
} devices[SEVMON_SHM_MAX_DEVICES] __initdata;
static unsigned int __initdata count;

/* With the device's memory off, or it would lie elsewhere for a moment. */
static void __init size_bar(pci_sbdf_t sbdf, unsigned int i, struct bar *bar)
{
    unsigned int low = PCI_BASE_ADDRESS_0 + 4 * i, high = low + 4;
    uint32_t was = pci_conf_read32(sbdf, low), was_high = 0;
    uint64_t mask;

    memset(bar, 0, sizeof(*bar));
    if ( was & PCI_BASE_ADDRESS_SPACE_IO )
        return;
    bar->is_64bit = (was & PCI_BASE_ADDRESS_MEM_TYPE_MASK) ==
                    PCI_BASE_ADDRESS_MEM_TYPE_64 && i + 1 < BARS;

    pci_conf_write32(sbdf, low, ~0U);
    mask = pci_conf_read32(sbdf, low) & PCI_BASE_ADDRESS_MEM_MASK;
    pci_conf_write32(sbdf, low, was);
    if ( bar->is_64bit )
    {
        was_high = pci_conf_read32(sbdf, high);
        pci_conf_write32(sbdf, high, ~0U);
        mask |= (uint64_t)pci_conf_read32(sbdf, high) << 32;
        pci_conf_write32(sbdf, high, was_high);
    }
    else if ( mask )
        mask |= ~0ULL << 32;

    bar->start = ((uint64_t)was_high << 32) | (was & PCI_BASE_ADDRESS_MEM_MASK);
    bar->bytes = mask ? -mask : 0;
}

static void __init size_bars(struct device *device)
{
    pci_sbdf_t sbdf = device->sbdf;
    uint16_t command = pci_conf_read16(sbdf, PCI_COMMAND);
    unsigned int i;

    pci_conf_write16(sbdf, PCI_COMMAND, command & ~PCI_COMMAND_MEMORY);
    for ( i = 0; i < BARS; i++ )
    {
        size_bar(sbdf, i, &device->bar[i]);
        if ( device->bar[i].is_64bit )
            i++;
    }
    /* Nobody is interrupted by it, and it writes nowhere. */
    command &= ~PCI_COMMAND_MASTER;
    pci_conf_write16(sbdf, PCI_COMMAND,
                     command | PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
}

/*
 * What the firmware left there can be used: a place that is nobody's RAM, or
 * Xen would write to whatever the host names.
 */
static const char *__init flaw(const struct bar *bar)
{
    paddr_t end = bar->start + bar->bytes;
    unsigned int i;

    if ( bar->bytes < SEVMON_LANE_BYTES )
        return "smaller than a lane";
    if ( bar->bytes & (bar->bytes - 1) || bar->start & (bar->bytes - 1) )
        return "not aligned to its size";
    if ( !bar->start || end < bar->start ||
         end > 1ULL << paddr_bits )
        return "not mapped by the firmware";
    for ( i = 0; i < e820.nr_map; i++ )
        if ( e820.map[i].type != E820_RESERVED &&
             bar->start < e820.map[i].addr + e820.map[i].size &&
             e820.map[i].addr < end )
            return "in RAM";

    return NULL;
}

static void __init add_lanes(const struct device *device)
{
    const struct bar *bar = &device->bar[IVSHMEM_MEMORY_BAR];
    mfn_t mfn = maddr_to_mfn(bar->start);
    paddr_t bytes = min_t(paddr_t, bar->bytes, MAX_BYTES);
    const char *wrong = flaw(bar);
    void *memory = NULL;

    /* Cacheable: it is memory.  No encryption bit: Xen's tables set none. */
    if ( !wrong )
        memory = __vmap(&mfn, PFN_DOWN(bytes), 1, 1, PAGE_HYPERVISOR,
                        VMAP_DEFAULT);
    if ( !memory )
    {
        printk("sevmon: %pp: shared memory at %#"PRIpaddr", %#"PRIpaddr
               " bytes: not used: %s\n", &device->sbdf, bar->start, bar->bytes,
               wrong ? wrong : "no memory");
        return;
    }
    sevmon_lanes_add(memory, bytes / SEVMON_LANE_BYTES);
    printk("sevmon: %pp: %u lanes in shared memory at %#"PRIpaddr"\n",
           &device->sbdf, (unsigned int)(bytes / SEVMON_LANE_BYTES),
           bar->start);
}

static void __init take(pci_sbdf_t sbdf)
{
    struct device *device = &devices[count];

    if ( count == ARRAY_SIZE(devices) )
    {
        printk("sevmon: %pp: shared memory left to Dom0: %u are used\n", &sbdf,
               count);
        return;
    }
    /* Dom0 may read its configuration, and write none of it. */
    if ( pci_ro_device(sbdf.seg, sbdf.bus, sbdf.devfn) )
        panic("sevmon: cannot protect %pp\n", &sbdf);
    device->sbdf = sbdf;
    size_bars(device);
    count++;
    add_lanes(device);
}

void __init sevmon_shm_init(void)
{
    unsigned int bus, slot, function;

    if ( !wanted )
        return;
    for ( bus = 0; bus < 256; bus++ )
        for ( slot = 0; slot < 32; slot++ )
            for ( function = 0; function < 8; function++ )
            {
                pci_sbdf_t sbdf = PCI_SBDF(0, bus, PCI_DEVFN(slot, function));
                uint32_t id = pci_conf_read32(sbdf, PCI_VENDOR_ID);

                if ( id == IVSHMEM_ID )
                    take(sbdf);
                else if ( id == ~0U && !function )
                    break;
            }
    sevmon_lanes_start();
}

/* PVH: Xen 4.17 has mapped them for a device that it calls hidden, too. */
static int __init unmap(struct domain *d, unsigned long first,
                        unsigned long frames)
{
    unsigned long i;
    int rc = 0;

    for ( i = 0; i < frames && !rc; i++ )
    {
        p2m_type_t type;
        mfn_t mfn = get_gfn_query_unlocked(d, first + i, &type);

        if ( type == p2m_mmio_direct )
            rc = unmap_mmio_regions(d, _gfn(first + i), 1, mfn);
    }

    return rc;
}

static int __init deny(struct domain *d, const struct bar *bar)
{
    unsigned long first = PFN_DOWN(bar->start);
    unsigned long frames = PFN_DOWN(bar->bytes);
    int rc;

    /* Registers of its own, which do nothing here, may share their page. */
    if ( !bar->start || !frames )
        return 0;
    rc = iomem_deny_access(d, first, first + frames - 1);

    return rc || !is_hvm_domain(d) ? rc : unmap(d, first, frames);
}

int __init sevmon_deny_shm(struct domain *d)
{
    unsigned int i, bar;
    int rc = 0;

    for ( i = 0; i < count; i++ )
        for ( bar = 0; bar < BARS && !rc; bar++ )
            rc = deny(d, &devices[i].bar[bar]);

    return rc;
}
