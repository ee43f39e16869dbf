/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the analysis assumes of code that is not C of ours: Linux's assembly,
 * its verified X25519, and one instruction.  Each reads and writes what is
 * said here and nothing else, and its result may be anything.
 */
#include "gcm.h"

/*@ requires \valid(key);
    requires \initialized(&key->round_key[0 .. 59]);
    requires \initialized(&key->key_bytes);
    assigns key->h_powers[0 .. 7][0 .. 1], key->h_powers_xored[0 .. 7],
            key->h_times_x64[0 .. 1] \from key->round_key[0 .. 59];
    ensures \initialized(&key->h_powers[0 .. 7][0 .. 1]); */
void aes_gcm_precompute_aesni(struct sevmon_gcm_key *key);

/*@ requires \valid_read(key);
    requires \initialized(&key->h_powers[0 .. 7][0 .. 1]);
    requires \valid(ghash_acc + (0 .. 15));
    requires \initialized(ghash_acc + (0 .. 15));
    requires 0 < aadlen && \valid_read(aad + (0 .. aadlen - 1));
    requires \initialized(aad + (0 .. aadlen - 1));
    assigns ghash_acc[0 .. 15]
            \from ghash_acc[0 .. 15], *key, aad[0 .. aadlen - 1];
    ensures \initialized(ghash_acc + (0 .. 15)); */
void aes_gcm_aad_update_aesni(const struct sevmon_gcm_key *key,
                              uint8_t ghash_acc[16], const uint8_t *aad,
                              int aadlen);

/*@ requires \valid_read(key);
    requires \initialized(&key->round_key[0 .. 59]);
    requires \initialized(le_ctr + (0 .. 3));
    requires \valid(ghash_acc + (0 .. 15));
    requires \initialized(ghash_acc + (0 .. 15));
    requires 0 < datalen <= 62012;
    requires \valid_read(src + (0 .. datalen - 1));
    requires \initialized(src + (0 .. datalen - 1));
    requires \valid(dst + (0 .. datalen - 1));
    assigns ghash_acc[0 .. 15], dst[0 .. datalen - 1]
            \from src[0 .. datalen - 1], *key, le_ctr[0 .. 3];
    ensures \initialized(ghash_acc + (0 .. 15));
    ensures \initialized(dst + (0 .. datalen - 1)); */
void aes_gcm_enc_update_aesni(const struct sevmon_gcm_key *key,
                              const uint32_t le_ctr[4], uint8_t ghash_acc[16],
                              const uint8_t *src, uint8_t *dst, int datalen);

/*@ requires \valid_read(key);
    requires \initialized(&key->round_key[0 .. 59]);
    requires \initialized(&key->h_powers[0 .. 7][0 .. 1]);
    requires \initialized(le_ctr + (0 .. 3));
    requires \valid(ghash_acc + (0 .. 15));
    requires \initialized(ghash_acc + (0 .. 15));
    requires 0 < datalen <= 62012;
    requires \valid_read(src + (0 .. datalen - 1));
    requires \initialized(src + (0 .. datalen - 1));
    requires \valid(dst + (0 .. datalen - 1));
    assigns ghash_acc[0 .. 15], dst[0 .. datalen - 1]
            \from src[0 .. datalen - 1], *key, le_ctr[0 .. 3];
    ensures \initialized(ghash_acc + (0 .. 15));
    ensures \initialized(dst + (0 .. datalen - 1)); */
void aes_gcm_dec_update_aesni(const struct sevmon_gcm_key *key,
                              const uint32_t le_ctr[4], uint8_t ghash_acc[16],
                              const uint8_t *src, uint8_t *dst, int datalen);

/*@ requires \valid_read(key);
    requires \initialized(le_ctr + (0 .. 3));
    requires \valid(ghash_acc + (0 .. 15));
    requires \initialized(ghash_acc + (0 .. 15));
    assigns ghash_acc[0 .. 15]
            \from ghash_acc[0 .. 15], *key, le_ctr[0 .. 3];
    ensures \initialized(ghash_acc + (0 .. 15)); */
void aes_gcm_enc_final_aesni(const struct sevmon_gcm_key *key,
                             const uint32_t le_ctr[4], uint8_t ghash_acc[16],
                             uint64_t total_aadlen, uint64_t total_datalen);

/*@ requires \valid_read(key);
    requires \initialized(le_ctr + (0 .. 3));
    requires \valid_read(ghash_acc + (0 .. 15));
    requires \initialized(ghash_acc + (0 .. 15));
    requires 0 < taglen && \valid_read(tag + (0 .. taglen - 1));
    requires \initialized(tag + (0 .. taglen - 1));
    assigns \result \from ghash_acc[0 .. 15], *key, tag[0 .. taglen - 1];
    ensures \result == 0 || \result == 1; */
bool aes_gcm_dec_final_aesni(const struct sevmon_gcm_key *key,
                             const uint32_t le_ctr[4],
                             const uint8_t ghash_acc[16],
                             uint64_t total_aadlen, uint64_t total_datalen,
                             const uint8_t tag[16], int taglen);

/*@ requires \valid(mypublic + (0 .. 31));
    requires \valid_read(secret + (0 .. 31));
    requires \initialized(secret + (0 .. 31));
    requires \valid_read(basepoint + (0 .. 31));
    requires \initialized(basepoint + (0 .. 31));
    assigns mypublic[0 .. 31] \from secret[0 .. 31], basepoint[0 .. 31];
    ensures \initialized(mypublic + (0 .. 31)); */
void curve25519_generic(uint8_t mypublic[32], const uint8_t secret[32],
                        const uint8_t basepoint[32]);
