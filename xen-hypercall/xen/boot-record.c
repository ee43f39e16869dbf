/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What Dom0 was started from: digests of the kernel's and the initrd's bytes
 * as the boot loader handed them over, and of the command line as Dom0 gets
 * it, with what Xen adds; and where the first instruction is.  Written before
 * Dom0 runs, never after.
 */
#include <xen/domain_page.h>
#include <xen/init.h>
#include <xen/mm.h>
#include <xen/sha2.h>
#include <xen/string.h>

#include <asm/mm.h>

#include "glue.h"

static struct sevmon_boot_record __ro_after_init boot;

static void __init digest(struct sevmon_file_digest *file, const void *bytes,
                          size_t count)
{
    sha2_256_digest(file->sha256, bytes, count);
    file->bytes = count;
}

/* Xen moved the kernel up, to make room for its unpacking: `headroom`. */
void __init sevmon_record_files(const sevmon_module_t *kernel,
                                unsigned long headroom,
                                const sevmon_module_t *initrd,
                                const char *cmdline)
{
    digest(&boot.kernel, sevmon_module_bytes(kernel) + headroom,
           sevmon_module_size(kernel) - headroom);

    if ( initrd )
        digest(&boot.initrd, sevmon_module_bytes(initrd),
               sevmon_module_size(initrd));

    if ( cmdline && *cmdline )
        digest(&boot.cmdline, cmdline, strlen(cmdline));
}

/* The frame that holds `address` in the tables that Xen made for Dom0. */
static uint64_t __init frame_of(struct vcpu *v, unsigned long address)
{
    uint64_t frame = 0;
#ifdef CONFIG_PV
    const void *p = do_page_walk(v, address);

    if ( p )
    {
        frame = mfn_x(domain_page_map_to_mfn(p));
        unmap_domain_page(p);
    }
#endif
    return frame;
}

void __init sevmon_record_origin(const struct domain *d)
{
    struct vcpu *v = d->vcpu[0];

    boot.origin_address = v->arch.user_regs.rip;
    if ( is_pv_domain(d) )
    {
        boot.origin = SEVMON_ORIGIN_PV;
        boot.origin_frame = frame_of(v, boot.origin_address);
    }
    else
    {
        boot.origin = SEVMON_ORIGIN_PVH;
        boot.origin_frame = PFN_DOWN(boot.origin_address);
    }
}

unsigned int cf_check sevmon_boot_record(const struct sevmon_target *target,
                                         struct sevmon_boot_record *record)
{
    struct domain *d = target->domain;

    /* Others were built by a toolstack in Dom0, not by Xen. */
    if ( !is_hardware_domain(d) )
        return SEVMON_STATUS_UNSUPPORTED;

    *record = boot;
    if ( is_pv_domain(d) && domain_vcpu(d, 0) )
        sevmon_entry_history(domain_vcpu(d, 0), record);

    return SEVMON_STATUS_OK;
}
