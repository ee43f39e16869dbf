// SPDX-License-Identifier: Apache-2.0
#include <sevmon/program.bpf.h>

long one(void) {
  return 1;
}
