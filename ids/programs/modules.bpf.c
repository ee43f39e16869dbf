// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's modules, as three of its structures have them: the list that lsmod(8) shows, with
 * what uses each; the objects of /sys/module; and the tree of the modules' addresses, by which the
 * kernel finds whose code it runs. One walk after another, from the place on that the input names;
 * see modules.h. Returns how many records there are.
 *
 * Every link of a list must lead back to where it was come from, every node of the tree to its
 * parent: so what runs into itself ends there.
 */
#include <sevmon/program.bpf.h>

#include "modules.h"
#include "walk.bpf.h"

struct rb_node {
  unsigned long __rb_parent_color;
  struct rb_node *rb_right, *rb_left;
} SEVMON_KERNEL_TYPE;

struct rb_root {
  struct rb_node *rb_node;
} SEVMON_KERNEL_TYPE;

struct any_sequence {
  unsigned int sequence;
};

struct latch_tree_root {
  struct any_sequence seq;
  struct rb_root tree[2];
} SEVMON_KERNEL_TYPE;

struct latch_tree_node {
  struct rb_node node[2];
} SEVMON_KERNEL_TYPE;

struct mod_tree_root {
  struct latch_tree_root root;
} SEVMON_KERNEL_TYPE;

struct mod_tree_node {
  struct module *mod;
  struct latch_tree_node node;
} SEVMON_KERNEL_TYPE;

struct kobject {
  struct list_head entry;
} SEVMON_KERNEL_TYPE;

struct kset {
  struct list_head list;
} SEVMON_KERNEL_TYPE;

struct module_kobject {
  struct kobject kobj;
  struct module *mod;
} SEVMON_KERNEL_TYPE;

typedef struct {
  int counter;
} atomic_t;

enum module_state { MODULE_STATE_LIVE };

struct module {
  enum module_state state;
  struct list_head list;
  char name[56];
  struct module_kobject mkobj;
  unsigned long taints;
  struct list_head source_list;
  atomic_t refcnt;
} SEVMON_KERNEL_TYPE;

struct module_use {
  struct list_head source_list;
  struct module *source;
} SEVMON_KERNEL_TYPE;

/* Until v6.4, and since. */
struct module_layout {
  void *base;
  unsigned int size;
} SEVMON_KERNEL_TYPE;

struct module___before {
  struct module_layout core_layout, init_layout;
} SEVMON_KERNEL_TYPE;

struct module_memory {
  void *base;
  unsigned int size;
} SEVMON_KERNEL_TYPE;

struct module___since {
  struct module_memory mem[7];
} SEVMON_KERNEL_TYPE;

extern const struct list_head modules __ksym;
extern struct kset *const module_kset __ksym;
extern const struct mod_tree_root mod_tree __ksym;

typedef const struct module *module_t;

#define MAX_REGIONS 16
#define MAX_DEPTH 64
#define MAX_USERS 2048 /* of one module */

/* What a run leaves here, no other reads. */
static struct sevmon_module_words words; /* that were not given yet */
/* Nodes of the tree that are to be looked at, and their parents. */
static __u64 nodes[MAX_DEPTH + 1], parents[MAX_DEPTH + 1];

struct walk {
  __u32 number; /* SEVMON_MODULES_* */
  __u32 skip;   /* so many were had before */
  __u32 met;    /* modules, pairs or words, those included */
  __u32 given;  /* of them */
  struct sevmon_modules_trailer trailer;
};

struct ring {
  __u64 head, at, next;
};

/* And which walk it is that may lack something. */
#define tear_walk(walk, address, why)                              \
  do {                                                             \
    (walk)->trailer.torn_walks |= 1U << ((walk)->number & 3);      \
    tear(walk, address, why);                                      \
  } while (0)

/* ---- What is given ---- */

static __always_inline bool no_space(struct walk *walk) {
  walk->trailer.end = SEVMON_MODULES_NO_SPACE;
  walk->trailer.walk = walk->number;
  walk->trailer.skip = walk->given;
  return false;
}

/* The words so far. Returns whether the result took them. */
static __always_inline bool flush(struct walk *walk) {
  if (!words.count) return true;
  words.walk = walk->number;
  if (sevmon_append_struct(&words)) return no_space(walk);
  walk->trailer.records++;
  walk->given = walk->met;
  words.count = 0;
  sevmon_repeat(i, SEVMON_MODULE_WORDS) words.word[i] = 0;
  return true;
}

static __always_inline void put(__u64 word) {
  const __u64 at = words.count;

  if (at >= SEVMON_MODULE_WORDS) return;
  words.word[at] = word;
  words.count = at + 1;
}

/* Is the next one that is met one that was had before? */
static __always_inline bool is_skipped(struct walk *walk) {
  return walk->met++ < walk->skip;
}

/* One word, or two. Returns whether the walk goes on. */
static __always_inline bool give(struct walk *walk, __u64 first, __u64 second) {
  const __u32 wanted = second ? 2 : 1;

  if (walk->met < walk->skip) {
    walk->met++;
    return true;
  }
  if (words.count + wanted > SEVMON_MODULE_WORDS && !flush(walk)) return false;
  walk->met++;
  put(first);
  if (second) put(second);
  return true;
}

/* ---- Rings ---- */

static __always_inline void begin(struct walk *walk, struct ring *ring, __u64 head) {
  ring->head = ring->at = ring->next = head;
  if (is_kernel_pointer(head) && !sevmon_read(&ring->next, sizeof(ring->next), (void *)head))
    return;
  tear_walk(walk, head, SEVMON_MODULES_TEAR_READ);
}

/* To the next link. Returns whether there is one. */
static __always_inline bool advance(struct walk *walk, struct ring *ring) {
  __u64 links[2] = {};
  const __u64 to = ring->next;

  if (to == ring->head && ring->at == ring->head) return false;
  if (!is_kernel_pointer(to) || sevmon_read(links, sizeof(links), (void *)to)) {
    tear_walk(walk, to, SEVMON_MODULES_TEAR_READ);
    return false;
  }
  if (links[1] != ring->at) {
    tear_walk(walk, to, SEVMON_MODULES_TEAR_LINK);
    return false;
  }
  ring->at = to;
  ring->next = links[0];
  return to != ring->head;
}

/* ---- Walks: each returns whether there is space for another ---- */
/* (Functions of their own: with registers enough, it shows in the code that each loop ends.) */

static __always_inline long read_regions(module_t module, struct sevmon_module_record *record) {
  const struct module___before *before = (const void *)module;
  const struct module___since *since = (const void *)module;
  __u32 size = 0;
  long status;

  if (bpf_core_field_exists(before->core_layout)) {
    status = bpf_core_read(&record->base, sizeof(record->base), &before->core_layout.base);
    if (!status) status = bpf_core_read(&size, sizeof(size), &before->core_layout.size);
    record->bytes = size;
    if (!status) status = bpf_core_read(&size, sizeof(size), &before->init_layout.size);
    record->bytes += size;
    return status;
  }
  status = bpf_core_read(&record->base, sizeof(record->base), &since->mem[0].base);
  sevmon_repeat(i, MAX_REGIONS) {
    const __u64 at = i * bpf_core_type_size(struct module_memory);

    if (status || at >= bpf_core_field_size(since->mem)) break;
    status = sevmon_read(&size, sizeof(size),
                         (const char *)module + OFFSET(struct module___since, mem) + at +
                             OFFSET(struct module_memory, size));
    record->bytes += size;
  }
  return status;
}

static __always_inline void read_module(module_t module, struct sevmon_module_record *record) {
  long status = bpf_core_read(&record->state, sizeof(record->state), &module->state);

  if (!status) status = bpf_core_read(record->name, sizeof(record->name), &module->name);
  if (!status) status = bpf_core_read(&record->taints, sizeof(record->taints), &module->taints);
  if (!status)
    status = bpf_core_read(&record->refcount, sizeof(record->refcount), &module->refcnt.counter);
  if (!status) status = read_regions(module, record);
  record->unread = !!status;
}

static __noinline bool walk_list(struct walk *walk) {
  struct ring ring;

  begin(walk, &ring, (__u64)&modules);
  sevmon_repeat(i, SEVMON_MODULES_MAX_LIST) {
    struct sevmon_module_record record = {};

    if (!advance(walk, &ring)) return true;
    if (is_skipped(walk)) continue;
    record.module = ring.at - OFFSET(struct module, list);
    record.next = ring.next;
    sevmon_read(&record.previous, sizeof(record.previous), (const char *)ring.at + 8);
    read_module((module_t)record.module, &record);
    if (sevmon_append_struct(&record)) return no_space(walk);
    walk->trailer.records++;
    walk->given = walk->met;
  }
  tear_walk(walk, ring.at, SEVMON_MODULES_TEAR_MANY);
  return true;
}

/* Who uses `module`. */
static __noinline bool walk_users(struct walk *walk, __u64 module) {
  struct ring ring;

  begin(walk, &ring, module + OFFSET(struct module, source_list));
  sevmon_repeat(i, MAX_USERS) {
    const struct module_use *use;
    __u64 source = 0;

    if (!advance(walk, &ring)) return true;
    use = (const void *)(ring.at - OFFSET(struct module_use, source_list));
    if (bpf_core_read(&source, sizeof(source), &use->source) || !source) {
      tear_walk(walk, ring.at, SEVMON_MODULES_TEAR_READ);
      continue;
    }
    if (walk->met >= SEVMON_MODULES_MAX_USES) break;
    if (!give(walk, module, source)) return false;
  }
  tear_walk(walk, ring.at, SEVMON_MODULES_TEAR_MANY);
  return true;
}

static __noinline bool walk_uses(struct walk *walk) {
  struct ring ring;

  begin(walk, &ring, (__u64)&modules);
  sevmon_repeat(i, SEVMON_MODULES_MAX_LIST) {
    if (!advance(walk, &ring)) break;
    if (!walk_users(walk, ring.at - OFFSET(struct module, list))) return false;
  }
  return flush(walk);
}

static __noinline bool walk_sysfs(struct walk *walk) {
  struct ring ring;
  __u64 kset = 0;

  if (sevmon_read(&kset, sizeof(kset), &module_kset)) kset = 0;
  begin(walk, &ring, kset ? kset + OFFSET(struct kset, list) : 0);
  sevmon_repeat(i, SEVMON_MODULES_MAX_SYSFS) {
    const struct module_kobject *object;
    __u64 owner = 0;

    if (!advance(walk, &ring)) return flush(walk);
    object = (const void *)(ring.at - OFFSET(struct kobject, entry) -
                            OFFSET(struct module_kobject, kobj));
    if (bpf_core_read(&owner, sizeof(owner), &object->mod)) {
      tear_walk(walk, ring.at, SEVMON_MODULES_TEAR_READ);
      continue;
    }
    if (!owner) continue; /* of what is built in */
    if (owner + OFFSET(struct module, mkobj) != (__u64)object)
      tear_walk(walk, ring.at, SEVMON_MODULES_TEAR_OBJECT);
    else if (!give(walk, owner, 0))
      return false;
  }
  tear_walk(walk, ring.at, SEVMON_MODULES_TEAR_MANY);
  return flush(walk);
}

struct tree {
  __u32 which; /* of the two that the kernel has: the one that it does not change now */
  __u32 depth; /* nodes that are to be looked at */
};

/* Returns whether there was place for it. */
static __always_inline bool push(struct tree *tree, __u64 node, __u64 parent) {
  const __u32 at = tree->depth;

  if (!node) return true;
  if (at > MAX_DEPTH) return false;
  nodes[at] = node;
  parents[at] = parent;
  tree->depth = at + 1;
  return true;
}

/* The node on top, and its children in its place. */
static __always_inline bool visit(struct walk *walk, struct tree *tree) {
  const __u32 at = tree->depth - 1;
  const struct rb_node *node;
  const struct mod_tree_node *entry;
  __u64 parent = 0, left = 0, right = 0, owner = 0;

  if (at > MAX_DEPTH) return false;
  tree->depth = at;
  node = (const void *)nodes[at];
  entry = (const void *)(nodes[at] - tree->which * bpf_core_type_size(struct rb_node) -
                         OFFSET(struct latch_tree_node, node) - OFFSET(struct mod_tree_node, node));
  if (!is_kernel_pointer(nodes[at]) ||
      bpf_core_read(&parent, sizeof(parent), &node->__rb_parent_color) ||
      bpf_core_read(&left, sizeof(left), &node->rb_left) ||
      bpf_core_read(&right, sizeof(right), &node->rb_right) ||
      bpf_core_read(&owner, sizeof(owner), &entry->mod)) {
    tear_walk(walk, nodes[at], SEVMON_MODULES_TEAR_READ);
    return true;
  }
  /* The two lowest bits are the node's colour. */
  if ((parent & ~3ULL) != parents[at] || (left && left == right)) {
    tear_walk(walk, nodes[at], SEVMON_MODULES_TEAR_PARENT);
    return true;
  }
  if (!is_kernel_pointer(owner) || (__u64)node - owner >= bpf_core_type_size(struct module))
    tear_walk(walk, nodes[at], SEVMON_MODULES_TEAR_NODE);
  else if (!give(walk, owner, 0))
    return false;
  if (!push(tree, right, (__u64)node) || !push(tree, left, (__u64)node))
    tear_walk(walk, node, SEVMON_MODULES_TEAR_DEPTH);
  return true;
}

static __noinline bool walk_tree(struct walk *walk) {
  struct tree tree = {};
  __u64 top = 0;

  if (bpf_core_read(&tree.which, sizeof(tree.which), &mod_tree.root.seq)) {
    tear_walk(walk, &mod_tree, SEVMON_MODULES_TEAR_READ);
    return true;
  }
  tree.which &= 1;
  if (sevmon_read(&top, sizeof(top),
                  (const char *)&mod_tree + OFFSET(struct mod_tree_root, root) +
                      OFFSET(struct latch_tree_root, tree) +
                      tree.which * bpf_core_type_size(struct rb_root) +
                      OFFSET(struct rb_root, rb_node))) {
    tear_walk(walk, &mod_tree, SEVMON_MODULES_TEAR_READ);
    return true;
  }
  push(&tree, top, 0);
  sevmon_repeat(i, SEVMON_MODULES_MAX_TREE) {
    if (!tree.depth) return flush(walk);
    if (!visit(walk, &tree)) return false;
  }
  tear_walk(walk, &mod_tree, SEVMON_MODULES_TEAR_MANY);
  return flush(walk);
}

/* The walk of this number. */
static __always_inline bool go(struct walk *walk) {
  switch (walk->number) {
    case SEVMON_MODULES_LIST:
      return walk_list(walk);
    case SEVMON_MODULES_USES:
      return walk_uses(walk);
    case SEVMON_MODULES_SYSFS:
      return walk_sysfs(walk);
    default:
      return walk_tree(walk);
  }
}

SEVMON_PROGRAM
long run(const struct sevmon_modules_input *input, __u64 input_bytes) {
  struct walk walk = {.trailer = {.end = SEVMON_MODULES_DONE}};

  if (input_bytes >= sizeof(*input)) {
    walk.number = input->walk;
    walk.skip = walk.given = input->skip;
  }
  /* Of the run before, which may have ended anywhere. */
  words.count = 0;
  sevmon_repeat(i, SEVMON_MODULE_WORDS) words.word[i] = 0;
  sevmon_repeat(i, SEVMON_MODULES_WALKS) {
    if (walk.number >= SEVMON_MODULES_WALKS || !go(&walk)) break;
    walk.number++;
    walk.skip = walk.met = walk.given = 0;
  }
  sevmon_append_struct(&walk.trailer);
  return walk.trailer.records;
}
