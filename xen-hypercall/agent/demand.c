/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "demand.h"
#include "program.h"

#define NS_PER_SECOND 1000000000ULL

/* A token: the number, then the IDS's index. */
#define IDS_BITS 3
_Static_assert(SEVMON_MAX_KEYS == 1 << IDS_BITS, "index bits");

static struct sevmon_demand *demand_of(const struct sevmon_work *work)
{
    return &work->scratch.request.session.ids->programs->demand;
}

/* Needs the IDS's lock. */
static void release(struct sevmon_demand *demand)
{
    demand->place = SEVMON_DEMAND_NONE;
    if ( demand->is_check )
    {
        sevmon_check_leave(&demand->check);
        return;
    }
    demand->run.program->running = false;
    demand->run.program->runs++;
}

static bool is_older(uint64_t since_ns, uint64_t now_ns, uint64_t seconds)
{
    return now_ns > since_ns && now_ns - since_ns >= seconds * NS_PER_SECOND;
}

void sevmon_demand_reap(struct sevmon_demand *demand, uint64_t now_ns)
{
    if ( demand->place == SEVMON_DEMAND_WAITING &&
         is_older(demand->waiting_ns, now_ns,
                  SEVMON_DEMAND_ABANDONED_SECONDS) )
        release(demand);
}

/* Needs the IDS's lock. */
static void take(struct sevmon_demand *demand, bool is_check)
{
    demand->place = SEVMON_DEMAND_TAKEN;
    demand->number++;
    demand->is_check = is_check;
}

/* Take the IDS's place for a run of its program `name`. */
static unsigned int take_run(struct sevmon_ids *ids, uint64_t name,
                             uint64_t now_ns)
{
    struct sevmon_demand *demand = &ids->programs->demand;
    struct sevmon_program *program;
    unsigned int status = SEVMON_STATUS_OK;

    sevmon_lock(&ids->lock);
    sevmon_demand_reap(demand, now_ns);
    program = sevmon_program_find(ids->programs, name);
    if ( !program )
        status = SEVMON_STATUS_NO_PROGRAM;
    else if ( demand->place != SEVMON_DEMAND_NONE )
        status = SEVMON_STATUS_BUSY;
    else
    {
        take(demand, false);
        demand->run.program = program;
        program->running = true;
        program->used_ns = now_ns;
    }
    sevmon_unlock(&ids->lock);

    return status;
}

/* And for a check of it, which is begun then. */
static unsigned int take_check(const struct sevmon_host *host,
                               struct sevmon_ids *ids, uint64_t name,
                               uint64_t now_ns, bool *is_ready)
{
    struct sevmon_demand *demand = &ids->programs->demand;
    struct sevmon_program *program;
    unsigned int status = SEVMON_STATUS_OK;

    sevmon_lock(&ids->lock);
    sevmon_demand_reap(demand, now_ns);
    program = sevmon_program_find_any(ids->programs, name);
    *is_ready = program && program->state == SEVMON_PROGRAM_READY;
    if ( !program )
        status = SEVMON_STATUS_NO_PROGRAM;
    else if ( !*is_ready && demand->place != SEVMON_DEMAND_NONE )
        status = SEVMON_STATUS_BUSY;
    else if ( !*is_ready )
    {
        take(demand, true);
        sevmon_check_begin(&demand->check, host, program);
    }
    sevmon_unlock(&ids->lock);

    return status;
}

/* What the request in `work` has, whose response's head is filled. */
static void note_request(struct sevmon_demand *demand,
                         const struct sevmon_work *work)
{
    demand->way = work->way;
    demand->n = work->header.n;
    demand->session = work->scratch.request.session.number;
    demand->head = *(const struct sevmon_response_head *)
                   &work->out[SEVMON_FRAME_SHIFT + SEVMON_BODY_OFFSET];
}

static const struct sevmon_request_body *body_of(
    const struct sevmon_work *work)
{
    return (const struct sevmon_request_body *)
           &work->in[SEVMON_FRAME_SHIFT + SEVMON_BODY_OFFSET];
}

static void fill_order(struct sevmon_order *order, uint16_t domid,
                       const struct sevmon_run_head *asked,
                       uint32_t input_bytes)
{
    order->asked = *asked;
    order->domid = domid;
    order->input_bytes = input_bytes;
    memcpy(order->input, asked + 1, input_bytes);
}

unsigned int sevmon_demand_start(struct sevmon_agent *agent,
                                 struct sevmon_work *work,
                                 const struct sevmon_root *root)
{
    const struct sevmon_request_body *body = body_of(work);
    const struct sevmon_run_head *asked =
        (const struct sevmon_run_head *)&body->items[1];
    const struct sevmon_session_view *session = &work->scratch.request.session;
    struct sevmon_demand *demand = demand_of(work);
    struct sevmon_run *run = &demand->run;
    unsigned int status;

    if ( !sevmon_run_is_valid(asked) )
        return SEVMON_STATUS_BAD_ITEM;
    if ( asked->flags & SEVMON_RUN_ATOMIC &&
         work->now_ns < sevmon_pause_rest_until(agent) )
        return SEVMON_STATUS_BUSY;
    status = take_run(session->ids, asked->program, work->now_ns);
    if ( status != SEVMON_STATUS_OK )
        return status;

    note_request(demand, work);
    sevmon_run_wipe(run); /* an abandoned one's */
    fill_order(&run->order, demand->head.domid, asked,
               body->items[0].bytes - sizeof(*asked));
    run->agent = agent;
    run->root = *root;
    run->room_bytes = SEVMON_CLASS_PAGES(session->size_class) *
                      SEVMON_PAGE_BYTES - sizeof(run->report);
    sevmon_run_begin(run, run->program->map);

    return SEVMON_STATUS_OK;
}

unsigned int sevmon_demand_check(struct sevmon_agent *agent,
                                 struct sevmon_work *work, bool *is_ready)
{
    const struct sevmon_program_name *asked =
        (const struct sevmon_program_name *)&body_of(work)->items[1];
    unsigned int status;

    if ( asked->zero )
        return SEVMON_STATUS_BAD_ITEM;
    status = take_check(agent->host, work->scratch.request.session.ids,
                        asked->program, work->now_ns, is_ready);
    if ( status == SEVMON_STATUS_OK && !*is_ready )
        note_request(demand_of(work), work);

    return status;
}

struct sevmon_ids *sevmon_demand_resume(struct sevmon_agent *agent,
                                        struct sevmon_work *work,
                                        uint32_t token)
{
    unsigned int index = token & (SEVMON_MAX_KEYS - 1);
    struct sevmon_demand *demand;
    struct sevmon_ids *ids;
    bool taken;

    if ( index >= agent->keys )
        return NULL;
    ids = &agent->ids[array_index_nospec(index, agent->keys)];
    demand = &ids->programs->demand;

    sevmon_lock(&ids->lock);
    taken = demand->place == SEVMON_DEMAND_WAITING &&
            demand->way == work->way &&
            (demand->number << IDS_BITS) == (token & ~(SEVMON_MAX_KEYS - 1U));
    if ( taken )
        demand->place = SEVMON_DEMAND_TAKEN;
    sevmon_unlock(&ids->lock);
    if ( !taken )
        return NULL;

    memset(&work->header, 0, sizeof(work->header));
    work->header.n = demand->n;
    /* An older one's session is over, and its number may be another's: 0. */
    if ( !is_older(demand->head.time_ns, work->now_ns, SEVMON_EXPIRE_SECONDS) )
        work->header.session = demand->session;

    return ids;
}

void sevmon_demand_drop(struct sevmon_ids *ids)
{
    struct sevmon_demand *demand = &ids->programs->demand;

    if ( !demand->is_check )
        sevmon_run_wipe(&demand->run);
    sevmon_lock(&ids->lock);
    release(demand);
    sevmon_unlock(&ids->lock);
}

/* To `data`.  Returns its bytes. */
static uint32_t answer_run(struct sevmon_run *run, uint8_t *data)
{
    uint32_t bytes = run->report.result_bytes;

    run->report.runs = run->program->runs; /* which no other run changes */
    memcpy(data, &run->report, sizeof(run->report));
    memcpy(data + sizeof(run->report), run->result, bytes);

    return sizeof(run->report) + bytes;
}

static uint32_t answer_check(const struct sevmon_check *check, uint8_t *data)
{
    struct sevmon_program_verdict *said =
        (struct sevmon_program_verdict *)data;

    said->reason = check->verdict.reason;
    said->insn = check->verdict.insn;

    return sizeof(*said);
}

/* The answer's body, in place of whatever is there. */
static void answer(struct sevmon_demand *demand, struct sevmon_work *work)
{
    uint8_t *out = &work->out[SEVMON_FRAME_SHIFT + SEVMON_BODY_OFFSET];
    struct sevmon_response_head *head = (struct sevmon_response_head *)out;
    struct sevmon_item_result *result =
        (struct sevmon_item_result *)(head + 1);
    uint8_t *data = out + SEVMON_DATA_OFFSET;

    memset(out, 0, SEVMON_RESPONSE_BODY_BYTES(
        work->scratch.request.session.size_class));
    result->status = demand->is_check &&
                     demand->check.verdict.reason != SEVMON_VERDICT_OK
                     ? SEVMON_STATUS_REFUSED : SEVMON_STATUS_OK;
    result->bytes = demand->is_check ? answer_check(&demand->check, data)
                                     : answer_run(&demand->run, data);
    *head = demand->head;
    head->data_bytes = result->bytes;
}

static void wait(struct sevmon_agent *agent, struct sevmon_work *work)
{
    struct sevmon_ids *ids = work->scratch.request.session.ids;
    struct sevmon_demand *demand = demand_of(work);
    uint64_t now_ns = agent->host->time_ns();

    work->token = demand->number << IDS_BITS | (ids - agent->ids);
    sevmon_lock(&ids->lock);
    demand->waiting_ns = now_ns;
    demand->place = SEVMON_DEMAND_WAITING;
    sevmon_unlock(&ids->lock);
}

bool sevmon_demand_slice(struct sevmon_agent *agent, struct sevmon_work *work)
{
    struct sevmon_demand *demand = demand_of(work);

    if ( !(demand->is_check ? sevmon_check_slice(&demand->check)
                            : sevmon_run_slice(&demand->run)) )
    {
        wait(agent, work);
        return false;
    }
    answer(demand, work);
    sevmon_demand_drop(work->scratch.request.session.ids);

    return true;
}
