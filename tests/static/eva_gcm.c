/* SPDX-License-Identifier: Apache-2.0 */
/* gcm.c, whose one assembly statement is replaced by what it reads and writes. */
#include "eva_crypto.h"

/*@ assigns \result \from word; */
static uint64_t key_gen_assist(uint32_t word);

#include "gcm.c"
