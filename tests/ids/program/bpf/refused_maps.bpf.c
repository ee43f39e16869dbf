// SPDX-License-Identifier: Apache-2.0
#include <sevmon/program.bpf.h>

int map SEC(".maps") = 1;

SEVMON_PROGRAM
long one(void) {
  return *(volatile int *)&map;
}
