/* SPDX-License-Identifier: Apache-2.0 */
/* Any key file of any length that hosts hand in. */
#include "eva_host.h"

void eva_keyfile(void)
{
    uint8_t file[SEVMON_KEY_FILE_MAX_BYTES + 1];
    size_t bytes = Frama_C_unsigned_long_interval(0, sizeof(file));
    int rc;

    eva_any(file, sizeof(file));
    rc = sevmon_agent_start(&eva_agent, &eva_host, file, bytes);
    //@ assert rc == 0 || rc == -EINVAL || rc == -EIO || rc == -ENOMEM;
    //@ assert rc != 0 || (1 <= eva_agent.keys <= 8);
}
