// SPDX-License-Identifier: Apache-2.0
//
// DPDK's eBPF interpreter, without its libraries' start-up and their huge pages: it needs neither.
// tests/bench/programs.py compiles this with what scripts/fetch-dpdk unpacked.
#include "other_interpreter.h"

#include <rte_bpf.h>
#include <rte_errno.h>

void* other_interpreter_load(const void* insns, uint32_t count, size_t bytes, const char** why) {
  const struct rte_bpf_prm program = {
      .ins = insns, .nb_ins = count, .prog_arg = {.type = RTE_BPF_ARG_PTR, .size = bytes}};
  struct rte_bpf* loaded = rte_bpf_load(&program);
  if (loaded == NULL) *why = rte_strerror(rte_errno);
  return loaded;
}

uint64_t other_interpreter_run(void* program, void* buffer) {
  return rte_bpf_exec(program, buffer);
}

void other_interpreter_unload(void* program) { rte_bpf_destroy(program); }
