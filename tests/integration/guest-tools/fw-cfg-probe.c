/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Can Dom0 read QEMU's fw_cfg device, which still holds every boot module and
 * so the agent's key? Its first item is the signature "QEMU".
 *
 *   fw-cfg-probe [ADDRESS]   machine address of an access for DMA, to start first
 *
 * Prints "fw-cfg-probe: OK" and exits 0 if the ports are closed; else exits 1.
 */
#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>

#define SELECTOR 0x510
#define DATA     0x511
#define ADDRESS  0x514

static void start_dma(uint64_t address)
{
    outl(htobe32(address >> 32), ADDRESS);
    outl(htobe32(address), ADDRESS + 4);
}

int main(int argc, char **argv)
{
    char signature[4];

    if ( ioperm(SELECTOR, ADDRESS + 8 - SELECTOR, 1) )
    {
        perror("fw-cfg-probe: ioperm");
        return 1;
    }
    if ( argc > 1 )
        start_dma(strtoull(argv[1], NULL, 0));
    outw(0, SELECTOR);
    for ( size_t i = 0; i < sizeof(signature); i++ )
        signature[i] = inb(DATA);

    if ( !memcmp(signature, "QEMU", sizeof(signature)) )
    {
        printf("fw-cfg-probe: FAILED: Dom0 reads fw_cfg\n");
        return 1;
    }
    printf("fw-cfg-probe: OK\n");

    return 0;
}
