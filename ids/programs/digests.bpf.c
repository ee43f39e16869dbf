// SPDX-License-Identifier: Apache-2.0
/*
 * A digest of each page of a range of the kernel's memory, under a key that the input brings: see
 * digests.h. Returns how many of the pages could not be read.
 */
#include <sevmon/program.bpf.h>

#include "digests.h"

#define BATCH 64 /* that one call appends */

static __u64 batch[BATCH];

SEVMON_PROGRAM
long digests(const struct sevmon_digests_input *input, __u64 input_bytes) {
  __u64 digest[SEVMON_DIGEST_BYTES / 8];
  __u32 filled = 0;
  long unreadable = 0;

  if (input_bytes != sizeof(*input)) return -SEVMON_STATUS_BAD_ITEM;
  sevmon_repeat(i, SEVMON_DIGESTS_MAX_PAGES) {
    if (i >= input->pages) break;
    long status = sevmon_digest((__u8 *)digest, input->key, SEVMON_PAGE_BYTES,
                                (const void *)(input->address + (__u64)i * SEVMON_PAGE_BYTES));
    if (status) unreadable++;
    batch[filled & (BATCH - 1)] =
        (digest[0] & ~SEVMON_DIGESTS_STATUS) | (-status & SEVMON_DIGESTS_STATUS);
    if (++filled == BATCH) {
      if (sevmon_append(batch, sizeof(batch))) return -SEVMON_STATUS_NO_SPACE;
      filled = 0;
    }
  }
  filled &= BATCH - 1;
  if (filled && sevmon_append(batch, filled * sizeof(batch[0]))) return -SEVMON_STATUS_NO_SPACE;
  return unreadable;
}
