/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the rest of Xen calls.  Every change to a file that Xen owns is one of
 * these calls (xen-hypercall/patches).
 */
#ifndef X86_SEVMON_H
#define X86_SEVMON_H

#include <xen/multiboot.h>
#include <xen/sched.h>

struct arch_msix;
struct e820map;

/* Xen 4.20 has all about boot modules in one structure, 4.17 in several. */
#if __has_include(<asm/bootinfo.h>)
# define SEVMON_BOOT_INFO
struct boot_info;
#endif

#ifdef CONFIG_SEVMON

/* For each of EFI's configuration tables, while the firmware still runs. */
void sevmon_efi_table(const void *guid, const void *table);

/*
 * Claim: before Xen moves boot modules, find the keys, keep them from being
 * moved or overwritten, and hide a module with keys from whoever looks for an
 * initrd or microcode.  A moved module leaves a copy behind.
 *
 * Before Dom0: when it is about to be built from the modules, and has no
 * devices yet.
 */
#ifdef SEVMON_BOOT_INFO
void sevmon_claim_keys(struct boot_info *bi, struct e820map *boot_e820);
void sevmon_before_dom0(const struct boot_info *bi);
#else
void sevmon_claim_keys(module_t *mods, unsigned int count, unsigned long *map,
                       struct e820map *boot_e820);
void sevmon_before_dom0(const module_t *kernel, unsigned long headroom,
                        const module_t *initrd, const char *cmdline);
#endif

/* Before Dom0 runs. */
void sevmon_dom0_built(struct domain *d);

/*
 * Where Dom0 has laid a device's memory, and the tables of its interrupts.
 * The latter are Xen's from then on, until it gives them up to Dom0 again.
 */
#ifdef SEVMON_BOOT_INFO /* 4.17 declares it in <asm/pci.h> */
bool sevmon_bar_ok(const struct pci_dev *pdev, mfn_t start, mfn_t end);
#endif
bool sevmon_msix_ok(const struct arch_msix *msix);

/*
 * Before Dom0 writes to a device's configuration, and with it perhaps where its
 * ports are.  `reg` to `reg` + `bytes` - 1 are in one dword.
 */
bool sevmon_ports_ok(pci_sbdf_t sbdf, unsigned int reg, unsigned int bytes,
                     uint32_t data);

/*
 * The hardware domain has shut down for that reason (SHUTDOWN_*).  True: the
 * machine goes on, and the domain is paused as any other would be.
 */
bool sevmon_holds(unsigned int reason);

/* vCPU 0 of the hardware domain may have registered other entry points. */
void sevmon_see_entry_points(struct vcpu *v);

/* After each registration of a PV guest's entry points, on its own vCPU. */
static inline void sevmon_entry_points(struct vcpu *v)
{
    if ( is_hardware_domain(v->domain) && v->vcpu_id == 0 )
        sevmon_see_entry_points(v);
}

#else /* !CONFIG_SEVMON */

static inline void sevmon_efi_table(const void *guid, const void *table) {}
#ifdef SEVMON_BOOT_INFO
static inline void sevmon_claim_keys(struct boot_info *bi,
                                     struct e820map *boot_e820) {}
static inline void sevmon_before_dom0(const struct boot_info *bi) {}
#else
static inline void sevmon_claim_keys(module_t *mods, unsigned int count,
                                     unsigned long *map,
                                     struct e820map *boot_e820) {}
static inline void sevmon_before_dom0(const module_t *kernel,
                                      unsigned long headroom,
                                      const module_t *initrd,
                                      const char *cmdline) {}
#endif
static inline void sevmon_dom0_built(struct domain *d) {}
static inline bool sevmon_bar_ok(const struct pci_dev *pdev, mfn_t start,
                                 mfn_t end) { return true; }
static inline bool sevmon_msix_ok(const struct arch_msix *msix)
{
    return true;
}
static inline bool sevmon_ports_ok(pci_sbdf_t sbdf, unsigned int reg,
                                   unsigned int bytes, uint32_t data)
{
    return true;
}
static inline void sevmon_entry_points(struct vcpu *v) {}

#endif /* CONFIG_SEVMON */

#endif /* X86_SEVMON_H */
