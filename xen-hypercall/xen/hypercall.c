/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hypercall: a frame in, a frame out.  docs/hypercall.md.
 *
 * From the copy in to the copy out this runs on one CPU without scheduling,
 * so the CPU's work area and its vector registers belong to it.
 */
#include <xen/event.h>
#include <xen/guest_access.h>
#include <xen/hypercall.h>
#include <xen/lib.h>
#include <xen/sched.h>
#include <xen/spinlock.h>

#include <public/sevmon.h>

#include "glue.h"

bool sevmon_enter(struct sevmon_cpu *cpu)
{
    /* Either sevmon_end() waits for this, or this sees that it was called. */
    ACCESS_ONCE(cpu->busy) = true;
    smp_mb();

    if ( !ACCESS_ONCE(sevmon_agent_on) )
    {
        ACCESS_ONCE(cpu->busy) = false;
        return false;
    }
    sevmon_xmm_save(&cpu->xmm);

    return true;
}

void sevmon_leave(struct sevmon_cpu *cpu)
{
    sevmon_xmm_restore(&cpu->xmm);
    sevmon_wipe_stack();

    smp_mb();
    ACCESS_ONCE(cpu->busy) = false;
}

/* Hand in a frame; without one, go on with what `token` names. */
static int run_agent(struct sevmon_cpu *cpu, unsigned int frame_bytes,
                     unsigned int token)
{
    int rc;

    if ( !sevmon_enter(cpu) )
        return -ENODEV;
    rc = frame_bytes
         ? sevmon_agent_frame(&sevmon_agent, &cpu->work, frame_bytes)
         : sevmon_agent_continue(&sevmon_agent, &cpu->work, token);
    sevmon_leave(cpu);

    return rc;
}

/*
 * Dom0 can ask for sleep on several CPUs at once: the later ones wait until
 * all is wiped, and find nothing left.
 */
static DEFINE_SPINLOCK(end_lock);

/*
 * Longer than the agent is busy, unless what it reads made Xen end Dom0: it
 * then waits for this, here or for a lock, and is not gone back to.  A sleep
 * may fail, so nothing is wiped under an agent that goes on.
 */
#define DOWN_NS SECONDS(1)

void sevmon_end(bool goes_down)
{
    s_time_t until;
    unsigned int i;

    spin_lock(&end_lock);

    ACCESS_ONCE(sevmon_agent_on) = false;
    smp_mb();

    until = NOW() + DOWN_NS;
    for ( i = 0; i < nr_cpu_ids; i++ )
    {
        while ( sevmon_cpus[i] && ACCESS_ONCE(sevmon_cpus[i]->busy) &&
                (!goes_down || NOW() < until) )
            cpu_relax();
        if ( sevmon_cpus[i] )
            sevmon_wipe(&sevmon_cpus[i]->work, sizeof(sevmon_cpus[i]->work));
    }

    sevmon_agent_end(&sevmon_agent);
    sevmon_random_end();

    spin_unlock(&end_lock);
}

/* The sizes that a command can have. */
static bool is_valid(unsigned int cmd, unsigned int in_bytes,
                     unsigned int out_bytes)
{
    if ( out_bytes < XEN_SEVMON_MAX_ANSWER_BYTES )
        return false;

    return cmd == XEN_SEVMON_OP_continue ||
           (in_bytes >= sizeof(struct sevmon_header) &&
            in_bytes <= XEN_SEVMON_MAX_FRAME_BYTES);
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

    if ( cmd != XEN_SEVMON_OP_frame && cmd != XEN_SEVMON_OP_continue )
        return -EOPNOTSUPP;

    if ( !is_valid(cmd, in_bytes, out_bytes) )
        return -EINVAL;

    if ( !sevmon_agent_on || !cpu )
        return -ENODEV;

    if ( cmd == XEN_SEVMON_OP_continue )
        rc = run_agent(cpu, 0, in_bytes);
    else if ( copy_from_guest(sevmon_work_in(&cpu->work), in, in_bytes) )
        return -EFAULT;
    else
        rc = run_agent(cpu, in_bytes, 0);

    /* The run or the check of a program, a slice at a time. */
    while ( rc == -ERESTART )
    {
        unsigned int token = sevmon_work_token(&cpu->work);

        if ( hypercall_preempt_check() )
            return hypercall_create_continuation(
                __HYPERVISOR_sevmon_op, "ihihi", XEN_SEVMON_OP_continue, in,
                token, out, out_bytes);
        rc = run_agent(cpu, 0, token);
    }
    if ( rc <= 0 )
        return rc;

    /* Sealed, in private memory, and of the size that the session has. */
    if ( copy_to_guest(out, sevmon_work_out(&cpu->work), rc) )
        return -EFAULT;

    return rc;
}
