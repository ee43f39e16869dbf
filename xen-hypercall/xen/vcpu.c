/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vCPUs as Xen sees them.
 *
 * Nothing is paused: pausing waits for another CPU, and two vCPUs that wait
 * for each other would never end.  So the registers of a vCPU that runs on
 * another CPU are those with which it last left one (SEVMON_VCPU_RUNNING).
 */
#include <xen/lib.h>
#include <xen/sched.h>

#include <asm/alternative.h>
#include <asm/current.h>
#include <asm/debugreg.h>
#include <asm/hvm/hvm.h>
#include <asm/hvm/support.h>
#include <asm/hvm/svm/vmcb.h>
#include <asm/hvm/vmx/vmx.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include <asm/regs.h>
#include <asm/system.h>

#include "glue.h"

#define CR3_FRAME 0x000ffffffffff000ULL

static struct vcpu *find_vcpu(const struct sevmon_target *target,
                              unsigned int vcpu)
{
    struct vcpu *v = domain_vcpu(target->domain, vcpu);

    /* Until it has started, its state is nothing that a guest set. */
    return v && v->is_initialised ? v : NULL;
}

static bool four_level_paging(struct vcpu *v)
{
    return hvm_paging_enabled(v) && hvm_long_mode_active(v) &&
           !(v->arch.hvm.guest_cr[4] & X86_CR4_LA57);
}

/*
 * HVM: CR3 as it is.  A kernel with page-table isolation, on a vCPU that is in
 * user mode, has its user half there; a PV guest's kernel table is known apart
 * from its user one.
 */
unsigned int cf_check sevmon_vcpu_root(const struct sevmon_target *target,
                                       unsigned int vcpu, uint64_t *frame,
                                       unsigned int *levels)
{
    struct vcpu *v = find_vcpu(target, vcpu);

    if ( !v )
        return SEVMON_ANSWER_NO_ROOT;

    if ( is_pv_vcpu(v) )
        *frame = pagetable_get_pfn(v->arch.guest_table);
    else if ( four_level_paging(v) )
        *frame = PFN_DOWN(v->arch.hvm.guest_cr[3] & CR3_FRAME);
    else
        *frame = 0;

    if ( !*frame )
        return SEVMON_ANSWER_NO_ROOT;

    *levels = 4;

    return SEVMON_ANSWER_OK;
}

static void read_gpr(const struct cpu_user_regs *regs,
                     struct sevmon_vcpu_state *state)
{
    const uint64_t gpr[16] = {
        regs->rax, regs->rcx, regs->rdx, regs->rbx,
        regs->rsp, regs->rbp, regs->rsi, regs->rdi,
        regs->r8, regs->r9, regs->r10, regs->r11,
        regs->r12, regs->r13, regs->r14, regs->r15,
    };

    memcpy(state->gpr, gpr, sizeof(gpr));
    state->rip = regs->rip;
    state->rflags = regs->rflags;
    state->cs = regs->cs;
    state->ss = regs->ss;
}

/*
 * An HVM guest that has touched its debug registers has them in the CPU until
 * it leaves it: what Xen holds is from the last time.  AMD's has 6 and 7 in
 * the VMCB while Xen runs, Intel's 7 in the VMCS.
 */
static void read_own_debug(const struct vcpu *v,
                           struct sevmon_vcpu_state *state)
{
    state->dr[0] = read_debugreg(0);
    state->dr[1] = read_debugreg(1);
    state->dr[2] = read_debugreg(2);
    state->dr[3] = read_debugreg(3);
    if ( cpu_has_svm )
    {
        const struct vmcb_struct *vmcb = v->arch.hvm.svm.vmcb;

        state->dr[6] = vmcb_get_dr6(vmcb);
        state->dr[7] = vmcb_get_dr7(vmcb);
    }
    else
    {
        unsigned long dr7;

        state->dr[6] = read_debugreg(6);
        __vmread(GUEST_DR7, &dr7);
        state->dr[7] = dr7;
    }
}

static void read_debug(const struct vcpu *v, struct sevmon_vcpu_state *state)
{
    unsigned int i;

    if ( v == current && is_hvm_vcpu(v) && v->arch.hvm.flag_dr_dirty )
    {
        read_own_debug(v, state);
        return;
    }

    for ( i = 0; i < 4; i++ )
        state->dr[i] = v->arch.dr[i];
    state->dr[6] = v->arch.dr6;
    state->dr[7] = v->arch.dr7;
}

static void read_pv_segments(const struct vcpu *v,
                             struct sevmon_vcpu_state *state)
{
    const struct cpu_user_regs *saved = &v->arch.user_regs;
    const struct pv_vcpu *pv = &v->arch.pv;
    bool kernel = v->arch.flags & TF_kernel_mode;

    if ( v == current )
    {
        state->ds = read_sreg(ds);
        state->es = read_sreg(es);
        state->fs = read_sreg(fs);
        state->gs = read_sreg(gs);
        state->fs_base = read_fs_base();
        state->gs_base = read_gs_base();
    }
    else
    {
        state->ds = saved->ds;
        state->es = saved->es;
        state->fs = saved->fs;
        state->gs = saved->gs;
        state->fs_base = pv->fs_base;
        state->gs_base = kernel ? pv->gs_base_kernel : pv->gs_base_user;
    }
    /* A PV guest does not swap them itself. */
    state->shadow_gs_base = kernel ? pv->gs_base_user : pv->gs_base_kernel;
}

static void read_pv(const struct vcpu *v, struct sevmon_vcpu_state *state)
{
    const struct pv_vcpu *pv = &v->arch.pv;
    unsigned int i;

    state->flags |= SEVMON_VCPU_PV;
    read_pv_segments(v, state);
    /* As a PV guest reads it: the CPU's, with a TS of its own. */
    state->cr0 = (read_cr0() & ~X86_CR0_TS) | pv->ctrlreg[0];
    state->cr2 = pv->ctrlreg[2];
    state->cr3 = pagetable_get_paddr(v->arch.guest_table);
    state->cr4 = pv->ctrlreg[4];
    state->kernel_root = pagetable_get_pfn(v->arch.guest_table);
    state->user_root = pagetable_get_pfn(v->arch.guest_table_user);
    state->kernel_ss = pv->kernel_ss;
    state->kernel_sp = pv->kernel_sp;
    state->gdt_limit = pv->gdt_ents;
    state->ldt_base = pv->ldt_base;
    state->ldt_entries = pv->ldt_ents;

    BUILD_BUG_ON(ARRAY_SIZE(state->gdt_frames) != ARRAY_SIZE(pv->gdt_frames));
    for ( i = 0; i < ARRAY_SIZE(state->gdt_frames); i++ )
        state->gdt_frames[i] = pv->gdt_frames[i];

    sevmon_read_entry_points(v, sevmon_this_cpu()->traps, &state->entry);
}

static uint64_t read_own_msr(unsigned int msr)
{
    uint64_t value = 0;
    /* As all of Xen does: a call through the pointer finds its ENDBR gone. */
    int rc = alternative_call(hvm_funcs.msr_read_intercept, msr, &value);

    return rc == X86EMUL_OKAY ? value : 0;
}

/* Segments and MSRs are in the VMCB or VMCS, for its own CPU only to read. */
static void read_own_hvm(struct vcpu *v, struct sevmon_vcpu_state *state)
{
    struct segment_register reg;

#define SELECTOR(seg) \
    (hvm_get_segment_register(v, x86_seg_ ## seg, &reg), state->seg = reg.sel)
    SELECTOR(cs);
    SELECTOR(ss);
    SELECTOR(ds);
    SELECTOR(es);
    SELECTOR(fs);
    state->fs_base = reg.base;
    SELECTOR(gs);
    state->gs_base = reg.base;
#undef SELECTOR

    hvm_get_segment_register(v, x86_seg_gdtr, &reg);
    state->gdt_base = reg.base;
    state->gdt_limit = reg.limit;
    hvm_get_segment_register(v, x86_seg_idtr, &reg);
    state->idt_base = reg.base;
    state->idt_limit = reg.limit;
    hvm_get_segment_register(v, x86_seg_ldtr, &reg);
    state->ldt_base = reg.base;

    state->shadow_gs_base = read_own_msr(MSR_SHADOW_GS_BASE);
    state->entry.syscall64 = read_own_msr(MSR_LSTAR);
    state->entry.syscall32 = read_own_msr(MSR_CSTAR);
    state->entry.sysenter = read_own_msr(MSR_IA32_SYSENTER_EIP);
}

static void read_hvm(struct vcpu *v, struct sevmon_vcpu_state *state)
{
    state->cr0 = v->arch.hvm.guest_cr[0];
    state->cr2 = v->arch.hvm.guest_cr[2];
    state->cr3 = v->arch.hvm.guest_cr[3];
    state->cr4 = v->arch.hvm.guest_cr[4];
    state->efer = v->arch.hvm.guest_efer;
    if ( four_level_paging(v) )
        state->kernel_root = PFN_DOWN(state->cr3 & CR3_FRAME);
    if ( v == current )
        read_own_hvm(v, state);
}

unsigned int cf_check sevmon_vcpu_state(const struct sevmon_target *target,
                                        unsigned int vcpu,
                                        struct sevmon_vcpu_state *state)
{
    struct vcpu *v = find_vcpu(target, vcpu);
    bool running;

    if ( !v )
        return SEVMON_STATUS_NO_VCPU;

    state->vcpu = vcpu;
    if ( is_vcpu_online(v) )
        state->flags |= SEVMON_VCPU_ONLINE;
    if ( v == current )
        state->flags |= SEVMON_VCPU_CALLER;

    /*
     * Its registers may still be on the stack of the CPU that it left, which
     * now idles.  This has that CPU write them back and returns; a vCPU that
     * runs is not waited for.
     */
    running = v != current && v->is_running;
    if ( v != current && !running )
        sync_vcpu_execstate(v);

    read_gpr(v == current ? guest_cpu_user_regs() : &v->arch.user_regs, state);
    read_debug(v, state);
    if ( is_pv_vcpu(v) )
        read_pv(v, state);
    else
        read_hvm(v, state);

    /* Also when it started meanwhile. */
    smp_rmb();
    if ( running || (v != current && v->is_running) )
        state->flags |= SEVMON_VCPU_RUNNING;

    return SEVMON_STATUS_OK;
}

unsigned int cf_check sevmon_trap_table(const struct sevmon_target *target,
                                        unsigned int vcpu,
                                        struct sevmon_trap traps[256])
{
    struct vcpu *v = find_vcpu(target, vcpu);

    if ( !is_pv_domain(target->domain) )
        return SEVMON_STATUS_UNSUPPORTED;
    if ( !v )
        return SEVMON_STATUS_NO_VCPU;

    sevmon_read_traps(v, traps);

    return SEVMON_STATUS_OK;
}
