/* SPDX-License-Identifier: Apache-2.0 */
/* A domain that never runs, made to own pages. */
#ifndef OTHER_DOMAIN_H
#define OTHER_DOMAIN_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

static inline void fail(const char *what)
{
    perror(what);
    exit(1);
}

static inline uint32_t make_domain(xc_interface *xc)
{
    struct xen_domctl_createdomain config = {
        .max_vcpus = 1,
        .max_evtchn_port = 15,
        .max_grant_frames = 1,
        .max_maptrack_frames = 1,
        .grant_opts = XEN_DOMCTL_GRANT_version(1),
    };
    uint32_t domid = 0;

    if ( xc_domain_create(xc, &domid, &config) )
        fail("xc_domain_create");
    if ( xc_domain_setmaxmem(xc, domid, 1024) )
        fail("xc_domain_setmaxmem");

    return domid;
}

/* A PV domain is given machine frames: Xen says which. */
static inline xen_pfn_t add_page(xc_interface *xc, uint32_t domid)
{
    xen_pfn_t frame = 0;

    if ( xc_domain_populate_physmap_exact(xc, domid, 1, 0, 0, &frame) )
        fail("xc_domain_populate_physmap_exact");

    return frame;
}

#endif /* OTHER_DOMAIN_H */
