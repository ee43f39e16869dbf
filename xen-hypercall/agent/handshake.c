/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "handshake.h"
#include "session.h"

#define TOKEN_NS (1000000000ULL / SEVMON_HANDSHAKE_RATE)

static int drop(struct sevmon_agent *agent, unsigned int counter)
{
    sevmon_count(agent, counter);

    return -EBADMSG;
}

/* Handshake frames have no size class, flags, session or number. */
static bool has_plain_header(const struct sevmon_work *work)
{
    const struct sevmon_header *header = &work->header;

    return !header->size_class && !header->session && !header->n;
}

/*
 * The IDS with this id, or NULL, and its challenge.  For an id without a key
 * the challenge is made up, always the same one: which ids exist must not show
 * in the answer, nor in how long it takes, so both are made up each time.
 */
static struct sevmon_ids *find_ids(struct sevmon_agent *agent,
                                   const uint8_t ids_id[SEVMON_ID_BYTES],
                                   uint8_t challenge[SEVMON_ID_BYTES])
{
    struct sevmon_ids *found = NULL;
    uint8_t made_up[SEVMON_HASH_BYTES];
    unsigned int i;

    sevmon_hmac(agent->host, made_up, agent->boot_secret,
                sizeof(agent->boot_secret), ids_id, SEVMON_ID_BYTES);
    memcpy(challenge, made_up, SEVMON_ID_BYTES);
    sevmon_wipe(made_up, sizeof(made_up));

    for ( i = 0; i < agent->keys; i++ )
        if ( sevmon_equal(agent->ids[i].ids_id, ids_id, SEVMON_ID_BYTES) )
            found = &agent->ids[i];

    if ( found )
    {
        sevmon_lock(&found->lock);
        memcpy(challenge, found->challenge, SEVMON_ID_BYTES);
        sevmon_unlock(&found->lock);
    }

    return found;
}

int sevmon_hello(struct sevmon_agent *agent, struct sevmon_work *work)
{
    const uint8_t *hello = sevmon_work_in(work);
    const uint8_t *ids_id = hello + offsetof(struct sevmon_hello, ids_id);
    const uint8_t *zero = hello + offsetof(struct sevmon_hello, zero);
    struct sevmon_challenge answer = {
        .header = { .type = SEVMON_FRAME_CHALLENGE,
                    .version = SEVMON_PROTOCOL_VERSION },
    };

    if ( !has_plain_header(work) ||
         !sevmon_is_zero(zero, sizeof(((struct sevmon_hello *)0)->zero)) )
        return drop(agent, SEVMON_COUNT_MALFORMED);

    sevmon_count(agent, SEVMON_COUNT_HELLOS);
    memcpy(answer.ids_id, ids_id, SEVMON_ID_BYTES);
    memcpy(answer.agent_id, agent->agent_id, SEVMON_ID_BYTES);
    memcpy(answer.boot_nonce, agent->boot_nonce, SEVMON_ID_BYTES);
    find_ids(agent, ids_id, answer.challenge);
    memcpy(&work->out[SEVMON_FRAME_SHIFT], &answer, sizeof(answer));

    return sizeof(answer);
}

/*
 * Does this INITIATE come from a holder of the IDS's PSK, for the challenge
 * that stands?  An IDS that does not exist has a PSK that nobody knows: its
 * INITIATE fails like any forgery, after as long.
 */
static struct sevmon_ids *verify_initiate(struct sevmon_agent *agent,
                                          struct sevmon_work *work)
{
    struct sevmon_handshake_work *scratch = &work->scratch.handshake;
    struct sevmon_prologue *prologue = &scratch->prologue;
    const uint8_t *frame = sevmon_work_in(work);
    const uint8_t *ids_id = frame + offsetof(struct sevmon_handshake, ids_id);
    struct sevmon_ids *ids;
    bool verified;

    memcpy(prologue->magic, SEVMON_PROLOGUE_MAGIC, sizeof(prologue->magic));
    prologue->version = SEVMON_PROTOCOL_VERSION;
    prologue->zero = 0;
    memcpy(prologue->agent_id, agent->agent_id, SEVMON_ID_BYTES);
    memcpy(prologue->ids_id, ids_id, SEVMON_ID_BYTES);
    memcpy(prologue->boot_nonce, agent->boot_nonce, SEVMON_ID_BYTES);
    ids = find_ids(agent, ids_id, prologue->challenge);
    memcpy(scratch->psk, ids ? ids->psk : agent->boot_secret,
           SEVMON_PSK_BYTES);

    sevmon_noise_start(&scratch->noise, agent->host, prologue,
                       sizeof(*prologue));
    verified = sevmon_noise_read_first(
        &scratch->noise, scratch->psk,
        frame + offsetof(struct sevmon_handshake, ephemeral),
        (uint8_t *)&scratch->initiate, sizeof(scratch->initiate));
    sevmon_wipe(scratch->psk, sizeof(scratch->psk));

    return verified ? ids : NULL;
}

/*
 * Take a token and spend the challenge, in one step: of two copies of one
 * INITIATE at most one passes.  Returns 0, -EBADMSG, or -EBUSY.
 */
static int spend_challenge(struct sevmon_agent *agent, struct sevmon_ids *ids,
                           struct sevmon_work *work)
{
    const struct sevmon_handshake_work *scratch = &work->scratch.handshake;
    uint64_t full_ns;
    int rc = -EBADMSG;

    sevmon_lock(&ids->lock);
    full_ns = ids->bucket_full_ns;
    if ( full_ns < work->now_ns )
        full_ns = work->now_ns;
    if ( !sevmon_equal(ids->challenge, scratch->prologue.challenge,
                       SEVMON_ID_BYTES) )
        ; /* spent meanwhile */
    else if ( full_ns + TOKEN_NS - work->now_ns >
              SEVMON_HANDSHAKE_BURST * TOKEN_NS )
        rc = -EBUSY;
    else
    {
        ids->bucket_full_ns = full_ns + TOKEN_NS;
        memcpy(ids->challenge, scratch->random.challenge, SEVMON_ID_BYTES);
        rc = 0;
    }
    sevmon_unlock(&ids->lock);

    if ( rc )
        sevmon_count(agent, rc == -EBUSY ? SEVMON_COUNT_LIMITED
                                         : SEVMON_COUNT_BAD_INITIATES);

    return rc;
}

/* Install the session that the handshake made.  Returns SEVMON_ACCEPT_*. */
static uint16_t accept(struct sevmon_agent *agent, struct sevmon_ids *ids,
                       struct sevmon_work *work, uint32_t *number)
{
    struct sevmon_handshake_work *scratch = &work->scratch.handshake;
    const struct sevmon_initiate *initiate = &scratch->initiate;
    const struct sevmon_new_session new_session = {
        .connection_id = initiate->connection_id,
        .request_key = scratch->request_key,
        .response_key = scratch->response_key,
        .now_ns = work->now_ns,
        .size_class = initiate->size_class,
    };
    uint16_t status;

    if ( initiate->size_class >= SEVMON_CLASSES ||
         !sevmon_is_zero(initiate->zero, sizeof(initiate->zero)) )
    {
        sevmon_count(agent, SEVMON_COUNT_MALFORMED);
        return SEVMON_ACCEPT_BAD_REQUEST;
    }

    sevmon_noise_split(&scratch->noise, scratch->request_key,
                       scratch->response_key);
    status = sevmon_session_add(agent, ids, &new_session, number);
    sevmon_count(agent, status == SEVMON_ACCEPT_OK ? SEVMON_COUNT_HANDSHAKES
                                                   : SEVMON_COUNT_REFUSED);

    return status;
}

static int initiate(struct sevmon_agent *agent, struct sevmon_work *work)
{
    struct sevmon_handshake_work *scratch = &work->scratch.handshake;
    uint8_t *out = &work->out[SEVMON_FRAME_SHIFT];
    const struct sevmon_header header = { .type = SEVMON_FRAME_ACCEPT,
                                          .version = SEVMON_PROTOCOL_VERSION };
    struct sevmon_ids *ids = verify_initiate(agent, work);
    uint32_t number = 0;
    int rc;

    if ( !ids )
        return drop(agent, SEVMON_COUNT_BAD_INITIATES);
    if ( agent->host->random(&scratch->random, sizeof(scratch->random)) )
        return drop(agent, SEVMON_COUNT_NO_RANDOM);
    rc = spend_challenge(agent, ids, work);
    if ( rc )
        return rc;

    memcpy(out, &header, sizeof(header));
    memcpy(out + offsetof(struct sevmon_handshake, ids_id), ids->ids_id,
           SEVMON_ID_BYTES);
    if ( !sevmon_noise_reply(
             &scratch->noise, scratch->random.secret,
             out + offsetof(struct sevmon_handshake, ephemeral)) )
        return drop(agent, SEVMON_COUNT_BAD_INITIATES);

    memset(&scratch->accept, 0, sizeof(scratch->accept));
    scratch->accept.status = accept(agent, ids, work, &number);
    scratch->accept.session = number;
    scratch->accept.time_ns = work->now_ns;
    sevmon_noise_write_payload(
        &scratch->noise, (const uint8_t *)&scratch->accept,
        sizeof(scratch->accept),
        out + offsetof(struct sevmon_handshake, payload));

    return sizeof(struct sevmon_handshake);
}

int sevmon_handshake(struct sevmon_agent *agent, struct sevmon_work *work)
{
    int rc;

    if ( !has_plain_header(work) )
        return drop(agent, SEVMON_COUNT_MALFORMED);
    rc = initiate(agent, work);
    /* Ephemeral secret, PSK, chaining key, session keys: on every path. */
    sevmon_wipe(&work->scratch.handshake, sizeof(work->scratch.handshake));

    return rc;
}
