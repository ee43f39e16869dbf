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
};

struct point point;
struct big big;
struct task_struct task;
enum colour colour;
enum wide wide;
struct cred cred;
struct signal_struct signal_struct;
