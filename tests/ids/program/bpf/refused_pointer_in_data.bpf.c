// SPDX-License-Identifier: Apache-2.0
#include <sevmon/program.bpf.h>

static int target;
static int *volatile pointer = &target;

SEVMON_PROGRAM
long one(void) {
  return *pointer;
}
