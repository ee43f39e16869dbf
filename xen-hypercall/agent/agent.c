/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "agent-state.h"
#include "handshake.h"
#include "keyfile.h"
#include "program.h"
#include "standing.h"
#include "transport.h"

_Static_assert((SEVMON_FRAME_SHIFT + SEVMON_BODY_OFFSET) % 16 == 0,
               "bodies can be used as structures");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the wire is this machine's byte order");

uint8_t *sevmon_work_in(struct sevmon_work *work)
{
    return &work->in[SEVMON_FRAME_SHIFT];
}

uint32_t sevmon_work_token(const struct sevmon_work *work)
{
    return work->token;
}

void sevmon_work_set_way(struct sevmon_work *work, const void *way)
{
    work->way = way;
}

const uint8_t *sevmon_work_out(const struct sevmon_work *work)
{
    return &work->out[SEVMON_FRAME_SHIFT];
}

static int start_with(struct sevmon_agent *agent,
                      const struct sevmon_host *host, const void *key_file,
                      size_t key_file_bytes)
{
    int rc = sevmon_keyfile_read(agent, key_file, key_file_bytes);
    unsigned int i;

    if ( rc )
        return rc;
    agent->host = host;
    if ( host->random(agent->boot_nonce, sizeof(agent->boot_nonce)) ||
         host->random(agent->boot_secret, sizeof(agent->boot_secret)) )
        return -EIO;
    for ( i = 0; i < agent->keys; i++ )
    {
        sevmon_lock_init(&agent->ids[i].lock);
        if ( host->random(agent->ids[i].challenge, SEVMON_ID_BYTES) )
            return -EIO;
        agent->ids[i].programs = host->allocate(sizeof(struct sevmon_programs));
        if ( !agent->ids[i].programs )
            return -ENOMEM;
    }
    agent->standing = host->allocate(sizeof(*agent->standing));
    if ( !agent->standing )
        return -ENOMEM;
    agent->started_ns = host->time_ns();

    return 0;
}

void sevmon_agent_end(struct sevmon_agent *agent)
{
    unsigned int i;

    for ( i = 0; i < SEVMON_MAX_KEYS; i++ )
    {
        struct sevmon_programs *programs = agent->ids[i].programs;

        if ( !programs )
            continue;
        sevmon_wipe(programs, sizeof(*programs));
        agent->host->release(programs);
    }
    if ( agent->standing )
    {
        sevmon_wipe(agent->standing, sizeof(*agent->standing));
        agent->host->release(agent->standing);
    }
    sevmon_wipe(agent, sizeof(*agent));
}

int sevmon_agent_start(struct sevmon_agent *agent,
                       const struct sevmon_host *host, const void *key_file,
                       size_t key_file_bytes)
{
    int rc = start_with(agent, host, key_file, key_file_bytes);

    if ( rc )
        sevmon_agent_end(agent);

    return rc;
}

/* `rc`, of a call that began at work->now_ns. */
static int called(struct sevmon_agent *agent, const struct sevmon_work *work,
                  int rc)
{
    sevmon_longest(&agent->longest_call_ns,
                   agent->host->time_ns() - work->now_ns);

    return rc;
}

int sevmon_agent_continue(struct sevmon_agent *agent, struct sevmon_work *work,
                          uint32_t token)
{
    work->now_ns = agent->host->time_ns();

    return called(agent, work, sevmon_transport_continue(agent, work, token));
}

/* The one size of each type of frame; 0: the agent does not take it. */
static size_t size_of(uint8_t type)
{
    switch ( type )
    {
    case SEVMON_FRAME_HELLO:
    case SEVMON_FRAME_INITIATE:
        return SEVMON_HANDSHAKE_FRAME_BYTES;

    case SEVMON_FRAME_REQUEST:
        return SEVMON_REQUEST_FRAME_BYTES;
    }

    return 0;
}

int sevmon_agent_frame(struct sevmon_agent *agent, struct sevmon_work *work,
                       size_t frame_bytes)
{
    struct sevmon_header *header = &work->header;

    sevmon_count(agent, SEVMON_COUNT_FRAMES);
    if ( frame_bytes < sizeof(*header) )
    {
        sevmon_count(agent, SEVMON_COUNT_MALFORMED);
        return -EBADMSG;
    }
    memcpy(header, sevmon_work_in(work), sizeof(*header));
    if ( frame_bytes != size_of(header->type) ||
         header->version != SEVMON_PROTOCOL_VERSION || header->flags )
    {
        sevmon_count(agent, SEVMON_COUNT_MALFORMED);
        return -EBADMSG;
    }
    work->now_ns = agent->host->time_ns();

    switch ( header->type )
    {
    case SEVMON_FRAME_HELLO:
        return called(agent, work, sevmon_hello(agent, work));

    case SEVMON_FRAME_INITIATE:
        return called(agent, work, sevmon_handshake(agent, work));
    }

    return called(agent, work, sevmon_transport(agent, work));
}
