/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What Linux's curve25519-hacl64.c asks of <linux/unaligned.h>. */
#ifndef SEVMON_LINUX_UNALIGNED_H
#define SEVMON_LINUX_UNALIGNED_H

#include <linux/string.h>

static inline u64 get_unaligned_le64(const void *p)
{
    u64 value;

    memcpy(&value, p, sizeof(value));

    return value;
}

static inline void put_unaligned_le64(u64 value, void *p)
{
    memcpy(p, &value, sizeof(value));
}

#endif /* SEVMON_LINUX_UNALIGNED_H */
