/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IDS's end of the channel inside Dom0, for tests that know the key: what
 * an attacker cannot do, so that requests which verify can be hostile too.
 *
 * Needs memory that stays present, so every buffer is from sevmon_buffer().
 * Whatever fails here and must not ends the program with a message.
 */
#ifndef SEVMON_SESSION_H
#define SEVMON_SESSION_H

#include <stdbool.h>

#include "sevmon-call.h"

#include <noise.h>
#include <xaes.h>

struct session {
    int fd;
    uint8_t ids_id[SEVMON_ID_BYTES];
    uint8_t psk[SEVMON_PSK_BYTES];
    uint8_t connection_id[SEVMON_ID_BYTES];
    uint8_t size_class;
    uint32_t number;
    uint64_t n; /* of the next request */
    uint8_t request_key[SEVMON_AES_KEY_BYTES];
    uint8_t response_key[SEVMON_AES_KEY_BYTES];
    uint8_t *frame;  /* SEVMON_REQUEST_FRAME_BYTES */
    uint8_t *answer; /* SEVMON_MAX_FRAME_BYTES */
    uint8_t *opened; /* the last answer's body */
};

/*
 * `key`: IDS id and PSK in hexadecimal, 96 digits; `connection` tells the
 * connections of one IDS apart (the agent has four).
 */
void session_init(struct session *s, int fd, const char *key, uint8_t connection,
                  uint8_t size_class);

/* HELLO and handshake; again as long as another connection's comes between. */
void session_open(struct session *s);

/* Seal `body` as request number s->n, and count on. */
void session_seal(struct session *s, const struct sevmon_request_body *body,
                  uint8_t frame[SEVMON_REQUEST_FRAME_BYTES]);

/* Does this RESPONSE verify, as the answer to request `n`?  To s->opened. */
bool session_verify(struct session *s, const uint8_t *frame, uint64_t n);

/*
 * Ask, in a new session when this one is over.  The body is in s->opened.
 * Whoever asks for a CLOSE opens the session again.
 */
const struct sevmon_response_head *session_ask(struct session *s,
                                               const struct sevmon_request_body *body);

static inline const struct sevmon_item_result *session_results(const struct session *s)
{
    return (const void *)(s->opened + sizeof(struct sevmon_response_head));
}

/* Where the data of item `index` lies. */
const uint8_t *session_data(const struct session *s, unsigned int index);

/* An item; the fields that its type does not use are 0. */
struct sevmon_item session_item(uint8_t type, uint16_t bytes, uint64_t address);

/*
 * The frame of a page of this process, as the target's page tables have it
 * (PV: the machine's), with the walk's entries in `t` unless NULL.  The caller
 * runs on vCPU `vcpu` and stays there.
 */
uint64_t session_frame_of(struct session *s, unsigned int vcpu, const void *p,
                          struct sevmon_translation *t);

#endif /* SEVMON_SESSION_H */
