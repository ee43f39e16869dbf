/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Start the agent, or say on the console why it is off.  An initcall: Xen has
 * its final place in memory and all its CPUs, and Dom0 does not exist yet.
 */
#include <xen/init.h>
#include <xen/lib.h>
#include <xen/string.h>
#include <xen/vmap.h>

#include <asm/cpufeature.h>

#include "glue.h"

struct sevmon_cpu *__ro_after_init sevmon_cpus[NR_CPUS];

struct sevmon_agent sevmon_agent;
bool __read_mostly sevmon_agent_on;
const struct sevmon_key_source *__ro_after_init sevmon_key_source;

static const struct sevmon_key_source *const __initconstrel sources[] = {
    &sevmon_key_secret,
    &sevmon_key_module,
};

static const char *__init missing_feature(void)
{
    if ( !boot_cpu_has(X86_FEATURE_AESNI) )
        return "AES-NI";
    if ( !boot_cpu_has(X86_FEATURE_PCLMULQDQ) )
        return "PCLMULQDQ";
    if ( !boot_cpu_has(X86_FEATURE_SSSE3) )
        return "SSSE3";
    if ( !boot_cpu_has(X86_FEATURE_SSE4_1) )
        return "SSE4.1";
    if ( !boot_cpu_has(X86_FEATURE_RDRAND) )
        return "RDRAND";

    return NULL;
}

/* For every CPU that can ever come online. */
static bool __init allocate(void)
{
    unsigned int cpu;

    for ( cpu = 0; cpu < nr_cpu_ids; cpu++ )
    {
        sevmon_cpus[cpu] = vzalloc(sizeof(struct sevmon_cpu));
        if ( !sevmon_cpus[cpu] )
            return false;
    }

    return true;
}

/* With the vector registers saved, as every use of the agent. */
static const char *__init selftest(void)
{
    struct sevmon_xmm *xmm = &sevmon_this_cpu()->xmm;
    const char *failed;

    sevmon_xmm_save(xmm);
    failed = sevmon_agent_selftest(&sevmon_host);
    sevmon_xmm_restore(xmm);

    return failed;
}

static int __init start_agent(const void *key_file, size_t bytes)
{
    struct sevmon_xmm *xmm = &sevmon_this_cpu()->xmm;
    int rc = sevmon_random_init(key_file, bytes);

    if ( rc )
        return rc;

    sevmon_xmm_save(xmm);
    rc = sevmon_agent_start(&sevmon_agent, &sevmon_host, key_file, bytes);
    sevmon_xmm_restore(xmm);

    return rc;
}

static int __init take_key(const struct sevmon_key_source *source)
{
    const void *key_file = NULL;
    size_t bytes = 0;
    int rc = source->find(&key_file, &bytes);

    if ( !rc )
        rc = start_agent(key_file, bytes);
    sevmon_wipe_stack();

    return rc;
}

/* Nobody should wonder which of two key files counts. */
static void __init name_unused(unsigned int i)
{
    const void *key_file;
    size_t bytes;

    for ( ; i < ARRAY_SIZE(sources); i++ )
        if ( sources[i]->find(&key_file, &bytes) != -ENOENT )
            printk("sevmon: keys from %s: not used\n", sources[i]->name);
}

/* The first source that has any; what is wrong with them is no way around. */
static void __init take_keys(void)
{
    unsigned int i;
    int rc = -ENOENT;

    for ( i = 0; i < ARRAY_SIZE(sources) && rc == -ENOENT; i++ )
    {
        rc = take_key(sources[i]);
        if ( !rc )
            sevmon_key_source = sources[i];
    }

    if ( rc == -ENOENT )
        printk("sevmon: off: no key\n");
    else if ( rc == -EINVAL )
        printk("sevmon: off: the key file is not valid\n");
    else if ( rc == -ENOMEM )
        printk("sevmon: off: no memory\n");
    else if ( rc )
        printk("sevmon: off: no good randomness (%d)\n", rc);
    name_unused(i);
}

/* Whether it was used or not. */
static void __init wipe_keys(void)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(sources); i++ )
        sources[i]->wipe();
}

int __init sevmon_deny_keys(struct domain *d)
{
    unsigned int i;
    int rc = 0;

    for ( i = 0; i < ARRAY_SIZE(sources) && !rc; i++ )
        if ( sources[i]->deny )
            rc = sources[i]->deny(d);

    return rc;
}

static int __init cf_check sevmon_init(void)
{
    const char *missing = missing_feature();
    const char *failed;

    sevmon_probe_sev();
    if ( !allocate() )
        printk("sevmon: off: no memory\n");
    else if ( missing )
        printk("sevmon: off: the CPU has no %s\n", missing);
    else if ( (failed = selftest()) != NULL )
        printk("sevmon: off: self-test failed: %s\n", failed);
    else
    {
        printk("sevmon: self-test passed\n");
        sevmon_timer_init();
        take_keys();
    }
    wipe_keys();

    if ( sevmon_key_source )
    {
        printk("sevmon: on: keys from %s\n", sevmon_key_source->name);
        smp_wmb();
        sevmon_agent_on = true;
        sevmon_shm_init();
    }

    return 0;
}
__initcall(sevmon_init);
