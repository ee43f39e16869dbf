// SPDX-License-Identifier: Apache-2.0
// An older kernel than kernel_new.c: members had other names, or were not there.
enum colour { RED = 1, BLUE = 3 };
enum wide { NARROW, WIDE = 0x100000000ull };

struct point {

  int x;
  long long z;
  unsigned flag : 3;
  int low : 5;
};

struct big {
  char bytes[123];
};

struct list_head {
  struct list_head *next, *prev;
};

struct hlist_node {
  struct hlist_node *next, **pprev;
};

struct hlist_head {
  struct hlist_node *first;
};

enum pid_type { PIDTYPE_PID, PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID, PIDTYPE_MAX };

struct pid_namespace;

struct upid {
  int nr;
  struct pid_namespace *ns;
};

struct pid {
  int count;
  unsigned level;
  long lock;
  struct hlist_head tasks[PIDTYPE_MAX];
  long rcu[2];
  struct upid numbers[1];
};

struct xarray {
  long xa_lock;
  unsigned xa_flags;
  void *xa_head;
};

struct idr {
  long before;
  struct xarray idr_rt;
};

struct pid_namespace {
  long kref;
  struct idr idr;
};

// As with CONFIG_BASE_SMALL.
struct xa_node {
  unsigned char count, shift, offset, nr_values;
  struct xarray *array;
  struct xa_node *parent;
  struct list_head private_list;
  unsigned long marks[3][1];
  void *slots[16];
};

typedef struct {
  unsigned val;
} kuid_t;

typedef struct {
  unsigned val;
} kgid_t;

struct cred {
  long usage;
  kuid_t uid;
  kgid_t gid;
  kuid_t suid;
  kgid_t sgid;
  kuid_t euid;
};

struct signal_struct {
  long sigcnt;
  int live;
  int nr_threads;
};

struct task_struct {
  char thread_info[48];
  volatile long state;
  void *stack;
  unsigned flags;
  struct list_head tasks;
  int exit_state;
  int pid;
  int tgid;
  struct task_struct *real_parent;
  unsigned long long real_start_time;
  const struct cred *real_cred;
  char comm[16];
  struct signal_struct *signal;
  struct hlist_node pid_links[PIDTYPE_MAX];
};

struct point point;
struct big big;
struct task_struct task;
enum colour colour;
enum wide wide;
struct cred cred;
struct signal_struct signal_struct;
struct pid *pid;
enum pid_type pid_type;
struct pid_namespace pid_namespace;
struct xa_node xa_node;
