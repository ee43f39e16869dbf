/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "gcm.h"

/*
 * Linux's assembly.  Counters are little-endian blocks; `int` lengths are
 * bounded by SEVMON_MAX_FRAME_BYTES.
 */
void aes_gcm_precompute_aesni(struct sevmon_gcm_key *key);
void aes_gcm_aad_update_aesni(const struct sevmon_gcm_key *key,
                              uint8_t ghash_acc[16], const uint8_t *aad,
                              int aadlen);
void aes_gcm_enc_update_aesni(const struct sevmon_gcm_key *key,
                              const uint32_t le_ctr[4], uint8_t ghash_acc[16],
                              const uint8_t *src, uint8_t *dst, int datalen);
void aes_gcm_dec_update_aesni(const struct sevmon_gcm_key *key,
                              const uint32_t le_ctr[4], uint8_t ghash_acc[16],
                              const uint8_t *src, uint8_t *dst, int datalen);
void aes_gcm_enc_final_aesni(const struct sevmon_gcm_key *key,
                             const uint32_t le_ctr[4], uint8_t ghash_acc[16],
                             uint64_t total_aadlen, uint64_t total_datalen);
bool aes_gcm_dec_final_aesni(const struct sevmon_gcm_key *key,
                             const uint32_t le_ctr[4],
                             const uint8_t ghash_acc[16],
                             uint64_t total_aadlen, uint64_t total_datalen,
                             const uint8_t tag[16], int taglen);

_Static_assert(sizeof(struct sevmon_gcm_key) == 704, "Linux's layout");
_Static_assert(offsetof(struct sevmon_gcm_key, key_bytes) == 480,
               "OFFSETOF_AESKEYLEN");
_Static_assert(offsetof(struct sevmon_gcm_key, h_powers) == 496,
               "OFFSETOF_H_POWERS");
_Static_assert(offsetof(struct sevmon_gcm_key, h_powers_xored) == 624,
               "OFFSETOF_H_POWERS_XORED");
_Static_assert(offsetof(struct sevmon_gcm_key, h_times_x64) == 688,
               "OFFSETOF_H_TIMES_X64");

/*
 * Next round key of FIPS 197, 5.2: xmm1 is the one before the last, xmm2 the
 * last; `from` is the word of AESKEYGENASSIST to spread: 0xff with a round
 * constant for the even ones, 0xaa with none for the odd ones.
 */
#define EXPAND(constant, from, at)                  \
    "aeskeygenassist $" constant ", %%xmm2, %%xmm3\n\t" \
    "pshufd $" from ", %%xmm3, %%xmm3\n\t"          \
    "movdqa %%xmm1, %%xmm4\n\t"                     \
    "pslldq $4, %%xmm4\n\t"                         \
    "pxor %%xmm4, %%xmm1\n\t"                       \
    "pslldq $4, %%xmm4\n\t"                         \
    "pxor %%xmm4, %%xmm1\n\t"                       \
    "pslldq $4, %%xmm4\n\t"                         \
    "pxor %%xmm4, %%xmm1\n\t"                       \
    "pxor %%xmm3, %%xmm1\n\t"                       \
    "movdqa %%xmm1, " at "(%0)\n\t"                 \
    "movdqa %%xmm1, %%xmm3\n\t"                     \
    "movdqa %%xmm2, %%xmm1\n\t"                     \
    "movdqa %%xmm3, %%xmm2\n\t"

void sevmon_aes_set_key(struct sevmon_gcm_key *key,
                        const uint8_t raw[SEVMON_AES_KEY_BYTES])
{
    key->key_bytes = SEVMON_AES_KEY_BYTES;
    __asm__ volatile (
        "movdqu (%1), %%xmm1\n\t"
        "movdqu 16(%1), %%xmm2\n\t"
        "movdqa %%xmm1, (%0)\n\t"
        "movdqa %%xmm2, 16(%0)\n\t"
        EXPAND("0x01", "0xff", "32")
        EXPAND("0x00", "0xaa", "48")
        EXPAND("0x02", "0xff", "64")
        EXPAND("0x00", "0xaa", "80")
        EXPAND("0x04", "0xff", "96")
        EXPAND("0x00", "0xaa", "112")
        EXPAND("0x08", "0xff", "128")
        EXPAND("0x00", "0xaa", "144")
        EXPAND("0x10", "0xff", "160")
        EXPAND("0x00", "0xaa", "176")
        EXPAND("0x20", "0xff", "192")
        EXPAND("0x00", "0xaa", "208")
        EXPAND("0x40", "0xff", "224")
        "pxor %%xmm1, %%xmm1\n\t"
        "pxor %%xmm2, %%xmm2\n\t"
        "pxor %%xmm3, %%xmm3\n\t"
        "pxor %%xmm4, %%xmm4\n\t"
        :
        : "r" (key->round_key), "r" (raw)
        : "memory" SEVMON_XMM_CLOBBERS("xmm1", "xmm2", "xmm3", "xmm4") );
}

void sevmon_aes_encrypt(const struct sevmon_gcm_key *key,
                        const uint8_t in[SEVMON_AES_BLOCK_BYTES],
                        uint8_t out[SEVMON_AES_BLOCK_BYTES])
{
    static const uint8_t zeros[SEVMON_AES_BLOCK_BYTES];
    union {
        uint8_t byte[SEVMON_AES_BLOCK_BYTES];
        uint32_t word[4];
    } counter;
    uint8_t ghash[SEVMON_AES_BLOCK_BYTES] = { 0 };
    unsigned int i;

    /* The first key-stream block of counter `in` is AES(in). */
    for ( i = 0; i < SEVMON_AES_BLOCK_BYTES; i++ )
        counter.byte[i] = in[SEVMON_AES_BLOCK_BYTES - 1 - i];
    aes_gcm_enc_update_aesni(key, counter.word, ghash, zeros, out,
                             SEVMON_AES_BLOCK_BYTES);
    sevmon_wipe(&counter, sizeof(counter));
    sevmon_wipe(ghash, sizeof(ghash));
}

void sevmon_gcm_set_key(struct sevmon_gcm_key *key,
                        const uint8_t raw[SEVMON_AES_KEY_BYTES])
{
    sevmon_aes_set_key(key, raw);
    aes_gcm_precompute_aesni(key);
}

/* nonce || 1 is spent on the tag; the data begins with nonce || 2. */
static void first_counter(uint32_t le_ctr[4],
                          const uint8_t nonce[SEVMON_GCM_NONCE_BYTES])
{
    unsigned int i;

    le_ctr[0] = 2;
    for ( i = 0; i < 3; i++ )
        le_ctr[3 - i] = ((uint32_t)nonce[4 * i] << 24) |
                        ((uint32_t)nonce[4 * i + 1] << 16) |
                        ((uint32_t)nonce[4 * i + 2] << 8) |
                        nonce[4 * i + 3];
}

void sevmon_gcm_seal(const struct sevmon_gcm_key *key,
                     const uint8_t nonce[SEVMON_GCM_NONCE_BYTES],
                     const void *aad, size_t aad_bytes,
                     const uint8_t *plain, size_t bytes, uint8_t *cipher,
                     uint8_t tag[SEVMON_GCM_TAG_BYTES])
{
    uint8_t ghash[SEVMON_GCM_TAG_BYTES] = { 0 };
    uint32_t le_ctr[4];

    first_counter(le_ctr, nonce);
    aes_gcm_aad_update_aesni(key, ghash, aad, aad_bytes);
    aes_gcm_enc_update_aesni(key, le_ctr, ghash, plain, cipher, bytes);
    aes_gcm_enc_final_aesni(key, le_ctr, ghash, aad_bytes, bytes);
    memcpy(tag, ghash, sizeof(ghash));
}

bool sevmon_gcm_open(const struct sevmon_gcm_key *key,
                     const uint8_t nonce[SEVMON_GCM_NONCE_BYTES],
                     const void *aad, size_t aad_bytes,
                     const uint8_t *cipher, size_t bytes,
                     const uint8_t tag[SEVMON_GCM_TAG_BYTES], uint8_t *plain)
{
    uint8_t ghash[SEVMON_GCM_TAG_BYTES] = { 0 };
    uint32_t le_ctr[4];
    bool right;

    first_counter(le_ctr, nonce);
    aes_gcm_aad_update_aesni(key, ghash, aad, aad_bytes);
    aes_gcm_dec_update_aesni(key, le_ctr, ghash, cipher, plain, bytes);
    right = aes_gcm_dec_final_aesni(key, le_ctr, ghash, aad_bytes, bytes, tag,
                                    SEVMON_GCM_TAG_BYTES);
    if ( !right )
        sevmon_wipe(plain, bytes);

    return right;
}
