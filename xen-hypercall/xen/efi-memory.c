/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Code and tables of EFI's runtime services.  Xen calls them, at the latest to
 * restart the machine, and their memory is not RAM to it: Dom0 could map and
 * rewrite what Xen then runs.  It may go on reading, because tables that
 * describe the machine lie there too.  A file of its own, because EFI's and
 * ACPI's headers do not go together.
 */
#include "../../../common/efi/efi.h"

#include <xen/init.h>
#include <xen/lib.h>
#include <xen/rangeset.h>

#include "glue.h"

void __init sevmon_protect_efi(void)
{
    unsigned int i;

    for ( i = 0; efi_memmap && i < efi_memmap_size; i += efi_mdesc_size )
    {
        const EFI_MEMORY_DESCRIPTOR *desc = efi_memmap + i;
        unsigned long mfn = PFN_DOWN(desc->PhysicalStart);

        if ( !(desc->Attribute & EFI_MEMORY_RUNTIME) || !desc->NumberOfPages )
            continue;
        if ( desc->Type != EfiRuntimeServicesCode &&
             desc->Type != EfiRuntimeServicesData )
            continue;
        if ( rangeset_add_range(mmio_ro_ranges, mfn,
                                mfn + desc->NumberOfPages - 1) )
            panic("sevmon: cannot protect EFI's runtime services\n");
    }
}
