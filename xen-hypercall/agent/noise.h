/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Responder of Noise_NNpsk0_25519_AESGCM_SHA256 (Noise Protocol Framework,
 * revision 34):
 *
 *   NNpsk0:
 *     -> psk, e
 *     <- e, ee
 *
 * Call in the order of this file; wipe the state with sevmon_wipe() on every
 * path, including after a failure.
 */
#ifndef SEVMON_AGENT_NOISE_H
#define SEVMON_AGENT_NOISE_H

#include "dh.h"
#include "gcm.h"
#include "hash.h"

SEVMON_BEGIN_C

#define SEVMON_NOISE_MAX_PAYLOAD SEVMON_PAYLOAD_BYTES

struct sevmon_noise {
    struct sevmon_gcm_key gcm; /* scheduled from k for each message */
    const struct sevmon_host *host;
    uint8_t ck[SEVMON_HASH_BYTES]; /* chaining key */
    uint8_t h[SEVMON_HASH_BYTES];  /* hash of all that both ends saw */
    uint8_t k[SEVMON_HASH_BYTES];  /* cipher key; its nonce is always 0 */
    uint8_t re[SEVMON_DH_BYTES];   /* the initiator's ephemeral key */
    uint8_t e[SEVMON_DH_BYTES];    /* our ephemeral secret */
    uint8_t dh[SEVMON_DH_BYTES];
    uint8_t hashed[SEVMON_HASH_BYTES + SEVMON_NOISE_MAX_PAYLOAD +
                   SEVMON_TAG_BYTES];
};

/* `prologue_bytes` of at most 80. */
void sevmon_noise_start(struct sevmon_noise *noise,
                        const struct sevmon_host *host,
                        const void *prologue, size_t prologue_bytes);

/*
 * -> psk, e: `message` is the initiator's ephemeral key, then the encrypted
 * payload of `payload_bytes` (at most 64), then the tag.  False if the tag is
 * wrong: the sender does not have the PSK, or means another prologue.
 */
bool sevmon_noise_read_first(struct sevmon_noise *noise,
                             const uint8_t psk[SEVMON_PSK_BYTES],
                             const uint8_t *message, uint8_t *payload,
                             size_t payload_bytes);

/*
 * <- e, ee: with `secret` as our ephemeral key, write its public half.  False
 * if the initiator's ephemeral key is of small order.
 */
bool sevmon_noise_reply(struct sevmon_noise *noise,
                        const uint8_t secret[SEVMON_DH_BYTES],
                        uint8_t ephemeral[SEVMON_DH_BYTES]);

/* ... and its payload: `payload_bytes` of ciphertext, then the tag. */
void sevmon_noise_write_payload(struct sevmon_noise *noise,
                                const uint8_t *payload, size_t payload_bytes,
                                uint8_t *message);

/*
 * Split(): the initiator's sending key, then ours.  It needs ck alone, which
 * is final after sevmon_noise_reply(): so may come before the payload.
 */
void sevmon_noise_split(const struct sevmon_noise *noise,
                        uint8_t initiator[SEVMON_HASH_BYTES],
                        uint8_t responder[SEVMON_HASH_BYTES]);

SEVMON_END_C

#endif /* SEVMON_AGENT_NOISE_H */
