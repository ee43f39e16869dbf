/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Key source: an EFI confidential-computing secret area, into which the VM's
 * owner had the SEV firmware inject the key file at launch.  For production:
 * nobody else has seen it.
 *
 * The area lies in reserved memory, which Dom0 may map, or in boot services
 * data, which Xen would hand out: with some firmware it is the one, with some
 * the other.  So it is made reserved before anything is allocated, read and
 * wiped where it is, and denied to Dom0.  It belongs to the agent as a whole,
 * and a machine that has one takes its keys from nowhere else.
 *
 * The table was written by firmware that the owner's measurement covers.  It
 * is distrusted all the same, because a mistake in it would have Xen wipe
 * itself.
 */
#include <xen/init.h>
#include <xen/iocap.h>
#include <xen/lib.h>
#include <xen/mm.h>
#include <xen/string.h>
#include <xen/vmap.h>

#include <asm/cache.h>
#include <asm/e820.h>
#include <asm/p2m.h>
#include <asm/setup.h>

#include "glue.h"
#include "agent/secret.h"

/* As the table has it. */
struct area {
    uint64_t base, bytes;
};

static struct area __initdata area;

static unsigned int __initdata tables;
static const char *__initdata fault; /* why the area is of no use */
static bool __initdata claimed;      /* it is memory, and kept from others */
static void *__initdata mapped;

static uint64_t __init area_start(void)
{
    return area.base & PAGE_MASK;
}

/* Of an area that is too large, as much as one may have. */
static unsigned long __init pages(void)
{
    return PFN_UP(area.base - area_start() +
                  min(area.bytes, (uint64_t)SEVMON_SECRET_MAX_BYTES));
}

static uint64_t __init area_end(void)
{
    return area_start() + pages() * PAGE_SIZE;
}

/* In the firmware's address space: no pointer of Xen's own may be kept. */
void __init sevmon_efi_table(const void *guid, const void *table)
{
    static const uint8_t __initconst wanted[] = SEVMON_SECRET_TABLE_GUID;

    if ( memcmp(guid, wanted, sizeof(wanted)) )
        return;

    /* The table may be in memory that the firmware gives up soon. */
    if ( !tables++ )
        memcpy(&area, table, sizeof(area));
    /*
     * A Dom0 that finds it would map the area, and die of the refusal.  Xen
     * sees the list as constant; it is plain memory of the firmware's.
     */
    memset((void *)guid, 0, sizeof(wanted));
}

static bool __init overlaps(uint64_t other_start, uint64_t other_end)
{
    return area_start() < other_end && other_start < area_end();
}

static bool __init overlaps_module(const sevmon_module_t *mods,
                                   unsigned int count)
{
    unsigned int i;

    for ( i = 0; i < count; i++ )
    {
        uint64_t at = sevmon_module_start(&mods[i]);

        if ( overlaps(at, at + PAGE_ALIGN(sevmon_module_size(&mods[i]))) )
            return true;
    }

    return false;
}

static const char *__init fault_of_table(void)
{
    if ( tables > 1 )
        return "there are several";
    if ( area.bytes > SEVMON_SECRET_MAX_BYTES )
        return "it is too large";
    if ( area.base & ~PAGE_MASK )
        return "it is not aligned to a page";

    return NULL;
}

/* Neither Xen, nor what it was given, nor anything but memory. */
static const char *__init fault_of_place(const sevmon_module_t *mods,
                                         unsigned int count)
{
    if ( !area.bytes )
        return "it is empty";
    if ( area.base < MB(1) ||
         area.base > (1UL << paddr_bits) - 2 * SEVMON_SECRET_MAX_BYTES )
        return "it is out of range";
    if ( !e820_all_mapped(area_start(), area_end(), E820_RESERVED) &&
         !e820_all_mapped(area_start(), area_end(), E820_RAM) )
        return "it is not in memory";
    if ( overlaps(__pa(_stext), __pa(__2M_rwdata_end)) ||
         overlaps_module(mods, count) )
        return "it is in use";

    return NULL;
}

/* Useless or not: somebody's secrets may be there, so nobody gets it. */
void __init sevmon_claim_secret(const sevmon_module_t *mods, unsigned int count,
                                struct e820map *boot_e820)
{
    uint64_t from = area_start(), to = area_end();
    const char *misplaced;

    if ( !tables )
        return;

    misplaced = fault_of_place(mods, count);
    if ( !misplaced && !e820_all_mapped(from, to, E820_RESERVED) &&
         (!reserve_e820_ram(&e820, from, to) ||
          !reserve_e820_ram(boot_e820, from, to)) )
        misplaced = "it cannot be reserved";

    claimed = !misplaced;
    fault = fault_of_table() ?: misplaced;
}

/* Map it, unless it is mapped, and see whether it is what the table says. */
static bool __init open_area(void)
{
    mfn_t mfn = maddr_to_mfn(area.base);

    if ( fault || mapped )
        return !fault;

    mapped = __vmap(&mfn, pages(), 1, 1, PAGE_HYPERVISOR, VMAP_DEFAULT);
    if ( !mapped )
        fault = "it cannot be mapped";
    else if ( !sevmon_secret_has_head(mapped, area.bytes) )
        fault = "it does not begin as one";

    return !fault;
}

static int __init cf_check find_in_area(const void **key_file, size_t *bytes)
{
    int rc;

    if ( !tables )
        return -ENOENT;

    if ( !open_area() )
    {
        printk("sevmon: EFI secret area %#"PRIx64", %#"PRIx64" bytes: %s\n",
               area.base, area.bytes, fault);
        return -EINVAL;
    }

    rc = sevmon_secret_find(mapped, area.bytes, key_file, bytes);
    if ( rc )
        printk("sevmon: EFI secret area %#"PRIx64": %s\n", area.base,
               rc == -ENOENT ? "no entry of the agent's" : "malformed");

    /* Other sources are not asked: this one is there. */
    return rc ? -EINVAL : 0;
}

/*
 * What does not begin as a secret area may be anything, registers of a device
 * included, and is not written.
 */
static void __init cf_check wipe_area(void)
{
    if ( claimed && open_area() )
    {
        sevmon_wipe(mapped, area.bytes);
        cache_flush(mapped, area.bytes);
    }
    if ( mapped )
        vunmap(mapped);
    mapped = NULL;
}

/* By its page tables, and by its devices where they have some. */
static int __init cf_check deny_area(struct domain *d)
{
    unsigned long frame = PFN_DOWN(area_start());
    unsigned long last = frame + pages() - 1;
    int rc;

    if ( !claimed )
        return 0;

    rc = iomem_deny_access(d, frame, last);
    for ( ; !rc && frame <= last; frame++ )
        rc = clear_identity_p2m_entry(d, frame);

    return rc;
}

const struct sevmon_key_source sevmon_key_secret = {
    .name = "EFI secret area",
    .id = SEVMON_KEY_EFI_SECRET,
    .find = find_in_area,
    .wipe = wipe_area,
    .deny = deny_area,
};
