// SPDX-License-Identifier: Apache-2.0
#include <sevmon/program.bpf.h>

SEVMON_PROGRAM
long one(void) {
  return 1;
}

SEVMON_PROGRAM
long two(void) {
  return 2;
}
