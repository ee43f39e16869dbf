// SPDX-License-Identifier: Apache-2.0
/*
 * Every process: along the ring of tasks, from init_task's successor on or from the task that the
 * input names. One record each, see processes.h. Returns how many.
 */
#include <sevmon/program.bpf.h>

#include "processes.h"

struct list_head {
  struct list_head *next, *prev;
} SEVMON_KERNEL_TYPE;

typedef struct {
  __u32 val;
} kuid_t;

typedef struct {
  __u32 val;
} kgid_t;

struct cred {
  kuid_t uid, euid;
  kgid_t gid;
} SEVMON_KERNEL_TYPE;

struct signal_struct {
  int nr_threads;
} SEVMON_KERNEL_TYPE;

struct task_struct {
  unsigned int __state;
  int exit_state;
  unsigned int flags;
  int pid, tgid;
  struct task_struct *real_parent;
  struct list_head tasks;
  char comm[16];
  __u64 start_boottime;
  const struct cred *real_cred;
  struct signal_struct *signal;
} SEVMON_KERNEL_TYPE;

/* Until v5.14, and until v5.5. */
struct task_struct___before {
  volatile long state;
  __u64 real_start_time;
} SEVMON_KERNEL_TYPE;

extern const struct task_struct init_task __ksym;

typedef const struct task_struct *task_t;

static __always_inline task_t task_of(const struct list_head *link) {
  return sevmon_container_of(link, const struct task_struct, tasks);
}

/* What older kernels call otherwise. */
static __always_inline long read_renamed(task_t task, struct sevmon_process_record *record) {
  const struct task_struct___before *before = (const void *)task;
  long status;

  if (bpf_core_field_exists(task->__state)) {
    __u32 state = 0;

    status = bpf_core_read(&state, sizeof(state), &task->__state);
    record->state = state;
  } else {
    status = bpf_core_read(&record->state, sizeof(record->state), &before->state);
  }
  if (status) return status;

  if (bpf_core_field_exists(task->start_boottime))
    return bpf_core_read(&record->start_ns, sizeof(record->start_ns), &task->start_boottime);
  return bpf_core_read(&record->start_ns, sizeof(record->start_ns), &before->real_start_time);
}

/* What a record cannot do without. The first status that is not 0. */
static __always_inline long read_task(task_t task, struct sevmon_process_record *record) {
  struct list_head *links[2];
  long status = bpf_core_read(&links[0], sizeof(links[0]), &task->tasks.next);

  if (!status) status = bpf_core_read(&links[1], sizeof(links[1]), &task->tasks.prev);
  if (!status) status = bpf_core_read(&record->pid, sizeof(record->pid), &task->pid);
  if (!status) status = bpf_core_read(&record->tgid, sizeof(record->tgid), &task->tgid);
  if (!status) status = bpf_core_read(&record->flags, sizeof(record->flags), &task->flags);
  if (!status)
    status = bpf_core_read(&record->exit_state, sizeof(record->exit_state), &task->exit_state);
  if (!status) status = bpf_core_read(record->comm, sizeof(record->comm), &task->comm);
  if (!status) status = read_renamed(task, record);
  if (status) return status;
  record->task = (__u64)task;
  record->next = (__u64)task_of(links[0]);
  record->previous = (__u64)task_of(links[1]);
  return 0;
}

/* What lies behind the task's pointers: a record says when it could not be read. */
static __always_inline void read_behind(task_t task, struct sevmon_process_record *record) {
  struct task_struct *parent = NULL;
  struct signal_struct *signal = NULL;
  const struct cred *cred = NULL;

  if (bpf_core_read(&parent, sizeof(parent), &task->real_parent) ||
      bpf_core_read(&record->ppid, sizeof(record->ppid), &parent->tgid))
    record->unread |= SEVMON_PROCESS_NO_PARENT;
  if (bpf_core_read(&cred, sizeof(cred), &task->real_cred) ||
      bpf_core_read(&record->uid, sizeof(record->uid), &cred->uid) ||
      bpf_core_read(&record->euid, sizeof(record->euid), &cred->euid) ||
      bpf_core_read(&record->gid, sizeof(record->gid), &cred->gid))
    record->unread |= SEVMON_PROCESS_NO_CRED;
  if (bpf_core_read(&signal, sizeof(signal), &task->signal) ||
      bpf_core_read(&record->threads, sizeof(record->threads), &signal->nr_threads))
    record->unread |= SEVMON_PROCESS_NO_THREADS;
}

/* Where to begin; 0 and *status when that cannot be read. */
static __always_inline task_t begin(const struct sevmon_processes_input *input, __u64 bytes,
                                    long *status) {
  struct list_head *first = NULL;

  if (bytes >= sizeof(*input) && input->task) return (task_t)input->task;
  *status = bpf_core_read(&first, sizeof(first), &init_task.tasks.next);
  return *status ? NULL : task_of(first);
}

SEVMON_PROGRAM
long processes(const struct sevmon_processes_input *input, __u64 input_bytes) {
  struct sevmon_processes_trailer trailer = {.end = SEVMON_PROCESSES_TOO_MANY};
  long status = 0;
  task_t task = begin(input, input_bytes, &status);

  if (status) {
    trailer.end = SEVMON_PROCESSES_UNREADABLE;
    trailer.status = -status;
    trailer.address = (__u64)&init_task;
  } else {
    sevmon_repeat(i, SEVMON_PROCESSES_MAX) {
      struct sevmon_process_record record = {};

      if (task == &init_task) {
        trailer.end = SEVMON_PROCESSES_DONE;
        break;
      }
      status = read_task(task, &record);
      if (status) {
        trailer.end = SEVMON_PROCESSES_UNREADABLE;
        trailer.status = -status;
        trailer.address = (__u64)task;
        break;
      }
      read_behind(task, &record);
      if (sevmon_append_struct(&record)) {
        trailer.end = SEVMON_PROCESSES_NO_SPACE;
        break;
      }
      trailer.records++;
      task = (task_t)record.next;
    }
  }
  if (trailer.end == SEVMON_PROCESSES_NO_SPACE || trailer.end == SEVMON_PROCESSES_TOO_MANY)
    trailer.next = (__u64)task;
  sevmon_append_struct(&trailer);
  return trailer.records;
}
