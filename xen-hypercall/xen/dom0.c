/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the agent does to Dom0 around its construction: before Xen builds it,
 * and once it is built, before it runs.
 */
#include <xen/init.h>
#include <xen/lib.h>

#include "glue.h"

#ifdef SEVMON_BOOT_INFO

void __init sevmon_before_dom0(const struct boot_info *bi)
{
    unsigned int kernel = first_boot_module_index(bi, BOOTMOD_KERNEL);
    unsigned int initrd = first_boot_module_index(bi, BOOTMOD_RAMDISK);
    const struct boot_module *image = &bi->mods[kernel];

    sevmon_confine_early(hardware_domain);
    sevmon_record_files(image, image->headroom,
                        initrd < bi->nr_modules ? &bi->mods[initrd] : NULL,
                        image->cmdline_pa ? __va(image->cmdline_pa) : NULL);
}

#else /* !SEVMON_BOOT_INFO */

void __init sevmon_before_dom0(const module_t *kernel, unsigned long headroom,
                               const module_t *initrd, const char *cmdline)
{
    sevmon_confine_early(hardware_domain);
    sevmon_record_files(kernel, headroom, initrd, cmdline);
}

#endif /* SEVMON_BOOT_INFO */

void __init sevmon_dom0_built(struct domain *d)
{
    sevmon_record_origin(d);
    sevmon_confine(d);
    sevmon_probe_iommu(d);
    if ( sevmon_deny_keys(d) )
        panic("sevmon: cannot keep Dom0 from the key's copies\n");
    if ( sevmon_deny_shm(d) )
        panic("sevmon: cannot keep Dom0 from shared memory\n");

    sevmon_scan();
    sevmon_bench();
}
