/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The agent core: one frame in, one frame out.  The same C files run in Xen,
 * over a memory image, and under the tests.
 *
 * It needs AES-NI, PCLMULQDQ and SSE4.1, and uses XMM0-15: a host in which
 * those registers belong to somebody else saves and restores them around
 * sevmon_agent_start() and sevmon_agent_frame().
 */
#ifndef SEVMON_AGENT_H
#define SEVMON_AGENT_H

#include "host.h"

SEVMON_BEGIN_C

#define SEVMON_AGENT_VERSION 0x0001 /* major << 8 | minor */

struct sevmon_agent; /* in agent-state.h; hosts allocate it statically */

/*
 * Private memory for one frame at a time: one per CPU, or per thread.  Dom0
 * can neither read nor write it.
 */
struct sevmon_work; /* in agent-state.h */

/*
 * Known-answer tests of AES-256-GCM, XAES-256-GCM, X25519, SHA-256, HMAC and
 * of a whole NNpsk0 handshake.  `host` gives SHA-256.  One caller at a time:
 * the scratch memory is the function's own.
 *
 * Returns NULL, or the name of the first test that failed.
 */
const char *sevmon_agent_selftest(const struct sevmon_host *host);

/*
 * Bring up `agent` (zeroed) with the keys of a key file (struct
 * sevmon_key_head and its entries).  The keys are copied; the caller wipes
 * `key_file`.
 *
 * Returns 0, otherwise, with `agent` wiped:
 * -EINVAL: not a key file, or one with trailing bytes, no entry, too many,
 *          a reserved bit, an all-zero or repeated id or key
 * -EIO:    no randomness
 * -ENOMEM: nothing is left of what the host allocates
 */
int sevmon_agent_start(struct sevmon_agent *agent,
                       const struct sevmon_host *host, const void *key_file,
                       size_t key_file_bytes);

/*
 * Take one frame that the host has copied to sevmon_work_in(work).  The answer
 * is at sevmon_work_out(work), complete and sealed; nothing in clear is left
 * in `work`.
 *
 * Returns the answer's size in bytes, otherwise:
 * -EBADMSG:  the frame was not taken, for whatever reason
 * -EBUSY:    over the handshake rate: the frame may be sent again
 * -ERESTART: it runs or checks a program, which is not finished: after other
 *            work that waits, sevmon_agent_continue()
 */
int sevmon_agent_frame(struct sevmon_agent *agent, struct sevmon_work *work,
                       size_t frame_bytes);

/*
 * Go on with a program's run or check that one of these two left unfinished:
 * `token` is sevmon_work_token() of the `work` that it was left with, this
 * `work` may be another.  A stranger's token does no more than that: what it
 * goes on with ends as it would have.
 *
 * Returns the answer's size in bytes, otherwise:
 * -ERESTART: still not finished
 * -EBADMSG:  nothing waits by that token and way, or its session is over
 */
int sevmon_agent_continue(struct sevmon_agent *agent, struct sevmon_work *work,
                          uint32_t token);

/*
 * Time has come that the host's wake() was told: run what is due of the
 * standing programs, one slice or one atomic run.  One call at a time.  wake()
 * is told of the next time.
 */
void sevmon_agent_tick(struct sevmon_agent *agent);

/* Wipe all that it knows.  No call of it may be under way, or come. */
void sevmon_agent_end(struct sevmon_agent *agent);

uint32_t sevmon_work_token(const struct sevmon_work *work);
/*
 * By which way the next frames in `work` come; NULL, as in a zeroed one: by the
 * host's first, the hypercall.  Tokens can be guessed, and who has one way must
 * not take the answers of those who chose another.
 */
void sevmon_work_set_way(struct sevmon_work *work, const void *way);
/* Where the host puts the frame: SEVMON_REQUEST_FRAME_BYTES of room. */
uint8_t *sevmon_work_in(struct sevmon_work *work);
/* Where the answer is. */
const uint8_t *sevmon_work_out(const struct sevmon_work *work);

SEVMON_END_C

#endif /* SEVMON_AGENT_H */
