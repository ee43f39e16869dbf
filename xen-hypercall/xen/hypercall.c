/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hypercall: a frame in, a frame out.  docs/hypercall.md.
 *
 * From the copy in to the copy out this runs on one CPU without scheduling,
 * so the CPU's work area and its vector registers belong to it.
 */
#include <xen/guest_access.h>
#include <xen/hypercall.h>
#include <xen/lib.h>
#include <xen/sched.h>

#include <public/sevmon.h>

#include "glue.h"

static int run_agent(struct sevmon_cpu *cpu, unsigned int frame_bytes)
{
    int rc = -ENODEV;

    /* Either sevmon_end() waits for this, or this sees that it was called. */
    ACCESS_ONCE(cpu->busy) = true;
    smp_mb();

    if ( ACCESS_ONCE(sevmon_agent_on) )
    {
        sevmon_xmm_save(&cpu->xmm);
        rc = sevmon_agent_frame(&sevmon_agent, &cpu->work, frame_bytes);
        sevmon_xmm_restore(&cpu->xmm);
        sevmon_wipe_stack();
    }

    smp_mb();
    ACCESS_ONCE(cpu->busy) = false;

    return rc;
}

void sevmon_end(void)
{
    unsigned int i;

    ACCESS_ONCE(sevmon_agent_on) = false;
    smp_mb();

    for ( i = 0; i < nr_cpu_ids; i++ )
    {
        while ( sevmon_cpus[i] && ACCESS_ONCE(sevmon_cpus[i]->busy) )
            cpu_relax();
        if ( sevmon_cpus[i] )
            sevmon_wipe(&sevmon_cpus[i]->work, sizeof(sevmon_cpus[i]->work));
    }

    sevmon_wipe(&sevmon_agent, sizeof(sevmon_agent));
}

long do_sevmon_op(unsigned int cmd, XEN_GUEST_HANDLE_PARAM(void) in,
                  unsigned int in_bytes, XEN_GUEST_HANDLE_PARAM(void) out,
                  unsigned int out_bytes)
{
    struct sevmon_cpu *cpu = sevmon_this_cpu();
    int rc;

    BUILD_BUG_ON(XEN_SEVMON_MAX_FRAME_BYTES != SEVMON_REQUEST_FRAME_BYTES);
    BUILD_BUG_ON(XEN_SEVMON_MAX_ANSWER_BYTES != SEVMON_MAX_FRAME_BYTES);

    if ( !is_hardware_domain(current->domain) )
        return -EPERM;

    if ( cmd != XEN_SEVMON_OP_frame )
        return -EOPNOTSUPP;

    if ( in_bytes < sizeof(struct sevmon_header) ||
         in_bytes > XEN_SEVMON_MAX_FRAME_BYTES ||
         out_bytes < XEN_SEVMON_MAX_ANSWER_BYTES )
        return -EINVAL;

    if ( !sevmon_agent_on || !cpu )
        return -ENODEV;

    if ( copy_from_guest(sevmon_work_in(&cpu->work), in, in_bytes) )
        return -EFAULT;

    rc = run_agent(cpu, in_bytes);
    if ( rc <= 0 )
        return rc;

    /* Sealed, in private memory, and of the size that the session has. */
    if ( copy_to_guest(out, sevmon_work_out(&cpu->work), rc) )
        return -EFAULT;

    return rc;
}
