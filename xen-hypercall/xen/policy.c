/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What Dom0 may ask of Xen.  docs/dom0-powers.md has a row for each operation.
 *
 * Default deny: once built, Dom0 is no longer a control domain (confine.c).
 * To Xen's own checks it is then a guest like any other, so every operation
 * that needs privilege, of this and of later versions of Xen, is refused
 * without a line here.  What follows gives back what the hardware domain needs
 * to run the machine, and takes what Xen gives to any guest.
 *
 * The hooks run in Xen's own code, after it has copied the operation in.
 */
#include <xen/init.h>
#include <xen/param.h>
#include <xen/pci.h>
#include <xen/sched.h>

#include <public/physdev.h>
#include <public/platform.h>
#include <public/sysctl.h>

#include <xsm/xsm.h>

#include "glue.h"

/* Dom0 may make and run guests, and so all that a stock Xen lets it. */
bool __ro_after_init sevmon_guests;
boolean_param("sevmon-guests", sevmon_guests);

/* Xen itself, while it builds Dom0, or Dom0. */
static int hardware(void)
{
    const struct domain *d = current->domain;

    return is_hardware_domain(d) || is_system_domain(d) ? 0 : -EPERM;
}

static int cf_check policy_platform_op(uint32_t op)
{
    if ( hardware() )
        return -EPERM;

    switch ( op )
    {
    case XENPF_settime32: /* of guests; the agent's clock is another one */
    case XENPF_settime64:
    case XENPF_firmware_info:
    case XENPF_get_cpuinfo:
    case XENPF_get_cpu_version:
    case XENPF_getidletime:
#ifdef XENPF_get_dom0_console /* since Xen 4.18 */
    case XENPF_get_dom0_console:
#endif
        return 0;

    case XENPF_enter_acpi_sleep:
        /*
         * To power off.  But which state the machine enters is a number that
         * Dom0 knows, and from S3 the firmware jumps to where Dom0 says, with
         * all memory as it was.
         */
        sevmon_end(false);
        return 0;
    }

    return -EPERM;
}

static int may_sysctl(unsigned int op)
{
    if ( hardware() )
        return -EPERM;

    switch ( op )
    {
    case XEN_SYSCTL_readconsole:
    case XEN_SYSCTL_physinfo:
    case XEN_SYSCTL_getdomaininfolist:
        return 0;
    }

    /* For guests: what a toolstack asks about CPUs and the scheduler. */
    return sevmon_guests && (op == XEN_SYSCTL_cputopoinfo ||
                             op == XEN_SYSCTL_numainfo ||
                             op == XEN_SYSCTL_cpupool_op ||
                             op == XEN_SYSCTL_sched_id ||
                             op == XEN_SYSCTL_get_cpu_featureset) ? 0 : -EPERM;
}

/* To read it, not to lose what Xen said. */
static int cf_check policy_readconsole(uint32_t clear)
{
    return clear ? -EPERM : 0;
}

#if __has_include(<asm/bootinfo.h>) /* Xen 4.20 has one hook for both */
static int cf_check policy_sysctl(const struct xen_sysctl *op)
{
    if ( op->cmd == XEN_SYSCTL_readconsole &&
         policy_readconsole(op->u.readconsole.clear) )
        return -EPERM;

    return may_sysctl(op->cmd);
}
#else
static int cf_check policy_sysctl(int op)
{
    return may_sysctl(op);
}
#endif

static int cf_check policy_console_io(struct domain *d, int cmd)
{
    return is_hardware_domain(d) ? 0 : -EPERM;
}

/* A PV kernel asks where the machine's RAM and devices are. */
static int cf_check policy_machine_memory_map(void)
{
    return hardware();
}

static int cf_check policy_pci(uint32_t machine_bdf)
{
    return hardware();
}

static pci_sbdf_t sbdf_of(uint32_t machine_bdf)
{
    return (pci_sbdf_t){ .sbdf = machine_bdf };
}

/* A PVH Dom0's devices are emulated, perhaps on another CPU at that moment. */
static bool is_emulated(pci_sbdf_t sbdf)
{
    bool found;

    if ( !is_hvm_domain(current->domain) )
        return false;
    pcidevs_lock();
    found = pci_get_pdev(current->domain, sbdf);
    pcidevs_unlock();

    return found;
}

/*
 * Xen never forgets a name that it was told: there has to be something.  (A
 * virtual function has no vendor, but a class.)  A PVH Dom0 may say again what
 * it has, as Linux does; what it got later Xen would set up beside it.
 */
static int cf_check policy_plug_pci(uint32_t machine_bdf)
{
    if ( hardware() )
        return -EPERM;
    if ( pci_conf_read32(sbdf_of(machine_bdf), PCI_CLASS_REVISION) == ~0U )
        return -ENODEV;
    if ( is_hvm_domain(current->domain) && !is_emulated(sbdf_of(machine_bdf)) )
        return -EPERM;

    return 0;
}

/*
 * A device that Dom0 has taken away and given again is Dom0's, whoever had it
 * before.  Xen 4.17 would then emulate it for a PVH one, memory and all.
 */
static int cf_check policy_unplug_pci(uint32_t machine_bdf)
{
    const unsigned long *ro_map = pci_get_ro_map(machine_bdf >> 16);

    if ( ro_map && test_bit(machine_bdf & 0xffff, ro_map) )
        return -EPERM;
    if ( hardware() || is_emulated(sbdf_of(machine_bdf)) )
        return -EPERM;

    return 0;
}

static int cf_check policy_gsi(int gsi)
{
    return hardware();
}

/* Which of the ranges that the firmware's table names are configuration. */
static int cf_check policy_misc(void)
{
    return hardware();
}

/* Its own devices' interrupts. */
static int cf_check policy_domain_pirq(struct domain *d)
{
    if ( is_system_domain(current->domain) || sevmon_guests )
        return hardware();

    return hardware() ?: d == current->domain ? 0 : -EPERM;
}

/* Only Xen programs the I/O APICs.  The third one allocates nothing any more. */
static int cf_check policy_apic(struct domain *d, int cmd)
{
    if ( is_hardware_domain(d) &&
         (cmd == PHYSDEVOP_apic_read || cmd == PHYSDEVOP_alloc_irq_vector) )
        return 0;

    return -EPERM;
}

/* PV: each configuration access of Dom0's, through ports and memory alike. */
static int cf_check policy_pci_config(struct domain *d, uint32_t machine_bdf,
                                      uint16_t start, uint16_t end,
                                      uint8_t write)
{
    return write && !sevmon_pci_writable(machine_bdf, start, end) ? -EPERM : 0;
}

/* Xenoprof and the performance counters sample Xen, too. */
static int cf_check policy_profile(struct domain *d, int op)
{
    return -EPERM;
}

static int cf_check policy_pmu(struct domain *d, unsigned int op)
{
    return -EPERM;
}

/*
 * Before Xen calls any hook for the first time, and before it patches the
 * calls.  xsm_fixup_ops() then fills only what is still empty.
 */
void __init sevmon_set_policy(void)
{
    xsm_ops.platform_op = policy_platform_op;
    xsm_ops.sysctl = policy_sysctl;
#if !__has_include(<asm/bootinfo.h>)
    xsm_ops.readconsole = policy_readconsole;
#endif
    xsm_ops.console_io = policy_console_io;
    xsm_ops.machine_memory_map = policy_machine_memory_map;
    xsm_ops.resource_plug_pci = policy_plug_pci;
    xsm_ops.resource_unplug_pci = policy_unplug_pci;
    xsm_ops.resource_setup_pci = policy_pci;
    xsm_ops.resource_setup_gsi = policy_gsi;
    xsm_ops.resource_setup_misc = policy_misc;
    xsm_ops.map_domain_pirq = policy_domain_pirq;
    xsm_ops.unmap_domain_pirq = policy_domain_pirq;
    xsm_ops.apic = policy_apic;
    xsm_ops.pci_config_permission = policy_pci_config;
    xsm_ops.profile = policy_profile;
    xsm_ops.pmu_op = policy_pmu;
}
