/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stopping a target for an atomic run.
 *
 * domain_pause_except_self() waits for as long as it takes, and a vCPU of
 * Dom0's can take long: in a hypercall that waits for the agent (asking for
 * sleep), or for the very vCPU that pauses it.  So this asks all of them to
 * stop, waits up to a moment in time, and lets go of them if one did not.
 */
#include <xen/lib.h>
#include <xen/sched.h>
#include <xen/time.h>

#include "glue.h"

/*
 * One at a time: two that pause each other's vCPUs would both wait.  Whoever
 * finds it taken does not wait either.
 */
static bool pausing;

/* Only those that were asked: a guest can get another vCPU meanwhile. */
static unsigned int paused_vcpus;

static void let_go(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu ( d, v )
        if ( v != current && v->vcpu_id < paused_vcpus )
            vcpu_unpause(v);
    smp_mb();
    ACCESS_ONCE(pausing) = false;
}

/* As vcpu_sleep_sync() does it, but for the end. */
static bool has_stopped(struct vcpu *v, uint64_t until_ns)
{
    while ( ACCESS_ONCE(v->is_running) )
    {
        if ( (uint64_t)NOW() >= until_ns || !ACCESS_ONCE(sevmon_agent_on) )
            return false;
        cpu_relax();
    }
    sync_vcpu_execstate(v);

    return true;
}

bool cf_check sevmon_pause(struct sevmon_target *target, uint64_t until_ns)
{
    struct domain *d = target->domain;
    struct vcpu *v;

    if ( test_and_set_bool(pausing) )
        return false;

    paused_vcpus = 0;
    for_each_vcpu ( d, v )
    {
        if ( v != current )
            vcpu_pause_nosync(v);
        paused_vcpus = v->vcpu_id + 1;
    }
    for_each_vcpu ( d, v )
        if ( v != current && v->vcpu_id < paused_vcpus &&
             !has_stopped(v, until_ns) )
        {
            let_go(d);
            return false;
        }

    return true;
}

void cf_check sevmon_resume(struct sevmon_target *target)
{
    let_go(target->domain);
}
