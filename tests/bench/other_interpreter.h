// SPDX-License-Identifier: Apache-2.0
//
// What a shared object with an interpreter that is not ours offers bench-native: dpdk_interpreter.c.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// `count` instructions as in RFC 9669, whose r1 is a buffer of `bytes` that they may read and write.
// NULL, with *why: refused. The caller gives it back.
void* other_interpreter_load(const void* insns, uint32_t count, size_t bytes, const char** why);
// Runs it. Returns r0.
uint64_t other_interpreter_run(void* program, void* buffer);
void other_interpreter_unload(void* program);

#ifdef __cplusplus
}
#endif
