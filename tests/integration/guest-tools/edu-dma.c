/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Have a device write into Xen. QEMU's `edu` copies between its own memory and
 * any machine address that its driver says; a process of a PV Dom0 is that
 * driver here, through the device's file in sysfs. The aim is the text by which
 * Xen names its compiler: constant, harmless, and Xen itself says what it is.
 *
 *   edu-dma ADDRESS OLD NEW   machine address of that text, its beginning, and
 *                             another one of the same length
 *
 * Prints one line each, yes or no:
 *   edu-dma: own memory moved      between two pages of the process
 *   edu-dma: Xen's memory read     the device found OLD at ADDRESS
 *   edu-dma: Xen's memory written  Xen says NEW
 */
#include <elf.h>
#include <glob.h>

#include "sevmon-call.h"

#include <xen/version.h>

#define PAGE       4096UL

/* QEMU's docs/specs/edu.txt. */
#define EDU_ID       0x11e81234
#define EDU_BYTES    0x100000
#define EDU_SOURCE   0x80
#define EDU_TARGET   0x88
#define EDU_COUNT    0x90
#define EDU_COMMAND  0x98
#define EDU_START    1
#define EDU_FROM_EDU 2
#define EDU_BUFFER   0x40000

static volatile uint8_t *edu;
static size_t bytes; /* to copy each time */

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int open_file(const char *folder, const char *name, int flags)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);

    return open(path, flags | O_CLOEXEC);
}

/* Find the device, let it be bus master, and map its registers. */
static void find_edu(void)
{
    glob_t found;

    if ( glob("/sys/bus/pci/devices/*", 0, NULL, &found) )
        fail("no PCI devices");
    for ( size_t i = 0; i < found.gl_pathc && !edu; i++ )
    {
        int config = open_file(found.gl_pathv[i], "config", O_RDWR), registers;
        uint32_t id = 0;
        uint16_t command;

        if ( pread(config, &id, 4, 0) != 4 || id != EDU_ID )
        {
            close(config);
            continue;
        }
        if ( pread(config, &command, 2, 4) != 2 )
            fail("reading the command register");
        command |= 6; /* memory, bus master */
        if ( pwrite(config, &command, 2, 4) != 2 )
            fail("writing the command register");
        registers = open_file(found.gl_pathv[i], "resource0", O_RDWR);
        edu = mmap(NULL, EDU_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, registers, 0);
        if ( edu == MAP_FAILED )
            fail("mapping the registers");
    }
    if ( !edu )
    {
        printf("edu-dma: no edu\n");
        exit(1);
    }
}

static void start(uint64_t source, uint64_t target, uint32_t command)
{
    *(volatile uint64_t *)(edu + EDU_SOURCE) = source;
    *(volatile uint64_t *)(edu + EDU_TARGET) = target;
    *(volatile uint64_t *)(edu + EDU_COUNT) = bytes;
    *(volatile uint64_t *)(edu + EDU_COMMAND) = EDU_START | command;
    while ( *(volatile uint64_t *)(edu + EDU_COMMAND) & EDU_START )
        usleep(10000);
}

static void to_device(uint64_t source)
{
    start(source, EDU_BUFFER, 0);
}

static void from_device(uint64_t target)
{
    start(EDU_BUFFER, target, EDU_FROM_EDU);
}

/* Eight bytes of the kernel's memory. */
static uint64_t kernel_word(uint64_t address)
{
    int core = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
    Elf64_Ehdr head;
    uint64_t value;

    if ( pread(core, &head, sizeof(head), 0) != sizeof(head) )
        fail("/proc/kcore");
    for ( unsigned int i = 0; i < head.e_phnum; i++ )
    {
        Elf64_Phdr part;

        if ( pread(core, &part, sizeof(part), head.e_phoff + i * sizeof(part)) != sizeof(part) )
            fail("/proc/kcore");
        if ( part.p_type != PT_LOAD || address < part.p_vaddr ||
             address - part.p_vaddr >= part.p_memsz )
            continue;
        if ( pread(core, &value, 8, part.p_offset + address - part.p_vaddr) != 8 )
            fail("/proc/kcore");
        close(core);
        return value;
    }
    printf("edu-dma: %#lx is not in /proc/kcore\n", (unsigned long)address);
    exit(1);
}

static uint64_t kernel_symbol(const char *name)
{
    FILE *file = fopen("/proc/kallsyms", "r");
    char line[256], symbol[128];
    unsigned long address;

    while ( file && fgets(line, sizeof(line), file) )
        if ( sscanf(line, "%lx %*c %127s", &address, symbol) == 2 && !strcmp(symbol, name) )
        {
            fclose(file);
            return address;
        }
    printf("edu-dma: the kernel has no %s\n", name);
    exit(1);
}

/* Machine address of a page of ours: a PV kernel has a table of what its frames are. */
static uint64_t machine_address(const void *page)
{
    uint64_t table = kernel_word(kernel_symbol("xen_p2m_addr")), entry;
    int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    if ( pread(file, &entry, 8, (uintptr_t)page / PAGE * 8) != 8 || !(entry >> 63) )
        fail("/proc/self/pagemap");
    close(file);

    return kernel_word(table + (entry & ((1ULL << 55) - 1)) * 8) * PAGE;
}

/* Is `text` the beginning of what Xen says its compiler is? */
static int xen_says(int fd, const char *text)
{
    xen_compile_info_t *info = sevmon_buffer(PAGE);
    struct privcmd_hypercall call = {
        .op = __HYPERVISOR_xen_version, .arg = { XENVER_compile_info, (uintptr_t)info },
    };

    if ( ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &call) )
        fail("xen_version");

    return !memcmp(info->compiler, text, bytes);
}

static void say(const char *what, int yes)
{
    printf("edu-dma: %s: %s\n", what, yes ? "yes" : "no");
}

int main(int argc, char **argv)
{
    uint64_t aim, our_address, other_address;
    uint8_t *ours, *other;
    int fd;

    if ( argc != 4 || strlen(argv[2]) != strlen(argv[3]) || strlen(argv[2]) > 64 )
        return 2;
    aim = strtoull(argv[1], NULL, 0);
    bytes = strlen(argv[2]);

    fd = sevmon_open();
    find_edu();
    ours = sevmon_buffer(PAGE);
    other = sevmon_buffer(PAGE);
    our_address = machine_address(ours);
    other_address = machine_address(other);

    if ( !xen_says(fd, argv[2]) )
    {
        printf("edu-dma: '%s' is not what Xen says at first\n", argv[2]);
        return 1;
    }

    memcpy(ours, argv[3], bytes);
    to_device(our_address);
    from_device(other_address);
    say("own memory moved", !memcmp(ours, other, bytes));

    to_device(aim);
    from_device(other_address);
    say("Xen's memory read", !memcmp(other, argv[2], bytes));

    to_device(our_address);
    from_device(aim);
    say("Xen's memory written", xen_says(fd, argv[3]));

    return 0;
}
