/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What of the machine Dom0 may touch by itself: ports, memory that is not
 * RAM of a guest, and PCI configuration.  Xen keeps the interrupt controllers,
 * the IOMMUs and the timers that it uses; here go the ways round: code of
 * Xen's and of the firmware's that Dom0 could rewrite, and what makes the
 * firmware run Dom0's code beneath Xen.
 */
#include <xen/acpi.h>
#include <xen/delay.h>
#include <xen/iocap.h>
#include <xen/pci.h>
#include <xen/pci_regs.h>
#include <xen/rangeset.h>
#include <xen/sched.h>

#include <asm/hpet.h>
#include <asm/hvm/io.h>
#include <asm/io.h>
#include <asm/io_apic.h>
#include <asm/mm.h>
#include <asm/setup.h>
#include <asm/sevmon.h>
#if __has_include(<asm/trampoline.h>) /* Xen 4.20 */
#include <asm/trampoline.h>
#endif

#include "glue.h"

#define CLASS_HOST_BRIDGE  0x0600
#define CLASS_ISA_BRIDGE   0x0601
#define CLASS_OTHER_BRIDGE 0x0680 /* PIIX4's power management */

/* PIRQ routing, in PIIX and ICH: the only registers that Linux's ACPI sets. */
#define PIRQ_FIRST 0x60
#define PIRQ_LAST  0x6b

#define PM_PORTS 0x80 /* ICH's power management; PIIX4 has half of it */

#define PM1_SCI_EN (1U << 0)
#define PM1_SLP_EN (1U << 13)

/*
 * Of the chipset and of QEMU's own.  What is not there is closed all the same:
 * which machine has what is not asked.
 */
static const struct port_range {
    uint16_t first, last;
} closed_ports[] __initconst = {
    { 0x00, 0x1f }, /* the ISA DMA controllers write to RAM */
    { 0x81, 0x8f },
    { 0xc0, 0xdf },
    { 0xb2, 0xb3 }, /* a system management interrupt, with Dom0's registers */
    /* CMOS: with a byte there a reset is a wake-up, to where Dom0 says. */
    { 0x70, 0x77 },
    /* A reset without Xen; A20: memory moves under a software emulation. */
    { 0x60, 0x60 }, /* the keyboard's controller */
    { 0x64, 0x64 },
    { 0x92, 0x92 },
    { 0xcf9, 0xcf9 },
    /* QEMU writes into memory, at Dom0's word and past the IOMMU. */
    { 0x7e, 0x7f },   /* kvmvapic */
    { 0x510, 0x51b }, /* fw_cfg */
    { 0xa18, 0xa1b }, /* NVDIMM */
    { 0x5658, 0x565b }, /* VMware's: into registers, while Xen's code runs */
    /* QEMU takes out memory, PCI devices and CPUs. */
    { 0xa00, 0xa17 },
    { 0xcc0, 0xcf7 },   /* Q35 */
    { 0xae00, 0xae17 }, /* i440FX */
    { 0xaf00, 0xaf1f },
};

/*
 * Of a PV Dom0: those that are not read-only as a whole.  Found at boot; which
 * they are is asked of no device any more, for Dom0 can have another one answer.
 */
static pci_sbdf_t __ro_after_init chipset[16];
static unsigned int __ro_after_init chipset_count;

/* They move the ports of power management to where nobody looks. */
bool sevmon_pci_writable(uint32_t machine_bdf, unsigned int first,
                         unsigned int last)
{
    unsigned int i;

    for ( i = 0; i < chipset_count; i++ )
        if ( chipset[i].sbdf == machine_bdf )
            return first >= PIRQ_FIRST && last <= PIRQ_LAST;

    return true;
}

/*
 * Host bridges open the memory of system management mode and say what is RAM.
 * PVH has no hook for each write: all of the others is read-only, too.
 */
static void __init protect_function(pci_sbdf_t sbdf, bool pv)
{
    switch ( pci_conf_read16(sbdf, PCI_CLASS_DEVICE) )
    {
    case CLASS_ISA_BRIDGE:
    case CLASS_OTHER_BRIDGE:
        if ( !pv )
            break;
        if ( chipset_count == ARRAY_SIZE(chipset) )
            panic("sevmon: too many bridges to protect %pp\n", &sbdf);
        chipset[chipset_count++] = sbdf;
        return;

    case CLASS_HOST_BRIDGE:
        break;

    default:
        return;
    }

    if ( pci_ro_device(sbdf.seg, sbdf.bus, sbdf.devfn) )
        panic("sevmon: cannot protect %pp\n", &sbdf);
}

static void __init protect_bridges(bool pv)
{
    unsigned int slot, bus, function;

    for ( bus = 0; bus < 256; bus++ )
        for ( slot = 0; slot < 32; slot++ )
            for ( function = 0; function < 8; function++ )
            {
                pci_sbdf_t sbdf = PCI_SBDF(0, bus, PCI_DEVFN(slot, function));

                if ( pci_conf_read16(sbdf, PCI_VENDOR_ID) != 0xffff )
                    protect_function(sbdf, pv);
                else if ( !function )
                    break;
            }
}

/* By which devices are configured: into a set of pages, or out of it. */
static int __init change_configuration(const struct acpi_table_header *header,
                                       struct rangeset *set, bool add)
{
    const struct acpi_table_mcfg *table = (const void *)header;
    const struct acpi_mcfg_allocation *range = (const void *)(table + 1);
    const void *end = (const void *)header + header->length;

    for ( ; (const void *)(range + 1) <= end; range++ )
    {
        /* 1 MiB for each bus. */
        unsigned long base = PFN_DOWN(range->address);
        unsigned long first = base + (range->start_bus_number << 8);
        unsigned long last = base + (range->end_bus_number << 8) + 0xff;

        if ( range->start_bus_number > range->end_bus_number ||
             (add ? rangeset_add_range(set, first, last)
                  : rangeset_remove_range(set, first, last)) )
            panic("sevmon: cannot protect PCI configuration\n");
    }

    return 0;
}

/*
 * Of a PV Dom0 read-only, so that Xen sees what is written.  It finds these
 * pages by itself only where the firmware's memory map has them.
 */
static int __init cf_check
protect_configuration(struct acpi_table_header *header)
{
    return change_configuration(header, mmio_ro_ranges, true);
}

/* A PVH Dom0's: see close_xen_devices(). */
static int __init cf_check close_configuration(struct acpi_table_header *header)
{
    return change_configuration(header, hardware_domain->iomem_caps, false);
}

void __init sevmon_confine_early(const struct domain *d)
{
    /* Where the firmware jumps after some resets; a PV Dom0 may map it. */
    if ( rangeset_add_singleton(mmio_ro_ranges, 0) )
        panic("sevmon: cannot protect the first page\n");
    protect_bridges(is_pv_domain(d));
    acpi_table_parse(ACPI_SIG_MCFG, protect_configuration);
    sevmon_protect_efi();
}

/* ---- power management -------------------------------------------------- */

#ifdef CONFIG_HVM
/* A PVH kernel powers off by itself; see XENPF_enter_acpi_sleep. */
static int cf_check pm1_control(int dir, unsigned int port, unsigned int bytes,
                                uint32_t *value)
{
    if ( bytes != 2 || port & 1 )
    {
        if ( dir == IOREQ_READ )
            *value = ~0;
        return X86EMUL_OKAY;
    }

    if ( dir == IOREQ_READ )
    {
        *value = inw(port);
        return X86EMUL_OKAY;
    }

    if ( *value & PM1_SLP_EN )
        sevmon_end(false);
    outw(*value, port);

    return X86EMUL_OKAY;
}
#endif

static int __init close_pm1(struct domain *d,
                            const struct acpi_generic_address *block)
{
    unsigned int port = block->address;

    if ( !port || block->space_id != ACPI_ADR_SPACE_SYSTEM_IO )
        return 0;

#ifdef CONFIG_HVM
    if ( is_hvm_domain(d) )
        register_portio_handler(d, port, 2, pm1_control);
#endif

    /* PV: reads as all ones, so ACPI is on.  Sleep goes through Xen. */
    return ioports_deny_access(d, port, port + 1);
}

/*
 * What the firmware's tables give a kernel, and nothing else: ICH's SMI_EN and
 * watchdog raise system management interrupts.
 */
static int __init close_power_management(struct domain *d)
{
    const struct acpi_table_fadt *fadt = &acpi_gbl_FADT;
    unsigned int event = fadt->xpm1a_event_block.address;
    unsigned int general = fadt->xgpe0_block.address;
    unsigned int first = event & -PM_PORTS, last = first + PM_PORTS - 1;
    int rc;

    if ( !event ||
         fadt->xpm1a_event_block.space_id != ACPI_ADR_SPACE_SYSTEM_IO )
        return 0;

    rc = ioports_deny_access(d, first, last);
    rc |= ioports_permit_access(d, event, event + fadt->pm1_event_length - 1);
    if ( general >= first && general + fadt->gpe0_block_length - 1 <= last )
        rc |= ioports_permit_access(d, general,
                                    general + fadt->gpe0_block_length - 1);

    return rc;
}

/* What Dom0 would do first, by the port that is now closed. */
static void __init enable_acpi(void)
{
    unsigned int port = acpi_sinfo.pm1a_cnt_blk.address, wait_ms;

    if ( !acpi_smi_cmd || !acpi_enable_value || !port ||
         acpi_sinfo.pm1a_cnt_blk.space_id != ACPI_ADR_SPACE_SYSTEM_IO )
        return;

    if ( inw(port) & PM1_SCI_EN )
        return;

    outb(acpi_enable_value, acpi_smi_cmd);
    for ( wait_ms = 0; wait_ms < 3000 && !(inw(port) & PM1_SCI_EN); wait_ms++ )
        mdelay(1);
}

/* ---- ports and memory -------------------------------------------------- */

static int __init close_ports(struct domain *d)
{
    unsigned int i;
    int rc = 0;

    for ( i = 0; i < ARRAY_SIZE(closed_ports); i++ )
        rc |= ioports_deny_access(d, closed_ports[i].first,
                                  closed_ports[i].last);

    enable_acpi();
    if ( acpi_smi_cmd )
        rc |= ioports_deny_access(d, acpi_smi_cmd, acpi_smi_cmd);
    rc |= close_power_management(d);
    rc |= close_pm1(d, &acpi_sinfo.pm1a_cnt_blk);
    rc |= close_pm1(d, &acpi_sinfo.pm1b_cnt_blk);

    return rc;
}

/*
 * A PV Dom0 may map the first megabyte, and with it the code that starts
 * further CPUs and wakes the machine, in Xen's mode, from low RAM.  Of that
 * range firmware tables are in the first page and above the RAM.
 */
static int __init close_low_memory(struct domain *d)
{
    unsigned int i;
    int rc = 0;

    for ( i = 0; i < e820.nr_map; i++ )
    {
        const struct e820entry *e = &e820.map[i];
        unsigned long first = max(PFN_UP(e->addr), 1UL);
        unsigned long end = min(PFN_DOWN(e->addr + e->size), 0x100UL);

        if ( e->type == E820_RAM && first < end )
            rc |= iomem_deny_access(d, first, end - 1);
    }

    rc |= iomem_deny_access(d, PFN_DOWN(trampoline_phys),
                            PFN_UP(trampoline_phys + trampoline_end -
                                   trampoline_start) - 1);

    return rc;
}

/*
 * A PVH Dom0 sees none of these.  Xen would write into their pages on its
 * behalf, as beside a device's MSI-X table that is laid there; and the HPET's
 * timers then write into any memory, past the IOMMU.
 */
static int __init close_xen_devices(struct domain *d)
{
    unsigned int i;
    int rc = 0;

    if ( is_pv_domain(d) )
        return 0; /* read-only where it maps them itself */

    acpi_table_parse(ACPI_SIG_MCFG, close_configuration);
    if ( hpet_address )
        rc = iomem_deny_access(d, PFN_DOWN(hpet_address),
                               PFN_DOWN(hpet_address));
    for ( i = 0; i < nr_ioapics; i++ )
        rc |= iomem_deny_access(d, PFN_DOWN(mp_ioapics[i].mpc_apicaddr),
                                PFN_DOWN(mp_ioapics[i].mpc_apicaddr));

    return rc;
}

void __init sevmon_confine(struct domain *d)
{
    if ( close_ports(d) || close_low_memory(d) || close_xen_devices(d) )
        panic("sevmon: cannot confine Dom0\n");
    sevmon_note_ports(d);

    if ( sevmon_guests )
    {
        printk("sevmon: Dom0 may make guests: it controls Xen\n");
        return;
    }

    /* Not a control domain any more: policy.c. */
    d->is_privileged = false;
}
