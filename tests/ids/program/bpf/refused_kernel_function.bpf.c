// SPDX-License-Identifier: Apache-2.0
#include <sevmon/program.bpf.h>

extern long schedule(void) __ksym;

SEVMON_PROGRAM
long one(void) {
  return schedule();
}
