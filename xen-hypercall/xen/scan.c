/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Debugging only: how many copies of each key are in memory, Dom0 being built
 * and about to run.  One is expected, the agent's.
 *
 * Keys are compared where they are: a copy on the stack would be found too.
 */
#include <xen/domain_page.h>
#include <xen/init.h>
#include <xen/lib.h>
#include <xen/mm.h>
#include <xen/softirq.h>
#include <xen/string.h>

#include <asm/e820.h>

#include "glue.h"

/* Keys have no alignment that loaders would keep, pages are what they copy. */
#define STEP 1

static unsigned int __init scan_page(const uint8_t *page, const uint8_t *key)
{
    unsigned int offset, found = 0;

    for ( offset = 0; offset + SEVMON_PSK_BYTES <= PAGE_SIZE; offset += STEP )
        if ( page[offset] == key[0] &&
             !memcmp(page + offset, key, SEVMON_PSK_BYTES) )
            found++;

    return found;
}

static unsigned int __init scan_frame(mfn_t mfn, const uint8_t *key)
{
    const uint8_t *page = map_domain_page(mfn);
    unsigned int found = scan_page(page, key);

    unmap_domain_page(page);
    if ( found )
        printk("sevmon: scan: %u in frame %#lx%s\n", found, mfn_x(mfn),
               mfn_x(mfn) == virt_to_mfn(key) ? ", the agent's" : "");

    return found;
}

static void __init scan_key(unsigned int index, const uint8_t *key)
{
    unsigned long frame, frames = 0;
    unsigned int found = 0;

    for ( frame = 0; frame < max_page; frame++ )
    {
        if ( !mfn_valid(_mfn(frame)) ||
             !page_is_ram_type(frame, RAM_TYPE_CONVENTIONAL) )
            continue;
        found += scan_frame(_mfn(frame), key);
        if ( !(++frames & 0xfff) )
            process_pending_softirqs();
    }

    printk("sevmon: scan: key %u: %u copies in %lu frames\n", index, found,
           frames);
}

void __init sevmon_scan(void)
{
    unsigned int i;

    for ( i = 0; i < sevmon_agent.keys; i++ )
        scan_key(i, sevmon_agent.ids[i].psk);
}
