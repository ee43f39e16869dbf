/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Monitored domains and their memory.
 *
 * A target is held by the RCU read lock of the domain list, its frames by
 * page references.  Nothing here prints: what to look at is chosen by page
 * tables that a guest writes.
 */
#include <xen/domain_page.h>
#include <xen/lib.h>
#include <xen/mm.h>
#include <xen/sched.h>

#include <asm/p2m.h>
#include <asm/paging.h>

#include "glue.h"

static struct domain *find_domain(uint16_t domid)
{
    if ( domid == SEVMON_DOMID_DOM0 )
        return hardware_domain ? rcu_lock_domain(hardware_domain) : NULL;

    return rcu_lock_domain_by_id(domid);
}

unsigned int cf_check sevmon_target_get(uint16_t domid,
                                        struct sevmon_target *target)
{
    struct domain *d = find_domain(domid);

    if ( !d )
        return SEVMON_ANSWER_NO_DOMAIN;

    if ( d->is_dying || is_pv_32bit_domain(d) )
    {
        rcu_unlock_domain(d);
        return SEVMON_ANSWER_NO_DOMAIN;
    }

    target->domain = d;
    target->domid = d->domain_id;
    target->c_bit_mask = sevmon_c_bit_mask();
    if ( is_pv_domain(d) )
    {
        target->kind = SEVMON_TARGET_PV;
        /* Xen's slots are in the guest's own top-level table. */
        target->forbidden_start = HYPERVISOR_VIRT_START;
        target->forbidden_end = HYPERVISOR_VIRT_END;
    }
    else
    {
        target->kind = SEVMON_TARGET_HVM;
        target->forbidden_start = 0;
        target->forbidden_end = 0;
    }

    return SEVMON_ANSWER_OK;
}

void cf_check sevmon_target_put(struct sevmon_target *target)
{
    rcu_unlock_domain(target->domain);
    target->domain = NULL;
}

/* A PV guest's frames are the machine's. */
static struct page_info *machine_page(uint64_t frame)
{
    mfn_t mfn = _mfn(frame);
    struct page_info *page;

    if ( !mfn_valid(mfn) )
        return NULL;

    page = mfn_to_page(mfn);

    /* get_page() would print that the owner is another one. */
    return page_get_owner_and_reference(page) ? page : NULL;
}

static struct page_info *guest_page(struct domain *d, uint64_t frame)
{
    p2m_type_t type;
    struct page_info *page;

    if ( frame > d->arch.p2m->max_mapped_pfn )
        return NULL;

    /* No P2M_ALLOC or P2M_UNSHARE: looking must not change the target. */
    page = get_page_from_gfn(d, frame, &type, 0);
    if ( !page )
        return NULL;

    /* Foreign and grant mappings have a page too. */
    if ( !p2m_is_ram(type) )
    {
        put_page(page);
        return NULL;
    }

    return page;
}

unsigned int cf_check sevmon_frame_map(const struct sevmon_target *target,
                                       uint64_t frame,
                                       struct sevmon_frame *out)
{
    struct domain *d = target->domain;
    struct page_info *page;

    page = paging_mode_translate(d) ? guest_page(d, frame)
                                    : machine_page(frame);
    if ( !page )
        return SEVMON_STATUS_NO_FRAME;

    /* Xen's heap is owned by the guest it is shared with, but Xen's. */
    if ( page_get_owner(page) != d || is_xen_heap_page(page) )
    {
        put_page(page);
        return SEVMON_STATUS_NO_FRAME;
    }

    out->cookie = page;
    out->bytes = __map_domain_page(page);

    return SEVMON_STATUS_OK;
}

void cf_check sevmon_frame_unmap(struct sevmon_frame *frame)
{
    unmap_domain_page(frame->bytes);
    put_page(frame->cookie);
    frame->bytes = NULL;
    frame->cookie = NULL;
}
