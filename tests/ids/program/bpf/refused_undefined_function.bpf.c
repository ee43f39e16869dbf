// SPDX-License-Identifier: Apache-2.0
#include <sevmon/program.bpf.h>

long elsewhere(void);

SEVMON_PROGRAM
long one(void) {
  return elsewhere();
}
