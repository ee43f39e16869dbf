/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What Linux's curve25519-hacl64.c asks of <crypto/curve25519.h>. */
#ifndef SEVMON_LINUX_CURVE25519_H
#define SEVMON_LINUX_CURVE25519_H

#include <linux/string.h>

#define CURVE25519_KEY_SIZE 32

/* X25519 (RFC 7748, 5); clamps the secret itself. */
void curve25519_generic(u8 mypublic[CURVE25519_KEY_SIZE],
                        const u8 secret[CURVE25519_KEY_SIZE],
                        const u8 basepoint[CURVE25519_KEY_SIZE]);

static inline void curve25519_clamp_secret(u8 secret[CURVE25519_KEY_SIZE])
{
    secret[0] &= 248;
    secret[31] = (secret[31] & 127) | 64;
}

#endif /* SEVMON_LINUX_CURVE25519_H */
