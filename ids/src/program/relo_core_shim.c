/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libbpf's relo_core.c needs of the rest of libbpf, which the packaged library keeps to itself.
 * meson.build renames all of it to sevmon_core_*, so that it never stands in for libbpf's own.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbpf_internal.h"

#include "program/relo_core_shim.h"

/* A chain of typedefs and qualifiers that is longer is a cycle. */
#define MAX_MODIFIERS 32
#define MAX_LEVELS 32
#define POISON 195896080

static _Thread_local char last_words[512];

const char *sevmon_core_last_words(void) { return last_words; }

void libbpf_print(enum libbpf_print_level level, const char *format, ...) {
  va_list args;

  if (level != LIBBPF_WARN) return;
  va_start(args, format);
  vsnprintf(last_words, sizeof(last_words), format, args);
  va_end(args);
  last_words[strcspn(last_words, "\n")] = '\0';
}

/* Both sides' BTF went through check_btf(): every id in them is one of theirs. */
struct btf_type *btf_type_by_id(const struct btf *btf, __u32 type_id) {
  return (struct btf_type *)btf__type_by_id(btf, type_id);
}

const char *btf_kind_str(const struct btf_type *t) {
  static const char *const names[] = {"void",  "int",       "pointer",  "array",    "struct",
                                      "union", "enum",      "forward",  "typedef",  "volatile",
                                      "const", "restrict",  "function", "prototype", "variable",
                                      "section", "float",   "tag",      "type tag", "enum64"};
  const __u32 kind = t ? btf_kind(t) : 0;

  return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
}

/* Unlike libbpf's own it comes to an end for types that lead to themselves. */
const struct btf_type *skip_mods_and_typedefs(const struct btf *btf, __u32 id, __u32 *res_id) {
  const struct btf_type *t = btf__type_by_id(btf, id);
  int left = MAX_MODIFIERS;

  while (t && (btf_is_mod(t) || btf_is_typedef(t)) && left-- > 0) {
    id = t->type;
    t = btf__type_by_id(btf, id);
  }
  if (left < 0) return NULL;
  if (res_id) *res_id = id;
  return t;
}

static int is_flavor_separator(const char *s) {
  return s[0] != '_' && s[1] == '_' && s[2] == '_' && s[3] == '_' && s[4] != '_';
}

/* "task_struct___old" stands for "task_struct". */
size_t bpf_core_essential_name_len(const char *name) {
  const size_t length = strlen(name);
  size_t at;

  for (at = length < 5 ? 0 : length - 4; at > 0; at--)
    if (is_flavor_separator(name + at - 1)) return at;
  return length;
}

size_t sevmon_core_essential_length(const char *name) { return bpf_core_essential_name_len(name); }

int bpf_core_types_are_compat(const struct btf *local_btf, __u32 local_id,
                              const struct btf *targ_btf, __u32 targ_id) {
  return __bpf_core_types_are_compat(local_btf, local_id, targ_btf, targ_id, MAX_LEVELS);
}

int bpf_core_types_match(const struct btf *local_btf, __u32 local_id, const struct btf *targ_btf,
                         __u32 targ_id) {
  return __bpf_core_types_match(local_btf, local_id, targ_btf, targ_id, false, MAX_LEVELS);
}

/* "task_struct.se.load", "enum pid_type.PIDTYPE_TGID" */
static void format_place(const struct bpf_core_spec *spec, char *out, size_t bytes) {
  const struct btf_type *t = btf_type_by_id(spec->btf, spec->root_type_id);
  const char *name = btf__name_by_offset(spec->btf, t->name_off);
  size_t used = 0;
  int i;

  for (i = -1; i < spec->len && used < bytes; i++) {
    if (i < 0)
      used += snprintf(out, bytes, "%s", name && *name ? name : btf_kind_str(t));
    else if (spec->spec[i].name)
      used += snprintf(out + used, bytes - used, ".%s", spec->spec[i].name);
    else if (i > 0 || spec->spec[i].idx > 0)
      used += snprintf(out + used, bytes - used, "[%u]", spec->spec[i].idx);
  }
}

int sevmon_core_relocate(struct sevmon_core_relocation *relocation) {
  const struct bpf_core_relo relo = {.insn_off = 0,
                                     .type_id = relocation->type_id,
                                     .access_str_off = relocation->access_str_off,
                                     .kind = relocation->kind};
  struct bpf_core_spec specs[3];
  struct bpf_core_relo_res result;
  struct bpf_core_cand_list list = {.cands = NULL, .len = (int)relocation->candidate_count};
  struct bpf_insn *insn = relocation->insn;
  __u32 i;
  int error;

  last_words[0] = '\0';
  error = bpf_core_parse_spec("", relocation->local, &relo, &specs[0]);
  if (error) return error;
  format_place(&specs[0], relocation->place, sizeof(relocation->place));

  /* One more: never an allocation of nothing. */
  list.cands = calloc(relocation->candidate_count + 1, sizeof(*list.cands));
  if (!list.cands) return -ENOMEM;
  for (i = 0; i < relocation->candidate_count; i++) {
    list.cands[i].btf = relocation->kernel;
    list.cands[i].id = relocation->candidates[i];
  }
  error = bpf_core_calc_relo_insn("", &relo, 0, relocation->local, &list, specs, &result);
  free(list.cands);
  if (!error) error = bpf_core_patch_insn("", insn, 0, &relo, 0, &result);
  /* A call of a helper that does not exist: see bpf_core_poison_insn(). */
  relocation->poisoned = !error && insn->code == (BPF_JMP | BPF_CALL) && insn->imm == POISON;
  return error;
}
