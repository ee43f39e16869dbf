/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "run.h"
#include "helpers.h"
#include "program.h"

#define NS_PER_SECOND 1000000000ULL

/* A token: a run's number, then the IDS's index. */
#define IDS_BITS 3
_Static_assert(SEVMON_MAX_KEYS == 1 << IDS_BITS, "index bits");

static struct sevmon_run *run_of(const struct sevmon_work *work)
{
    return &work->scratch.request.session.ids->programs->run;
}

/* Needs the IDS's lock. */
static void release(struct sevmon_run *run)
{
    run->place = SEVMON_RUN_NONE;
    run->program->running = false;
    run->program->runs++;
}

static bool is_older(uint64_t since_ns, uint64_t now_ns, uint64_t seconds)
{
    return now_ns > since_ns && now_ns - since_ns >= seconds * NS_PER_SECOND;
}

void sevmon_run_reap(struct sevmon_run *run, uint64_t now_ns)
{
    if ( run->place == SEVMON_RUN_WAITING &&
         is_older(run->waiting_ns, now_ns, SEVMON_RUN_ABANDONED_SECONDS) )
        release(run);
}

/* Take the IDS's run for its program `name`. */
static unsigned int take(struct sevmon_ids *ids, uint64_t name,
                         uint64_t now_ns)
{
    struct sevmon_run *run = &ids->programs->run;
    struct sevmon_program *program;
    unsigned int status = SEVMON_STATUS_OK;

    sevmon_lock(&ids->lock);
    sevmon_run_reap(run, now_ns);
    program = sevmon_program_find(ids->programs, name);
    if ( !program )
        status = SEVMON_STATUS_NO_PROGRAM;
    else if ( run->place != SEVMON_RUN_NONE )
        status = SEVMON_STATUS_BUSY;
    else
    {
        run->place = SEVMON_RUN_TAKEN;
        run->number++;
        run->program = program;
        program->running = true;
        program->used_ns = now_ns;
    }
    sevmon_unlock(&ids->lock);

    return status;
}

/* What it had of the target's. */
static void wipe(struct sevmon_run *run)
{
    sevmon_wipe(run->result, run->report.result_bytes);
    sevmon_wipe(run->input, sizeof(run->input));
    sevmon_wipe(&run->bpf, sizeof(run->bpf));
    sevmon_wipe(&run->vcpu_state, sizeof(run->vcpu_state));
}

/* The program's regions, and r1 and r2, from its image. */
static void set_program(struct sevmon_run *run, uint32_t input_bytes)
{
    struct sevmon_program *program = run->program;
    const struct sevmon_program_head *head =
        (const struct sevmon_program_head *)program->image;
    struct sevmon_bpf_region *map, *data;

    sevmon_bpf_start(&run->bpf, (const struct sevmon_bpf_insn *)(head + 1),
                     head->insns, run->input, input_bytes, run->budget);
    run->bpf.helper = sevmon_helper_call;
    map = &run->bpf.region[SEVMON_REGION_MAP];
    map->memory = program->map;
    map->bytes = head->map_bytes;
    map->writable = true;
    data = &run->bpf.region[SEVMON_REGION_DATA];
    data->memory = program->image + sizeof(*head) +
                   head->insns * sizeof(struct sevmon_bpf_insn);
    data->bytes = head->data_bytes;
}

unsigned int sevmon_run_start(struct sevmon_agent *agent,
                              struct sevmon_work *work,
                              const struct sevmon_root *root)
{
    const struct sevmon_request_body *body =
        (const struct sevmon_request_body *)
        &work->in[SEVMON_FRAME_SHIFT + SEVMON_BODY_OFFSET];
    const struct sevmon_run_head *asked =
        (const struct sevmon_run_head *)&body->items[1];
    const struct sevmon_response_head *head =
        (const struct sevmon_response_head *)
        &work->out[SEVMON_FRAME_SHIFT + SEVMON_BODY_OFFSET];
    const struct sevmon_session_view *session = &work->scratch.request.session;
    uint32_t input_bytes = body->items[0].bytes - sizeof(*asked);
    struct sevmon_run *run = run_of(work);
    unsigned int status;

    if ( asked->zero || !asked->budget ||
         asked->budget > SEVMON_RUN_MAX_BUDGET )
        return SEVMON_STATUS_BAD_ITEM;
    status = take(session->ids, asked->program, head->time_ns);
    if ( status != SEVMON_STATUS_OK )
        return status;

    run->n = work->header.n;
    run->session = session->number;
    run->domid = head->domid;
    run->root = *root;
    run->head = *head;
    run->host = agent->host;
    run->room_bytes = SEVMON_CLASS_PAGES(session->size_class) *
                      SEVMON_PAGE_BYTES - sizeof(run->report);
    run->budget = asked->budget;
    wipe(run); /* an abandoned one's */
    memset(&run->report, 0, sizeof(run->report));
    run->report.started_ns = head->time_ns;
    memcpy(run->input, asked + 1, input_bytes);
    set_program(run, input_bytes);

    return SEVMON_STATUS_OK;
}

struct sevmon_ids *sevmon_run_resume(struct sevmon_agent *agent,
                                     struct sevmon_work *work, uint32_t token)
{
    unsigned int index = token & (SEVMON_MAX_KEYS - 1);
    struct sevmon_run *run;
    struct sevmon_ids *ids;
    bool taken;

    if ( index >= agent->keys )
        return NULL;
    ids = &agent->ids[array_index_nospec(index, agent->keys)];
    run = &ids->programs->run;

    sevmon_lock(&ids->lock);
    taken = run->place == SEVMON_RUN_WAITING &&
            (run->number << IDS_BITS) == (token & ~(SEVMON_MAX_KEYS - 1U));
    if ( taken )
        run->place = SEVMON_RUN_TAKEN;
    sevmon_unlock(&ids->lock);
    if ( !taken )
        return NULL;

    memset(&work->header, 0, sizeof(work->header));
    work->header.n = run->n;
    /* An older one's session is over, and its number may be another's: 0. */
    if ( !is_older(run->head.time_ns, work->now_ns, SEVMON_EXPIRE_SECONDS) )
        work->header.session = run->session;

    return ids;
}

void sevmon_run_drop(struct sevmon_ids *ids)
{
    struct sevmon_run *run = &ids->programs->run;

    wipe(run);
    sevmon_lock(&ids->lock);
    release(run);
    sevmon_unlock(&ids->lock);
}

/* The answer's body, in place of whatever is there. */
static void answer(struct sevmon_run *run, struct sevmon_work *work)
{
    uint8_t *out = &work->out[SEVMON_FRAME_SHIFT + SEVMON_BODY_OFFSET];
    struct sevmon_response_head *head = (struct sevmon_response_head *)out;
    struct sevmon_item_result *result =
        (struct sevmon_item_result *)(head + 1);
    uint8_t *data = out + SEVMON_DATA_OFFSET;
    uint32_t bytes = run->report.result_bytes;

    memset(out, 0, SEVMON_RESPONSE_BODY_BYTES(
        work->scratch.request.session.size_class));
    run->report.state = run->bpf.state;
    run->report.insn = run->bpf.pc;
    run->report.r0 = run->bpf.reg[0];
    run->report.cost = run->budget - run->bpf.budget;
    run->report.runs = run->program->runs; /* which no other run changes */
    run->report.ended_ns = run->host->time_ns();
    memcpy(data, &run->report, sizeof(run->report));
    memcpy(data + sizeof(run->report), run->result, bytes);

    result->status = SEVMON_STATUS_OK;
    result->bytes = sizeof(run->report) + bytes;
    *head = run->head;
    head->data_bytes = result->bytes;
}

static void wait(struct sevmon_agent *agent, struct sevmon_work *work)
{
    struct sevmon_ids *ids = work->scratch.request.session.ids;
    struct sevmon_run *run = run_of(work);
    uint64_t now_ns = agent->host->time_ns();

    work->token = run->number << IDS_BITS | (ids - agent->ids);
    sevmon_lock(&ids->lock);
    run->waiting_ns = now_ns;
    run->place = SEVMON_RUN_WAITING;
    sevmon_unlock(&ids->lock);
}

bool sevmon_run_slice(struct sevmon_agent *agent, struct sevmon_work *work)
{
    struct sevmon_run *run = run_of(work);
    const struct sevmon_host *host = agent->host;

    run->report.slices++;
    if ( host->target_get(run->domid, &run->target) == SEVMON_ANSWER_OK )
    {
        sevmon_bpf_continue(&run->bpf, SEVMON_RUN_SLICE);
        host->target_put(&run->target);
    }
    else
        run->bpf.state = SEVMON_RUN_NO_TARGET;

    if ( run->bpf.state == SEVMON_RUN_RUNNING )
    {
        wait(agent, work);
        return false;
    }
    answer(run, work);
    sevmon_run_drop(work->scratch.request.session.ids);

    return true;
}
