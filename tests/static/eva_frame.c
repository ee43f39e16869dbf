/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any frame of any length, for an agent in any state: agent.c, handshake.c,
 * transport.c, session.c with its replay window, noise.c, hash.c, xaes.c,
 * gcm.c, and request.c up to its items.
 */
#include "eva_host.h"
#include "demand.h"

/* The slice of a run or of a check: its answer, or none yet. */
bool sevmon_demand_slice(struct sevmon_agent *agent, struct sevmon_work *work)
{
    if ( Frama_C_nondet(0, 1) )
    {
        eva_any(&work->token, sizeof(work->token));
        return false;
    }
    eva_any(&work->out[SEVMON_FRAME_SHIFT + SEVMON_BODY_OFFSET],
            SEVMON_RESPONSE_BODY_BYTES(
                work->scratch.request.session.size_class));

    return true;
}

struct sevmon_ids *sevmon_demand_resume(struct sevmon_agent *agent,
                                        struct sevmon_work *work,
                                        uint32_t token)
{
    if ( Frama_C_nondet(0, 1) )
        return NULL;
    memset(&work->header, 0, sizeof(work->header));
    eva_any(&work->header.n, sizeof(work->header.n));
    eva_any(&work->header.session, sizeof(work->header.session));

    return &agent->ids[0];
}

void sevmon_demand_drop(struct sevmon_ids *ids)
{
}

static void check(const struct sevmon_work *work, int rc)
{
    if ( rc > 0 )
    {
        const uint8_t *out = sevmon_work_out(work);

        //@ assert rc == 144 || rc == 4668 || rc == 16956 || rc == 62012;
        //@ assert \initialized(out + (0 .. rc - 1));
    }
}

/*
 * A frame of `frame_bytes`, of which `copied` are in `work`: nothing behind
 * them is there to be read.  The size class is `size_class`, or any if that
 * is none.
 */
static void take(size_t frame_bytes, size_t copied, unsigned int size_class)
{
    struct sevmon_work work;

    eva_any(sevmon_work_in(&work), copied);
    if ( size_class < SEVMON_CLASSES )
        sevmon_work_in(&work)[offsetof(struct sevmon_header, size_class)] =
            size_class;
    check(&work, sevmon_agent_frame(&eva_agent, &work, frame_bytes));
}

/* Going on with one, in memory that another call was in before. */
static void go_on(void)
{
    struct sevmon_work work;

    eva_any(&work, sizeof(work));
    check(&work,
          sevmon_agent_continue(&eva_agent, &work, sevmon_eva_any()));
}

static void any_size(size_t first, size_t last, size_t copied)
{
    take(Frama_C_unsigned_long_interval(first, last), copied, SEVMON_CLASSES);
}

void eva_frame(void)
{
    unsigned int size_class;

    eva_any_agent();
    for ( size_class = 0; size_class < SEVMON_CLASSES; size_class++ )
        take(SEVMON_REQUEST_FRAME_BYTES, SEVMON_REQUEST_FRAME_BYTES,
             size_class);
    take(SEVMON_HANDSHAKE_FRAME_BYTES, SEVMON_HANDSHAKE_FRAME_BYTES,
         SEVMON_CLASSES);

    go_on();

    /* Of other sizes only a header is looked at, if there is one. */
    any_size(0, 15, 0);
    any_size(16, SEVMON_HANDSHAKE_FRAME_BYTES - 1, 16);
    any_size(SEVMON_HANDSHAKE_FRAME_BYTES + 1, SEVMON_REQUEST_FRAME_BYTES - 1,
             16);
    any_size(SEVMON_REQUEST_FRAME_BYTES + 1, 1UL << 32, 16);
}
