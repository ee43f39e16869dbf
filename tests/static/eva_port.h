/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In place of xen-hypercall/agent/port.h under Frama-C (scripts/frama-c
 * includes it first, and it has that header's guard).
 *
 * A lock is where another CPU may have done anything that its lock allows:
 * taking it makes all that it guards arbitrary.  So what is shown holds for
 * every interleaving, as long as nobody touches guarded fields without it.
 */
#ifndef SEVMON_AGENT_PORT_H
#define SEVMON_AGENT_PORT_H

#define SEVMON_BEGIN_C
#define SEVMON_END_C

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "__fc_builtin.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define array_index_nospec(index, size) ((void)(size), (index))

/* Counters that other CPUs change at any time are arbitrary at each access. */
#define __ATOMIC_RELAXED 0
#define __atomic_load_n(p, order) sevmon_eva_load((const void *)(p), sizeof(*(p)))
#define __atomic_add_fetch(p, n, order) \
    sevmon_eva_add((void *)(p), sizeof(*(p)))

static inline uint64_t sevmon_eva_any(void)
{
    uint64_t value;

    Frama_C_make_unknown((char *)&value, sizeof(value));

    return value;
}

/*@ requires bytes == 4 || bytes == 8;
    requires \valid_read((const char *)p + (0 .. bytes - 1));
    requires \initialized((const char *)p + (0 .. bytes - 1)); */
static inline uint64_t sevmon_eva_load(const void *p, size_t bytes)
{
    return bytes == 4 ? (uint32_t)sevmon_eva_any() : sevmon_eva_any();
}

/*@ requires bytes == 4 || bytes == 8;
    requires \valid((char *)p + (0 .. bytes - 1)); */
static inline uint64_t sevmon_eva_add(void *p, size_t bytes)
{
    Frama_C_make_unknown((char *)p, bytes);

    return sevmon_eva_load(p, bytes);
}

struct sevmon_lock {
    unsigned char held;
};

static inline void sevmon_lock_init(struct sevmon_lock *lock)
{
    lock->held = 0;
}

/* Defined by eva_host.h, which knows what the lock guards. */
void sevmon_lock(struct sevmon_lock *lock);
void sevmon_unlock(struct sevmon_lock *lock);

#define SEVMON_XMM_CLOBBERS(...)
#define sevmon_callback

static inline void sevmon_prefetch(const uint8_t *from, size_t bytes)
{
}

static inline void sevmon_wipe(void *p, size_t bytes)
{
    memset(p, 0, bytes);
}

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

/*@ requires bytes == 0 || \valid_read((const char *)p + (0 .. bytes - 1));
    requires \initialized((const char *)p + (0 .. bytes - 1));
    assigns \result \from ((const char *)p)[0 .. bytes - 1];
    ensures \result == 0 || \result == 1; */
static inline bool sevmon_is_zero(const void *p, size_t bytes)
{
    const uint8_t *x = (const uint8_t *)p;
    uint8_t any = 0;
    size_t i;

    for ( i = 0; i < bytes; i++ )
        any |= x[i];

    return any == 0;
}

#endif /* SEVMON_AGENT_PORT_H */
