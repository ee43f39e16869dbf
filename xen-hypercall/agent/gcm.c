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
 * SubWord() of `word`, and RotWord() of that in the upper half, FIPS 197's 5.2:
 * the CPU's S-box takes the same time whatever the key is.
 */
static uint64_t key_gen_assist(uint32_t word)
{
    uint64_t out;

    __asm__ volatile ( "movd %1, %%xmm0\n\t"
                       "pshufd $0, %%xmm0, %%xmm0\n\t"
                       "aeskeygenassist $0, %%xmm0, %%xmm0\n\t"
                       "movq %%xmm0, %0\n\t"
                       "pxor %%xmm0, %%xmm0"
                       : "=r" (out)
                       : "r" (word)
                       : "cc" SEVMON_XMM_CLOBBERS("xmm0") );

    return out;
}

void sevmon_aes_set_key(struct sevmon_gcm_key *key,
                        const uint8_t raw[SEVMON_AES_KEY_BYTES])
{
    uint32_t *w = key->round_key;
    uint32_t round_constant = 1;
    unsigned int i, j;

    key->key_bytes = SEVMON_AES_KEY_BYTES;
    memcpy(w, raw, SEVMON_AES_KEY_BYTES);
    for ( i = 8; i < ARRAY_SIZE(key->round_key); i += 4 )
    {
        uint64_t assist = key_gen_assist(w[i - 1]);

        if ( i % 8 )
            w[i] = w[i - 8] ^ (uint32_t)assist;
        else
        {
            w[i] = w[i - 8] ^ (uint32_t)(assist >> 32) ^ round_constant;
            round_constant <<= 1;
        }
        for ( j = 1; j < 4; j++ )
            w[i + j] = w[i + j - 8] ^ w[i + j - 1];
    }
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

void sevmon_gcm_begin(const struct sevmon_gcm_key *key,
                      struct sevmon_gcm_stream *stream,
                      const uint8_t nonce[SEVMON_GCM_NONCE_BYTES],
                      const void *aad, size_t aad_bytes)
{
    memset(stream, 0, sizeof(*stream));
    first_counter(stream->le_ctr, nonce);
    aes_gcm_aad_update_aesni(key, stream->ghash, aad, aad_bytes);
    stream->aad_bytes = aad_bytes;
}

void sevmon_gcm_add(const struct sevmon_gcm_key *key,
                    struct sevmon_gcm_stream *stream, uint8_t *piece,
                    size_t bytes)
{
    aes_gcm_enc_update_aesni(key, stream->le_ctr, stream->ghash, piece, piece,
                             bytes);
    stream->le_ctr[0] += bytes / SEVMON_AES_BLOCK_BYTES;
    stream->bytes += bytes;
}

void sevmon_gcm_end(const struct sevmon_gcm_key *key,
                    struct sevmon_gcm_stream *stream,
                    uint8_t tag[SEVMON_GCM_TAG_BYTES])
{
    aes_gcm_enc_final_aesni(key, stream->le_ctr, stream->ghash, stream->aad_bytes,
                            stream->bytes);
    memcpy(tag, stream->ghash, sizeof(stream->ghash));
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
    if ( !right && bytes )
        sevmon_wipe(plain, bytes);

    return right;
}
