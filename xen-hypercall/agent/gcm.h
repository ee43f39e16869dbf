/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * AES-256-GCM with 12-byte nonces and 16-byte tags (NIST SP 800-38D), over
 * Linux's aes-gcm-aesni-x86_64.S.
 */
#ifndef SEVMON_AGENT_GCM_H
#define SEVMON_AGENT_GCM_H

#include "port.h"

SEVMON_BEGIN_C

#define SEVMON_AES_KEY_BYTES   32
#define SEVMON_AES_BLOCK_BYTES 16
#define SEVMON_GCM_NONCE_BYTES 12
#define SEVMON_GCM_TAG_BYTES   16

/* Layout is the assembly's: struct aes_gcm_key_aesni in Linux's glue. */
struct sevmon_gcm_key {
    uint32_t round_key[60];
    uint32_t decrypt_key[60]; /* GCM does without */
    uint32_t key_bytes;
    uint32_t unused[3];
    uint64_t h_powers[8][2];
    uint64_t h_powers_xored[8];
    uint64_t h_times_x64[2];
} __attribute__((__aligned__(16)));

void sevmon_gcm_set_key(struct sevmon_gcm_key *key,
                        const uint8_t raw[SEVMON_AES_KEY_BYTES]);

/* `cipher` may be `plain`.  Never in memory that others can write. */
void sevmon_gcm_seal(const struct sevmon_gcm_key *key,
                     const uint8_t nonce[SEVMON_GCM_NONCE_BYTES],
                     const void *aad, size_t aad_bytes,
                     const uint8_t *plain, size_t bytes, uint8_t *cipher,
                     uint8_t tag[SEVMON_GCM_TAG_BYTES]);

/*
 * The same in pieces, in place: all of the message, one piece after another,
 * each but the last of whole blocks and none of them empty.
 */
struct sevmon_gcm_stream {
    uint8_t ghash[SEVMON_GCM_TAG_BYTES];
    uint32_t le_ctr[4];
    size_t aad_bytes, bytes; /* so far */
};

void sevmon_gcm_begin(const struct sevmon_gcm_key *key,
                      struct sevmon_gcm_stream *stream,
                      const uint8_t nonce[SEVMON_GCM_NONCE_BYTES],
                      const void *aad, size_t aad_bytes);
void sevmon_gcm_add(const struct sevmon_gcm_key *key,
                    struct sevmon_gcm_stream *stream, uint8_t *piece,
                    size_t bytes);
void sevmon_gcm_end(const struct sevmon_gcm_key *key,
                    struct sevmon_gcm_stream *stream,
                    uint8_t tag[SEVMON_GCM_TAG_BYTES]);

/*
 * `plain` may be `cipher`.  False, and `plain` is zero, unless the tag is
 * right.
 */
bool sevmon_gcm_open(const struct sevmon_gcm_key *key,
                     const uint8_t nonce[SEVMON_GCM_NONCE_BYTES],
                     const void *aad, size_t aad_bytes,
                     const uint8_t *cipher, size_t bytes,
                     const uint8_t tag[SEVMON_GCM_TAG_BYTES], uint8_t *plain);

/*
 * AES-256 alone, for XAES: needs sevmon_aes_set_key() only, which leaves the
 * key without what GCM needs besides.
 */
void sevmon_aes_set_key(struct sevmon_gcm_key *key,
                        const uint8_t raw[SEVMON_AES_KEY_BYTES]);
void sevmon_aes_encrypt(const struct sevmon_gcm_key *key,
                        const uint8_t in[SEVMON_AES_BLOCK_BYTES],
                        uint8_t out[SEVMON_AES_BLOCK_BYTES]);

SEVMON_END_C

#endif /* SEVMON_AGENT_GCM_H */
