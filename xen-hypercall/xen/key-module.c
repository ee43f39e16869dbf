/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Key source: a boot module that starts with SEVMON_KEY_MAGIC.  For
 * development and tests: the boot medium, and whatever loaded the module from
 * it, have the key too.
 *
 * Xen moves boot modules up in memory, and leaves behind what it moved from;
 * Dom0's memory is handed out without scrubbing.  So the module is claimed
 * before that, stays where the loader put it, is read there, and is wiped
 * there before Dom0 is built.  Nothing of it may be copied earlier: Xen's own
 * image is moved likewise, and an early copy in .bss would stay in the old
 * one.
 */
#include <xen/init.h>
#include <xen/lib.h>
#include <xen/mm.h>
#include <xen/string.h>

#include "glue.h"

static const sevmon_module_t *__initdata modules;
static unsigned long __initdata claimed; /* bits: indices into `modules` */

static bool __init has_key(const sevmon_module_t *mod)
{
    const void *bytes = sevmon_module_map(mod);
    bool found = bytes &&
                 sevmon_module_size(mod) >= sizeof(struct sevmon_key_head) &&
                 !memcmp(bytes, SEVMON_KEY_MAGIC, 8);

    sevmon_module_unmap();

    return found;
}

#ifdef SEVMON_BOOT_INFO

void __init sevmon_claim_keys(struct boot_info *bi, struct e820map *boot_e820)
{
    unsigned int i;

    BUILD_BUG_ON(MAX_NR_BOOTMODS > BITS_PER_LONG);

    sevmon_set_policy();
    sevmon_claim_secret(bi->mods, bi->nr_modules, boot_e820);

    modules = bi->mods;
    for ( i = 1; i < bi->nr_modules; i++ ) /* 0 is Dom0's kernel */
    {
        struct boot_module *mod = &bi->mods[i];

        if ( !has_key(mod) )
            continue;
        __set_bit(i, &claimed);
        /* Neither initrd nor microcode nor one that is read as a policy. */
        mod->type = BOOTMOD_XSM_POLICY;
        mod->relocated = true; /* is not moved */
    }
}

#else /* !SEVMON_BOOT_INFO */

void __init sevmon_claim_keys(module_t *mods, unsigned int count,
                              unsigned long *map, struct e820map *boot_e820)
{
    unsigned int i;

    sevmon_set_policy();
    sevmon_claim_secret(mods, count, boot_e820);

    modules = mods;
    for ( i = 1; i < count; i++ ) /* 0 is Dom0's kernel */
    {
        if ( !has_key(&mods[i]) )
            continue;
        __set_bit(i, &claimed);
        __clear_bit(i, map);  /* neither initrd nor microcode nor policy */
        mods[i].reserved = 1; /* is not moved */
    }
}

#endif /* SEVMON_BOOT_INFO */

static int __init cf_check find_module(const void **key_file, size_t *bytes)
{
    const sevmon_module_t *mod;

    if ( !claimed )
        return -ENOENT;

    if ( claimed & (claimed - 1) )
    {
        printk("sevmon: more than one key module; none is used\n");
        return -EINVAL;
    }

    mod = &modules[find_first_bit(&claimed, BITS_PER_LONG)];
    *key_file = sevmon_module_bytes(mod);
    *bytes = sevmon_module_size(mod);

    return 0;
}

static void __init cf_check wipe_modules(void)
{
    unsigned int i;

    for ( i = 0; i < BITS_PER_LONG; i++ )
        if ( test_bit(i, &claimed) )
            memset(sevmon_module_bytes(&modules[i]), 0,
                   PAGE_ALIGN(sevmon_module_size(&modules[i])));
}

const struct sevmon_key_source sevmon_key_module = {
    .name = "boot module (development only)",
    .id = SEVMON_KEY_BOOT_MODULE,
    .find = find_module,
    .wipe = wipe_modules,
    /* QEMU's copy, behind fw_cfg: confine.c. */
};
