/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's vector registers around the agent's use of XMM0-15.
 *
 * The agent's code is legacy SSE, which leaves the upper parts of YMM and ZMM,
 * x87 and MXCSR alone: the sixteen low halves are all that it can change.
 * They are saved and put back by hand, whoever they belong to at that moment.
 * Xen's own ways out (save_fpu_enable() and a lazy or eager restore, as around
 * EFI calls) let a guest see the agent's registers: with lazy switching the
 * guest's CR0.TS is clear in the VMCB, and an emulated CPU need not fault on
 * XSAVE with CR0.TS set.
 */
#include <xen/lib.h>
#include <xen/sched.h>
#include <xen/string.h>

#include <asm/event.h>
#include <asm/processor.h>
#include <asm/system.h>

#include "glue.h"

#define FOR_EACH_XMM(X) \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) \
    X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

void sevmon_xmm_save(struct sevmon_xmm *xmm)
{
    /*
     * On the idle vCPU the registers may still be those of the vCPU that ran
     * before.  A request to write them back must not find the agent's there.
     */
    if ( is_idle_vcpu(current) )
        sync_local_execstate();

    xmm->cr0 = read_cr0();
    if ( xmm->cr0 & X86_CR0_TS )
        clts();

#define SAVE(n) \
    asm volatile ( "movups %%xmm" #n ", %0" : "=m" (xmm->reg[n]) );
    FOR_EACH_XMM(SAVE)
#undef SAVE

    barrier();
}

void sevmon_xmm_restore(struct sevmon_xmm *xmm)
{
    barrier();

#define RESTORE(n) \
    asm volatile ( "movups %0, %%xmm" #n :: "m" (xmm->reg[n]) );
    FOR_EACH_XMM(RESTORE)
#undef RESTORE

    if ( xmm->cr0 & X86_CR0_TS )
        stts();

    /* Nor do the guest's registers stay here. */
    sevmon_wipe(xmm, sizeof(*xmm));
}

/*
 * Compiled code and Xen's SHA-256 spill words of keys.  Called from the frame
 * that called the agent, this covers what the agent had below it.
 */
void noinline sevmon_wipe_stack(void)
{
    uint8_t below[3584];

    sevmon_wipe(below, sizeof(below));
}
