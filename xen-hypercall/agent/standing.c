/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "standing.h"
#include "program.h"

#define NS_PER_MS 1000000ULL
#define NEVER     (~0ULL)

/*
 * When the next run is due after `now_ns`.  Without randomness, when that can
 * be at the earliest: it is a time that can be guessed, but not a late one.
 */
static uint64_t draw_due(const struct sevmon_agent *agent, uint64_t now_ns,
                         uint32_t min_ms, uint32_t max_ms)
{
    uint64_t range = (max_ms - min_ms) * NS_PER_MS + 1;
    uint64_t random;

    if ( agent->host->random(&random, sizeof(random)) )
        random = 0;

    /* Even, but for less than 1 in 2^17: the range is below 2^47. */
    return now_ns + min_ms * NS_PER_MS + random % range;
}

static bool is_valid(const struct sevmon_schedule_head *asked)
{
    return sevmon_run_is_valid(&asked->run) &&
           asked->min_ms >= SEVMON_SCHEDULE_MIN_MS &&
           asked->min_ms <= asked->max_ms &&
           asked->max_ms <= SEVMON_SCHEDULE_MAX_MS &&
           asked->run.pause_us <=
           asked->min_ms * 1000ULL / SEVMON_SCHEDULE_PAUSE_PART;
}

/* Of a program whose schedule is not running.  Needs the IDS's lock. */
static void fill(struct sevmon_program *program,
                 const struct sevmon_request_head *head,
                 const struct sevmon_schedule_head *asked,
                 uint32_t input_bytes, uint64_t now_ns)
{
    struct sevmon_schedule *schedule = &program->schedule;

    schedule->on = true;
    schedule->min_ms = asked->min_ms;
    schedule->max_ms = asked->max_ms;
    schedule->since_ns = now_ns;
    schedule->runs = 0;
    schedule->last_ns = 0;
    schedule->root_kind = head->root_kind;
    schedule->vcpu = head->vcpu;
    schedule->root.frame = head->root_frame;
    schedule->root.levels = head->levels;
    schedule->order.asked = asked->run;
    schedule->order.domid = head->domid;
    schedule->order.input_bytes = input_bytes;
    memcpy(schedule->order.input, asked + 1, input_bytes);
    sevmon_program_fill_map(program, schedule->map);
}

unsigned int sevmon_schedule(struct sevmon_agent *agent,
                             struct sevmon_ids *ids,
                             const struct sevmon_request_head *head,
                             const struct sevmon_item *item)
{
    const struct sevmon_schedule_head *asked = (const void *)(item + 1);
    uint64_t now_ns = agent->host->time_ns(), due_ns;
    unsigned int status = SEVMON_STATUS_OK;
    struct sevmon_program *program;

    if ( !agent->host->wake )
        return SEVMON_STATUS_UNSUPPORTED;
    if ( !is_valid(asked) )
        return SEVMON_STATUS_BAD_ITEM;
    due_ns = draw_due(agent, now_ns, asked->min_ms, asked->max_ms);

    sevmon_lock(&ids->lock);
    program = sevmon_program_find(ids->programs, asked->run.program);
    if ( !program )
        status = SEVMON_STATUS_NO_PROGRAM;
    else if ( program->schedule.running )
        status = SEVMON_STATUS_BUSY;
    else
    {
        fill(program, head, asked, item->bytes - sizeof(*asked), now_ns);
        program->schedule.due_ns = due_ns;
        program->used_ns = now_ns;
    }
    sevmon_unlock(&ids->lock);

    if ( status == SEVMON_STATUS_OK )
        agent->host->wake(due_ns);

    return status;
}

void sevmon_schedule_describe(const struct sevmon_schedule *schedule,
                              struct sevmon_program_entry *entry)
{
    entry->min_ms = schedule->min_ms;
    entry->max_ms = schedule->max_ms;
    entry->scheduled_ns = schedule->since_ns;
    entry->standing_runs = schedule->runs;
    entry->standing_ns = schedule->last_ns;
}

/* What it knew of the target is of no more use.  Needs the IDS's lock. */
static void end_schedule(struct sevmon_schedule *schedule)
{
    schedule->on = false;
    /* The tick's, as long as it runs; it ends that run. */
    if ( schedule->running )
        return;
    sevmon_wipe(schedule->map, sizeof(schedule->map));
    sevmon_wipe(&schedule->order, sizeof(schedule->order));
}

unsigned int sevmon_unschedule(struct sevmon_ids *ids,
                               const struct sevmon_program_name *asked)
{
    struct sevmon_program *program;

    if ( asked->zero )
        return SEVMON_STATUS_BAD_ITEM;

    sevmon_lock(&ids->lock);
    program = sevmon_program_find(ids->programs, asked->program);
    if ( program )
        end_schedule(&program->schedule);
    sevmon_unlock(&ids->lock);

    return program ? SEVMON_STATUS_OK : SEVMON_STATUS_NO_PROGRAM;
}

uint32_t sevmon_standing_collect(struct sevmon_ids *ids, uint64_t seen,
                                 uint8_t *out, uint32_t room_bytes)
{
    uint32_t bytes;

    sevmon_lock(&ids->lock);
    sevmon_ring_forget(&ids->programs->ring, seen);
    bytes = sevmon_ring_copy(&ids->programs->ring, out, room_bytes);
    sevmon_unlock(&ids->lock);

    return bytes;
}

/* That of the IDS's programs which is due first.  Needs the IDS's lock. */
static struct sevmon_program *first_due(struct sevmon_programs *programs)
{
    struct sevmon_program *first = NULL;
    unsigned int i;

    for ( i = 0; i < SEVMON_MAX_PROGRAMS; i++ )
    {
        struct sevmon_program *program = &programs->program[i];

        if ( program->schedule.on &&
             (!first || program->schedule.due_ns < first->schedule.due_ns) )
            first = program;
    }

    return first;
}

/* The IDS whose run is due first, and when; NULL and NEVER: there is none. */
static struct sevmon_ids *next_due(struct sevmon_agent *agent,
                                   uint64_t *due_ns)
{
    struct sevmon_ids *next = NULL;
    unsigned int i;

    *due_ns = NEVER;
    for ( i = 0; i < agent->keys; i++ )
    {
        struct sevmon_ids *ids = &agent->ids[i];
        struct sevmon_program *program;

        sevmon_lock(&ids->lock);
        program = first_due(ids->programs);
        if ( program && program->schedule.due_ns < *due_ns )
        {
            *due_ns = program->schedule.due_ns;
            next = ids;
        }
        sevmon_unlock(&ids->lock);
    }

    return next;
}

/* The root of this moment, if it is a vCPU's. */
static bool find_root(struct sevmon_run *run,
                      const struct sevmon_schedule *schedule)
{
    const struct sevmon_host *host = run->agent->host;
    unsigned int status, levels = 0;

    run->root = schedule->root;
    if ( schedule->root_kind == SEVMON_ROOT_FRAME )
        return true;

    status = host->target_get(run->order.domid, &run->target);
    if ( status != SEVMON_ANSWER_OK )
    {
        run->bpf.state = SEVMON_RUN_NO_TARGET;
        return true;
    }
    status = host->vcpu_root(&run->target, schedule->vcpu, &run->root.frame,
                             &levels);
    host->target_put(&run->target);
    run->root.levels = levels;

    return status == SEVMON_ANSWER_OK && (levels == 4 || levels == 5);
}

/* Take what is due first of the IDS, unless somebody has just changed that. */
static bool take(struct sevmon_agent *agent, struct sevmon_ids *ids,
                 uint64_t now_ns)
{
    struct sevmon_standing *standing = agent->standing;
    struct sevmon_program *program;
    bool taken;

    sevmon_lock(&ids->lock);
    program = first_due(ids->programs);
    taken = program && program->schedule.due_ns <= now_ns;
    if ( taken )
    {
        program->schedule.running = true;
        standing->ids = ids;
        standing->has_room = sevmon_ring_has_room(&ids->programs->ring);
        standing->run.program = program;
        standing->run.order = program->schedule.order;
    }
    sevmon_unlock(&ids->lock);

    return taken;
}

static void begin(struct sevmon_agent *agent)
{
    struct sevmon_run *run = &agent->standing->run;
    struct sevmon_schedule *schedule = &run->program->schedule;

    run->agent = agent;
    run->room_bytes = SEVMON_STANDING_MAX_BYTES;
    /* As long as it is not held. */
    memset(&run->target, 0, sizeof(run->target));
    run->target.domid = run->order.domid;
    sevmon_run_begin(run, schedule->map);
    if ( !find_root(run, schedule) )
        run->bpf.state = SEVMON_RUN_NO_ROOT;
}

static void put(struct sevmon_ring *ring, struct sevmon_run *run)
{
    const struct sevmon_result_head head = {
        .program = run->order.asked.program,
        .root_frame = run->root.frame,
        .domid = run->target.domid,
        .kind = run->target.kind,
        .levels = run->root.levels,
        .flags = run->order.asked.flags,
        .report = run->report,
    };

    sevmon_ring_put(ring, &head, run->result);
}

/* Put the result away, if there is one, and draw the next time. */
static void finish(struct sevmon_agent *agent)
{
    struct sevmon_standing *standing = agent->standing;
    struct sevmon_ids *ids = standing->ids;
    struct sevmon_run *run = &standing->run;
    struct sevmon_schedule *schedule = &run->program->schedule;
    struct sevmon_ring *ring = &ids->programs->ring;
    uint64_t now_ns = agent->host->time_ns();
    uint64_t due_ns = draw_due(agent, now_ns, schedule->min_ms,
                               schedule->max_ms);

    sevmon_lock(&ids->lock);
    if ( schedule->on && !standing->has_room )
        sevmon_ring_skip(ring);
    else if ( schedule->on )
    {
        run->report.runs = schedule->runs++;
        schedule->last_ns = now_ns;
        put(ring, run);
    }
    schedule->due_ns = due_ns;
    schedule->running = false;
    if ( !schedule->on )
        end_schedule(schedule);
    sevmon_unlock(&ids->lock);

    sevmon_run_wipe(run);
    standing->ids = NULL;
}

/* Its schedule can end between two slices. */
static bool is_wanted(struct sevmon_standing *standing)
{
    bool wanted;

    sevmon_lock(&standing->ids->lock);
    wanted = standing->run.program->schedule.on;
    sevmon_unlock(&standing->ids->lock);

    return wanted;
}

/* A slice of what is due.  Returns whether more of the same is left. */
static bool work_on(struct sevmon_agent *agent, uint64_t now_ns)
{
    struct sevmon_standing *standing = agent->standing;

    if ( !standing->ids )
    {
        uint64_t due_ns;
        struct sevmon_ids *ids = next_due(agent, &due_ns);

        if ( !ids || due_ns > now_ns || !take(agent, ids, now_ns) )
            return false;
        if ( standing->has_room )
            begin(agent);
    }
    if ( standing->has_room && is_wanted(standing) &&
         !sevmon_run_slice(&standing->run) )
        return true;
    finish(agent);

    return false;
}

/*
 * All standing programs together leave time to the target: three times as long
 * as it was paused, and as long as a slice took to others on that CPU.
 */
static void rest(struct sevmon_standing *standing, uint64_t began_ns,
                 uint64_t now_ns)
{
    unsigned int times = 1;

    if ( standing->run.order.asked.flags & SEVMON_RUN_ATOMIC )
        times = SEVMON_SCHEDULE_PAUSE_PART - 1;
    standing->rest_until_ns = now_ns + times * (now_ns - began_ns);
}

/* After runs of its own, and after pauses that somebody asked for. */
static uint64_t rest_until(const struct sevmon_agent *agent)
{
    uint64_t asked_ns = sevmon_pause_rest_until(agent);

    return asked_ns > agent->standing->rest_until_ns
           ? asked_ns : agent->standing->rest_until_ns;
}

void sevmon_agent_tick(struct sevmon_agent *agent)
{
    struct sevmon_standing *standing = agent->standing;
    uint64_t began_ns = agent->host->time_ns(), now_ns, due_ns;
    bool goes_on = standing->ids != NULL;

    if ( began_ns >= rest_until(agent) )
    {
        goes_on = work_on(agent, began_ns);
        now_ns = agent->host->time_ns();
        rest(standing, began_ns, now_ns);
        sevmon_longest(&agent->longest_standing_ns, now_ns - began_ns);
    }

    next_due(agent, &due_ns);
    if ( goes_on || due_ns < rest_until(agent) )
        due_ns = rest_until(agent);
    if ( due_ns != NEVER )
        agent->host->wake(due_ns);
}
