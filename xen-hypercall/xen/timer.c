/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Standing programs: a timer of Xen's, and a tasklet for what is due.  The
 * tasklet runs in the idle vCPU's context: whichever vCPU the CPU was running
 * is not in the middle of anything, and can be paused like the others.
 */
#include <xen/sched.h>
#include <xen/spinlock.h>
#include <xen/tasklet.h>
#include <xen/timer.h>

#include "glue.h"

static struct timer timer;

static DEFINE_SPINLOCK(wake_lock);
static s_time_t wake_at; /* what the timer is set to; 0: nothing */

static void cf_check tick(void *unused)
{
    struct sevmon_cpu *cpu = sevmon_this_cpu();

    spin_lock(&wake_lock);
    wake_at = 0;
    spin_unlock(&wake_lock);

    /* Vector registers can still be those of the vCPU that was running. */
    sync_local_execstate();
    if ( cpu && sevmon_enter(cpu) )
    {
        sevmon_agent_tick(&sevmon_agent);
        sevmon_leave(cpu);
    }
}

static DECLARE_TASKLET(tasklet, tick, NULL);

static void cf_check expired(void *unused)
{
    tasklet_schedule(&tasklet);
}

/*
 * On any CPU: a vCPU of the target's that always loses the same one would learn
 * from that when it is looked at.
 */
static unsigned int draw_cpu(void)
{
    unsigned int cpu = smp_processor_id(), draw;

    if ( !sevmon_random(&draw, sizeof(draw)) )
        for ( draw %= num_online_cpus(); draw; draw-- )
            cpu = cpumask_cycle(cpu, &cpu_online_map);

    return cpu;
}

/* An earlier time that it is set to stays: the tick asks for more. */
void cf_check sevmon_wake(uint64_t at_ns)
{
    unsigned int cpu = draw_cpu();
    s_time_t at = at_ns;

    spin_lock(&wake_lock);
    if ( !wake_at || at < wake_at )
    {
        wake_at = at;
        migrate_timer(&timer, cpu);
        set_timer(&timer, at);
    }
    spin_unlock(&wake_lock);
}

void __init sevmon_timer_init(void)
{
    init_timer(&timer, expired, NULL, smp_processor_id());
}
