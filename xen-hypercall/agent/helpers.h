/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What a program can call: sevmon/program.h says what each does. */
#ifndef SEVMON_AGENT_HELPERS_H
#define SEVMON_AGENT_HELPERS_H

#include "run.h"

SEVMON_BEGIN_C

/* For the verifier: does that one exist, and how many arguments has it? */
bool sevmon_callback sevmon_helper_arguments(int32_t number,
                                             unsigned int *arguments);

/* For the interpreter, of a struct sevmon_run's `bpf`. */
uint32_t sevmon_callback sevmon_helper_call(struct sevmon_bpf_run *bpf,
                                            int32_t number);

SEVMON_END_C

#endif /* SEVMON_AGENT_HELPERS_H */
