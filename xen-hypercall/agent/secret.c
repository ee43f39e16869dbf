/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "secret.h"

#define HEAD sizeof(struct sevmon_secret_head)

static const uint8_t area_guid[] = SEVMON_SECRET_AREA_GUID;
static const uint8_t keys_guid[] = SEVMON_SECRET_KEYS_GUID;

static uint32_t length_at(const uint8_t *head)
{
    const uint8_t *bytes = head + offsetof(struct sevmon_secret_head, bytes);

    return bytes[0] | bytes[1] << 8 | bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

bool sevmon_secret_has_head(const void *area, size_t bytes)
{
    return bytes >= HEAD && !memcmp(area, area_guid, sizeof(area_guid));
}

int sevmon_secret_find(const void *area, size_t bytes, const void **key_file,
                       size_t *key_file_bytes)
{
    const uint8_t *at = area;
    size_t left;
    bool found = false;

    if ( !sevmon_secret_has_head(area, bytes) )
        return -EINVAL;
    left = length_at(at);
    if ( left < HEAD || left > bytes )
        return -EINVAL;

    for ( at += HEAD, left -= HEAD; left >= HEAD; )
    {
        size_t entry = length_at(at);

        if ( entry < HEAD || entry > left )
            return -EINVAL;
        if ( !memcmp(at, keys_guid, sizeof(keys_guid)) )
        {
            if ( found )
                return -EINVAL;
            found = true;
            *key_file = at + HEAD;
            *key_file_bytes = entry - HEAD;
        }
        at += entry;
        left -= entry;
    }

    /* Whoever makes an area fills it up to what a cipher takes, with zeros. */
    if ( !sevmon_is_zero(at, left) )
        return -EINVAL;

    return found ? 0 : -ENOENT;
}
