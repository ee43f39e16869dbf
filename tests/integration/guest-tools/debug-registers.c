/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a vCPU's state show the debug registers that the caller has set?
 *
 *   debug-registers --key HEX
 *
 * Sets a hardware breakpoint for itself, as rootkits do to divert a kernel that
 * they leave unchanged, and asks the agent for its own vCPU's registers.
 * Prints "debug-registers: OK"; else what the state says, exit 1.
 */
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <sys/syscall.h>

#include "sevmon-session.h"

static struct session session;
static uint64_t watched __attribute__((__aligned__(8)));

static struct sevmon_vcpu_state own_state(void)
{
    struct sevmon_request_body body = {
        .head = { .domid = SEVMON_DOMID_DOM0, .items = 1 },
        .items = { session_item(SEVMON_ITEM_VCPU_STATE, 0, 0) },
    };
    struct sevmon_vcpu_state state;

    if ( session_ask(&session, &body)->status != SEVMON_ANSWER_OK ||
         session_results(&session)[0].status != SEVMON_STATUS_OK )
    {
        printf("debug-registers: FAILED: no vCPU state\n");
        exit(1);
    }
    memcpy(&state, session_data(&session, 0), sizeof(state));

    return state;
}

static int set_breakpoint(void)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_BREAKPOINT,
        .size = sizeof(attr),
        .bp_type = HW_BREAKPOINT_W,
        .bp_addr = (uintptr_t)&watched,
        .bp_len = HW_BREAKPOINT_LEN_8,
        .exclude_hv = 1,
    };
    int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);

    if ( fd < 0 )
    {
        perror("perf_event_open");
        exit(1);
    }

    return fd;
}

/* Which of the four; -1: none. */
static int shown(const struct sevmon_vcpu_state *state)
{
    for ( int i = 0; i < 4; i++ )
        if ( state->dr[i] == (uintptr_t)&watched && (state->dr[7] >> (2 * i) & 3) )
            return i;

    return -1;
}

static void expect(const char *what, bool wanted)
{
    struct sevmon_vcpu_state state = own_state();

    if ( !(state.flags & SEVMON_VCPU_CALLER) || (shown(&state) >= 0) != wanted )
    {
        printf("debug-registers: FAILED: %s: flags=%#x dr0=%#lx dr1=%#lx dr2=%#lx dr3=%#lx dr6=%#lx "
               "dr7=%#lx\n", what, state.flags, state.dr[0], state.dr[1], state.dr[2],
               state.dr[3], state.dr[6], state.dr[7]);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    cpu_set_t set;
    int fd;

    if ( argc != 3 || strcmp(argv[1], "--key") )
    {
        fprintf(stderr, "usage: debug-registers --key HEX\n");
        return 2;
    }
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    sched_setaffinity(0, sizeof(set), &set);
    session_init(&session, sevmon_open(), argv[2], 3, SEVMON_CLASS_1_PAGE);
    session_open(&session);
    expect("before", false);
    for ( unsigned int i = 0; i < 20; i++ )
    {
        fd = set_breakpoint();
        expect("with a breakpoint", true);
        close(fd);
        expect("without it", false);
    }
    printf("debug-registers: OK\n");

    return 0;
}
