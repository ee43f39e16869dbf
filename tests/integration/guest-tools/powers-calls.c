/* SPDX-License-Identifier: Apache-2.0 */
/* Hypercalls that Xen refuses Dom0. */
#include "dom0-powers.h"

static int in(uint32_t value, const uint32_t *list, size_t count)
{
    while ( count-- )
        if ( list[count] == value )
            return 1;

    return 0;
}
#define IN(value, list) in(value, list, sizeof(list) / sizeof((list)[0]))

/*
 * Every number is tried, so also what this Xen does not have and a later one
 * may: a policy comes before the rest.
 */
void platform_op(void)
{
    static const uint32_t allowed[] = {
        XENPF_settime32, XENPF_settime64, XENPF_firmware_info, XENPF_get_cpuinfo,
        XENPF_get_cpu_version, XENPF_getidletime, XENPF_enter_acpi_sleep,
    };

    for ( uint32_t cmd = 0; cmd < 128; cmd++ )
    {
        xen_platform_op_t *op = zeroed();

        if ( IN(cmd, allowed) || (newer && cmd == 64 /* get_dom0_console */) )
            continue;
        op->cmd = cmd;
        op->interface_version = XENPF_INTERFACE_VERSION;
        expect("platform_op", cmd, call1(__HYPERVISOR_platform_op, op), -EPERM);
    }
}

void sysctl(void)
{
    static const uint32_t allowed[] = {
        XEN_SYSCTL_readconsole, XEN_SYSCTL_physinfo, XEN_SYSCTL_getdomaininfolist,
    };
    uint32_t version = find_version(__HYPERVISOR_sysctl, XEN_SYSCTL_physinfo);

    for ( uint32_t cmd = 0; cmd < 128; cmd++ )
    {
        struct xen_sysctl *op = zeroed();

        if ( IN(cmd, allowed) )
            continue;
        op->cmd = cmd;
        op->interface_version = version;
        expect("sysctl", cmd, call1(__HYPERVISOR_sysctl, op), -EPERM);
    }

    struct xen_sysctl *op = zeroed();

    op->cmd = XEN_SYSCTL_readconsole;
    op->interface_version = version;
    op->u.readconsole.clear = 1;
    expect("sysctl readconsole, clear", 1, call1(__HYPERVISOR_sysctl, op), -EPERM);
}

/* Xen 4.20 looks at the arguments of these first: not valid, or not there. */
static long domctl_refusal(uint32_t cmd, long rc)
{
    static const uint32_t late[] = {
        XEN_DOMCTL_ioport_permission, XEN_DOMCTL_bind_pt_irq, XEN_DOMCTL_memory_mapping,
        XEN_DOMCTL_ioport_mapping, XEN_DOMCTL_set_target, XEN_DOMCTL_unbind_pt_irq,
        XEN_DOMCTL_get_device_group, 88 /* gsi_permission */,
    };

    if ( newer && IN(cmd, late) && (rc == -EINVAL || rc == -EOPNOTSUPP) )
        return -EPERM;

    return rc;
}

/* With arguments that are: what the confinement closed. */
static void give_back(uint32_t version)
{
    struct xen_domctl *op = zeroed();

    op->cmd = XEN_DOMCTL_ioport_permission;
    op->interface_version = version;
    op->u.ioport_permission.first_port = 0xb2;
    op->u.ioport_permission.nr_ports = 2;
    op->u.ioport_permission.allow_access = 1;
    expect("domctl, ports for itself", op->cmd, call1(__HYPERVISOR_domctl, op), -EPERM);

    op = zeroed();
    op->cmd = XEN_DOMCTL_iomem_permission;
    op->interface_version = version;
    op->u.iomem_permission.first_mfn = 1;
    op->u.iomem_permission.nr_mfns = 0x9e;
    op->u.iomem_permission.allow_access = 1;
    expect("domctl, memory for itself", op->cmd, call1(__HYPERVISOR_domctl, op), -EPERM);
}

/* On itself, and to make a guest. */
void domctl(void)
{
    uint32_t version = find_version(__HYPERVISOR_domctl, XEN_DOMCTL_getdomaininfo);

    for ( uint32_t cmd = 0; cmd < 1016; cmd = cmd == 127 ? 1000 : cmd + 1 )
    {
        struct xen_domctl *op = zeroed();

        op->cmd = cmd;
        op->interface_version = version;
        expect("domctl", cmd, domctl_refusal(cmd, call1(__HYPERVISOR_domctl, op)), -EPERM);
    }

    give_back(version);

    struct xen_domctl *op = zeroed();

    op->cmd = XEN_DOMCTL_shadow_op;
    op->interface_version = version;
    expect("paging_domctl_cont", 49, call1(49, op), -EPERM);
}

void memory_op(void)
{
    xen_memory_reservation_t *claim = zeroed();

    claim->nr_extents = 1;
    claim->domid = 0;
    expect("memory_op claim_pages", 0, memory(XENMEM_claim_pages, claim), -EPERM);

    xen_pod_target_t *pod = zeroed();

    pod->domid = 0;
    expect("memory_op get_pod_target", 0, memory(XENMEM_get_pod_target, pod),
           pv ? -EINVAL : -EPERM);
    expect("memory_op set_pod_target", 0, memory(XENMEM_set_pod_target, pod),
           pv ? -EINVAL : -EPERM);

    /* Of Xen and of the machine: no reservation is theirs. */
    static const uint16_t others[] = { DOMID_XEN, DOMID_IO };
    static const uint32_t reservations[] = {
        XENMEM_increase_reservation, XENMEM_decrease_reservation, XENMEM_populate_physmap,
    };

    for ( size_t i = 0; i < 2; i++ )
        for ( size_t j = 0; j < 3; j++ )
        {
            xen_memory_reservation_t *op = zeroed();
            xen_pfn_t *frame = (xen_pfn_t *)(op + 1);
            long rc;

            *frame = 0x100;
            op->extent_start.p = frame;
            op->nr_extents = 1;
            op->domid = others[i];
            rc = memory(reservations[j], op);
            expect("memory_op: extents done for Xen", reservations[j], rc > 0 ? rc : 0, 0);
        }

    xen_mem_acquire_resource_t *resource = zeroed();

    resource->domid = 0;
    resource->type = XENMEM_resource_grant_table;
    resource->nr_frames = 1;
    resource->frame_list.p = (xen_pfn_t *)(resource + 1);
    expect("memory_op acquire_resource", 0, memory(XENMEM_acquire_resource, resource), -EPERM);

    xen_mem_access_op_t *access = zeroed();

    access->domid = 0;
    expect("memory_op access_op", 0, memory(XENMEM_access_op, access) < 0, 1);
    expect("memory_op sharing_op", 0, memory(XENMEM_sharing_op, zeroed()) < 0, 1);
    expect("memory_op paging_op", 0, memory(XENMEM_paging_op, zeroed()) < 0, 1);
}

void physdev_op(void)
{
    struct physdev_apic *apic = zeroed();

    apic->apic_physbase = 0xfec00000;
    apic->reg = 0x3e; /* the last pin, masked: what it is anyway */
    apic->value = 0x10000;
    expect("physdev_op apic_write", 0,
           call(__HYPERVISOR_physdev_op, PHYSDEVOP_apic_write, (uintptr_t)apic, 0, 0),
           pv ? -EPERM : -ENOSYS);

    static const uint16_t others[] = { DOMID_XEN, DOMID_IO, 1 };

    for ( size_t i = 0; i < 3; i++ )
    {
        struct physdev_map_pirq *map = zeroed();

        map->domid = others[i];
        map->type = MAP_PIRQ_TYPE_GSI;
        map->index = 9;
        map->pirq = 9;
        expect("physdev_op map_pirq for another domain", others[i],
               call(__HYPERVISOR_physdev_op, PHYSDEVOP_map_pirq, (uintptr_t)map, 0, 0) < 0, 1);
    }
}

/* Whole hypercalls. */
void hypercalls(void)
{
    static const uint32_t absent[] = {
        11, 27 /* xsm_op */, 37 /* kexec_op */, 38 /* tmem_op */, 39 /* argo_op */, 43, 44,
        45, 46, 47, 50, 51, 52, 53, 54, 56, 57, 58, 59, 60, 61, 62, 63, 64, 127,
    };

    for ( size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++ )
        expect("hypercall", absent[i], call(absent[i], 0, (uintptr_t)zeroed(), 0, 0), -ENOSYS);

    for ( unsigned int op = 0; op < 18; op++ )
        expect("xenoprof_op", op, call(__HYPERVISOR_xenoprof_op, op, (uintptr_t)zeroed(), 0, 0),
               pv && !newer ? -EPERM : -ENOSYS);

    for ( unsigned int op = 0; op < 8; op++ )
    {
        long rc = call(__HYPERVISOR_xenpmu_op, op, (uintptr_t)zeroed(), 0, 0);

        expect("xenpmu_op", op, rc == -EOPNOTSUPP ? -EPERM : rc, -EPERM);
    }

    for ( unsigned int op = 0; op < 4; op++ )
        expect("hypfs_op", op, call(__HYPERVISOR_hypfs_op, op, (uintptr_t)zeroed(), 1, 0), -EPERM);

    expect("dm_op", 0, call(__HYPERVISOR_dm_op, 0, 1, (uintptr_t)zeroed(), 0) < 0, 1);
    for ( uint32_t cmd = 0; cmd < 8; cmd++ )
    {
        uint32_t *mc = zeroed();

        mc[0] = cmd;
        mc[1] = 0x01ecc003; /* XEN_MCA_INTERFACE_VERSION */
        expect("mca", cmd, call1(48, mc), pv ? -EPERM : -ENOSYS);
    }

    uint32_t *shutdown = zeroed(); /* domain 0, reason 0 */

    expect("sched_op remote_shutdown", 4,
           call(__HYPERVISOR_sched_op, 4, (uintptr_t)shutdown, 0, 0), -EPERM);
    expect("xen_version build_id", 10, call(__HYPERVISOR_xen_version, 10, 0, 0, 0), -EPERM);
}
