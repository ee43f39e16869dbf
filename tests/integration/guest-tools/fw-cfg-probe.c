/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Can Dom0 read QEMU's fw_cfg device, which still holds every boot module and
 * so the agent's key? Its first item is the signature "QEMU".
 *
 * Prints "fw-cfg-probe: OK" and exits 0 if the ports are closed; else exits 1.
 */
#include <stdio.h>
#include <string.h>
#include <sys/io.h>

#define SELECTOR 0x510
#define DATA     0x511

int main(void)
{
    char signature[4];

    if ( ioperm(SELECTOR, DATA - SELECTOR + 1, 1) )
    {
        perror("fw-cfg-probe: ioperm");
        return 1;
    }
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
