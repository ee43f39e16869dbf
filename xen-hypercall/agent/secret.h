/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* An EFI confidential-computing secret area (docs/protocol.md, 2.1). */
#ifndef SEVMON_AGENT_SECRET_H
#define SEVMON_AGENT_SECRET_H

#include "port.h"

#include <sevmon/wire.h>

SEVMON_BEGIN_C

/* Does a secret area begin here, whatever the rest of it may be worth? */
bool sevmon_secret_has_head(const void *area, size_t bytes);

/*
 * The agent's key file in a secret area of `bytes` bytes: where it lies, not
 * what it is worth.
 *
 * Returns 0, otherwise:
 * -EINVAL: no secret area; a length that is below its own head's or beyond the
 *          end; bytes after the last entry that are not padding; two entries
 *          for the agent
 * -ENOENT: a secret area without an entry for the agent
 */
int sevmon_secret_find(const void *area, size_t bytes, const void **key_file,
                       size_t *key_file_bytes);

SEVMON_END_C

#endif /* SEVMON_AGENT_SECRET_H */
