// SPDX-License-Identifier: Apache-2.0
#include <sevmon/program.bpf.h>

extern int elsewhere;

SEVMON_PROGRAM
long one(void) {
  return elsewhere;
}
