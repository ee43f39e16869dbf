/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands for the firmware of an SEV VM: puts a secret area into memory, tells
 * of it in EFI's configuration table, and starts \xen.efi.
 *
 *   \secret.bin  what goes into the area, each byte XORed with 0xa5: so the
 *                copies that disk caches keep are none of the key's, as there
 *                are none where the SEV firmware decrypts it in place
 *   \table.bin   struct plan: what the table says
 */
#include <efi.h>
#include <efilib.h>

#define MASK 0xa5

#define BASE_IS_RELATIVE   (1U << 0) /* plan.base counts from the area */
#define BOOT_SERVICES_DATA (1U << 1) /* else reserved memory */

struct plan {
    UINT64 base;
    UINT64 bytes;
    UINT32 flags;
    UINT32 pages; /* of the area */
};

struct table {
    UINT64 base;
    UINT64 bytes;
};

static EFI_GUID table_guid = { 0xadf956ad, 0xe98c, 0x484c,
    { 0xae, 0x11, 0xb5, 0x1c, 0x7d, 0x33, 0x64, 0x47 } };
static const char control_text[] = "sevmon control page: Dom0 may read this";

static EFI_HANDLE this_image;

static void check(EFI_STATUS status, CHAR16 *what)
{
    if ( !EFI_ERROR(status) )
        return;
    Print(L"loader: %s: %r\n", what, status);
    BS->Exit(this_image, status, 0, NULL);
}

/* All of a small file; returns its size. */
static UINTN read_file(EFI_FILE *root, CHAR16 *name, UINT8 *to, UINTN room)
{
    EFI_FILE *file;
    UINTN bytes = room;

    check(root->Open(root, &file, name, EFI_FILE_MODE_READ, 0), name);
    check(file->Read(file, &bytes, to), name);
    file->Close(file);

    return bytes;
}

static UINT8 *allocate(EFI_MEMORY_TYPE type, UINTN pages)
{
    EFI_PHYSICAL_ADDRESS address;

    check(BS->AllocatePages(AllocateAnyPages, type, pages, &address),
          L"no memory");
    SetMem((void *)address, pages * EFI_PAGE_SIZE, 0);

    return (UINT8 *)address;
}

static UINT8 *make_area(EFI_FILE *root, const struct plan *plan)
{
    EFI_MEMORY_TYPE type = plan->flags & BOOT_SERVICES_DATA
                           ? EfiBootServicesData : EfiReservedMemoryType;
    UINT8 *area = allocate(type, plan->pages);
    UINTN room = plan->pages * EFI_PAGE_SIZE;
    UINTN i, bytes = read_file(root, L"\\secret.bin", area, room);

    for ( i = 0; i < bytes; i++ )
        area[i] ^= MASK;

    return area;
}

static void install_table(const struct plan *plan, UINT8 *area)
{
    struct table *table;

    check(BS->AllocatePool(EfiBootServicesData, sizeof(*table),
                           (void **)&table), L"no memory");
    table->base = plan->base;
    if ( plan->flags & BASE_IS_RELATIVE )
        table->base += (UINT64)area;
    table->bytes = plan->bytes;
    check(BS->InstallConfigurationTable(&table_guid, table), L"table");
}

static void start_xen(EFI_HANDLE image, EFI_HANDLE device)
{
    EFI_DEVICE_PATH *path = FileDevicePath(device, L"\\xen.efi");
    EFI_HANDLE xen;

    check(BS->LoadImage(FALSE, image, path, NULL, 0, &xen), L"\\xen.efi");
    check(BS->StartImage(xen, NULL, NULL), L"\\xen.efi");
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    EFI_LOADED_IMAGE *loaded;
    struct plan plan;
    EFI_FILE *root;
    UINT8 *area, *control;

    this_image = image;
    InitializeLib(image, system);
    check(BS->HandleProtocol(image, &LoadedImageProtocol, (void **)&loaded),
          L"image");
    root = LibOpenRoot(loaded->DeviceHandle);
    if ( read_file(root, L"\\table.bin", (UINT8 *)&plan, sizeof(plan)) !=
         sizeof(plan) )
        check(EFI_LOAD_ERROR, L"\\table.bin");

    area = make_area(root, &plan);
    control = allocate(EfiReservedMemoryType, 1);
    CopyMem(control, control_text, sizeof(control_text));
    install_table(&plan, area);
    Print(L"loader: area 0x%lx, control 0x%lx\n", area, control);
    start_xen(image, loaded->DeviceHandle);

    return EFI_SUCCESS;
}
