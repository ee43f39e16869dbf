/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A Dom0 that crashed stays as it is for a while: an IDS reads it through
 * shared memory.  Without any there is nobody who could, and Xen goes on as it
 * would without us.
 */
#include <xen/init.h>
#include <xen/lib.h>
#include <xen/param.h>
#include <xen/sched.h>
#include <xen/shutdown.h>
#include <xen/tasklet.h>
#include <xen/time.h>
#include <xen/timer.h>

#include <public/sched.h>

#include "glue.h"

/* 0: not at all. */
static unsigned int __read_mostly seconds = 300;
integer_param("sevmon-hold", seconds);

static struct timer timer;
static bool held;
static unsigned int held_for; /* SHUTDOWN_* */

/* As Xen would have done at once: "noreboot" counts as much as it does then. */
static void cf_check let_go(void *unused)
{
    sevmon_end(true);
    hwdom_shutdown(held_for);
}

static DECLARE_TASKLET(tasklet, let_go, NULL);

static void cf_check expired(void *unused)
{
    tasklet_schedule(&tasklet);
}

/*
 * Under the domain's shutdown lock.  Where the machine goes down at once, its
 * memory may stay as it is: no keys are left there for what boots next.
 */
bool sevmon_holds(unsigned int reason)
{
    if ( !seconds || !sevmon_lanes_count() || !sevmon_agent_on ||
         (reason != SHUTDOWN_crash && reason != SHUTDOWN_watchdog) )
    {
        sevmon_end(true);
        return false;
    }
    if ( !held )
    {
        held = true;
        held_for = reason;
        printk("sevmon: Dom0 crashed: it can be read for %u s\n", seconds);
        init_timer(&timer, expired, NULL, smp_processor_id());
        set_timer(&timer, NOW() + SECONDS(seconds));
    }

    return true;
}
