/* SPDX-License-Identifier: GPL-2.0-only */
/* A boot module, whichever way this Xen's release keeps it. */
#ifndef SEVMON_BOOT_MODULES_H
#define SEVMON_BOOT_MODULES_H

#include <xen/mm.h>
#include <xen/multiboot.h>

#include <asm/setup.h>
#include <asm/sevmon.h>

#ifdef SEVMON_BOOT_INFO

#include <asm/bootinfo.h>

typedef struct boot_module sevmon_module_t;

static inline uint64_t sevmon_module_start(const sevmon_module_t *mod)
{
    return mod->start;
}

static inline size_t sevmon_module_size(const sevmon_module_t *mod)
{
    return mod->size;
}

/* Before all memory is mapped.  One module at a time. */
#define sevmon_module_map(mod) bootstrap_map_bm(mod)
#define sevmon_module_unmap() bootstrap_unmap()

#else /* !SEVMON_BOOT_INFO */

typedef module_t sevmon_module_t;

static inline uint64_t sevmon_module_start(const sevmon_module_t *mod)
{
    return pfn_to_paddr(mod->mod_start);
}

/* Xen replaces each module's end by its size. */
static inline size_t sevmon_module_size(const sevmon_module_t *mod)
{
    return mod->mod_end;
}

#define sevmon_module_map(mod) bootstrap_map(mod)
#define sevmon_module_unmap() bootstrap_map(NULL)

#endif /* SEVMON_BOOT_INFO */

/* Once all memory is mapped. */
static inline void *sevmon_module_bytes(const sevmon_module_t *mod)
{
    return maddr_to_virt(sevmon_module_start(mod));
}

#endif /* SEVMON_BOOT_MODULES_H */
