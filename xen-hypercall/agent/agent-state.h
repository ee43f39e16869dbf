/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the agent remembers, and its private memory for one frame.  Hosts see
 * this to allocate it, and touch nothing inside.
 *
 * Lock order: there is one kind of lock, an IDS's, and nobody holds two.  It
 * is held for copies and comparisons (an answer's worth at most), never during
 * cryptography, a walk, or any function of the host.  What no lock guards is either constant after
 * sevmon_agent_start(), or an atomic.
 */
#ifndef SEVMON_AGENT_STATE_H
#define SEVMON_AGENT_STATE_H

#include "agent.h"
#include "noise.h"
#include "xaes.h"

struct sevmon_standing;

#define SEVMON_WINDOW_WORDS (SEVMON_WINDOW_BITS / 64 + 1)

/* Guarded by its IDS's lock.  All zero: there is none. */
struct sevmon_session {
    uint32_t number;
    uint8_t size_class;
    uint64_t accepted_ns;
    uint64_t replaced_ns; /* of a previous one */
    uint64_t messages;    /* that were marked */
    /* Replay window (RFC 6479): word n / 64 of n is at its remainder by 17. */
    uint64_t highest;
    uint64_t window[SEVMON_WINDOW_WORDS];
    uint8_t request_key[SEVMON_AES_KEY_BYTES];
    uint8_t response_key[SEVMON_AES_KEY_BYTES];
};

/* Guarded by its IDS's lock.  Without a session: free. */
struct sevmon_connection {
    uint8_t id[SEVMON_ID_BYTES];
    uint64_t active_ns; /* last request that was marked, or ACCEPT */
    bool has_requested;
    struct sevmon_session pending;
    struct sevmon_session current;
    struct sevmon_session previous;
};

struct sevmon_ids {
    uint8_t ids_id[SEVMON_ID_BYTES]; /* constant */
    uint8_t psk[SEVMON_PSK_BYTES];   /* constant */
    struct sevmon_programs *programs; /* constant */
    struct sevmon_lock lock;         /* guards all below */
    uint8_t challenge[SEVMON_ID_BYTES];
    uint64_t bucket_full_ns; /* when every token will be back */
    struct sevmon_connection connection[SEVMON_MAX_CONNECTIONS];
};

struct sevmon_agent {
    const struct sevmon_host *host;
    uint8_t agent_id[SEVMON_ID_BYTES];
    uint8_t boot_nonce[SEVMON_ID_BYTES];
    /* Makes up the challenge and the PSK of an IDS that does not exist. */
    uint8_t boot_secret[SEVMON_PSK_BYTES];
    uint64_t started_ns;
    unsigned int keys;
    struct sevmon_ids ids[SEVMON_MAX_KEYS];
    struct sevmon_standing *standing; /* used by sevmon_agent_tick() alone */

    uint64_t counter[SEVMON_COUNTERS]; /* atomic */
    uint32_t handshakes;               /* atomic; numbers sessions */
    uint64_t longest_call_ns;          /* these are, too: in the status */
    uint64_t longest_standing_ns;
    uint64_t longest_pause_ns;
    uint64_t pause_rest_until_ns; /* atomic; no pause begins before */
};

static inline void sevmon_count(struct sevmon_agent *agent,
                                unsigned int counter)
{
    __atomic_add_fetch(&agent->counter[counter], 1, __ATOMIC_RELAXED);
}

/* Keep the longest time in *longest. */
static inline void sevmon_longest(uint64_t *longest, uint64_t ns)
{
    uint64_t seen = __atomic_load_n(longest, __ATOMIC_RELAXED);

    while ( seen < ns &&
            !__atomic_compare_exchange_n(longest, &seen, ns, true,
                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED) )
        continue;
}

/* What a request needs of its session when no lock is held: a copy. */
struct sevmon_session_view {
    /* Where it was found: both stay where they are, whatever they hold. */
    struct sevmon_ids *ids;
    struct sevmon_connection *connection;
    uint32_t number;
    uint8_t size_class;
    uint8_t connection_id[SEVMON_ID_BYTES];
    uint8_t request_key[SEVMON_AES_KEY_BYTES];
    uint8_t response_key[SEVMON_AES_KEY_BYTES];
};

/* Scratch of one handshake. */
struct sevmon_handshake_work {
    struct sevmon_noise noise;
    struct sevmon_prologue prologue;
    struct sevmon_initiate initiate;
    struct sevmon_accept accept;
    uint8_t psk[SEVMON_PSK_BYTES];
    struct {
        uint8_t challenge[SEVMON_ID_BYTES];
        uint8_t secret[SEVMON_DH_BYTES];
    } random;
    uint8_t request_key[SEVMON_AES_KEY_BYTES];
    uint8_t response_key[SEVMON_AES_KEY_BYTES];
};

/* A page of the target that is in the answer once it is copied there. */
struct sevmon_late_page {
    const uint8_t *from;
    uint8_t *to;
    struct sevmon_frame frame; /* held, if `from` is its bytes */
};

/* No answer has room for more pages. */
#define SEVMON_LATE_PAGES SEVMON_CLASS_PAGES(SEVMON_CLASS_15_PAGES)

/* Scratch of one request. */
struct sevmon_request_work {
    struct sevmon_gcm_key gcm;
    struct sevmon_gcm_stream stream;
    struct sevmon_session_view session;
    struct sevmon_target target; /* held as long as `late` has any */
    struct sevmon_late_page late[SEVMON_LATE_PAGES];
    unsigned int late_pages;
    uint8_t nonce[SEVMON_XAES_NONCE_BYTES];
};

/*
 * Frames begin 4 bytes into their buffers, so that the body of a sealed one,
 * 28 bytes further, is aligned and can be read and written as a structure.
 */
#define SEVMON_FRAME_SHIFT 4

struct sevmon_work {
    struct sevmon_header header; /* of the frame at hand */
    uint64_t now_ns;
    uint32_t token; /* of what was left waiting */
    const void *way; /* that the frame came by */
    uint8_t in[SEVMON_FRAME_SHIFT + SEVMON_REQUEST_FRAME_BYTES]
        __attribute__((__aligned__(16)));
    uint8_t out[SEVMON_FRAME_SHIFT + SEVMON_MAX_FRAME_BYTES]
        __attribute__((__aligned__(16)));
    union {
        struct sevmon_handshake_work handshake;
        struct sevmon_request_work request;
    } scratch;
};

#endif /* SEVMON_AGENT_STATE_H */
