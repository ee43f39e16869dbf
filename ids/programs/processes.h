/* SPDX-License-Identifier: MIT */
/* What processes.bpf.c takes and gives: read by the program and by the IDS. */
#ifndef SEVMON_PROGRAMS_PROCESSES_H
#define SEVMON_PROGRAMS_PROCESSES_H

#include <sevmon/program.h>

/* Input: 8 bytes, or none. */
struct sevmon_processes_input {
    uint64_t id; /* the first to be listed; 0: from the beginning */
};
SEVMON_WIRE_SIZE(struct sevmon_processes_input, 8);

/*
 * Result: a record for each id that has a process, lowest first, then a
 * trailer.  When there is none, it had no space either: go on after the last
 * record's id.
 */
struct sevmon_process_record {
    uint64_t task;     /* address of its task_struct; if that is not known, of its
                          struct pid */
    uint64_t next;     /* where tasks.next leads: a task_struct */
    uint64_t previous; /* likewise tasks.prev */
    uint64_t start_ns; /* since boot, suspend included */
    uint64_t state;    /* the kernel's bits */
    uint32_t id;       /* under which the table has it */
    int32_t  pid;
    int32_t  tgid;
    int32_t  ppid;     /* real_parent's tgid */
    uint32_t uid;
    uint32_t euid;
    uint32_t flags;    /* PF_* */
    uint32_t exit_state;
    uint32_t threads;
    uint32_t unread;   /* SEVMON_PROCESS_NO_*: what could not be read, and is 0 */
    uint8_t  comm[16];
};
SEVMON_WIRE_SIZE(struct sevmon_process_record, 96);

#define SEVMON_PROCESS_NO_PARENT  (1U << 0)
#define SEVMON_PROCESS_NO_CRED    (1U << 1)
#define SEVMON_PROCESS_NO_THREADS (1U << 2)
#define SEVMON_PROCESS_NO_TASK    (1U << 3) /* nothing of the task */
#define SEVMON_PROCESS_NO_ID      (1U << 4) /* nothing of the struct pid */
#define SEVMON_PROCESS_OTHER_ID   (1U << 5) /* the struct pid says another one */

struct sevmon_processes_trailer {
    uint64_t zero;          /* no record has a task at 0 */
    uint64_t next;          /* NO_SPACE, TOO_MANY: the id to go on with */
    uint64_t ring_next;     /* where init_task's tasks lead: task_structs */
    uint64_t ring_previous;
    uint64_t torn;          /* the first of `tears`: address of the node or head */
    uint32_t end;           /* SEVMON_PROCESSES_* */
    uint32_t records;
    uint32_t nodes;         /* of the table, that were read */
    uint32_t tears;         /* places of the table that cannot be */
    uint32_t reason;        /* of the first: SEVMON_PROCESSES_TEAR_* */
    int32_t  status;        /* of reading init_task: 0 or SEVMON_STATUS_* */
};
SEVMON_WIRE_SIZE(struct sevmon_processes_trailer, 64);

#define SEVMON_PROCESSES_DONE        1 /* the table came to its end */
#define SEVMON_PROCESSES_NO_SPACE    2
#define SEVMON_PROCESSES_TOO_MANY    3 /* nodes or ids for one run */
#define SEVMON_PROCESSES_UNSUPPORTED 4 /* a table unlike any */

#define SEVMON_PROCESSES_TEAR_READ   1 /* it cannot be read */
#define SEVMON_PROCESSES_TEAR_SHIFT  2 /* a node of another height */
#define SEVMON_PROCESSES_TEAR_PARENT 3 /* a node of another place */
#define SEVMON_PROCESSES_TEAR_ENTRY  4 /* an entry that is neither a node nor an object */

/* Of one run, so that it ends within its budget whatever it meets. */
#define SEVMON_PROCESSES_MAX_NODES 4096
#define SEVMON_PROCESSES_MAX_IDS   8192
#define SEVMON_PROCESSES_BUDGET    (1ULL << 25)

#endif /* SEVMON_PROGRAMS_PROCESSES_H */
