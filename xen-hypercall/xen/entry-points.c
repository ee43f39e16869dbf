/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A PV guest's ways into its kernel, as it registered them with Xen: the
 * callbacks and the trap table.  Rootkits that hook system calls or
 * exceptions of a PV kernel either leave these alone or show here; guest
 * memory cannot forge them.
 *
 * For vCPU 0 of the hardware domain the history is kept, by a call after each
 * hypercall that can change them (xen-hypercall/patches).  An early Linux
 * replaces exception gates while it boots, so a few changes in the first
 * seconds are normal.
 *
 * history.lock: only the fields of `history`; taken last, on vCPU 0's own CPU
 * to update and on any other to read.
 */
#include <xen/lib.h>
#include <xen/sha2.h>
#include <xen/spinlock.h>
#include <xen/string.h>
#include <xen/time.h>

#include "glue.h"

static struct {
    spinlock_t lock;
    struct sevmon_trap traps[256];       /* at the last look */
    struct sevmon_entry_points last;     /* likewise; traps: not used */
    struct sevmon_entry_points first;
    bool traps_seen;
    uint64_t changes, first_change_ns, last_change_ns;
} history = { .lock = SPIN_LOCK_UNLOCKED };

void sevmon_read_traps(const struct vcpu *v, struct sevmon_trap traps[256])
{
    const struct trap_info *from = v->arch.pv.trap_ctxt;
    unsigned int i;

    for ( i = 0; i < 256; i++ )
        traps[i] = (struct sevmon_trap){
            .address = from[i].address,
            .cs = from[i].cs,
            .vector = from[i].vector,
            .flags = from[i].flags,
        };
}

static void read_callbacks(const struct vcpu *v,
                           struct sevmon_entry_points *entry)
{
    const struct pv_vcpu *pv = &v->arch.pv;

    *entry = (struct sevmon_entry_points){
        .event = pv->event_callback_eip,
        .failsafe = pv->failsafe_callback_eip,
        .syscall64 = pv->syscall_callback_eip,
        .syscall32 = pv->syscall32_callback_eip,
        .sysenter = pv->sysenter_callback_eip,
    };
}

void sevmon_read_entry_points(const struct vcpu *v,
                              struct sevmon_trap traps[256],
                              struct sevmon_entry_points *entry)
{
    read_callbacks(v, entry);
    sevmon_read_traps(v, traps);
    sha2_256_digest(entry->traps, traps, 256 * sizeof(*traps));
}

/* Note one callback; true if a known one became another. */
static bool note(uint64_t now, uint64_t *last, uint64_t *first)
{
    bool changed = *last && *last != now;

    if ( !*first )
        *first = now;
    *last = now;

    return changed;
}

/* Note the trap table; true if a gate that was in use became another. */
static bool note_traps(const struct sevmon_trap now[256])
{
    bool changed = false, any = false;
    unsigned int i;

    for ( i = 0; i < 256; i++ )
    {
        const struct sevmon_trap *last = &history.traps[i];

        any |= now[i].address;
        changed |= last->address && memcmp(last, &now[i], sizeof(*last));
    }

    if ( any && !history.traps_seen )
    {
        history.traps_seen = true;
        sha2_256_digest(history.first.traps, now, 256 * sizeof(*now));
    }
    memcpy(history.traps, now, sizeof(history.traps));

    return changed;
}

void sevmon_see_entry_points(struct vcpu *v)
{
    struct sevmon_cpu *cpu = sevmon_this_cpu();
    struct sevmon_entry_points now;
    bool changed = false;

    if ( !cpu || !is_pv_domain(v->domain) )
        return;

    read_callbacks(v, &now);
    sevmon_read_traps(v, cpu->traps);

    spin_lock(&history.lock);

#define NOTE(field) \
    (changed |= note(now.field, &history.last.field, &history.first.field))
    NOTE(event);
    NOTE(failsafe);
    NOTE(syscall64);
    NOTE(syscall32);
    NOTE(sysenter);
#undef NOTE
    changed |= note_traps(cpu->traps);

    if ( changed )
    {
        history.last_change_ns = NOW();
        if ( !history.changes++ )
            history.first_change_ns = history.last_change_ns;
    }

    spin_unlock(&history.lock);
}

void sevmon_entry_history(const struct vcpu *v,
                          struct sevmon_boot_record *record)
{
    struct sevmon_cpu *cpu = sevmon_this_cpu();

    spin_lock(&history.lock);
    record->first = history.first;
    record->changes = history.changes;
    record->first_change_ns = history.first_change_ns;
    record->last_change_ns = history.last_change_ns;
    spin_unlock(&history.lock);

    sevmon_read_entry_points(v, cpu->traps, sevmon_record_current(record));
}
