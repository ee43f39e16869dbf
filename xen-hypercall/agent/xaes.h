/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * XAES-256-GCM (C2SP): 24-byte nonces.  The first half derives the message's
 * own AES-256 key, the second is its GCM nonce.
 */
#ifndef SEVMON_AGENT_XAES_H
#define SEVMON_AGENT_XAES_H

#include "gcm.h"

SEVMON_BEGIN_C

#define SEVMON_XAES_NONCE_BYTES 24

/* Set `message_key` for one message; its GCM nonce is `nonce` + 12. */
void sevmon_xaes_derive(struct sevmon_gcm_key *message_key,
                        const uint8_t key[SEVMON_AES_KEY_BYTES],
                        const uint8_t nonce[SEVMON_XAES_NONCE_BYTES]);

SEVMON_END_C

#endif /* SEVMON_AGENT_XAES_H */
