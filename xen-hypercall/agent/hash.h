/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* HMAC and HKDF over the host's SHA-256. */
#ifndef SEVMON_AGENT_HASH_H
#define SEVMON_AGENT_HASH_H

#include "host.h"

SEVMON_BEGIN_C

#define SEVMON_HASH_BYTES 32
/* The host's SHA-256 takes one piece, so messages are put together first. */
#define SEVMON_HMAC_MAX_BYTES 128

/* HMAC-SHA-256 (RFC 2104); keys of at most 64 bytes. */
void sevmon_hmac(const struct sevmon_host *host,
                 uint8_t out[SEVMON_HASH_BYTES],
                 const void *key, size_t key_bytes,
                 const void *message, size_t bytes);

/*
 * Noise's HKDF (revision 34, section 4.3; RFC 5869 with no info): two or three
 * outputs.  `out3` may be NULL; outputs may be `chaining_key`.
 */
void sevmon_hkdf(const struct sevmon_host *host,
                 const uint8_t chaining_key[SEVMON_HASH_BYTES],
                 const void *input, size_t bytes,
                 uint8_t out1[SEVMON_HASH_BYTES],
                 uint8_t out2[SEVMON_HASH_BYTES],
                 uint8_t out3[SEVMON_HASH_BYTES]);

SEVMON_END_C

#endif /* SEVMON_AGENT_HASH_H */
