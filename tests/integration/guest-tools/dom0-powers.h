/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of dom0-powers share. */
#ifndef DOM0_POWERS_H
#define DOM0_POWERS_H

#define __XEN_TOOLS__ 1
#include "sevmon-call.h"

#include <xen/domctl.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/sysctl.h>

#define PAGE 4096UL

extern int fd; /* of the privcmd device */
extern int pv, newer; /* than Xen 4.17, by which the rest goes */

/* One case; `what` and `number` say which if it goes otherwise. */
void expect(const char *what, unsigned int number, long got, long wanted);

long call(uint64_t op, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
long call1(uint64_t op, void *arg);
long memory(unsigned int cmd, void *arg);
/* Four pages of zeros, always the same ones. */
void *zeroed(void);
/* Of the tools' interface behind `hypercall`, which `cmd` belongs to. */
uint32_t find_version(uint64_t hypercall, uint32_t cmd);

/* ---- powers-machine.c --------------------------------------------------- */

struct range {
    uint64_t start, bytes;
    uint32_t type;
} __attribute__((packed));

/* `frame` of `domid`; the caller unmaps. `*error` becomes 0 or -errno. */
void *map_frame(uint16_t domid, uint64_t frame, int protection, int *error);

/* The machine's memory map, which a PV Dom0 is allowed to see. */
unsigned int machine_map(struct range *ranges, unsigned int most);

void open_ports(void);
/* A PCI register by its device and function on bus 0, through the ports. */
uint32_t config_read(unsigned int bdf, unsigned int reg, unsigned int bytes);
void config_write(unsigned int bdf, unsigned int reg, unsigned int bytes, uint32_t value);
/* The port of PM1a control. */
unsigned int pm1_control(void);

/* ---- groups of cases ---------------------------------------------------- */

/* powers-calls.c: hypercalls that are refused. */
void platform_op(void);
void sysctl(void);
void domctl(void);
void memory_op(void);
void physdev_op(void);
void hypercalls(void);

/* powers-machine.c: memory, ports and PCI that are closed; what is open. */
void ram(void);
void devices(void);
void pci(void);
void named_devices(void);
void device_ports(void);
void configuration_memory(void);
void ports(void);
void control_map(void);
void control_pci(void);

/* powers-bars.c: devices' memory laid where Dom0 has no business; PV, PVH. */
void msix(void);
void no_msix(void);
void bars(void);

/* powers-allowed.c: what still works, and what a sleep takes. */
void allowed(void);
void sleep_(void);

#endif /* DOM0_POWERS_H */
