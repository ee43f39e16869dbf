/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where Dom0 may lay a device, by writing an address into its registers: where
 * nothing is that Xen then uses, or writes, in the belief that it is something
 * else.
 */
#include <xen/iocap.h>
#include <xen/pci.h>
#include <xen/pci_regs.h>
#include <xen/rangeset.h>
#include <xen/sched.h>
#include <xen/vpci.h>

#include <asm/mm.h>
#include <asm/msi.h>
#include <asm/sevmon.h>

#include "glue.h"

/* ---- memory ------------------------------------------------------------- */

/* What Dom0 may reach by itself, and nothing that the firmware's map knows. */
static bool in_reach(const struct domain *d, unsigned long first,
                     unsigned long last)
{
    return first <= last && is_memory_hole(_mfn(first), _mfn(last)) &&
           iomem_access_permitted(d, first, last);
}

#ifdef SEVMON_BOOT_INFO
/*
 * Xen 4.20 leaves out by itself what Dom0 may not reach, but reads and writes
 * the pages of an MSI-X table on Dom0's behalf, wherever they are.
 */
bool sevmon_bar_ok(const struct pci_dev *pdev, mfn_t start, mfn_t end)
{
    const struct vpci *vpci = pdev->vpci;
    unsigned int i;

    for ( i = 0; vpci && vpci->msix && i < ARRAY_SIZE(vpci->msix->tables); i++ )
    {
        paddr_t at = vmsix_table_addr(vpci, i);
        unsigned long first = PFN_DOWN(at);
        unsigned long last = PFN_DOWN(at + vmsix_table_size(vpci, i) - 1);

        if ( first <= mfn_x(end) && last >= mfn_x(start) &&
             !in_reach(pdev->domain, first, last) )
            return false;
    }

    return true;
}
#else
/* Xen maps all of it, and of an MSI-X table's pages reads and writes the rest. */
bool sevmon_bar_ok(const struct pci_dev *pdev, mfn_t start, mfn_t end)
{
    return in_reach(pdev->domain, mfn_x(start), mfn_x(end));
}
#endif

/* Nor what is read-only already: Xen opens these pages when it is done. */
static bool table_ok(unsigned long first, unsigned long last)
{
    return in_reach(hardware_domain, first, last) &&
           !rangeset_overlaps_range(mmio_ro_ranges, first, last);
}

bool sevmon_msix_ok(const struct arch_msix *msix)
{
    return table_ok(msix->table.first, msix->table.last) &&
           table_ok(msix->pba.first, msix->pba.last);
}

/* ---- ports -------------------------------------------------------------- */

/* A device's ports begin at a multiple of their number, which is 256 at most. */
#define BLOCK       0x100U
#define FIRST_BLOCK 0x1000U /* below are the machine's own */

/* Where the firmware laid devices among ports that are closed: they stay. */
static struct {
    pci_sbdf_t sbdf;
    unsigned int reg;
    uint32_t value;
} kept[64] __ro_after_init;
static unsigned int __ro_after_init kept_count;

/* The first register that is none of the device's base addresses. */
static unsigned int end_of_bars(pci_sbdf_t sbdf)
{
    switch ( pci_conf_read8(sbdf, PCI_HEADER_TYPE) & 0x7f )
    {
    case PCI_HEADER_TYPE_NORMAL:
        return PCI_BASE_ADDRESS_5 + 4;

    case PCI_HEADER_TYPE_BRIDGE:
        return PCI_BASE_ADDRESS_1 + 4;
    }

    return PCI_BASE_ADDRESS_0;
}

/* Of upper halves nothing is known: they need not be there. */
static bool is_open(const struct domain *d, uint32_t value)
{
    unsigned int first = value & 0xffff & -BLOCK;

    return first >= FIRST_BLOCK &&
           ioports_access_permitted(d, first, first + BLOCK - 1);
}

void __init sevmon_note_ports(const struct domain *d)
{
    const struct pci_dev *pdev;

    for_each_pdev ( d, pdev )
    {
        unsigned int reg, end = end_of_bars(pdev->sbdf);

        for ( reg = PCI_BASE_ADDRESS_0; reg < end; reg += 4 )
        {
            uint32_t value = pci_conf_read32(pdev->sbdf, reg);

            if ( !(value & PCI_BASE_ADDRESS_SPACE_IO) || is_open(d, value) ||
                 kept_count == ARRAY_SIZE(kept) )
                continue;
            kept[kept_count].sbdf = pdev->sbdf;
            kept[kept_count].reg = reg;
            kept[kept_count++].value = value;
        }
    }
}

static bool is_kept(pci_sbdf_t sbdf, unsigned int reg, uint32_t value)
{
    unsigned int i;

    for ( i = 0; i < kept_count; i++ )
        if ( kept[i].sbdf.sbdf == sbdf.sbdf && kept[i].reg == reg &&
             kept[i].value == value )
            return true;

    return false;
}

/*
 * QEMU lets a device answer before the machine does: at the ports by which Xen
 * configures devices, whose registers it then takes for those of another one.
 * 0 is nowhere.  A part of such a register nobody writes: with another CPU that
 * writes at the same time it could become anything.
 */
bool sevmon_ports_ok(pci_sbdf_t sbdf, unsigned int reg, unsigned int bytes,
                     uint32_t data)
{
    unsigned int bar = reg & ~3U;
    uint32_t old;

    if ( bar < PCI_BASE_ADDRESS_0 || bar > PCI_BASE_ADDRESS_5 ||
         bar >= end_of_bars(sbdf) )
        return true;

    old = pci_conf_read32(sbdf, bar);
    if ( !(old & PCI_BASE_ADDRESS_SPACE_IO) )
        return true;

    return bytes == 4 &&
           (data == old || !(data & PCI_BASE_ADDRESS_IO_MASK) ||
            is_open(current->domain, data) || is_kept(sbdf, bar, data));
}
