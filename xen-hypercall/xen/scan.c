/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Debugging only: how many copies of each key are in memory, Dom0 being built
 * and about to run.  One is expected, the agent's.
 *
 * Keys are compared where they are: a copy on the stack would be found too.
 * Only the end of the previous frame is copied, one byte less than a key.
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

/* The last bytes of the frame before, and which frame that was. */
static uint8_t __initdata tail[SEVMON_PSK_BYTES - 1];
static unsigned long __initdata tail_frame;

/* A copy of which some bytes end the frame before and the rest start this one. */
static unsigned int __init scan_border(const uint8_t *page, const uint8_t *key)
{
    unsigned int before, found = 0;

    for ( before = 1; before < SEVMON_PSK_BYTES; before++ )
        if ( !memcmp(tail + sizeof(tail) - before, key, before) &&
             !memcmp(page, key + before, SEVMON_PSK_BYTES - before) )
            found++;

    return found;
}

static unsigned int __init scan_frame(mfn_t mfn, const uint8_t *key)
{
    const uint8_t *page = map_domain_page(mfn);
    unsigned int found = scan_page(page, key);

    if ( mfn_x(mfn) == tail_frame + 1 )
        found += scan_border(page, key);
    memcpy(tail, page + PAGE_SIZE - sizeof(tail), sizeof(tail));
    tail_frame = mfn_x(mfn);

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

/* Does a scan see a copy at all?  One across two frames is the hardest. */
static void __init scan_planted(const uint8_t *key)
{
    uint8_t *pages = alloc_xenheap_pages(1, 0);
    uint8_t *copy;
    unsigned int found;

    if ( !pages )
        return;

    copy = pages + PAGE_SIZE - SEVMON_PSK_BYTES / 2;
    clear_page(pages);
    clear_page(pages + PAGE_SIZE);
    memcpy(copy, key, SEVMON_PSK_BYTES);
    found = scan_frame(virt_to_mfn(pages), key);
    found += scan_frame(virt_to_mfn(pages + PAGE_SIZE), key);
    printk("sevmon: scan: %u of 1 planted copies\n", found);
    memset(copy, 0, SEVMON_PSK_BYTES);
    free_xenheap_pages(pages, 1);
}

void __init sevmon_scan(void)
{
    unsigned int i;

    if ( sevmon_agent.keys )
        scan_planted(sevmon_agent.ids[0].psk);

    for ( i = 0; i < sevmon_agent.keys; i++ )
        scan_key(i, sevmon_agent.ids[i].psk);
    memset(tail, 0, sizeof(tail));
}
