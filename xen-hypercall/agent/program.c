/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "program.h"

static uint64_t name_of(const uint8_t sha256[32])
{
    uint64_t name;

    memcpy(&name, sha256, sizeof(name));

    return name;
}

struct sevmon_program *sevmon_program_find_any(
    struct sevmon_programs *programs, uint64_t name)
{
    unsigned int i;

    for ( i = 0; i < SEVMON_MAX_PROGRAMS; i++ )
        if ( programs->program[i].state != SEVMON_PROGRAM_FREE &&
             name_of(programs->program[i].sha256) == name )
            return &programs->program[i];

    return NULL;
}

struct sevmon_program *sevmon_program_find(struct sevmon_programs *programs,
                                           uint64_t name)
{
    struct sevmon_program *program = sevmon_program_find_any(programs, name);

    return program && program->state == SEVMON_PROGRAM_READY ? program : NULL;
}

static bool is_idle(const struct sevmon_program *program)
{
    return program->state != SEVMON_PROGRAM_OWNED && !program->running &&
           !program->schedule.on && !program->schedule.running;
}

/* A free place, else that of the one not named for longest, else NULL. */
static struct sevmon_program *find_room(struct sevmon_programs *programs)
{
    struct sevmon_program *room = NULL;
    unsigned int i;

    for ( i = 0; i < SEVMON_MAX_PROGRAMS; i++ )
    {
        struct sevmon_program *program = &programs->program[i];

        if ( program->state == SEVMON_PROGRAM_FREE )
            return program;
        if ( is_idle(program) &&
             (!room || program->used_ns < room->used_ns) )
            room = program;
    }

    return room;
}

static void describe(const struct sevmon_program *program, uint8_t *out)
{
    struct sevmon_program_entry *entry = (struct sevmon_program_entry *)out;

    if ( program->state == SEVMON_PROGRAM_FREE )
        return;
    memcpy(entry->sha256, program->sha256, sizeof(entry->sha256));
    entry->bytes = program->bytes;
    entry->state = program->state;
    entry->runs = program->runs;
    entry->used_ns = program->used_ns;
    if ( program->schedule.on )
        sevmon_schedule_describe(&program->schedule, entry);
}

static unsigned int begin(struct sevmon_ids *ids, uint64_t now_ns,
                          const struct sevmon_program_begin *asked,
                          uint8_t *out)
{
    struct sevmon_program *program;

    if ( asked->zero || asked->bytes < SEVMON_PROGRAM_MIN_BYTES ||
         asked->bytes > SEVMON_PROGRAM_MAX_BYTES )
        return SEVMON_STATUS_BAD_ITEM;

    sevmon_lock(&ids->lock);
    sevmon_demand_reap(&ids->programs->demand, now_ns);
    program = sevmon_program_find_any(ids->programs,
                                      name_of(asked->sha256));
    if ( !program )
    {
        program = find_room(ids->programs);
        if ( program )
        {
            memcpy(program->sha256, asked->sha256, sizeof(program->sha256));
            program->bytes = asked->bytes;
            program->state = SEVMON_PROGRAM_LOADING;
            program->runs = 0;
        }
    }
    if ( program )
    {
        program->used_ns = now_ns;
        describe(program, out);
    }
    sevmon_unlock(&ids->lock);

    return program ? SEVMON_STATUS_OK : SEVMON_STATUS_BUSY;
}

static unsigned int chunk(struct sevmon_ids *ids,
                          const struct sevmon_program_chunk *asked,
                          uint32_t bytes)
{
    struct sevmon_program *program;
    unsigned int status = SEVMON_STATUS_OK;

    if ( asked->zero || !bytes )
        return SEVMON_STATUS_BAD_ITEM;

    sevmon_lock(&ids->lock);
    program = sevmon_program_find_any(ids->programs, asked->program);
    if ( !program )
        status = SEVMON_STATUS_NO_PROGRAM;
    else if ( asked->offset > program->bytes ||
              bytes > program->bytes - asked->offset )
        status = SEVMON_STATUS_BAD_ITEM;
    else if ( program->state == SEVMON_PROGRAM_LOADING )
        memcpy(program->image + asked->offset, asked + 1, bytes);
    /* Otherwise it is there already, whoever brought it. */
    sevmon_unlock(&ids->lock);

    return status;
}

void sevmon_program_fill_map(const struct sevmon_program *program,
                             uint8_t *map)
{
    const struct sevmon_program_head *head =
        (const struct sevmon_program_head *)program->image;

    memcpy(map, program->image + program->bytes - head->init_bytes,
           head->init_bytes);
    memset(map + head->init_bytes, 0, head->map_bytes - head->init_bytes);
}

static unsigned int unload(struct sevmon_ids *ids, uint64_t now_ns,
                           const struct sevmon_program_name *asked)
{
    struct sevmon_program *program;
    unsigned int status = SEVMON_STATUS_OK;

    if ( asked->zero )
        return SEVMON_STATUS_BAD_ITEM;

    sevmon_lock(&ids->lock);
    sevmon_demand_reap(&ids->programs->demand, now_ns);
    program = sevmon_program_find_any(ids->programs, asked->program);
    if ( !program )
        status = SEVMON_STATUS_NO_PROGRAM;
    else if ( !is_idle(program) )
        status = SEVMON_STATUS_BUSY;
    else
    {
        program->state = SEVMON_PROGRAM_FREE;
        sevmon_wipe(program->map, sizeof(program->map));
    }
    sevmon_unlock(&ids->lock);

    return status;
}

static unsigned int list(struct sevmon_ids *ids, uint8_t *out)
{
    unsigned int i;

    sevmon_lock(&ids->lock);
    for ( i = 0; i < SEVMON_MAX_PROGRAMS; i++ )
        describe(&ids->programs->program[i],
                 out + i * sizeof(struct sevmon_program_entry));
    sevmon_unlock(&ids->lock);

    return SEVMON_STATUS_OK;
}

unsigned int sevmon_program_item(struct sevmon_agent *agent,
                                 struct sevmon_ids *ids,
                                 const struct sevmon_item *item, uint8_t *out)
{
    const void *payload = item + 1;

    switch ( item->type )
    {
    case SEVMON_ITEM_PROGRAM_BEGIN:
        return begin(ids, agent->host->time_ns(), payload, out);

    case SEVMON_ITEM_PROGRAM_CHUNK:
        return chunk(ids, payload,
                     item->bytes - sizeof(struct sevmon_program_chunk));

    case SEVMON_ITEM_PROGRAM_UNLOAD:
        return unload(ids, agent->host->time_ns(), payload);

    case SEVMON_ITEM_PROGRAM_LIST:
        return list(ids, out);

    case SEVMON_ITEM_PROGRAM_UNSCHEDULE:
        return sevmon_unschedule(ids, payload);
    }

    return SEVMON_STATUS_UNSUPPORTED;
}
