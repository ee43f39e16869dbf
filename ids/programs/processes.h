/* SPDX-License-Identifier: MIT */
/* What processes.bpf.c takes and gives: read by the program and by the IDS. */
#ifndef SEVMON_PROGRAMS_PROCESSES_H
#define SEVMON_PROGRAMS_PROCESSES_H

#include <sevmon/program.h>

/* Input: 8 bytes, or none. */
struct sevmon_processes_input {
    uint64_t task; /* go on with this one; 0: from the beginning */
};
SEVMON_WIRE_SIZE(struct sevmon_processes_input, 8);

/*
 * Result: a record for each process, then a trailer.  When there is none, it had no
 * space either: go on with the last record's `next`.
 */
struct sevmon_process_record {
    uint64_t task;     /* address of its task_struct */
    uint64_t next;     /* where tasks.next leads: a task_struct */
    uint64_t previous; /* likewise tasks.prev */
    uint64_t start_ns; /* since boot, suspend included */
    uint64_t state;    /* the kernel's bits */
    int32_t  pid;
    int32_t  tgid;
    int32_t  ppid;     /* real_parent's tgid */
    uint32_t uid;
    uint32_t euid;
    uint32_t gid;
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

struct sevmon_processes_trailer {
    uint64_t zero;     /* no record has a task at 0 */
    uint64_t next;     /* NO_SPACE, TOO_MANY: the task to go on with */
    uint64_t address;  /* UNREADABLE: of the task that could not be read */
    uint32_t end;      /* SEVMON_PROCESSES_* */
    uint32_t records;
    int32_t  status;   /* UNREADABLE: SEVMON_STATUS_* */
    uint32_t zero1;
};
SEVMON_WIRE_SIZE(struct sevmon_processes_trailer, 40);

#define SEVMON_PROCESSES_DONE       1 /* the list came back to its head */
#define SEVMON_PROCESSES_NO_SPACE   2
#define SEVMON_PROCESSES_UNREADABLE 3
#define SEVMON_PROCESSES_TOO_MANY   4 /* it did not come back */

#define SEVMON_PROCESSES_MAX 65536 /* of one run */

#endif /* SEVMON_PROGRAMS_PROCESSES_H */
