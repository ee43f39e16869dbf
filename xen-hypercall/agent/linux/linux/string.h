/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What Linux's curve25519-hacl64.c asks of <linux/string.h> and of types. */
#ifndef SEVMON_LINUX_STRING_H
#define SEVMON_LINUX_STRING_H

#include "../../port.h"

#ifndef __XEN__
typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;
#undef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#define __aligned(bytes) __attribute__((__aligned__(bytes)))
#elif !defined(__always_inline)
#define __always_inline always_inline
#endif

__extension__ typedef unsigned __int128 u128;

static inline void memzero_explicit(void *p, size_t bytes)
{
    sevmon_wipe(p, bytes);
}

#endif /* SEVMON_LINUX_STRING_H */
