/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does the agent answer? Prints "hello-probe: OK" and what it said, and exits
 * 0; else says what came back instead and exits 1.
 */
#include "sevmon-call.h"

static void print_hex(const char *name, const uint8_t *bytes, size_t count)
{
    printf(" %s=", name);
    for ( size_t i = 0; i < count; i++ )
        printf("%02x", bytes[i]);
}

int main(void)
{
    int fd = sevmon_open();
    struct sevmon_hello *hello = sevmon_buffer(sizeof(*hello));
    const struct sevmon_challenge *challenge = sevmon_buffer(XEN_SEVMON_MAX_ANSWER_BYTES);
    long rc;

    sevmon_make_hello(hello);
    rc = sevmon_call(fd, XEN_SEVMON_OP_frame, hello, sizeof(*hello), (void *)challenge,
                     XEN_SEVMON_MAX_ANSWER_BYTES);
    if ( rc < 0 )
    {
        printf("hello-probe: FAILED: %s\n", strerror(-rc));
        return 1;
    }
    if ( rc != sizeof(*challenge) || challenge->header.type != SEVMON_FRAME_CHALLENGE ||
         memcmp(challenge->ids_id, hello->ids_id, sizeof(hello->ids_id)) )
    {
        printf("hello-probe: FAILED: %ld bytes, type %u, or another IDS id\n", rc,
               challenge->header.type);
        return 1;
    }

    printf("hello-probe: OK");
    print_hex("agent", challenge->agent_id, SEVMON_ID_BYTES);
    print_hex("boot", challenge->boot_nonce, SEVMON_ID_BYTES);
    printf("\n");

    return 0;
}
