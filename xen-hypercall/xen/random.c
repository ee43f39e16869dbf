/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Randomness for keys.  Xen's get_random() takes one RDRAND without looking at
 * its carry flag and falls back to a generator seeded with the time: not for
 * keys.
 *
 * Each 32 bytes are SHA-256 of a boot secret, a counter, the TSC and four
 * RDRANDs that succeeded and differ.  The boot secret is hashed from eight
 * more and the key file: RDRAND that a host foresees does not suffice to
 * foresee the output.  Without a good RDRAND there is no output.
 */
#include <xen/init.h>
#include <xen/lib.h>
#include <xen/sha2.h>
#include <xen/smp.h>
#include <xen/string.h>

#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/system.h>

#include "glue.h"

#define DRAW_TRIES 10 /* Intel SDM vol. 1, 7.3.17.1 */

static uint8_t boot_secret[SHA2_256_DIGEST_SIZE];
static bool seeded;
static unsigned long counter;

static bool draw(uint64_t *value)
{
    unsigned int try;

    for ( try = 0; try < DRAW_TRIES; try++ )
    {
        bool ok;

        asm volatile ( "rdrand %0; setc %1" : "=r" (*value), "=qm" (ok)
                       :: "cc" );
        if ( ok )
            return true;
    }

    return false;
}

/*
 * Broken CPUs have returned one value for ever, with the carry flag set: all
 * ones on some AMD family 17h after resume.
 */
static int draw_many(uint64_t *values, unsigned int count)
{
    unsigned int i;

    if ( !boot_cpu_has(X86_FEATURE_RDRAND) )
        return -EIO;

    for ( i = 0; i < count; i++ )
        if ( !draw(&values[i]) || !values[i] || !~values[i] ||
             (i && values[i] == values[i - 1]) )
            return -EIO;

    return 0;
}

int __init sevmon_random_init(const void *secret, size_t bytes)
{
    struct {
        char label[16];
        uint64_t draws[8];
        uint64_t tsc;
        uint8_t secret[SHA2_256_DIGEST_SIZE];
    } seed = { .label = "sevmon boot" };
    int rc = draw_many(seed.draws, ARRAY_SIZE(seed.draws));

    if ( !rc )
    {
        seed.tsc = rdtsc();
        sha2_256_digest(seed.secret, secret, bytes);
        sha2_256_digest(boot_secret, &seed, sizeof(seed));
        seeded = true;
    }
    sevmon_wipe(&seed, sizeof(seed));

    return rc;
}

static int block(uint8_t out[SHA2_256_DIGEST_SIZE])
{
    struct {
        uint8_t secret[SHA2_256_DIGEST_SIZE];
        uint64_t counter, tsc;
        uint64_t draws[4];
    } input;
    int rc;

    rc = draw_many(input.draws, ARRAY_SIZE(input.draws));
    if ( !rc )
    {
        memcpy(input.secret, boot_secret, sizeof(input.secret));
        input.counter = arch_fetch_and_add(&counter, 1);
        input.tsc = rdtsc();
        sha2_256_digest(out, &input, sizeof(input));
    }
    sevmon_wipe(&input, sizeof(input));

    return rc;
}

int cf_check sevmon_random(void *bytes, size_t count)
{
    uint8_t out[SHA2_256_DIGEST_SIZE], *to = bytes;
    int rc = seeded ? 0 : -EIO;

    while ( !rc && count )
    {
        size_t part = min(count, sizeof(out));

        rc = block(out);
        if ( rc )
            break;
        memcpy(to, out, part);
        to += part;
        count -= part;
    }
    sevmon_wipe(out, sizeof(out));

    return rc;
}

void sevmon_random_end(void)
{
    seeded = false;
    sevmon_wipe(boot_secret, sizeof(boot_secret));
}
