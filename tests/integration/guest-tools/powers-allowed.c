/* SPDX-License-Identifier: Apache-2.0 */
/* What Dom0 may still do, and what its sleep takes from the agent. */
#include <sys/io.h>

#include "dom0-powers.h"

void allowed(void)
{
    uint32_t version = find_version(__HYPERVISOR_sysctl, XEN_SYSCTL_physinfo);
    struct xen_sysctl *sys = zeroed();
    char *text = (char *)zeroed() + PAGE;
    xen_platform_op_t *platform;
    struct range ranges[64];

    sys->cmd = XEN_SYSCTL_physinfo;
    sys->interface_version = version;
    expect("sysctl physinfo", 0, call1(__HYPERVISOR_sysctl, sys), 0);
    expect("sysctl physinfo: pages", 0, sys->u.physinfo.total_pages > 1000, 1);

    memset(sys, 0, sizeof(*sys));
    sys->cmd = XEN_SYSCTL_readconsole;
    sys->interface_version = version;
    sys->u.readconsole.buffer.p = text;
    sys->u.readconsole.count = 2 * PAGE;
    expect("sysctl readconsole", 0, call1(__HYPERVISOR_sysctl, sys), 0);
    expect("sysctl readconsole: bytes", 0, sys->u.readconsole.count > 100, 1);

    platform = zeroed();
    platform->cmd = XENPF_get_cpuinfo;
    platform->interface_version = XENPF_INTERFACE_VERSION;
    expect("platform_op get_cpuinfo", 0, call1(__HYPERVISOR_platform_op, platform), 0);

    if ( pv )
    {
        struct physdev_apic *apic = zeroed();

        apic->apic_physbase = 0xfec00000;
        apic->reg = 1;
        expect("physdev_op apic_read", 0,
               call(__HYPERVISOR_physdev_op, PHYSDEVOP_apic_read, (uintptr_t)apic, 0, 0), 0);
        expect("machine's memory map", 0, machine_map(ranges, 64) > 3, 1);
    }

    memcpy(text = zeroed(), "dom0-powers: Dom0 can write to the console\n", 43);
    expect("console_io write", 0, call(__HYPERVISOR_console_io, 0, 43, (uintptr_t)text, 0), 0);

    control_map();
    control_pci();
}

/*
 * The last one: a sleep, of a kind that the machine does not have, so that it
 * goes on. The agent does not: its keys are gone.
 */
void sleep_(void)
{
    struct sevmon_hello *hello = sevmon_buffer(sizeof(*hello));
    uint8_t *answer = sevmon_buffer(XEN_SEVMON_MAX_ANSWER_BYTES);

    sevmon_make_hello(hello);
    expect("a call of the agent", 0,
           sevmon_call(fd, XEN_SEVMON_OP_frame, hello, SEVMON_HANDSHAKE_FRAME_BYTES, answer,
                       XEN_SEVMON_MAX_ANSWER_BYTES), SEVMON_HANDSHAKE_FRAME_BYTES);

    if ( pv )
    {
        xen_platform_op_t *op = zeroed();

        op->cmd = XENPF_enter_acpi_sleep;
        op->interface_version = XENPF_INTERFACE_VERSION;
        op->u.enter_acpi_sleep.flags = 2; /* no such flag */
        expect("platform_op enter_acpi_sleep", 0, call1(__HYPERVISOR_platform_op, op), -EINVAL);
    }
    else
    {
        open_ports();
        outw(1 << 13 | 6 << 10 | 1, pm1_control());
    }

    expect("a call of the agent, after the sleep", 0,
           sevmon_call(fd, XEN_SEVMON_OP_frame, hello, SEVMON_HANDSHAKE_FRAME_BYTES, answer,
                       XEN_SEVMON_MAX_ANSWER_BYTES), -ENODEV);
}
