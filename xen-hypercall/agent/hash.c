/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "hash.h"

#define BLOCK_BYTES 64

/* SHA-256((key ^ pad) || message) */
static void keyed(const struct sevmon_host *host,
                  uint8_t out[SEVMON_HASH_BYTES], uint8_t pad,
                  const uint8_t *key, size_t key_bytes,
                  const void *message, size_t bytes)
{
    uint8_t buffer[BLOCK_BYTES + SEVMON_HMAC_MAX_BYTES];
    size_t i;

    for ( i = 0; i < BLOCK_BYTES; i++ )
        buffer[i] = pad ^ (i < key_bytes ? key[i] : 0);
    if ( bytes )
        memcpy(&buffer[BLOCK_BYTES], message, bytes);
    host->sha256(out, buffer, BLOCK_BYTES + bytes);
    sevmon_wipe(buffer, sizeof(buffer));
}

void sevmon_hmac(const struct sevmon_host *host,
                 uint8_t out[SEVMON_HASH_BYTES],
                 const void *key, size_t key_bytes,
                 const void *message, size_t bytes)
{
    uint8_t inner[SEVMON_HASH_BYTES];

    keyed(host, inner, 0x36, key, key_bytes, message, bytes);
    keyed(host, out, 0x5c, key, key_bytes, inner, sizeof(inner));
    sevmon_wipe(inner, sizeof(inner));
}

void sevmon_hkdf(const struct sevmon_host *host,
                 const uint8_t chaining_key[SEVMON_HASH_BYTES],
                 const void *input, size_t bytes,
                 uint8_t out1[SEVMON_HASH_BYTES],
                 uint8_t out2[SEVMON_HASH_BYTES],
                 uint8_t out3[SEVMON_HASH_BYTES])
{
    uint8_t temp_key[SEVMON_HASH_BYTES];
    uint8_t block[SEVMON_HASH_BYTES + 1];

    /* temp_key = HMAC(chaining_key, input) */
    sevmon_hmac(host, temp_key, chaining_key, SEVMON_HASH_BYTES, input, bytes);

    /* output1 = HMAC(temp_key, 01) */
    block[0] = 1;
    sevmon_hmac(host, out1, temp_key, sizeof(temp_key), block, 1);

    /* output2 = HMAC(temp_key, output1 || 02) */
    memcpy(block, out1, SEVMON_HASH_BYTES);
    block[SEVMON_HASH_BYTES] = 2;
    sevmon_hmac(host, out2, temp_key, sizeof(temp_key), block, sizeof(block));

    if ( out3 )
    {
        /* output3 = HMAC(temp_key, output2 || 03) */
        memcpy(block, out2, SEVMON_HASH_BYTES);
        block[SEVMON_HASH_BYTES] = 3;
        sevmon_hmac(host, out3, temp_key, sizeof(temp_key), block,
                    sizeof(block));
    }
    sevmon_wipe(temp_key, sizeof(temp_key));
    sevmon_wipe(block, sizeof(block));
}
