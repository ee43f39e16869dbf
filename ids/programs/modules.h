/* SPDX-License-Identifier: MIT */
/* What modules.bpf.c takes and gives: read by the program and by the IDS. */
#ifndef SEVMON_PROGRAMS_MODULES_H
#define SEVMON_PROGRAMS_MODULES_H

#include <sevmon/program.h>

/* What is walked, one after another. */
#define SEVMON_MODULES_LIST  0 /* `modules`: a record for each */
#define SEVMON_MODULES_USES  1 /* who uses each of these: words, two by two */
#define SEVMON_MODULES_SYSFS 2 /* module_kset: a word for each module in it */
#define SEVMON_MODULES_TREE  3 /* mod_tree: a word for each range of addresses */
#define SEVMON_MODULES_WALKS 4

/* Input: 8 bytes, or none. */
struct sevmon_modules_input {
    uint32_t walk; /* to begin with: SEVMON_MODULES_* */
    uint32_t skip; /* so many of its modules, pairs or words were had before */
};
SEVMON_WIRE_SIZE(struct sevmon_modules_input, 8);

/*
 * Result: records of the list, words of the other walks, then a trailer. When
 * there is none, it had no space either: go on after what there is.
 */
struct sevmon_module_record {
    uint64_t module;   /* address of its struct module */
    uint64_t next;     /* where its list leads: a list_head */
    uint64_t previous; /* likewise */
    uint64_t base;     /* of its text */
    uint64_t bytes;    /* of all its regions */
    uint64_t taints;
    uint32_t state;    /* the kernel's */
    int32_t  refcount;
    uint64_t unread;   /* 1: nothing but the addresses could be read; else 0 */
    uint8_t  name[56];
};
SEVMON_WIRE_SIZE(struct sevmon_module_record, 120);

#define SEVMON_MODULE_WORDS 13

struct sevmon_module_words {
    uint64_t walk;  /* USES, SYSFS or TREE: no address of a module */
    uint64_t count; /* that follow; the rest is 0 */
    /* Modules' addresses. USES: the one that is used, then who uses it. */
    uint64_t word[SEVMON_MODULE_WORDS];
};
SEVMON_WIRE_SIZE(struct sevmon_module_words, 120);

struct sevmon_modules_trailer {
    uint64_t zero;    /* no record begins with 0 */
    uint64_t torn;    /* the first of `tears`: address of what was being read */
    uint32_t end;     /* SEVMON_MODULES_DONE … */
    uint32_t walk;    /* NO_SPACE: what to go on with */
    uint32_t skip;
    uint32_t records; /* of both kinds */
    uint32_t tears;   /* places that cannot be */
    uint32_t reason;  /* of the first: SEVMON_MODULES_TEAR_* */
    uint32_t torn_walks; /* a bit for each walk that has any: 1 << SEVMON_MODULES_* */
    uint32_t unused;     /* 0 */
};
SEVMON_WIRE_SIZE(struct sevmon_modules_trailer, 48);

#define SEVMON_MODULES_DONE     1 /* all walks came to their end */
#define SEVMON_MODULES_NO_SPACE 2

#define SEVMON_MODULES_TEAR_READ   1 /* it cannot be read */
#define SEVMON_MODULES_TEAR_LINK   2 /* a link of a list that does not lead back */
#define SEVMON_MODULES_TEAR_MANY   3 /* a walk without an end */
#define SEVMON_MODULES_TEAR_OBJECT 4 /* an object of a module that has another one */
#define SEVMON_MODULES_TEAR_PARENT 5 /* a node of another place */
#define SEVMON_MODULES_TEAR_NODE   6 /* a node of a module that lies elsewhere */
#define SEVMON_MODULES_TEAR_DEPTH  7 /* a tree deeper than any */

/* Of one run, so that it ends within its budget whatever it meets. */
#define SEVMON_MODULES_MAX_LIST 2048
#define SEVMON_MODULES_MAX_USES 8192
#define SEVMON_MODULES_MAX_SYSFS 8192
#define SEVMON_MODULES_MAX_TREE 16384
#define SEVMON_MODULES_BUDGET   (1ULL << 25)

#endif /* SEVMON_PROGRAMS_MODULES_H */
