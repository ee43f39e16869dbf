/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "walk.h"

#define PAGE_BITS  12
#define INDEX_BITS  9
#define PTE_PRESENT  (1ULL << 0)
#define PTE_LARGE    (1ULL << 7) /* at level 1 it is PAT */
#define PTE_ADDRESS  0x000ffffffffff000ULL
#define MAX_FRAME    (PTE_ADDRESS >> PAGE_BITS)

static unsigned int shift_of(unsigned int level)
{
    return PAGE_BITS + INDEX_BITS * (level - 1);
}

/* The bits above the highest table's index repeat the one below them. */
static bool is_canonical(uint64_t gva, unsigned int levels)
{
    unsigned int spare = 64 - shift_of(levels + 1);

    return (uint64_t)((int64_t)(gva << spare) >> spare) == gva;
}

/* Whole pages, so that no range within a page can reach over the edge. */
static bool is_forbidden(const struct sevmon_target *target, uint64_t gva)
{
    uint64_t first = gva & ~(uint64_t)(SEVMON_PAGE_BYTES - 1);
    uint64_t last = first + SEVMON_PAGE_BYTES - 1;

    return target->forbidden_end && last >= target->forbidden_start &&
           first < target->forbidden_end;
}

unsigned int sevmon_map(const struct sevmon_host *host,
                        const struct sevmon_target *target, uint64_t frame,
                        struct sevmon_frame *out)
{
    if ( frame > MAX_FRAME )
        return SEVMON_STATUS_NO_FRAME;

    return host->frame_map(target, frame, out);
}

/* One entry of the table in `frame`, read once, without the C-bit. */
static unsigned int read_entry(const struct sevmon_host *host,
                               const struct sevmon_target *target,
                               uint64_t frame, unsigned int index,
                               uint64_t *entry)
{
    struct sevmon_frame table;
    unsigned int status = sevmon_map(host, target, frame, &table);

    if ( status != SEVMON_STATUS_OK )
        return status;
    *entry = __atomic_load_n((const uint64_t *)table.bytes + index,
                             __ATOMIC_RELAXED) & ~target->c_bit_mask;
    host->frame_unmap(&table);

    return SEVMON_STATUS_OK;
}

/* The walk ended at a leaf. */
static void finish(struct sevmon_translation *out, uint64_t gva,
                   unsigned int level, uint64_t entry, uint64_t common,
                   uint64_t any)
{
    uint64_t within = (1ULL << (INDEX_BITS * (level - 1))) - 1;

    /* Each 4 KiB of a large page is looked up by itself. */
    out->frame = ((entry & PTE_ADDRESS) >> PAGE_BITS & ~within) |
                 (gva >> PAGE_BITS & within);
    out->page_shift = shift_of(level);
    out->flags = (common & (SEVMON_PTE_WRITE | SEVMON_PTE_USER)) |
                 (entry & SEVMON_PTE_GLOBAL) | (any & SEVMON_PTE_NX);
}

unsigned int sevmon_walk(const struct sevmon_host *host,
                         const struct sevmon_target *target,
                         const struct sevmon_root *root, uint64_t gva,
                         struct sevmon_translation *out, uint8_t *level)
{
    uint64_t frame = root->frame, common = ~0ULL, any = 0;
    unsigned int at;

    memset(out, 0, sizeof(*out));
    out->levels = root->levels;
    *level = 0;
    if ( root->levels != 4 && root->levels != 5 )
        return SEVMON_STATUS_BAD_TABLE;
    if ( !is_canonical(gva, root->levels) )
        return SEVMON_STATUS_NOT_CANONICAL;
    if ( is_forbidden(target, gva) )
        return SEVMON_STATUS_XEN;

    for ( at = root->levels; at; at-- )
    {
        unsigned int index = (gva >> shift_of(at)) & ((1U << INDEX_BITS) - 1);
        uint64_t entry;
        unsigned int status = read_entry(host, target, frame, index, &entry);

        *level = at;
        if ( status != SEVMON_STATUS_OK )
            return status;
        out->entry[out->reached++] = entry;
        if ( !(entry & PTE_PRESENT) )
            return SEVMON_STATUS_NOT_MAPPED;
        if ( at > 3 && (entry & PTE_LARGE) )
            return SEVMON_STATUS_BAD_TABLE;
        common &= entry;
        any |= entry;
        if ( at == 1 || (entry & PTE_LARGE) )
        {
            finish(out, gva, at, entry, common, any);
            break;
        }
        frame = (entry & PTE_ADDRESS) >> PAGE_BITS;
    }

    return SEVMON_STATUS_OK;
}
