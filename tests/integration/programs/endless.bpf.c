// SPDX-License-Identifier: Apache-2.0
/* What a program can do to keep Xen busy: every kind of read, of addresses good and bad, for ever. */
#include <sevmon/program.bpf.h>

extern const char linux_banner[] __ksym;

static char buffer[4096];

static __attribute__((noinline)) void read_all(__u64 address) {
  sevmon_read(buffer, sizeof(buffer), (const void *)address);
  sevmon_read_physical(buffer, sizeof(buffer), address);
  sevmon_read_user(buffer, sizeof(buffer), (const void *)address, (const void *)linux_banner);
  sevmon_read_string(buffer, sizeof(buffer), (const void *)address);
  sevmon_append(buffer, sizeof(buffer));
}

SEVMON_PROGRAM
long endless(const void *input, __u64 input_bytes) {
  __u64 address = (__u64)linux_banner + 1;

  (void)input;
  (void)input_bytes;
  for (;;) {
    read_all((__u64)linux_banner + 1);
    read_all(address);
    address = address * 6364136223846793005 + 1442695040888963407;
  }
}
