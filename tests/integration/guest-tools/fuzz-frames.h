/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile caller's frames can hold, and what the agent must make of them. */
#ifndef FUZZ_FRAMES_H
#define FUZZ_FRAMES_H

#include "fuzz-places.h"
#include "sevmon-session.h"

enum frame_fate {
    FRAME_REFUSED,  /* -EBADMSG */
    FRAME_HELLO,    /* a CHALLENGE */
    FRAME_SEALED,   /* a RESPONSE, if the session still lives */
    FRAME_ANYTHING, /* the agent's state decides; not a RESPONSE that is new */
};

struct frame {
    uint8_t bytes[XEN_SEVMON_MAX_FRAME_BYTES];
    uint32_t size;
    enum frame_fate fate;
    uint64_t n;                      /* FRAME_SEALED */
    struct sevmon_request_body body; /* FRAME_SEALED */
};

/* Random bytes, of which the first four look like a header's now and then. */
void frame_random(struct frame *frame, uint64_t *state);

/* A well-formed HELLO, INITIATE or REQUEST, old or new, with fields changed. */
void frame_mutated(struct frame *frame, uint64_t *state, struct session *s);

/* Frames of interest, by what they are. */
struct hostile_frames {
    uint64_t foreign;      /* another domain's; 0: none */
    uint16_t foreign_id;   /* that domain */
    uint64_t foreign_here; /* that page in Dom0's frame space; PV: the same */
    uint64_t mine;         /* a page of this process, full of 0x6d */
    uint64_t tables[5];    /* the page tables that map it, [0] is the top */
    const void *mine_at;   /* its virtual address */
    bool pv;
};

/* A correctly sealed request for hostile things. */
void frame_sealed(struct frame *frame, uint64_t *state, struct session *s,
                  const struct hostile_frames *hostile);

/*
 * Is the answer in s->opened one that `frame` may get?  NULL, or what is wrong.
 */
const char *answer_wrong(const struct session *s, const struct frame *frame,
                         const struct hostile_frames *hostile);

#endif /* FUZZ_FRAMES_H */
