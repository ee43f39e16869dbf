/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "demand.h"
#include "program.h"

#define NS_PER_SECOND 1000000000ULL

/* A token: a run's number, then the IDS's index. */
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

/* Take the IDS's run for its program `name`. */
static unsigned int take(struct sevmon_ids *ids, uint64_t name,
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
        demand->place = SEVMON_DEMAND_TAKEN;
        demand->number++;
        demand->run.program = program;
        program->running = true;
        program->used_ns = now_ns;
    }
    sevmon_unlock(&ids->lock);

    return status;
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
    const struct sevmon_request_body *body =
        (const struct sevmon_request_body *)
        &work->in[SEVMON_FRAME_SHIFT + SEVMON_BODY_OFFSET];
    const struct sevmon_run_head *asked =
        (const struct sevmon_run_head *)&body->items[1];
    const struct sevmon_response_head *head =
        (const struct sevmon_response_head *)
        &work->out[SEVMON_FRAME_SHIFT + SEVMON_BODY_OFFSET];
    const struct sevmon_session_view *session = &work->scratch.request.session;
    struct sevmon_demand *demand = demand_of(work);
    struct sevmon_run *run = &demand->run;
    unsigned int status;

    if ( !sevmon_run_is_valid(asked) )
        return SEVMON_STATUS_BAD_ITEM;
    status = take(session->ids, asked->program, head->time_ns);
    if ( status != SEVMON_STATUS_OK )
        return status;

    demand->way = work->way;
    demand->n = work->header.n;
    demand->session = session->number;
    demand->head = *head;

    sevmon_run_wipe(run); /* an abandoned one's */
    fill_order(&run->order, head->domid, asked,
               body->items[0].bytes - sizeof(*asked));
    run->agent = agent;
    run->root = *root;
    run->room_bytes = SEVMON_CLASS_PAGES(session->size_class) *
                      SEVMON_PAGE_BYTES - sizeof(run->report);
    sevmon_run_begin(run, run->program->map);

    return SEVMON_STATUS_OK;
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

    sevmon_run_wipe(&demand->run);
    sevmon_lock(&ids->lock);
    release(demand);
    sevmon_unlock(&ids->lock);
}

/* The answer's body, in place of whatever is there. */
static void answer(struct sevmon_demand *demand, struct sevmon_work *work)
{
    uint8_t *out = &work->out[SEVMON_FRAME_SHIFT + SEVMON_BODY_OFFSET];
    struct sevmon_response_head *head = (struct sevmon_response_head *)out;
    struct sevmon_item_result *result =
        (struct sevmon_item_result *)(head + 1);
    uint8_t *data = out + SEVMON_DATA_OFFSET;
    struct sevmon_run *run = &demand->run;
    uint32_t bytes = run->report.result_bytes;

    memset(out, 0, SEVMON_RESPONSE_BODY_BYTES(
        work->scratch.request.session.size_class));
    run->report.runs = run->program->runs; /* which no other run changes */
    memcpy(data, &run->report, sizeof(run->report));
    memcpy(data + sizeof(run->report), run->result, bytes);

    result->status = SEVMON_STATUS_OK;
    result->bytes = sizeof(run->report) + bytes;
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

    if ( !sevmon_run_slice(&demand->run) )
    {
        wait(agent, work);
        return false;
    }
    answer(demand, work);
    sevmon_demand_drop(work->scratch.request.session.ids);

    return true;
}
