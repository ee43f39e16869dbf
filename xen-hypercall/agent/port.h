/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the agent core takes from its compiler and environment: fixed-size
 * integers, memcpy() and friends, errno values, and a lock.  Xen's where it
 * is built into Xen, the C library's natively.
 */
#ifndef SEVMON_AGENT_PORT_H
#define SEVMON_AGENT_PORT_H

/* The proxy and the tests are C++. */
#ifdef __cplusplus
#define SEVMON_BEGIN_C extern "C" {
#define SEVMON_END_C }
#else
#define SEVMON_BEGIN_C
#define SEVMON_END_C
#endif

#ifdef __XEN__

#include <xen/errno.h>
#include <xen/lib.h>
#include <xen/nospec.h>
#include <xen/spinlock.h>
#include <xen/string.h>
#include <xen/types.h>

/* Xen's name for the vCPU at hand; ours for structure members. */
#undef current

/* Guards no more than copies, up to an answer's worth, and comparisons. */
struct sevmon_lock {
    spinlock_t lock;
};

static inline void sevmon_lock_init(struct sevmon_lock *lock)
{
    spin_lock_init(&lock->lock);
}

static inline void sevmon_lock(struct sevmon_lock *lock)
{
    spin_lock(&lock->lock);
}

static inline void sevmon_unlock(struct sevmon_lock *lock)
{
    spin_unlock(&lock->lock);
}

/* Xen does not let the compiler use these, so cannot have them clobbered. */
#define SEVMON_XMM_CLOBBERS(...)

/* Indirect branches may only land on functions that say so. */
#define sevmon_callback cf_check

#else /* !__XEN__ */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Speculation past a bound is Xen's to stop. */
#define array_index_nospec(index, size) ((void)(size), (index))

struct sevmon_lock {
    unsigned char held;
};

static inline void sevmon_lock_init(struct sevmon_lock *lock)
{
    __atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}

static inline void sevmon_lock(struct sevmon_lock *lock)
{
    while ( __atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE) )
        __builtin_ia32_pause();
}

static inline void sevmon_unlock(struct sevmon_lock *lock)
{
    __atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}

#define SEVMON_XMM_CLOBBERS(...) , __VA_ARGS__

#define sevmon_callback

#endif /* __XEN__ */

/* Have the memory come to the cache while something else is computed. */
static inline void sevmon_prefetch(const uint8_t *from, size_t bytes)
{
    size_t i;

    for ( i = 0; i < bytes; i += 64 )
        __builtin_prefetch(from + i);
}

/* Overwrite a secret; the compiler cannot leave it out. */
static inline void sevmon_wipe(void *p, size_t bytes)
{
    memset(p, 0, bytes);
    __asm__ volatile ( "" : : "r" (p) : "memory" );
}

/* Equal? Takes the same time whatever the bytes are. */
static inline bool sevmon_equal(const void *a, const void *b, size_t bytes)
{
    const uint8_t *x = (const uint8_t *)a;
    const uint8_t *y = (const uint8_t *)b;
    uint8_t difference = 0;
    size_t i;

    for ( i = 0; i < bytes; i++ )
        difference |= x[i] ^ y[i];

    return difference == 0;
}

/* All zero? Takes the same time whatever the bytes are. */
static inline bool sevmon_is_zero(const void *p, size_t bytes)
{
    const uint8_t *x = (const uint8_t *)p;
    uint64_t any = 0, word;

    /* Most of a request is zero, and each one is looked through. */
    for ( ; bytes >= sizeof(word); bytes -= sizeof(word), x += sizeof(word) )
    {
        memcpy(&word, x, sizeof(word));
        any |= word;
    }
    for ( ; bytes; bytes-- )
        any |= *x++;

    return any == 0;
}

#endif /* SEVMON_AGENT_PORT_H */
