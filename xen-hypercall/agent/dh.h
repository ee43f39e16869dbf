/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* X25519 (RFC 7748), over Linux's curve25519-hacl64.c. */
#ifndef SEVMON_AGENT_DH_H
#define SEVMON_AGENT_DH_H

#include "port.h"

SEVMON_BEGIN_C

#define SEVMON_X25519_BYTES 32

void sevmon_dh_public(uint8_t public_key[SEVMON_X25519_BYTES],
                      const uint8_t secret[SEVMON_X25519_BYTES]);

/*
 * False, when the result is all zero: the peer sent a point of small order
 * and would know the result without a secret.
 */
bool sevmon_dh(uint8_t shared[SEVMON_X25519_BYTES],
               const uint8_t secret[SEVMON_X25519_BYTES],
               const uint8_t public_key[SEVMON_X25519_BYTES]);

SEVMON_END_C

#endif /* SEVMON_AGENT_DH_H */
