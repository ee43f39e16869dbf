/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the network alone would do: answers each message with as many bytes as
 * the message asks for, of no content.
 *
 *   tcp-echo PORT [ADDRESS]    on any address, or on that one
 *
 * A message begins with its own size and its answer's, 32 bits each, both with
 * those eight bytes. One process per connection.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_BYTES 65536

static uint8_t in[MAX_BYTES], out[MAX_BYTES];

static int read_all(int fd, uint8_t *bytes, size_t count)
{
    while ( count )
    {
        ssize_t got = read(fd, bytes, count);

        if ( got <= 0 )
            return 0;
        bytes += got;
        count -= got;
    }

    return 1;
}

static int write_all(int fd, const uint8_t *bytes, size_t count)
{
    while ( count )
    {
        ssize_t put = write(fd, bytes, count);

        if ( put <= 0 )
            return 0;
        bytes += put;
        count -= put;
    }

    return 1;
}

static void serve(int fd)
{
    uint32_t bytes[2]; /* of the message, of its answer */

    while ( read_all(fd, (uint8_t *)bytes, sizeof(bytes)) && bytes[0] >= sizeof(bytes) &&
            bytes[0] <= MAX_BYTES && bytes[1] <= MAX_BYTES &&
            read_all(fd, in, bytes[0] - sizeof(bytes)) && write_all(fd, out, bytes[1]) )
        ;
}

static int listen_on(unsigned short port, const char *at)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    if ( at )
        address.sin_addr.s_addr = inet_addr(at);
    if ( fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
         bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4) )
    {
        perror("tcp-echo");
        exit(1);
    }

    return fd;
}

int main(int argc, char **argv)
{
    int listener, peer, on = 1;

    if ( argc != 2 && argc != 3 )
    {
        fprintf(stderr, "usage: tcp-echo PORT [ADDRESS]\n");
        return 2;
    }
    signal(SIGCHLD, SIG_IGN);
    listener = listen_on(atoi(argv[1]), argc == 3 ? argv[2] : NULL);
    while ( (peer = accept(listener, NULL, NULL)) >= 0 )
    {
        setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if ( fork() == 0 )
        {
            serve(peer);
            _exit(0);
        }
        close(peer);
    }
    perror("tcp-echo: accept");

    return 1;
}
