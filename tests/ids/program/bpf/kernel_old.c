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

struct kobject {
  const char *name;
  struct list_head entry;
  void *parent;
};

struct kset {
  long lock;
  struct list_head list;
  struct kobject kobj;
};

struct module_kobject {
  long before;
  struct kobject kobj;
  struct module *mod;
};

struct rb_node {
  unsigned long __rb_parent_color;
  struct rb_node *rb_right, *rb_left;
};

struct rb_root {
  struct rb_node *rb_node;
};

struct latch_tree_node {
  struct rb_node node[2];
};

typedef struct {
  struct {
    unsigned sequence;
  } seqcount;
} seqcount_latch_t;

struct latch_tree_root {
  seqcount_latch_t seq;
  struct rb_root tree[2];
};

struct mod_tree_root {
  long before;
  struct latch_tree_root root;
  unsigned long addr_min, addr_max;
};

struct mod_tree_node {
  struct module *mod;
  struct latch_tree_node node;
};

struct module_layout {
  void *base;
  unsigned size, text_size, ro_size;
  struct mod_tree_node mtn;
};

typedef struct {
  int counter;
} atomic_t;

enum module_state {
  MODULE_STATE_LIVE,
  MODULE_STATE_COMING,
  MODULE_STATE_GOING,
  MODULE_STATE_UNFORMED
};

struct module {
  enum module_state state;
  struct list_head list;
  char name[56];
  struct module_kobject mkobj;
  const char *version;
  struct module_layout core_layout, init_layout;
  unsigned long taints;
  struct list_head source_list;
  struct list_head target_list;
  atomic_t refcnt;
};

struct module_use {
  struct list_head source_list;
  struct list_head target_list;
  struct module *source, *target;
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
struct module module;
struct module_use module_use;
struct kset kset;
struct mod_tree_root mod_tree;
