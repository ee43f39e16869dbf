/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "xaes.h"

/* K1 of CMAC (NIST SP 800-38B, 6.1): L doubled in GF(2^128). */
static void double_block(uint8_t block[SEVMON_AES_BLOCK_BYTES])
{
    /* Without a branch: L is as secret as the key. */
    uint8_t carry = -(block[0] >> 7) & 0x87;
    unsigned int i;

    for ( i = 0; i < SEVMON_AES_BLOCK_BYTES - 1; i++ )
        block[i] = (block[i] << 1) | (block[i + 1] >> 7);
    block[i] = (block[i] << 1) ^ carry;
}

void sevmon_xaes_derive(struct sevmon_gcm_key *message_key,
                        const uint8_t key[SEVMON_AES_KEY_BYTES],
                        const uint8_t nonce[SEVMON_XAES_NONCE_BYTES])
{
    uint8_t k1[SEVMON_AES_BLOCK_BYTES] = { 0 };
    uint8_t m[SEVMON_AES_BLOCK_BYTES];
    uint8_t kx[SEVMON_AES_KEY_BYTES];
    unsigned int half, i;

    sevmon_aes_set_key(message_key, key);

    /* L = AES_K(0), K1 = 2L */
    sevmon_aes_encrypt(message_key, k1, k1);
    double_block(k1);

    /* Kx = AES_K(M1 ^ K1) || AES_K(M2 ^ K1), Mi = 00 || i || "X" || 00 || N */
    for ( half = 0; half < 2; half++ )
    {
        m[0] = 0;
        m[1] = half + 1;
        m[2] = 'X';
        m[3] = 0;
        memcpy(&m[4], nonce, 12);
        for ( i = 0; i < sizeof(m); i++ )
            m[i] ^= k1[i];
        sevmon_aes_encrypt(message_key, m, &kx[half * sizeof(m)]);
    }

    sevmon_gcm_set_key(message_key, kx);
    sevmon_wipe(k1, sizeof(k1));
    sevmon_wipe(m, sizeof(m));
    sevmon_wipe(kx, sizeof(kx));
}
