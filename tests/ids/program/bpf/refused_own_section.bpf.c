// SPDX-License-Identifier: Apache-2.0
#include <sevmon/program.bpf.h>

int variable SEC("mine") = 1;

SEVMON_PROGRAM
long one(void) {
  return *(volatile int *)&variable;
}
