/* SPDX-License-Identifier: Apache-2.0 */
#include "sevmon-session.h"

#include <sched.h>

/* What it has that is not deprecated would pull all of OpenSSL in. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

/* The responder's steps, of which the initiator's are made. */
#include <noise.c>

static void die(const char *what)
{
    fprintf(stderr, "session: %s\n", what);
    exit(1);
}

static void sha256(uint8_t digest[32], const void *message, size_t bytes)
{
    SHA256_CTX context;

    SHA256_Init(&context);
    SHA256_Update(&context, message, bytes);
    SHA256_Final(digest, &context);
}

static const struct sevmon_host host = { .sha256 = sha256 };

static void random_bytes(void *p, size_t bytes)
{
    static int fd = -1;

    if ( fd < 0 )
        fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if ( fd < 0 || read(fd, p, bytes) != (ssize_t)bytes )
        die("no randomness");
}

static void from_hex(uint8_t *out, const char *text, size_t bytes)
{
    for ( size_t i = 0; i < bytes; i++ )
        if ( sscanf(text + 2 * i, "%2hhx", &out[i]) != 1 )
            die("the key is not hexadecimal");
}

void session_init(struct session *s, int fd, const char *key, uint8_t connection,
                  uint8_t size_class)
{
    if ( strlen(key) != 2 * (SEVMON_ID_BYTES + SEVMON_PSK_BYTES) )
        die("the key has 96 digits");
    memset(s, 0, sizeof(*s));
    s->fd = fd;
    from_hex(s->ids_id, key, SEVMON_ID_BYTES);
    from_hex(s->psk, key + 2 * SEVMON_ID_BYTES, SEVMON_PSK_BYTES);
    memset(s->connection_id, 0xa0 + connection, SEVMON_ID_BYTES);
    s->size_class = size_class;
    s->frame = sevmon_buffer(SEVMON_REQUEST_FRAME_BYTES);
    s->answer = sevmon_buffer(SEVMON_MAX_FRAME_BYTES);
    s->opened = sevmon_buffer(SEVMON_MAX_FRAME_BYTES);
}

/* Returns the CHALLENGE, in s->answer. */
static const struct sevmon_challenge *hello(struct session *s)
{
    struct sevmon_hello *frame = (void *)s->frame;

    sevmon_make_hello(frame);
    memcpy(frame->ids_id, s->ids_id, SEVMON_ID_BYTES);
    sevmon_touch(s->answer, SEVMON_MAX_FRAME_BYTES);
    if ( sevmon_call(s->fd, XEN_SEVMON_OP_frame, frame, sizeof(*frame), s->answer,
                     SEVMON_MAX_FRAME_BYTES) != sizeof(struct sevmon_challenge) )
        die("no CHALLENGE");

    return (const void *)s->answer;
}

/* -> psk, e */
static void initiate(struct session *s, struct sevmon_noise *noise)
{
    const struct sevmon_challenge *challenge = hello(s);
    struct sevmon_prologue prologue = { .version = SEVMON_PROTOCOL_VERSION };
    struct sevmon_initiate payload = { .size_class = s->size_class };
    struct sevmon_handshake *frame = (void *)s->frame;

    memcpy(prologue.magic, SEVMON_PROLOGUE_MAGIC, sizeof(prologue.magic));
    memcpy(prologue.agent_id, challenge->agent_id, SEVMON_ID_BYTES);
    memcpy(prologue.ids_id, s->ids_id, SEVMON_ID_BYTES);
    memcpy(prologue.boot_nonce, challenge->boot_nonce, SEVMON_ID_BYTES);
    memcpy(prologue.challenge, challenge->challenge, SEVMON_ID_BYTES);
    memcpy(payload.connection_id, s->connection_id, SEVMON_ID_BYTES);

    memset(frame, 0, sizeof(*frame));
    frame->header.type = SEVMON_FRAME_INITIATE;
    frame->header.version = SEVMON_PROTOCOL_VERSION;
    memcpy(frame->ids_id, s->ids_id, SEVMON_ID_BYTES);

    sevmon_noise_start(noise, &host, &prologue, sizeof(prologue));
    mix_key_and_hash(noise, s->psk);
    random_bytes(noise->e, sizeof(noise->e));
    sevmon_dh_public(frame->ephemeral, noise->e);
    mix_hash(noise, frame->ephemeral, SEVMON_DH_BYTES);
    mix_key(noise, frame->ephemeral);
    sevmon_noise_write_payload(noise, (uint8_t *)&payload, sizeof(payload),
                               s->frame + offsetof(struct sevmon_handshake, payload));
}

/* <- e, ee */
static uint16_t accepted(struct session *s, struct sevmon_noise *noise)
{
    const struct sevmon_handshake *frame = (const void *)s->answer;
    struct sevmon_accept accept;

    mix_hash(noise, frame->ephemeral, SEVMON_DH_BYTES);
    mix_key(noise, frame->ephemeral);
    if ( !sevmon_dh(noise->dh, noise->e, frame->ephemeral) )
        die("a Diffie-Hellman result of zero");
    mix_key(noise, noise->dh);
    sevmon_gcm_set_key(&noise->gcm, noise->k);
    if ( !sevmon_gcm_open(&noise->gcm, first_nonce, noise->h, SEVMON_HASH_BYTES, frame->payload,
                          sizeof(accept), frame->tag, (uint8_t *)&accept) )
        die("the ACCEPT does not verify");
    s->number = accept.session;
    s->n = 0;
    sevmon_noise_split(noise, s->request_key, s->response_key);

    return accept.status;
}

void session_open(struct session *s)
{
    struct sevmon_noise noise;

    /* Lost races for the challenge, the rate, connections of dead processes. */
    for ( unsigned int i = 0; i < 400; i++ )
    {
        long rc;

        initiate(s, &noise);
        rc = sevmon_call(s->fd, XEN_SEVMON_OP_frame, s->frame, sizeof(struct sevmon_handshake),
                         s->answer, SEVMON_MAX_FRAME_BYTES);
        if ( rc == sizeof(struct sevmon_handshake) && accepted(s, &noise) == SEVMON_ACCEPT_OK )
            return;
        if ( rc < 0 && rc != -EBADMSG && rc != -EBUSY )
            break;
        usleep(50000);
    }
    die("no handshake");
}

static void derive(struct sevmon_gcm_key *gcm, const uint8_t key[SEVMON_AES_KEY_BYTES],
                   const uint8_t *random, uint64_t n, uint8_t nonce[SEVMON_XAES_NONCE_BYTES])
{
    memcpy(nonce, random, SEVMON_XNONCE_BYTES);
    memset(nonce + SEVMON_XNONCE_BYTES, 0, 4);
    for ( unsigned int i = 0; i < 8; i++ )
        nonce[16 + i] = n >> (56 - 8 * i);
    sevmon_xaes_derive(gcm, key, nonce);
}

void session_seal(struct session *s, const struct sevmon_request_body *body,
                  uint8_t frame[SEVMON_REQUEST_FRAME_BYTES])
{
    const struct sevmon_header header = {
        .type = SEVMON_FRAME_REQUEST,
        .version = SEVMON_PROTOCOL_VERSION,
        .size_class = s->size_class,
        .session = s->number,
        .n = s->n++,
    };
    struct sevmon_gcm_key gcm;
    uint8_t nonce[SEVMON_XAES_NONCE_BYTES];
    uint8_t *random = frame + sizeof(header), *cipher = frame + SEVMON_BODY_OFFSET;

    memcpy(frame, &header, sizeof(header));
    /* One boot's tests need no more: n and the session make it unique. */
    memset(random, 0x77, SEVMON_XNONCE_BYTES);
    derive(&gcm, s->request_key, random, header.n, nonce);
    sevmon_gcm_seal(&gcm, nonce + SEVMON_XNONCE_BYTES, frame, sizeof(header),
                    (const uint8_t *)body, sizeof(*body), cipher, cipher + sizeof(*body));
}

bool session_verify(struct session *s, const uint8_t *frame, uint64_t n)
{
    const struct sevmon_header *header = (const void *)frame;
    const struct sevmon_response_head *head = (const void *)s->opened;
    uint32_t bytes = SEVMON_RESPONSE_BODY_BYTES(s->size_class);
    const uint8_t *cipher = frame + SEVMON_BODY_OFFSET;
    struct sevmon_gcm_key gcm;
    uint8_t nonce[SEVMON_XAES_NONCE_BYTES];

    if ( header->type != SEVMON_FRAME_RESPONSE || header->session != s->number || header->n != n )
        return false;
    derive(&gcm, s->response_key, frame + sizeof(*header), n, nonce);

    return sevmon_gcm_open(&gcm, nonce + SEVMON_XNONCE_BYTES, frame, sizeof(*header), cipher,
                           bytes, cipher + bytes, s->opened) &&
           head->n == n;
}

const struct sevmon_response_head *session_ask(struct session *s,
                                               const struct sevmon_request_body *body)
{
    long wanted = SEVMON_RESPONSE_FRAME_BYTES(s->size_class);

    for ( unsigned int i = 0; i < 2; i++ )
    {
        long rc;

        session_seal(s, body, s->frame);
        sevmon_touch(s->answer, wanted);
        rc = sevmon_call(s->fd, XEN_SEVMON_OP_frame, s->frame, SEVMON_REQUEST_FRAME_BYTES,
                         s->answer, SEVMON_MAX_FRAME_BYTES);
        if ( rc == wanted && session_verify(s, s->answer, s->n - 1) )
            return (const void *)s->opened;
        if ( rc != -EBADMSG )
        {
            fprintf(stderr, "session: a request returned %ld\n", rc);
            exit(1);
        }
        session_open(s); /* three minutes old */
    }
    die("a new session does not answer either");
    return NULL;
}

const uint8_t *session_data(const struct session *s, unsigned int index)
{
    const struct sevmon_item_result *results = session_results(s);
    uint32_t at = 0;

    for ( unsigned int i = 0; i < index; i++ )
        if ( results[i].bytes )
            at = ((at + 7) & ~7U) + results[i].bytes;

    return s->opened + SEVMON_DATA_OFFSET + ((at + 7) & ~7U);
}

struct sevmon_item session_item(uint8_t type, uint16_t bytes, uint64_t address)
{
    return (struct sevmon_item){ .type = type, .bytes = bytes, .address = address };
}

uint64_t session_frame_of(struct session *s, unsigned int vcpu, const void *p,
                          struct sevmon_translation *t)
{
    struct sevmon_request_body body = {
        .head = { .domid = SEVMON_DOMID_DOM0, .vcpu = vcpu, .items = 1 },
        .items = { session_item(SEVMON_ITEM_TRANSLATE, 0, (uintptr_t)p) },
    };
    struct sevmon_translation found;

    if ( session_ask(s, &body)->status != SEVMON_ANSWER_OK ||
         session_results(s)[0].status != SEVMON_STATUS_OK )
        die("a page of this process has no frame");
    memcpy(&found, session_data(s, 0), sizeof(found));
    if ( t )
        *t = found;

    return found.frame;
}
