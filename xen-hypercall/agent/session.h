/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Connections, their sessions and replay windows: docs/protocol.md, 4. */
#ifndef SEVMON_AGENT_SESSION_H
#define SEVMON_AGENT_SESSION_H

#include "agent-state.h"

SEVMON_BEGIN_C

/* What became of a request's number. */
enum sevmon_take {
    SEVMON_TAKE_OK,
    SEVMON_TAKE_EXPIRED,  /* no such session, or it is over */
    SEVMON_TAKE_REPLAYED, /* the number was seen, or is below the window */
};

/* The handshake's results, to become a pending session. */
struct sevmon_new_session {
    const uint8_t *connection_id;
    const uint8_t *request_key;
    const uint8_t *response_key;
    uint64_t now_ns;
    uint8_t size_class;
};

/*
 * Make a pending session.  Returns SEVMON_ACCEPT_OK and sets `number`, or
 * SEVMON_ACCEPT_BUSY.
 */
uint16_t sevmon_session_add(struct sevmon_agent *agent,
                            struct sevmon_ids *ids,
                            const struct sevmon_new_session *new_session,
                            uint32_t *number);

/* Copy what opening a frame of session `number` needs; false: none. */
bool sevmon_session_view(struct sevmon_agent *agent, uint32_t number,
                         uint64_t now_ns, struct sevmon_session_view *view);

/*
 * After the tag verified, in one step: is the session still there, is `n` new;
 * mark it; confirm the session.
 */
enum sevmon_take sevmon_session_take(const struct sevmon_session_view *view,
                                     uint64_t n, uint64_t now_ns);

/* Wipe the connection and its sessions, if it is still the one viewed. */
void sevmon_session_close(const struct sevmon_session_view *view);

SEVMON_END_C

#endif /* SEVMON_AGENT_SESSION_H */
