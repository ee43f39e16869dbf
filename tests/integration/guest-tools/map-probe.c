/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does Dom0's root see of one page of machine memory? Asks in every way
 * that it has: /dev/mem, read and mapped, and privcmd, as Xen's own, the I/O
 * domain's and its own frame.
 *
 *   map-probe ADDRESS
 *
 * Prints a line for each way: its name, and "refused", or the page's first 48
 * bytes in hexadecimal. Then "map-probe: done".
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define SHOWN 48

/* Of linux/include/uapi/xen/privcmd.h and xen/include/public/xen.h. */
struct mmapbatch {
    unsigned int num;
    uint16_t dom;
    uint64_t addr;
    const unsigned long *frames;
    int *errors;
};
#define MMAPBATCH_V2 _IOC(_IOC_NONE, 'P', 4, sizeof(struct mmapbatch))
#define DOMID_DOM0 0
#define DOMID_SELF 0x7ff0
#define DOMID_IO   0x7ff1
#define DOMID_XEN  0x7ff2

static sigjmp_buf fault;

static void on_fault(int signal)
{
    (void)signal;
    siglongjmp(fault, 1);
}

static void show(const char *way, const volatile uint8_t *page)
{
    uint8_t bytes[SHOWN];

    if ( sigsetjmp(fault, 1) )
    {
        printf("%s refused\n", way);
        return;
    }
    for ( size_t i = 0; i < SHOWN; i++ )
        bytes[i] = page[i];
    printf("%s ", way);
    for ( size_t i = 0; i < SHOWN; i++ )
        printf("%02x", bytes[i]);
    printf("\n");
}

static void read_mem(int mem, uint64_t address)
{
    uint8_t page[PAGE];

    if ( pread(mem, page, sizeof(page), (off_t)address) == sizeof(page) )
        show("mem-read", page);
    else
        printf("mem-read refused\n");
}

static void map_mem(int mem, uint64_t address)
{
    void *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, mem, (off_t)address);

    if ( page == MAP_FAILED )
    {
        printf("mem-map refused\n");
        return;
    }
    show("mem-map", page);
    munmap(page, PAGE);
}

static void map_foreign(int privcmd, const char *way, uint16_t domain,
                        uint64_t address)
{
    unsigned long frame = address / PAGE;
    int error = 0;
    void *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, privcmd, 0);
    struct mmapbatch batch = {
        .num = 1, .dom = domain, .addr = (uintptr_t)page, .frames = &frame,
        .errors = &error,
    };

    if ( page == MAP_FAILED )
    {
        perror("map-probe: mmap of privcmd");
        exit(1);
    }
    if ( ioctl(privcmd, MMAPBATCH_V2, &batch) || error )
        printf("%s refused\n", way);
    else
        show(way, page);
    munmap(page, PAGE);
}

int main(int argc, char **argv)
{
    struct sigaction action = { .sa_handler = on_fault };
    int mem = open("/dev/mem", O_RDONLY);
    int privcmd = open("/dev/xen/privcmd", O_RDWR);
    uint64_t address;

    if ( argc != 2 || mem < 0 || privcmd < 0 )
    {
        perror("map-probe");
        return 1;
    }
    address = strtoull(argv[1], NULL, 16);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);

    read_mem(mem, address);
    map_mem(mem, address);
    map_foreign(privcmd, "foreign-io", DOMID_IO, address);
    map_foreign(privcmd, "foreign-xen", DOMID_XEN, address);
    map_foreign(privcmd, "foreign-self", DOMID_SELF, address);
    map_foreign(privcmd, "foreign-dom0", DOMID_DOM0, address);
    printf("map-probe: done\n");

    return 0;
}
