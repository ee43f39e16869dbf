/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the glue share. */
#ifndef SEVMON_GLUE_H
#define SEVMON_GLUE_H

#include <xen/pci.h>
#include <xen/sched.h>
#include <xen/smp.h>

#include <asm/sevmon.h>

#include "boot-modules.h"

/* Xen's `current` is a macro, the agent's a structure member. */
#pragma push_macro("current")
#undef current
#include "agent/agent-state.h"

static inline struct sevmon_entry_points *
sevmon_record_current(struct sevmon_boot_record *record)
{
    return &record->current;
}
#pragma pop_macro("current")

/* ---- fpu.c ------------------------------------------------------------ */

/* XMM0-15 and CR0 of whoever was interrupted. */
struct sevmon_xmm {
    uint8_t reg[16][16];
    unsigned long cr0;
};

void sevmon_xmm_save(struct sevmon_xmm *xmm);
void sevmon_xmm_restore(struct sevmon_xmm *xmm);
void sevmon_wipe_stack(void);

/* ---- start.c ---------------------------------------------------------- */

/*
 * Private memory of one CPU.  Used between entry and exit of a hypercall, or of
 * the tasklet of standing programs: neither schedules in between, so no lock.
 */
struct sevmon_cpu {
    struct sevmon_work work;
    struct sevmon_xmm xmm;
    struct sevmon_trap traps[256];
    bool busy; /* in the agent */
};

extern struct sevmon_cpu *sevmon_cpus[NR_CPUS]; /* set before Dom0 exists */

static inline struct sevmon_cpu *sevmon_this_cpu(void)
{
    return sevmon_cpus[smp_processor_id()];
}

/*
 * Around each use of the agent, on the CPU whose memory it is: nobody wipes the
 * keys in between, and the vector registers are saved.  False: the agent is
 * off, and there is nothing to leave.
 */
bool sevmon_enter(struct sevmon_cpu *cpu);
void sevmon_leave(struct sevmon_cpu *cpu);

extern struct sevmon_agent sevmon_agent;
extern bool sevmon_agent_on; /* set before Dom0 exists; see sevmon_end() */

/*
 * The machine is about to sleep or to go down: wipe all keys, and be off from
 * now on.  What wakes up or boots next is not ours.
 */
void sevmon_end(bool goes_down);

/* Where the keys came from; NULL as long as there are none. */
extern const struct sevmon_key_source *sevmon_key_source;

int sevmon_deny_keys(struct domain *d);

/* ---- key-secret.c and key-module.c ------------------------------------ */

struct sevmon_key_source {
    const char *name;
    uint8_t id; /* SEVMON_KEY_* */
    /*
     * The key file where it lies.  Returns 0; -ENOENT if this source has none
     * and the next one may be asked; -EINVAL if it cannot be used, and the
     * console has been told why.
     */
    int (*find)(const void **key_file, size_t *bytes);
    /* Wipe it there.  Called for every source, used or not. */
    void (*wipe)(void);
    /*
     * Likewise, or NULL; keep the hardware domain from copies that Xen cannot
     * wipe.
     */
    int (*deny)(struct domain *d);
};

extern const struct sevmon_key_source sevmon_key_secret;
extern const struct sevmon_key_source sevmon_key_module;

/* Before anything is allocated: keep the secret area out of it. */
void sevmon_claim_secret(const sevmon_module_t *mods, unsigned int count,
                         struct e820map *boot_e820);

/* ---- host.c: the agent's view of Xen ---------------------------------- */

extern const struct sevmon_host sevmon_host;

unsigned int sevmon_target_get(uint16_t domid, struct sevmon_target *target);
void sevmon_target_put(struct sevmon_target *target);
unsigned int sevmon_frame_map(const struct sevmon_target *target,
                              uint64_t frame, struct sevmon_frame *out);
void sevmon_frame_unmap(struct sevmon_frame *frame);

unsigned int sevmon_vcpu_root(const struct sevmon_target *target,
                              unsigned int vcpu, uint64_t *frame,
                              unsigned int *levels);
unsigned int sevmon_vcpu_state(const struct sevmon_target *target,
                               unsigned int vcpu,
                               struct sevmon_vcpu_state *state);
unsigned int sevmon_trap_table(const struct sevmon_target *target,
                               unsigned int vcpu,
                               struct sevmon_trap traps[256]);

unsigned int sevmon_boot_record(const struct sevmon_target *target,
                                struct sevmon_boot_record *record);
void sevmon_status(const struct sevmon_target *target,
                   struct sevmon_status *status);

int sevmon_random_init(const void *secret, size_t bytes);
int sevmon_random(void *bytes, size_t count);
void sevmon_random_end(void);

/* ---- pause.c ---------------------------------------------------------- */

bool sevmon_pause(struct sevmon_target *target, uint64_t until_ns);
void sevmon_resume(struct sevmon_target *target);

/* ---- timer.c: standing programs --------------------------------------- */

/* Once, before the agent is on. */
void sevmon_timer_init(void);
void sevmon_wake(uint64_t at_ns);

/* ---- shm.c: memory that the host shares ------------------------------- */

#define SEVMON_SHM_MAX_DEVICES 4

/* Once, when the agent is about to be on and before Dom0 is built. */
void sevmon_shm_init(void);
/* Once Dom0, `d`, is built. */
int sevmon_deny_shm(struct domain *d);

/* ---- lanes.c ---------------------------------------------------------- */

/* `more` lanes, one behind the other; then, once, all of them are served. */
void sevmon_lanes_add(void *memory, unsigned int more);
void sevmon_lanes_start(void);

unsigned int sevmon_lanes_count(void);
extern uint64_t sevmon_lanes_ns; /* of CPUs, that they took so far */

/* ---- boot-record.c ---------------------------------------------------- */

/* Before Dom0 is built from these; no initrd and no command line are NULL. */
void sevmon_record_files(const sevmon_module_t *kernel, unsigned long headroom,
                         const sevmon_module_t *initrd, const char *cmdline);
/* Once Dom0, `d`, is built: where it will start. */
void sevmon_record_origin(const struct domain *d);

/* ---- entry-points.c --------------------------------------------------- */

/* What `v`, of a PV domain, has registered; `traps` is scratch. */
void sevmon_read_traps(const struct vcpu *v, struct sevmon_trap traps[256]);
void sevmon_read_entry_points(const struct vcpu *v,
                              struct sevmon_trap traps[256],
                              struct sevmon_entry_points *entry);
/* first, current, changes and their times. */
void sevmon_entry_history(const struct vcpu *v,
                          struct sevmon_boot_record *record);

/* ---- status.c --------------------------------------------------------- */

/* From CPUID and MSRs, once. */
void sevmon_probe_sev(void);
/* Once Dom0, `d`, is built. */
void sevmon_probe_iommu(const struct domain *d);
uint64_t sevmon_c_bit_mask(void);

/* ---- virtio.c --------------------------------------------------------- */

/* A virtio device that reaches memory past the IOMMU. */
bool sevmon_virtio_escapes(pci_sbdf_t sbdf);

/* ---- policy.c --------------------------------------------------------- */

extern bool sevmon_guests; /* Xen's option sevmon-guests */

/* Before the first hook. */
void sevmon_set_policy(void);

/* ---- confine.c -------------------------------------------------------- */

/* Before Dom0, `d`, gets its devices, and when it is built. */
void sevmon_confine_early(const struct domain *d);
void sevmon_confine(struct domain *d);

bool sevmon_pci_writable(uint32_t machine_bdf, unsigned int first,
                         unsigned int last);

/* ---- placement.c ------------------------------------------------------ */

/* Once Dom0's ports are closed: where its devices are. */
void sevmon_note_ports(const struct domain *d);

/* ---- efi-memory.c ----------------------------------------------------- */

void sevmon_protect_efi(void);

/* ---- scan.c ----------------------------------------------------------- */

#ifdef CONFIG_SEVMON_DEBUG_SCAN
void sevmon_scan(void);
#else
static inline void sevmon_scan(void) {}
#endif

/* ---- bench.c ---------------------------------------------------------- */

#ifdef CONFIG_SEVMON_DEBUG_BENCH
void sevmon_bench(void);
#else
static inline void sevmon_bench(void) {}
#endif

#endif /* SEVMON_GLUE_H */
