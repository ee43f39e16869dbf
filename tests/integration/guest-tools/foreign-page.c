/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Make another domain with one page, map that page into this process, write a
 * text into it, say where it is, and stay until killed: the agent must not
 * read it as Dom0's, and must as that domain's.
 *
 * Prints one line:
 *   foreign-page: domain=N frame=0xF own-frame=0xG text=TEXT
 * own-frame is where a PVH Dom0 has it in its own frame space; 0 for a PV Dom0,
 * which has machine frames in its tables. The other domain is PV: its frames
 * are the machine's.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

/* Nothing is there in a machine of this size. */
#define OWN_FRAME 0x200000UL
#define TEXT      "another domain's page"

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint32_t make_domain(xc_interface *xc)
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
static xen_pfn_t add_page(xc_interface *xc, uint32_t domid)
{
    xen_pfn_t frame = 0;

    if ( xc_domain_populate_physmap_exact(xc, domid, 1, 0, 0, &frame) )
        fail("xc_domain_populate_physmap_exact");

    return frame;
}

/* In a PVH Dom0, put the page into Dom0's own frame space too; 0: it is PV. */
static xen_pfn_t own_frame(xc_interface *xc, uint32_t domid, xen_ulong_t theirs)
{
    xen_pfn_t ours = OWN_FRAME;
    int error = 0;

    if ( xc_domain_add_to_physmap_batch(xc, DOMID_SELF, domid, XENMAPSPACE_gmfn_foreign, 1,
                                        &theirs, &ours, &error) || error )
        return 0;

    return ours;
}

int main(void)
{
    xc_interface *xc = xc_interface_open(NULL, NULL, 0);
    xenforeignmemory_handle *memory = xenforeignmemory_open(NULL, 0);
    xen_pfn_t frame;
    uint32_t domid;
    char *page;

    if ( !xc || !memory )
        fail("opening Xen's devices");
    domid = make_domain(xc);
    frame = add_page(xc, domid);
    page = xenforeignmemory_map(memory, domid, PROT_READ | PROT_WRITE, 1, &frame, NULL);
    if ( !page )
        fail("xenforeignmemory_map");
    strcpy(page, TEXT);

    printf("foreign-page: domain=%u frame=0x%lx own-frame=0x%lx text=%s\n", domid,
           (unsigned long)frame, (unsigned long)own_frame(xc, domid, frame), TEXT);
    fflush(stdout);
    for ( ;; )
        pause();
}
