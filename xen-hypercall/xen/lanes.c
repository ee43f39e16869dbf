/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Serving shared memory without any action of Dom0's: a timer looks at the
 * lanes, and a tasklet answers what is there.
 *
 * Nobody says that something was written, so the time between two looks is what
 * a first request waits, and what looking costs.  While requests keep coming the
 * tasklet looks without a pause; then the timer looks ever more rarely.
 *
 * A CPU that somebody else wants gets as much time back as was taken from it.
 */
#include <xen/sched.h>
#include <xen/softirq.h>
#include <xen/tasklet.h>
#include <xen/time.h>
#include <xen/timer.h>

#include "glue.h"
#include "agent/lane.h"

/* Of the tasklet without a break. */
#define SLICE_NS MICROSECS(500)
/* An IDS that has more to ask asks it within that time. */
#define LINGER_NS MICROSECS(200)
/* Between two looks: soon after an answer; with a client; without any. */
#define SOON_NS MICROSECS(50)
#define SLOW_NS MICROSECS(250)
#define IDLE_NS MILLISECS(10)

static struct sevmon_lane lanes[SEVMON_SHM_MAX_DEVICES * SEVMON_SHM_MAX_LANES];
static unsigned int __ro_after_init count;

static struct timer timer;

/* The timer's and the tasklet's, which do not run at the same time. */
static s_time_t poll_ns = IDLE_NS;
static bool was_idle; /* nobody wanted the CPU */

uint64_t sevmon_lanes_ns;

void __init sevmon_lanes_add(void *memory, unsigned int more)
{
    unsigned int i;

    for ( i = 0; i < more; i++ )
        sevmon_lane_init(&lanes[count++], memory + i * SEVMON_LANE_BYTES, more);
}

unsigned int sevmon_lanes_count(void)
{
    return count;
}

static bool is_due(void)
{
    unsigned int i;

    for ( i = 0; i < count; i++ )
        if ( sevmon_lane_is_due(&lanes[i]) )
            return true;

    return false;
}

static s_time_t slowest(void)
{
    unsigned int i;

    for ( i = 0; i < count; i++ )
        if ( lanes[i].serves )
            return SLOW_NS;

    return IDLE_NS;
}

static void look_again(s_time_t began, s_time_t rest_ns)
{
    s_time_t now = NOW();

    sevmon_lanes_ns += now - began;
    set_timer(&timer, now + rest_ns);
}

/* The tasklet's time is up, or something else wants the CPU. */
static bool is_over(s_time_t began)
{
    return NOW() - began >= SLICE_NS || softirq_pending(smp_processor_id());
}

/*
 * One thing of each lane, from where it ended the last time: there can be more
 * lanes with something to do than time.  Returns whether there was any.
 */
static bool serve_each(struct sevmon_cpu *cpu, s_time_t began)
{
    static unsigned int turn;
    bool did = false, over = false;
    unsigned int i;

    for ( i = 0; i < count && !over; i++ )
    {
        struct sevmon_lane *lane = &lanes[turn];
        enum sevmon_lane_state state;

        turn = (turn + 1) % count;
        if ( !sevmon_lane_is_due(lane) )
            continue;
        state = sevmon_lane_poll(&sevmon_agent, lane, &cpu->work);
        did |= state == SEVMON_LANE_ANSWERED || state == SEVMON_LANE_RUNNING;
        over = is_over(began);
    }

    return did;
}

/* Returns whether it did anything. */
static bool serve(struct sevmon_cpu *cpu, s_time_t began)
{
    s_time_t last = began;
    bool did = false;

    do {
        if ( serve_each(cpu, began) )
        {
            did = true;
            last = NOW();
        }
        else if ( !did )
            break; /* it was due, and there is nothing that can be done */
        else
            cpu_relax();
    } while ( !is_over(began) && NOW() - last < LINGER_NS );

    return did;
}

/* There is no agent any more: clients find out, and the timer is not set. */
static void end_lanes(void)
{
    unsigned int i;

    for ( i = 0; i < count; i++ )
        sevmon_lane_end(&lanes[i]);
}

static void cf_check serve_lanes(void *unused)
{
    struct sevmon_cpu *cpu = sevmon_this_cpu();
    s_time_t began = NOW(), rest_ns;
    bool did;

    if ( !cpu || !sevmon_enter(cpu) )
    {
        end_lanes();
        return;
    }
    did = serve(cpu, began);
    sevmon_leave(cpu);

    poll_ns = did ? SOON_NS : min(2 * poll_ns, slowest());
    rest_ns = poll_ns;
    if ( !was_idle )
        rest_ns = max(rest_ns, NOW() - began);
    look_again(began, rest_ns);
}

static DECLARE_TASKLET(tasklet, serve_lanes, NULL);

static void cf_check expired(void *unused)
{
    s_time_t began = NOW();

    if ( !ACCESS_ONCE(sevmon_agent_on) )
    {
        end_lanes();
        return;
    }

    was_idle = is_idle_vcpu(current);
    if ( is_due() )
    {
        tasklet_schedule(&tasklet);
        return;
    }
    poll_ns = min(2 * poll_ns, slowest());
    look_again(began, poll_ns);
}

void __init sevmon_lanes_start(void)
{
    if ( !count )
        return;
    init_timer(&timer, expired, NULL, smp_processor_id());
    set_timer(&timer, NOW() + poll_ns);
}
