// SPDX-License-Identifier: Apache-2.0
/*
 * Every process that has an id: the table of ids of the first namespace, an xarray, in the order of
 * the ids, from the one on that the input names. One record each, see processes.h; each says where
 * the ring of tasks goes on, too, so that the IDS has both views. Returns how many.
 *
 * Each node of the table is read once and must have the shift, parent and offset that its place
 * demands: so a loop, or a node with two parents, ends there.
 */
#include <sevmon/program.bpf.h>

#include "processes.h"
#include "walk.bpf.h"

struct hlist_node {
  struct hlist_node *next, **pprev;
} SEVMON_KERNEL_TYPE;

struct hlist_head {
  struct hlist_node *first;
} SEVMON_KERNEL_TYPE;

typedef struct {
  __u32 val;
} kuid_t;

struct cred {
  kuid_t uid, euid;
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
  struct hlist_node pid_links[4];
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

enum pid_type { PIDTYPE_PID, PIDTYPE_TGID };

struct upid {
  int nr;
} SEVMON_KERNEL_TYPE;

struct pid {
  struct hlist_head tasks[4];
  struct upid numbers[1];
} SEVMON_KERNEL_TYPE;

struct xarray {
  void *xa_head;
} SEVMON_KERNEL_TYPE;

struct idr {
  struct xarray idr_rt;
} SEVMON_KERNEL_TYPE;

struct pid_namespace {
  struct idr idr;
} SEVMON_KERNEL_TYPE;

struct xa_node {
  unsigned char shift, offset;
  struct xa_node *parent;
  void *slots[64];
} SEVMON_KERNEL_TYPE;

extern const struct task_struct init_task __ksym;
extern const struct pid_namespace init_pid_ns __ksym;

typedef const struct task_struct *task_t;

/* include/linux/xarray.h: entries with the low bits 10 are internal; those above 4096 are nodes. */
#define ENTRY_TAG 3
#define ENTRY_INTERNAL 2
#define ENTRY_LARGEST_SPECIAL 4096

#define MAX_LEVELS 9 /* 36 bits with 16 slots to a node; ids have fewer */
#define MAX_ID_BITS 36
#define NODE_WORDS 88

/* The nodes from the topmost one to where the walk is. What a run leaves here, no other reads. */
static __u64 nodes[MAX_LEVELS][NODE_WORDS];
/* Their addresses; [0]: what the topmost one has as its parent. */
static __u64 addresses[MAX_LEVELS + 1];

struct walk {
  __u64 id;    /* that comes next */
  __u32 depth; /* of the node that has its place */
  __u32 shift; /* of that node */
  __u32 ids;   /* that were looked at */
  struct sevmon_processes_trailer trailer;
};

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

/* Where the ring of tasks goes on from `task`. The status of reading that. */
static __always_inline long read_ring(task_t task, __u64 *next, __u64 *previous) {
  struct list_head *links[2] = {};
  long status = bpf_core_read(&links[0], sizeof(links[0]), &task->tasks.next);

  if (!status) status = bpf_core_read(&links[1], sizeof(links[1]), &task->tasks.prev);
  if (status) return status;
  *next = (__u64)task_of(links[0]);
  *previous = (__u64)task_of(links[1]);
  return 0;
}

/* What a record cannot do without. The first status that is not 0. */
static __always_inline long read_task(task_t task, struct sevmon_process_record *record) {
  long status = read_ring(task, &record->next, &record->previous);

  if (!status) status = bpf_core_read(&record->pid, sizeof(record->pid), &task->pid);
  if (!status) status = bpf_core_read(&record->tgid, sizeof(record->tgid), &task->tgid);
  if (!status) status = bpf_core_read(&record->flags, sizeof(record->flags), &task->flags);
  if (!status)
    status = bpf_core_read(&record->exit_state, sizeof(record->exit_state), &task->exit_state);
  if (!status) status = bpf_core_read(record->comm, sizeof(record->comm), &task->comm);
  if (!status) status = read_renamed(task, record);
  return status;
}

static __always_inline void read_threads(task_t task, struct sevmon_process_record *record) {
  struct signal_struct *signal = NULL;

  if (!bpf_core_field_exists(signal->nr_threads) ||
      bpf_core_read(&signal, sizeof(signal), &task->signal) ||
      bpf_core_read(&record->threads, sizeof(record->threads), &signal->nr_threads))
    record->unread |= SEVMON_PROCESS_NO_THREADS;
}

/* What lies behind the task's pointers: a record says when it could not be read. */
static __always_inline void read_behind(task_t task, struct sevmon_process_record *record) {
  struct task_struct *parent = NULL;
  const struct cred *cred = NULL;

  if (bpf_core_read(&parent, sizeof(parent), &task->real_parent) ||
      bpf_core_read(&record->ppid, sizeof(record->ppid), &parent->tgid))
    record->unread |= SEVMON_PROCESS_NO_PARENT;
  if (bpf_core_read(&cred, sizeof(cred), &task->real_cred) ||
      bpf_core_read(&record->uid, sizeof(record->uid), &cred->uid) ||
      bpf_core_read(&record->euid, sizeof(record->euid), &cred->euid))
    record->unread |= SEVMON_PROCESS_NO_CRED;
  read_threads(task, record);
}

/* The process that `pid` is the id of. Returns whether there is something to say of it. */
static __always_inline bool read_process(const struct pid *pid,
                                         struct sevmon_process_record *record) {
  const __u64 type = bpf_core_enum_value(enum pid_type, PIDTYPE_TGID);
  const char *tasks = (const char *)pid + OFFSET(struct pid, tasks) + 8 * type;
  __u64 link = 0;
  __u32 number = 0;
  task_t task;

  record->task = (__u64)pid;
  record->unread = SEVMON_PROCESS_NO_ID;
  if (bpf_core_read(&number, sizeof(number), &pid->numbers[0].nr) ||
      sevmon_read(&link, sizeof(link), tasks))
    return true;
  record->unread = number == record->id ? 0 : SEVMON_PROCESS_OTHER_ID;
  /* Ids live on while they name a group or session whose first process has gone. */
  if (!link) {
    record->unread |= SEVMON_PROCESS_NO_TASK;
    return record->unread & SEVMON_PROCESS_OTHER_ID;
  }
  task = (task_t)(link - OFFSET(struct task_struct, pid_links) -
                  bpf_core_type_size(struct hlist_node) * type);
  record->task = (__u64)task;
  if (read_task(task, record))
    record->unread |= SEVMON_PROCESS_NO_TASK;
  else
    read_behind(task, record);
  return true;
}

/* How many slots a node has: 1 << bits. 0: a number that no kernel has. */
static __always_inline __u32 bits_of_node(void) {
  const struct xa_node *node = NULL;
  const __u32 slots = bpf_core_field_size(node->slots) / 8;

  return slots == 64 ? 6 : slots == 16 ? 4 : 0;
}

static __always_inline __u32 slot_of(const struct walk *walk) {
  const __u32 bits = bits_of_node();

  return walk->id >> walk->shift & ((1U << bits) - 1);
}

/* As read_node(), of what was read. The tear that it is, or 0. */
static __always_inline __u32 check_node(const struct walk *walk, const __u8 *bytes, __u32 depth,
                                        __u64 parent) {
  const __u32 shift = bytes[OFFSET(struct xa_node, shift)], bits = bits_of_node();
  const __u32 offset = bytes[OFFSET(struct xa_node, offset)];

  if (depth ? shift + bits != walk->shift : shift % bits || shift + bits > MAX_ID_BITS)
    return SEVMON_PROCESSES_TEAR_SHIFT;
  if (*(const __u64 *)(bytes + OFFSET(struct xa_node, parent)) != parent ||
      offset != (depth ? slot_of(walk) : 0))
    return SEVMON_PROCESSES_TEAR_PARENT;
  return 0;
}

/*
 * The node at `address` for the place that the walk has come to; at depth 0 the topmost one, whose
 * shift is its own choice. Returns whether it is one, and the walk is in it.
 */
static __always_inline bool enter(struct walk *walk, __u32 depth, __u64 address) {
  __u8 *bytes;
  __u32 reason;

  if (depth >= MAX_LEVELS) return false;
  bytes = (__u8 *)nodes[depth];
  walk->trailer.nodes++;
  if (sevmon_read(bytes, bpf_core_type_size(struct xa_node), (const void *)address))
    reason = SEVMON_PROCESSES_TEAR_READ;
  else
    reason = check_node(walk, bytes, depth, addresses[depth]);
  if (reason) {
    tear(walk, address, reason);
    return false;
  }
  addresses[depth + 1] = address;
  walk->depth = depth;
  walk->shift = bytes[OFFSET(struct xa_node, shift)];
  return true;
}

static __always_inline bool is_node(__u64 entry) {
  return (entry & ENTRY_TAG) == ENTRY_INTERNAL && entry > ENTRY_LARGEST_SPECIAL;
}

/* Empty, or reserved and not filled yet, or a place from which something is being removed. */
static __always_inline bool is_empty(__u64 entry) {
  return !entry || ((entry & ENTRY_TAG) == ENTRY_INTERNAL && !is_node(entry));
}

/* Into the topmost node. Returns whether there is anything to walk. */
static __always_inline bool begin(struct walk *walk) {
  __u64 head = 0;

  if (bpf_core_read(&head, sizeof(head), &init_pid_ns.idr.idr_rt.xa_head)) {
    tear(walk, &init_pid_ns, SEVMON_PROCESSES_TEAR_READ);
    return false;
  }
  if (is_empty(head)) return false;
  /* One id alone, 0, would stand here itself; no process has it. */
  if (!is_node(head) || !is_kernel_pointer(head - ENTRY_INTERNAL)) {
    tear(walk, &init_pid_ns, SEVMON_PROCESSES_TEAR_ENTRY);
    return false;
  }
  return enter(walk, 0, head - ENTRY_INTERNAL) && !(walk->id >> walk->shift >> bits_of_node());
}

/* The record of one id. Returns whether the result took it. */
static __always_inline bool give(struct walk *walk, __u64 pid) {
  struct sevmon_process_record record = {.id = walk->id};

  walk->ids++;
  if (!read_process((const struct pid *)pid, &record)) return true;
  if (sevmon_append_struct(&record)) {
    walk->trailer.end = SEVMON_PROCESSES_NO_SPACE;
    return false;
  }
  walk->trailer.records++;
  return true;
}

/* To the next place, out of the nodes that end before it. Returns whether there is one. */
static __always_inline bool advance(struct walk *walk) {
  walk->id = ((walk->id >> walk->shift) + 1) << walk->shift;
  sevmon_repeat(i, MAX_LEVELS) {
    if (slot_of(walk)) return true;
    if (!walk->depth) break;
    walk->depth--;
    walk->shift += bits_of_node();
  }
  walk->trailer.end = SEVMON_PROCESSES_DONE;
  return false;
}

/* One place of the table. Returns whether the walk goes on. */
static __always_inline bool step(struct walk *walk) {
  const __u32 depth = walk->depth;
  __u64 entry;

  if (depth >= MAX_LEVELS) return false;
  entry = *(__u64 *)((__u8 *)nodes[depth] + OFFSET(struct xa_node, slots) + 8 * slot_of(walk));
  if (!is_empty(entry)) {
    const bool is_inner = walk->shift && is_node(entry);

    if (is_inner && is_kernel_pointer(entry - ENTRY_INTERNAL)) {
      if (enter(walk, depth + 1, entry - ENTRY_INTERNAL)) return true;
    } else if (!walk->shift && is_kernel_pointer(entry) && !(walk->id >> 32)) {
      if (!give(walk, entry)) return false;
    } else {
      tear(walk, addresses[depth + 1], SEVMON_PROCESSES_TEAR_ENTRY);
    }
  }
  return advance(walk);
}

SEVMON_PROGRAM
long processes(const struct sevmon_processes_input *input, __u64 input_bytes) {
  struct walk walk = {.trailer = {.end = SEVMON_PROCESSES_TOO_MANY}};

  if (input_bytes >= sizeof(*input)) walk.id = input->id;
  if (!bits_of_node() || bpf_core_type_size(struct xa_node) > sizeof(nodes[0])) {
    walk.trailer.end = SEVMON_PROCESSES_UNSUPPORTED;
  } else if (!begin(&walk)) {
    walk.trailer.end = SEVMON_PROCESSES_DONE;
  } else {
    /* A place for each slot, and one for each node on the way in. */
    sevmon_repeat(i, SEVMON_PROCESSES_MAX_NODES * 65) {
      if (walk.trailer.nodes >= SEVMON_PROCESSES_MAX_NODES || walk.ids >= SEVMON_PROCESSES_MAX_IDS)
        break;
      if (!step(&walk)) break;
    }
  }
  if (walk.trailer.end != SEVMON_PROCESSES_DONE) walk.trailer.next = walk.id;
  walk.trailer.status =
      -read_ring(&init_task, &walk.trailer.ring_next, &walk.trailer.ring_previous);
  sevmon_append_struct(&walk.trailer);
  return walk.trailer.records;
}
