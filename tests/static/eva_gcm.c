/* SPDX-License-Identifier: Apache-2.0 */
/* gcm.c, whose one assembly statement is replaced by what it reads and writes. */
#include "eva_crypto.h"

/*@ requires \valid(out + (0 .. 3));
    requires \valid_read(in + (0 .. 3));
    requires \initialized(in + (0 .. 3));
    assigns out[0 .. 3] \from in[0 .. 3];
    ensures \initialized(out + (0 .. 3)); */
static void key_gen_assist(uint32_t out[4], const uint32_t in[4]);

#include "gcm.c"
