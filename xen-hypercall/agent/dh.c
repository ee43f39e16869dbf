/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "dh.h"

#include <crypto/curve25519.h>

void sevmon_dh_public(uint8_t public_key[SEVMON_X25519_BYTES],
                      const uint8_t secret[SEVMON_X25519_BYTES])
{
    static const uint8_t base_point[SEVMON_X25519_BYTES] = { 9 };

    curve25519_generic(public_key, secret, base_point);
}

bool sevmon_dh(uint8_t shared[SEVMON_X25519_BYTES],
               const uint8_t secret[SEVMON_X25519_BYTES],
               const uint8_t public_key[SEVMON_X25519_BYTES])
{
    curve25519_generic(shared, secret, public_key);

    return !sevmon_is_zero(shared, SEVMON_X25519_BYTES);
}
