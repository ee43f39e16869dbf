/* SPDX-License-Identifier: MIT */
/*
 * Programs: what their source, the IDS and the agent agree on, besides the
 * instruction set (RFC 9669).  docs/programs.md explains them; wire.h has the
 * items that load and run them.  C (Xen, agent core, programs), C++ (IDS).
 */
#ifndef SEVMON_PROGRAM_H
#define SEVMON_PROGRAM_H

#include <sevmon/wire.h>

/* ---- What a program sees ---------------------------------------------- */

/*
 * Addresses: a region's number << 32 | offset.  Region 0 is nothing, so that
 * NULL is a fault.
 */
#define SEVMON_REGION_SHIFT 32
#define SEVMON_REGION_STACK 1 /* of the functions that are active */
#define SEVMON_REGION_INPUT 2 /* r1 when it starts; r2 is its length */
#define SEVMON_REGION_MAP   3 /* .data, then .bss: kept between runs */
#define SEVMON_REGION_DATA  4 /* .rodata: not to be written */

/*
 * Helpers, called by number with r1 to r5.  r0: what they give, or the
 * negative of a SEVMON_STATUS_*; what they could not read is zero.  A range of
 * the program's own that is not inside one region ends the run
 * (SEVMON_RUN_FAULT).
 */

/* long read(void *to, u32 bytes, u64 address): kernel memory, by the run's
 * root; up to SEVMON_HELPER_MAX_BYTES, over any page border.  0. */
#define SEVMON_HELPER_READ          1
/* long read_physical(void *to, u32 bytes, u64 address): frame << 12 | rest. */
#define SEVMON_HELPER_READ_PHYSICAL 2
/* long read_user(void *to, u32 bytes, u64 address, u64 pgd): by the table that
 * is at the kernel's virtual address `pgd` (mm->pgd). */
#define SEVMON_HELPER_READ_USER     3
/* long read_string(void *to, u32 capacity, u64 address): up to its NUL, always
 * terminated.  Its length; `capacity` - 1 also when there is more. */
#define SEVMON_HELPER_READ_STRING   4
/* long translate(struct sevmon_translation *to, u64 address). */
#define SEVMON_HELPER_TRANSLATE     5
/* long append(const void *from, u32 bytes): to the result, all or nothing. */
#define SEVMON_HELPER_APPEND        6
/* long vcpu_state(struct sevmon_vcpu_state *to, u32 vcpu). */
#define SEVMON_HELPER_VCPU_STATE    7
/* u64 time(void): the host's clock, nanoseconds since it booted. */
#define SEVMON_HELPER_TIME          8
/* long digest(u8 to[16], const u8 key[32], u32 bytes, u64 address): AES-256-GMAC
 * (NIST SP 800-38D) of kernel memory within one page, by the run's root, under
 * a key that the IDS draws for that run; nonce: `address`, then `bytes`, both
 * little-endian.  0; BAD_ITEM: over a page's border. */
#define SEVMON_HELPER_DIGEST        9
#define SEVMON_HELPERS             10 /* numbers are below this */

#define SEVMON_DIGEST_BYTES     16
#define SEVMON_DIGEST_KEY_BYTES 32

#define SEVMON_HELPER_MAX_BYTES  4096 /* of one read or append */

/* How a run stands. */
#define SEVMON_RUN_RUNNING     0 /* its slice is over: it goes on */
#define SEVMON_RUN_DONE        1 /* r0 is its result */
#define SEVMON_RUN_OVER_BUDGET 2
#define SEVMON_RUN_FAULT       3 /* an access outside of its regions */
#define SEVMON_RUN_TOO_DEEP    4
#define SEVMON_RUN_BAD_INSN    5 /* what the verifier would have refused */
#define SEVMON_RUN_NO_TARGET   6 /* the domain went away */
#define SEVMON_RUN_OVER_TIME   7 /* atomic: the pause was as long as allowed */
#define SEVMON_RUN_NOT_PAUSED  8 /* atomic: a vCPU did not stop in that time,
                                    or the target is being paused already */
#define SEVMON_RUN_NO_ROOT     9 /* standing: no page table to begin at */
#define SEVMON_RUN_STATES     10 /* states are below this */

/* What the agent's verifier refuses. */
#define SEVMON_VERDICT_OK             0
#define SEVMON_VERDICT_LENGTH         1 /* none, or over the maximum */
#define SEVMON_VERDICT_OPCODE         2 /* no such instruction */
#define SEVMON_VERDICT_FIELD          3 /* must be zero, or out of range */
#define SEVMON_VERDICT_REGISTER       4 /* no such register, or r10 written */
#define SEVMON_VERDICT_JUMP           5 /* out of its function */
#define SEVMON_VERDICT_END            6 /* a function can run past its end */
#define SEVMON_VERDICT_UNINITIALISED  7 /* a register that may not be set */
#define SEVMON_VERDICT_HELPER         8 /* no such helper */
#define SEVMON_VERDICT_STACK          9 /* off r10, and not in the stack */
#define SEVMON_VERDICT_DEPTH         10 /* recursion, or calls too deep */
#define SEVMON_VERDICT_DIGEST        11 /* not the image that was announced */
#define SEVMON_VERDICT_HEAD          12 /* of the image: sizes, zeros */

/* ---- What is sent ----------------------------------------------------- */

#define SEVMON_MAX_PROGRAMS              4 /* that one IDS has loaded */
#define SEVMON_PROGRAM_MAX_INSNS      4096
#define SEVMON_PROGRAM_MAX_DATA_BYTES 0x4000
#define SEVMON_PROGRAM_MAX_MAP_BYTES  0x10000
#define SEVMON_PROGRAM_MAX_BYTES      0x10000 /* of an image */

/*
 * An image: this head, the instructions (8 bytes each), the constants, what
 * the map begins with, and nothing else.  A program is named by the first 8
 * bytes of its image's SHA-256, as an integer.
 */
struct sevmon_program_head {
    uint32_t insns;      /* 1..SEVMON_PROGRAM_MAX_INSNS */
    uint32_t data_bytes; /* 0..SEVMON_PROGRAM_MAX_DATA_BYTES */
    uint32_t map_bytes;  /* 0..SEVMON_PROGRAM_MAX_MAP_BYTES */
    uint32_t init_bytes; /* 0..map_bytes: given here; the others are zero */
    uint64_t zero[2];
};
SEVMON_WIRE_SIZE(struct sevmon_program_head, 32);

#define SEVMON_PROGRAM_MIN_BYTES \
    (sizeof(struct sevmon_program_head) + 8) /* one instruction */

/* PROGRAM_BEGIN: a place for an image, if it is not there already. */
struct sevmon_program_begin {
    uint8_t  sha256[32];
    uint32_t bytes; /* SEVMON_PROGRAM_MIN_BYTES..SEVMON_PROGRAM_MAX_BYTES */
    uint32_t zero;
};
SEVMON_WIRE_SIZE(struct sevmon_program_begin, 40);

/* PROGRAM_CHUNK: this, and as many bytes as the payload has besides. */
struct sevmon_program_chunk {
    uint64_t program;
    uint32_t offset; /* within the image */
    uint32_t zero;
};
SEVMON_WIRE_SIZE(struct sevmon_program_chunk, 16);

/* PROGRAM_COMMIT, once all is there, and PROGRAM_UNLOAD. */
struct sevmon_program_name {
    uint64_t program;
    uint64_t zero;
};
SEVMON_WIRE_SIZE(struct sevmon_program_name, 16);

struct sevmon_program_verdict {
    uint32_t reason; /* SEVMON_VERDICT_* */
    uint32_t insn;   /* where */
};
SEVMON_WIRE_SIZE(struct sevmon_program_verdict, 8);

/* One place of PROGRAM_LIST, which has SEVMON_MAX_PROGRAMS; free: all zero. */
struct sevmon_program_entry {
    uint8_t  sha256[32];
    uint32_t bytes;
    uint32_t state;   /* SEVMON_PROGRAM_* */
    uint64_t runs;    /* that ended */
    uint64_t used_ns; /* the host's clock, when it was last named */
    uint32_t min_ms;  /* its schedule's; no schedule: all of these are 0 */
    uint32_t max_ms;
    uint64_t scheduled_ns;
    uint64_t standing_runs; /* that ended */
    uint64_t standing_ns;   /* when the last of them did; 0: none */
    uint64_t zero;
};
SEVMON_WIRE_SIZE(struct sevmon_program_entry, 96);

#define SEVMON_PROGRAM_FREE    0
#define SEVMON_PROGRAM_LOADING 1
#define SEVMON_PROGRAM_READY   2
#define SEVMON_PROGRAM_OWNED   3 /* being checked, for a COMMIT */

/* PROGRAM_RUN: this, and as many bytes of input as the payload has besides. */
struct sevmon_run_head {
    uint64_t program;
    uint64_t budget;   /* 1..SEVMON_RUN_MAX_BUDGET */
    uint32_t flags;    /* SEVMON_RUN_ATOMIC */
    uint32_t pause_us; /* ATOMIC: 1..SEVMON_RUN_MAX_PAUSE_US; else 0 */
};
SEVMON_WIRE_SIZE(struct sevmon_run_head, 24);

/*
 * The target's vCPUs (all but the one that brings the request) are paused for
 * the whole run, so that what it reads is of one instant.  It is one slice: at
 * the end of its pause it stops and what it has appended is what there is.
 */
#define SEVMON_RUN_ATOMIC (1U << 0)

/* Far from what a kernel takes for a hung CPU. */
#define SEVMON_RUN_MAX_PAUSE_US 100000

/*
 * Instructions that one run may cost.  A helper costs SEVMON_HELPER_COST, as
 * much again for each page that it walks to, and one for each 8 bytes;
 * VCPU_STATE, which digests a table of 4 KiB, costs more.
 */
#define SEVMON_RUN_MAX_BUDGET  (1ULL << 26)
#define SEVMON_HELPER_COST     64
#define SEVMON_HELPER_VCPU_COST 4096
#define SEVMON_HELPER_KEY_COST 512 /* DIGEST, when its key is another one */

/* What a run's answer begins with; then come `result_bytes`. */
struct sevmon_run_report {
    uint32_t state;        /* SEVMON_RUN_*, never RUNNING */
    uint32_t insn;         /* that failed; else, that would have come next */
    uint64_t r0;
    uint64_t cost;         /* of its budget */
    uint64_t started_ns;   /* the host's clock */
    uint64_t ended_ns;
    uint32_t slices;       /* between which Xen could do other work */
    uint32_t result_bytes;
    uint64_t runs;         /* of this program since it was loaded that ended
                              before, those whose answer was lost, too; of a
                              standing one: since it was scheduled */
    uint64_t paused_ns;    /* ATOMIC: from the first vCPU's pause to the end */
};
SEVMON_WIRE_SIZE(struct sevmon_run_report, 64);

/* ---- Standing programs ------------------------------------------------ */

/*
 * PROGRAM_SCHEDULE: this, and as many bytes of input as the payload has
 * besides.  The program is run again and again, with the request's domain and
 * root, at intervals drawn between these two; in place of a schedule that it
 * has.  It has variables of its own, which PROGRAM_RUN's do not share.
 */
struct sevmon_schedule_head {
    struct sevmon_run_head run;
    uint32_t min_ms; /* SEVMON_SCHEDULE_MIN_MS..max_ms; ATOMIC: of which
                        pause_us is a quarter at most */
    uint32_t max_ms; /* min_ms..SEVMON_SCHEDULE_MAX_MS */
};
SEVMON_WIRE_SIZE(struct sevmon_schedule_head, 32);

#define SEVMON_SCHEDULE_MIN_MS 10
#define SEVMON_SCHEDULE_MAX_MS 86400000
#define SEVMON_SCHEDULE_PAUSE_PART 4

/* PROGRAM_UNSCHEDULE takes a sevmon_program_name. */

/*
 * PROGRAM_COLLECT: results up to number `seen` have arrived and are let go of.
 * The others stay until a later one says so; 0 lets go of none.
 */
struct sevmon_collect {
    uint64_t seen;
    uint64_t zero;
};
SEVMON_WIRE_SIZE(struct sevmon_collect, 16);

/* What its answer begins with; then come the oldest results. */
struct sevmon_collected {
    uint64_t next_number; /* that the next run gets */
    uint64_t skipped;     /* runs that did not take place for want of room */
    uint32_t results;     /* in this answer */
    uint32_t waiting;     /* that did not fit behind them */
    uint64_t zero;
};
SEVMON_WIRE_SIZE(struct sevmon_collected, 32);

/* Before each result, which is filled with zeros to a multiple of 8 bytes. */
struct sevmon_result_head {
    uint64_t number;     /* counts the standing runs of this IDS, from 1 on;
                            those that were skipped, too */
    uint64_t program;
    uint64_t root_frame;
    uint16_t domid;      /* resolved */
    uint8_t  kind;       /* SEVMON_TARGET_* */
    uint8_t  levels;     /* of the root */
    uint32_t flags;      /* SEVMON_RUN_ATOMIC */
    struct sevmon_run_report report;
};
SEVMON_WIRE_SIZE(struct sevmon_result_head, 96);

/* Of results that wait, with their heads, for each IDS. */
#define SEVMON_RING_BYTES 0x40000

/* What a standing run can append: it leaves in one answer. */
#define SEVMON_STANDING_MAX_BYTES \
    (SEVMON_CLASS_PAGES(SEVMON_CLASS_15_PAGES) * SEVMON_PAGE_BYTES - \
     sizeof(struct sevmon_collected) - sizeof(struct sevmon_result_head))

#endif /* SEVMON_PROGRAM_H */
