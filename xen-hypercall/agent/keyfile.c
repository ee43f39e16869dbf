/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "keyfile.h"

static bool is_new_id(const struct sevmon_agent *agent, unsigned int count,
                      const uint8_t ids_id[SEVMON_ID_BYTES])
{
    unsigned int i;

    for ( i = 0; i < count; i++ )
        if ( sevmon_equal(agent->ids[i].ids_id, ids_id, SEVMON_ID_BYTES) )
            return false;

    return true;
}

/* Two IDSs with one PSK could read and forge each other's sessions. */
static bool is_new_psk(const struct sevmon_agent *agent, unsigned int count,
                       const uint8_t psk[SEVMON_PSK_BYTES])
{
    unsigned int i;

    for ( i = 0; i < count; i++ )
        if ( sevmon_equal(agent->ids[i].psk, psk, SEVMON_PSK_BYTES) )
            return false;

    return true;
}

int sevmon_keyfile_read(struct sevmon_agent *agent, const void *key_file,
                        size_t bytes)
{
    const uint8_t *at = key_file;
    struct sevmon_key_head head;
    unsigned int i;

    if ( bytes < sizeof(head) )
        return -EINVAL;
    memcpy(&head, at, sizeof(head));
    at += sizeof(head);
    if ( memcmp(head.magic, SEVMON_KEY_MAGIC, sizeof(head.magic)) ||
         head.version != 1 || head.zero ||
         !head.count || head.count > SEVMON_MAX_KEYS ||
         sevmon_is_zero(head.agent_id, SEVMON_ID_BYTES) ||
         bytes != sizeof(head) + head.count * sizeof(struct sevmon_key_entry) )
        return -EINVAL;
    memcpy(agent->agent_id, head.agent_id, SEVMON_ID_BYTES);

    for ( i = 0; i < head.count; i++, at += sizeof(struct sevmon_key_entry) )
    {
        /* In place: a copy on the stack would be one more to wipe. */
        const uint8_t *ids_id =
            at + offsetof(struct sevmon_key_entry, ids_id);
        const uint8_t *psk = at + offsetof(struct sevmon_key_entry, psk);

        if ( sevmon_is_zero(ids_id, SEVMON_ID_BYTES) ||
             sevmon_is_zero(psk, SEVMON_PSK_BYTES) ||
             !is_new_id(agent, i, ids_id) || !is_new_psk(agent, i, psk) )
            return -EINVAL;
        memcpy(agent->ids[i].ids_id, ids_id, SEVMON_ID_BYTES);
        memcpy(agent->ids[i].psk, psk, SEVMON_PSK_BYTES);
    }
    agent->keys = head.count;

    return 0;
}
