/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "transport.h"
#include "demand.h"
#include "request.h"
#include "session.h"
#include "xaes.h"

/* XAES-256-GCM nonce: the frame's random bytes || 0 || n, big-endian. */
static void make_nonce(uint8_t nonce[SEVMON_XAES_NONCE_BYTES],
                       const uint8_t random[SEVMON_XNONCE_BYTES], uint64_t n)
{
    unsigned int i;

    memcpy(nonce, random, SEVMON_XNONCE_BYTES);
    memset(nonce + SEVMON_XNONCE_BYTES, 0, 4);
    for ( i = 0; i < 8; i++ )
        nonce[16 + i] = n >> (56 - 8 * i);
}

/* Decrypt the frame's body in place, if the tag is right. */
static bool open_request(struct sevmon_work *work)
{
    struct sevmon_request_work *scratch = &work->scratch.request;
    uint8_t *frame = sevmon_work_in(work);
    uint8_t *body = frame + SEVMON_BODY_OFFSET;

    make_nonce(scratch->nonce, frame + sizeof(struct sevmon_header),
               work->header.n);
    sevmon_xaes_derive(&scratch->gcm, scratch->session.request_key,
                       scratch->nonce);

    return sevmon_gcm_open(&scratch->gcm, scratch->nonce + SEVMON_XNONCE_BYTES,
                           frame, sizeof(struct sevmon_header), body,
                           SEVMON_REQUEST_BODY_BYTES,
                           body + SEVMON_REQUEST_BODY_BYTES, body);
}

/*
 * Encrypt the answer's body in place, each late page as soon as it is there,
 * while the next one is on its way to the cache.
 */
static void seal_body(struct sevmon_request_work *scratch, uint8_t *body,
                      uint32_t bytes)
{
    uint32_t done = 0, end;
    unsigned int i = 0;

    do {
        const struct sevmon_late_page *late = &scratch->late[i];

        end = bytes;
        if ( i + 1 < scratch->late_pages )
        {
            end = (late->to + SEVMON_PAGE_BYTES - body) &
                  ~(SEVMON_AES_BLOCK_BYTES - 1U);
            sevmon_prefetch(late[1].from, SEVMON_PAGE_BYTES / 2);
        }
        if ( i < scratch->late_pages )
            memcpy(late->to, late->from, SEVMON_PAGE_BYTES);
        if ( i + 1 < scratch->late_pages )
            sevmon_prefetch(late[1].from + SEVMON_PAGE_BYTES / 2,
                            SEVMON_PAGE_BYTES / 2);
        sevmon_gcm_add(&scratch->gcm, &scratch->stream, body + done,
                       end - done);
        done = end;
    } while ( ++i < scratch->late_pages );
}

/* Encrypt the answer's body in place.  Returns 0, or -EIO: no randomness. */
static int seal_response(struct sevmon_agent *agent, struct sevmon_work *work)
{
    struct sevmon_request_work *scratch = &work->scratch.request;
    const struct sevmon_header header = {
        .type = SEVMON_FRAME_RESPONSE,
        .version = SEVMON_PROTOCOL_VERSION,
        .size_class = scratch->session.size_class,
        .session = scratch->session.number,
        .n = work->header.n,
    };
    uint32_t bytes = SEVMON_RESPONSE_BODY_BYTES(header.size_class);
    uint8_t *frame = &work->out[SEVMON_FRAME_SHIFT];
    uint8_t *random = frame + sizeof(header);
    uint8_t *body = frame + SEVMON_BODY_OFFSET;

    if ( agent->host->random(random, SEVMON_XNONCE_BYTES) )
    {
        sevmon_wipe(body, bytes);
        return -EIO;
    }
    memcpy(frame, &header, sizeof(header));
    make_nonce(scratch->nonce, random, header.n);
    sevmon_xaes_derive(&scratch->gcm, scratch->session.response_key,
                       scratch->nonce);
    sevmon_gcm_begin(&scratch->gcm, &scratch->stream,
                     scratch->nonce + SEVMON_XNONCE_BYTES, frame,
                     sizeof(header));
    seal_body(scratch, body, bytes);
    sevmon_gcm_end(&scratch->gcm, &scratch->stream, body + bytes);

    return 0;
}

/* What is not an answer's size: 0, or a SEVMON_COUNT_* negated. */
#define WAITS 0

/* Seal what there is to say.  Returns the answer's size or as above. */
static int finish(struct sevmon_agent *agent, struct sevmon_work *work,
                  enum sevmon_next next)
{
    const struct sevmon_session_view *session = &work->scratch.request.session;
    int rc;

    if ( next == SEVMON_NEXT_SLICE && !sevmon_demand_slice(agent, work) )
        return WAITS;
    rc = seal_response(agent, work);
    sevmon_request_end(agent, work);
    if ( rc )
        return -SEVMON_COUNT_NO_RANDOM;
    if ( next == SEVMON_NEXT_CLOSE )
        sevmon_session_close(session);
    sevmon_count(agent, SEVMON_COUNT_ANSWERS);

    return SEVMON_RESPONSE_FRAME_BYTES(session->size_class);
}

static int exchange(struct sevmon_agent *agent, struct sevmon_work *work)
{
    struct sevmon_session_view *session = &work->scratch.request.session;
    const struct sevmon_header *header = &work->header;

    if ( header->size_class >= SEVMON_CLASSES ||
         header->n >= SEVMON_MAX_MESSAGES )
        return -SEVMON_COUNT_MALFORMED;
    if ( !sevmon_session_view(agent, header->session, work->now_ns, session) )
        return -SEVMON_COUNT_EXPIRED;
    if ( header->size_class != session->size_class )
        return -SEVMON_COUNT_MALFORMED;
    if ( !open_request(work) )
        return -SEVMON_COUNT_FORGED;

    switch ( sevmon_session_take(session, header->n, work->now_ns) )
    {
    case SEVMON_TAKE_OK:
        break;
    case SEVMON_TAKE_REPLAYED:
        return -SEVMON_COUNT_REPLAYED;
    default:
        return -SEVMON_COUNT_EXPIRED;
    }

    /* From here on `n` is spent, whatever becomes of the answer. */
    return finish(agent, work, sevmon_request(agent, work));
}

static int go_on(struct sevmon_agent *agent, struct sevmon_work *work,
                 uint32_t token)
{
    struct sevmon_ids *ids = sevmon_demand_resume(agent, work, token);

    if ( !ids )
        return -SEVMON_COUNT_MALFORMED;
    work->scratch.request.late_pages = 0;
    if ( sevmon_session_view(agent, work->header.session, work->now_ns,
                             &work->scratch.request.session) )
        return finish(agent, work, SEVMON_NEXT_SLICE);
    sevmon_demand_drop(ids);

    return -SEVMON_COUNT_EXPIRED;
}

/* On every path: wipe keys and the request in clear, and count. */
static int leave(struct sevmon_agent *agent, struct sevmon_work *work, int rc)
{
    sevmon_wipe(&work->scratch.request, sizeof(work->scratch.request));
    sevmon_wipe(work->in, sizeof(work->in));
    if ( rc > 0 )
        return rc;
    if ( rc == WAITS )
        return -ERESTART;
    sevmon_count(agent, -rc);

    return -EBADMSG;
}

int sevmon_transport(struct sevmon_agent *agent, struct sevmon_work *work)
{
    return leave(agent, work, exchange(agent, work));
}

int sevmon_transport_continue(struct sevmon_agent *agent,
                              struct sevmon_work *work, uint32_t token)
{
    return leave(agent, work, go_on(agent, work, token));
}
