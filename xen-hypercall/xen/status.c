/* SPDX-License-Identifier: GPL-2.0-only */
/* What Xen knows of the machine under it, for the status item. */
#include <xen/init.h>
#include <xen/iommu.h>
#include <xen/lib.h>
#include <xen/pci.h>
#include <xen/pci_regs.h>
#include <xen/string.h>
#include <xen/version.h>

#include <asm/msr.h>
#include <asm/p2m.h>
#include <asm/processor.h>

#include "../../../drivers/passthrough/amd/iommu.h"
#include "../../../drivers/passthrough/vtd/dmar.h"
#include "glue.h"

#define CLASS_BRIDGE 0x06   /* of any kind */
#define CLASS_IOMMU  0x0806

/* AMD APM vol. 2, 15.34.10 and vol. 3, E.4.17. */
#define MSR_SEV_STATUS     0xc0010131
#define CPUID_SEV          0x8000001f
#define CPUID_SEV_SUPPORT  (1U << 1) /* EAX */

static uint8_t __ro_after_init sev;
static uint64_t __ro_after_init c_bit;
static bool __ro_after_init dom0_confined;

void __init sevmon_probe_sev(void)
{
    uint64_t value;

    if ( cpuid_eax(0x80000000) < CPUID_SEV ||
         !(cpuid_eax(CPUID_SEV) & CPUID_SEV_SUPPORT) ||
         rdmsr_safe(MSR_SEV_STATUS, value) )
        return;

    /* The MSR's bits 0 to 2 are ours. */
    BUILD_BUG_ON(SEVMON_SEV_ENABLED != 1 || SEVMON_SEV_ES != 2 ||
                 SEVMON_SEV_SNP != 4);
    sev = value & (SEVMON_SEV_ENABLED | SEVMON_SEV_ES | SEVMON_SEV_SNP);

    /* On a host that offers SEV but is no guest the bit is not in use. */
    if ( sev & SEVMON_SEV_ENABLED )
        c_bit = 1ULL << (cpuid_ebx(CPUID_SEV) & 0x3f);
}

uint64_t sevmon_c_bit_mask(void)
{
    return c_bit;
}

/* Does the firmware's table give it to an IOMMU?  Xen only says so if not. */
static bool __init has_iommu(const struct pci_dev *pdev)
{
    return acpi_find_matched_drhd_unit(pdev) ||
           find_iommu_for_device(pdev->seg, pdev->sbdf.bdf);
}

/* Bridges write nothing of their own; an IOMMU only what Xen tells it to. */
static const char *__init escape_of(const struct pci_dev *pdev)
{
    uint16_t class = pci_conf_read16(pdev->sbdf, PCI_CLASS_DEVICE);

    if ( sevmon_virtio_escapes(pdev->sbdf) )
        return "a virtio device that no IOMMU confines";
    if ( class >> 8 != CLASS_BRIDGE && class != CLASS_IOMMU &&
         !has_iommu(pdev) )
        return "a device that has no IOMMU";

    return NULL;
}

/* Only of devices that are there at boot: the host would have to add others. */
static bool __init has_escaping_device(const struct domain *d)
{
    const struct pci_dev *pdev;
    bool found = false;

    for_each_pdev ( d, pdev )
    {
        const char *escape = escape_of(pdev);

        if ( !escape )
            continue;
        printk("sevmon: %pp: %s\n", &pdev->sbdf, escape);
        found = true;
    }

    return found;
}

/*
 * Passed through, Dom0's devices reach everything.  In relaxed mode, a PV
 * Dom0's default, all RAM but Xen's image is mapped for them: Xen's heap, its
 * stacks and page tables, and the agent's work areas with it.  Only strict
 * mode confines them to Dom0's own memory.  Without interrupt remapping they
 * raise any vector on any CPU by a write.  Xen forgets its mode when it has
 * booted, so it is noted before.
 *
 * A Dom0 that controls Xen could change all of that later.
 */
void __init sevmon_probe_iommu(const struct domain *d)
{
    dom0_confined = is_iommu_enabled(d) && !iommu_hwdom_passthrough &&
                    iommu_hwdom_strict && iommu_intremap && !sevmon_guests &&
                    !has_escaping_device(d);
}

/* Whoever the target is: Dom0's devices could write into Xen, too. */
static uint8_t iommu_state(const struct domain *d)
{
    return dom0_confined && is_iommu_enabled(d) ? SEVMON_IOMMU_ON
                                                : SEVMON_IOMMU_NONE;
}

void cf_check sevmon_status(const struct sevmon_target *target,
                            struct sevmon_status *status)
{
    struct domain *d = target->domain;

    status->host = SEVMON_HOST_XEN;
    status->key_source = sevmon_key_source ? sevmon_key_source->id : 0;
    status->sev = sev;
    status->iommu = iommu_state(d);
    status->target_frames = is_pv_domain(d) ? max_page
                                            : domain_get_maximum_gpfn(d) + 1;
    status->target_vcpus = d->max_vcpus;
    status->c_bit_mask = c_bit;
    status->lanes = sevmon_lanes_count();
    status->lanes_ns = ACCESS_ONCE(sevmon_lanes_ns);
    snprintf(status->host_version, sizeof(status->host_version), "%u.%u%s",
             xen_major_version(), xen_minor_version(), xen_extra_version());
}
