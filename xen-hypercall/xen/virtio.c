/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Virtio devices.  One that does not offer VIRTIO_F_ACCESS_PLATFORM (virtio
 * 1.2, 6) uses the machine's addresses as they are, whatever the IOMMU says:
 * QEMU's do, without iommu_platform=on.
 *
 * Asked in configuration space, through the window that every virtio device
 * has there (4.1.4.9): nothing has to be mapped.
 */
#include <xen/init.h>
#include <xen/pci.h>
#include <xen/pci_regs.h>

#include "glue.h"

#define VIRTIO_VENDOR       0x1af4
#define VIRTIO_FIRST_DEVICE 0x1000
#define VIRTIO_MODERN       0x1040 /* before that: with the old interface */
#define VIRTIO_LAST_DEVICE  0x107f

/* struct virtio_pci_cap */
#define CAP_TYPE   3
#define CAP_BAR    4
#define CAP_OFFSET 8
#define CAP_LENGTH 12
#define CAP_DATA   16 /* the window */

#define TYPE_COMMON 1
#define TYPE_WINDOW 5

/* struct virtio_pci_common_cfg */
#define FEATURE_SELECT 0
#define FEATURE        4

#define ACCESS_PLATFORM 33

static bool __init is_virtio(pci_sbdf_t sbdf)
{
    uint16_t device = pci_conf_read16(sbdf, PCI_DEVICE_ID);

    return pci_conf_read16(sbdf, PCI_VENDOR_ID) == VIRTIO_VENDOR &&
           device >= VIRTIO_FIRST_DEVICE && device <= VIRTIO_LAST_DEVICE;
}

/* Where the capability of that type is, or 0. */
static unsigned int __init find(pci_sbdf_t sbdf, unsigned int type)
{
    unsigned int at = pci_conf_read8(sbdf, PCI_CAPABILITY_LIST) & ~3;
    unsigned int left = 48; /* as many as there is room for */

    for ( ; at && left; left--, at = pci_conf_read8(sbdf, at + 1) & ~3 )
        if ( pci_conf_read8(sbdf, at) == PCI_CAP_ID_VNDR &&
             pci_conf_read8(sbdf, at + CAP_TYPE) == type )
            return at;

    return 0;
}

static bool __init offers(pci_sbdf_t sbdf, unsigned int feature)
{
    unsigned int common = find(sbdf, TYPE_COMMON);
    unsigned int window = find(sbdf, TYPE_WINDOW);
    uint32_t offset;

    if ( !common || !window )
        return false;

    offset = pci_conf_read32(sbdf, common + CAP_OFFSET);
    pci_conf_write8(sbdf, window + CAP_BAR,
                    pci_conf_read8(sbdf, common + CAP_BAR));
    pci_conf_write32(sbdf, window + CAP_LENGTH, 4);

    pci_conf_write32(sbdf, window + CAP_OFFSET, offset + FEATURE_SELECT);
    pci_conf_write32(sbdf, window + CAP_DATA, feature / 32);
    pci_conf_write32(sbdf, window + CAP_OFFSET, offset + FEATURE);

    return pci_conf_read32(sbdf, window + CAP_DATA) & (1U << feature % 32);
}

bool __init sevmon_virtio_escapes(pci_sbdf_t sbdf)
{
    return is_virtio(sbdf) &&
           (pci_conf_read16(sbdf, PCI_DEVICE_ID) < VIRTIO_MODERN ||
            !offers(sbdf, ACCESS_PLATFORM));
}
