/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "run.h"
#include "helpers.h"
#include "program.h"

#define NS_PER_US 1000ULL

bool sevmon_run_is_valid(const struct sevmon_run_head *asked)
{
    if ( !asked->budget || asked->budget > SEVMON_RUN_MAX_BUDGET )
        return false;
    if ( asked->flags == SEVMON_RUN_ATOMIC )
        return asked->pause_us && asked->pause_us <= SEVMON_RUN_MAX_PAUSE_US;

    return !asked->flags && !asked->pause_us;
}

void sevmon_run_wipe(struct sevmon_run *run)
{
    sevmon_wipe(run->result, run->report.result_bytes);
    sevmon_wipe(run->order.input, sizeof(run->order.input));
    sevmon_wipe(&run->bpf, sizeof(run->bpf));
    sevmon_wipe(&run->vcpu_state, sizeof(run->vcpu_state));
    sevmon_wipe(&run->digest_key, sizeof(run->digest_key));
}

void sevmon_run_begin(struct sevmon_run *run, uint8_t *map)
{
    struct sevmon_program *program = run->program;
    const struct sevmon_program_head *head =
        (const struct sevmon_program_head *)program->image;
    struct sevmon_bpf_region *region = run->bpf.region;

    run->host = run->agent->host;
    memset(&run->report, 0, sizeof(run->report));
    run->report.started_ns = run->host->time_ns();

    sevmon_bpf_start(&run->bpf, (const struct sevmon_bpf_insn *)(head + 1),
                     head->insns, run->order.input, run->order.input_bytes,
                     run->order.asked.budget);
    run->bpf.helper = sevmon_helper_call;
    region[SEVMON_REGION_MAP].memory = map;
    region[SEVMON_REGION_MAP].bytes = head->map_bytes;
    region[SEVMON_REGION_MAP].writable = true;
    region[SEVMON_REGION_DATA].memory =
        program->image + sizeof(*head) +
        head->insns * sizeof(struct sevmon_bpf_insn);
    region[SEVMON_REGION_DATA].bytes = head->data_bytes;
}

/* While nothing else of the target runs, and not a moment longer than asked. */
static void run_atomically(struct sevmon_run *run)
{
    const struct sevmon_host *host = run->host;
    uint64_t since = host->time_ns();
    uint64_t until = since + run->order.asked.pause_us * NS_PER_US;

    if ( host->pause(&run->target, until) )
    {
        do
            sevmon_bpf_continue(&run->bpf, SEVMON_RUN_ATOMIC_SLICE);
        while ( run->bpf.state == SEVMON_RUN_RUNNING &&
                host->time_ns() < until );
        host->resume(&run->target);
        if ( run->bpf.state == SEVMON_RUN_RUNNING )
            run->bpf.state = SEVMON_RUN_OVER_TIME;
    }
    else
        run->bpf.state = SEVMON_RUN_NOT_PAUSED;

    until = host->time_ns();
    run->report.paused_ns = until - since;
    sevmon_longest(&run->agent->longest_pause_ns, run->report.paused_ns);
    /* Whoever asks for them: the target has the greater part of the time. */
    sevmon_longest(&run->agent->pause_rest_until_ns,
                   until + (SEVMON_SCHEDULE_PAUSE_PART - 1) *
                           run->report.paused_ns);
}

static void end(struct sevmon_run *run)
{
    run->report.state = run->bpf.state;
    run->report.insn = run->bpf.pc;
    run->report.r0 = run->bpf.reg[0];
    run->report.cost = run->order.asked.budget - run->bpf.budget;
    run->report.ended_ns = run->host->time_ns();
}

static void go_on(struct sevmon_run *run)
{
    const struct sevmon_host *host = run->host;

    if ( host->target_get(run->order.domid, &run->target) != SEVMON_ANSWER_OK )
    {
        run->bpf.state = SEVMON_RUN_NO_TARGET;
        return;
    }
    if ( run->order.asked.flags & SEVMON_RUN_ATOMIC )
        run_atomically(run);
    else
        sevmon_bpf_continue(&run->bpf, SEVMON_RUN_SLICE);
    host->target_put(&run->target);
}

bool sevmon_run_slice(struct sevmon_run *run)
{
    run->report.slices++;
    if ( run->bpf.state == SEVMON_RUN_RUNNING )
        go_on(run);
    if ( run->bpf.state == SEVMON_RUN_RUNNING )
        return false;
    end(run);

    return true;
}
