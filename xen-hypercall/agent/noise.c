/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "noise.h"

/* Both handshake messages are sealed under a key of their own: n is 0. */
static const uint8_t first_nonce[SEVMON_GCM_NONCE_BYTES];

/* MixHash(data): h = SHA-256(h || data) */
static void mix_hash(struct sevmon_noise *noise, const void *data,
                     size_t bytes)
{
    memcpy(noise->hashed, noise->h, SEVMON_HASH_BYTES);
    if ( bytes )
        memcpy(&noise->hashed[SEVMON_HASH_BYTES], data, bytes);
    noise->host->sha256(noise->h, noise->hashed, SEVMON_HASH_BYTES + bytes);
}

/* MixKey(input): ck, k = HKDF(ck, input, 2) */
static void mix_key(struct sevmon_noise *noise,
                    const uint8_t input[SEVMON_DH_BYTES])
{
    sevmon_hkdf(noise->host, noise->ck, input, SEVMON_DH_BYTES, noise->ck,
                noise->k, NULL);
}

/* MixKeyAndHash(psk): ck, temp_h, k = HKDF(ck, psk, 3); MixHash(temp_h) */
static void mix_key_and_hash(struct sevmon_noise *noise,
                             const uint8_t psk[SEVMON_PSK_BYTES])
{
    uint8_t temp_h[SEVMON_HASH_BYTES];

    sevmon_hkdf(noise->host, noise->ck, psk, SEVMON_PSK_BYTES, noise->ck,
                temp_h, noise->k);
    mix_hash(noise, temp_h, sizeof(temp_h));
    sevmon_wipe(temp_h, sizeof(temp_h));
}

void sevmon_noise_start(struct sevmon_noise *noise,
                        const struct sevmon_host *host,
                        const void *prologue, size_t prologue_bytes)
{
    static const char name[] = SEVMON_NOISE_NAME;

    /* A name of exactly 32 bytes is not hashed (section 5.2). */
    _Static_assert(sizeof(name) - 1 == SEVMON_HASH_BYTES, "name is h");
    noise->host = host;
    memcpy(noise->h, name, SEVMON_HASH_BYTES);
    memcpy(noise->ck, noise->h, SEVMON_HASH_BYTES);
    mix_hash(noise, prologue, prologue_bytes);
}

bool sevmon_noise_read_first(struct sevmon_noise *noise,
                             const uint8_t psk[SEVMON_PSK_BYTES],
                             const uint8_t *message, uint8_t *payload,
                             size_t payload_bytes)
{
    const uint8_t *cipher = message + SEVMON_DH_BYTES;

    /* -> psk */
    mix_key_and_hash(noise, psk);

    /* -> e; with a PSK it goes into the key too (section 9.2) */
    memcpy(noise->re, message, SEVMON_DH_BYTES);
    mix_hash(noise, noise->re, SEVMON_DH_BYTES);
    mix_key(noise, noise->re);

    /* DecryptAndHash(payload) */
    sevmon_gcm_set_key(&noise->gcm, noise->k);
    if ( !sevmon_gcm_open(&noise->gcm, first_nonce, noise->h,
                          SEVMON_HASH_BYTES, cipher, payload_bytes,
                          cipher + payload_bytes, payload) )
        return false;
    mix_hash(noise, cipher, payload_bytes + SEVMON_TAG_BYTES);

    return true;
}

bool sevmon_noise_reply(struct sevmon_noise *noise,
                        const uint8_t secret[SEVMON_DH_BYTES],
                        uint8_t ephemeral[SEVMON_DH_BYTES])
{
    /* <- e */
    memcpy(noise->e, secret, SEVMON_DH_BYTES);
    sevmon_dh_public(ephemeral, noise->e);
    mix_hash(noise, ephemeral, SEVMON_DH_BYTES);
    mix_key(noise, ephemeral);

    /* <- ee */
    if ( !sevmon_dh(noise->dh, noise->e, noise->re) )
        return false;
    mix_key(noise, noise->dh);

    return true;
}

void sevmon_noise_write_payload(struct sevmon_noise *noise,
                                const uint8_t *payload, size_t payload_bytes,
                                uint8_t *message)
{
    /* EncryptAndHash(payload) */
    sevmon_gcm_set_key(&noise->gcm, noise->k);
    sevmon_gcm_seal(&noise->gcm, first_nonce, noise->h, SEVMON_HASH_BYTES,
                    payload, payload_bytes, message, message + payload_bytes);
    mix_hash(noise, message, payload_bytes + SEVMON_TAG_BYTES);
}

void sevmon_noise_split(const struct sevmon_noise *noise,
                        uint8_t initiator[SEVMON_HASH_BYTES],
                        uint8_t responder[SEVMON_HASH_BYTES])
{
    sevmon_hkdf(noise->host, noise->ck, NULL, 0, initiator, responder, NULL);
}
