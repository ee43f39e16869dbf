/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile relay that measures: it notes of every frame when it came, how
 * large it and its answer were, and how long the answer took. For scripts/leak.
 *
 *   leak-relay PORT CONTROL_PORT [UPSTREAM_PORT]
 *
 * In Dom0 it makes the hypercall itself, so that the time is Xen's alone; with
 * UPSTREAM_PORT it stands before another relay on this machine. One frame at a
 * time, whatever the IDS sends: none waits for another.
 *
 * CONTROL_PORT takes one line for each connection:
 *
 *   log            prints what was noted since the last: CONNECTION TYPE BYTES
 *                  ANSWER_TYPE ANSWER_BYTES NS_WHEN NS_TAKEN, a line a frame
 *   slow NS BITS   an artificial leak: of the REQUESTs from now on those with
 *                  a 1 take so much longer, by the same clock
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

#include "sevmon-call.h"

#define MAX_LINE (1 << 20)

struct message {
    struct sevmon_envelope envelope;
    uint8_t frame[SEVMON_MAX_FRAME_BYTES];
};

struct note {
    unsigned int connection, type, bytes, answer_type, answer_bytes;
    uint64_t at_ns, took_ns;
};

struct connection {
    int client, upstream;
    unsigned int number;
};

static struct {
    pthread_mutex_t lock; /* over all of this, and over each frame's way */
    struct note *notes;
    size_t count, room;
    char *slow;
    size_t slow_next;
    uint64_t slow_ns;
} state = { .lock = PTHREAD_MUTEX_INITIALIZER };

static unsigned short upstream_port; /* 0: the hypercall */
static int privcmd = -1;
static uint8_t *hypercall_in, *hypercall_out;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_RAW, &now);

    return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static int read_all(int fd, void *bytes, size_t count)
{
    for ( ssize_t got; count; bytes = (char *)bytes + got, count -= got )
        if ( (got = read(fd, bytes, count)) <= 0 )
            return 0;

    return 1;
}

static int write_all(int fd, const void *bytes, size_t count)
{
    for ( ssize_t put; count; bytes = (const char *)bytes + put, count -= put )
        if ( (put = write(fd, bytes, count)) <= 0 )
            return 0;

    return 1;
}

static int read_message(int fd, struct message *message)
{
    return read_all(fd, &message->envelope, sizeof(message->envelope)) &&
           message->envelope.bytes <= sizeof(message->frame) &&
           read_all(fd, message->frame, message->envelope.bytes);
}

static int write_message(int fd, const struct message *message)
{
    return write_all(fd, message, sizeof(message->envelope) + message->envelope.bytes);
}

/* ---- A frame's way --------------------------------------------------- */

static int32_t notice_of(long error)
{
    switch ( error )
    {
    case -EBUSY:
        return SEVMON_NOTICE_BUSY;
    case -EBADMSG:
    case -EINVAL:
        return SEVMON_NOTICE_REJECTED;
    default:
        return SEVMON_NOTICE_INTERNAL;
    }
}

static int by_hypercall(const struct message *in, struct message *out, struct note *note)
{
    long rc;

    memcpy(hypercall_in, in->frame, in->envelope.bytes);
    note->at_ns = now_ns();
    rc = sevmon_call(privcmd, XEN_SEVMON_OP_frame, hypercall_in, in->envelope.bytes,
                     hypercall_out, XEN_SEVMON_MAX_ANSWER_BYTES);
    note->took_ns = now_ns() - note->at_ns;
    out->envelope = (struct sevmon_envelope){ .tag = in->envelope.tag };
    if ( rc < 0 )
        out->envelope.status = notice_of(rc);
    else
    {
        out->envelope.bytes = rc;
        memcpy(out->frame, hypercall_out, rc);
    }

    return 1;
}

static int by_upstream(int fd, const struct message *in, struct message *out, struct note *note)
{
    note->at_ns = now_ns();
    if ( !write_message(fd, in) || !read_message(fd, out) )
        return 0;
    note->took_ns = now_ns() - note->at_ns;

    return 1;
}

static void take_longer(struct note *note)
{
    if ( note->type != SEVMON_FRAME_REQUEST || !state.slow || !state.slow[state.slow_next] )
        return;
    if ( state.slow[state.slow_next++] != '1' )
        return;
    note->took_ns += state.slow_ns;
    while ( now_ns() - note->at_ns < note->took_ns )
        ;
}

static void keep(const struct note *note)
{
    if ( state.count == state.room )
    {
        state.room = state.room ? 2 * state.room : 4096;
        state.notes = realloc(state.notes, state.room * sizeof(*state.notes));
        if ( !state.notes )
            fail("leak-relay");
    }
    state.notes[state.count++] = *note;
}

/* Noted before it is sent on: whoever has the answer finds it in the log. */
static int relay(const struct connection *connection, const struct message *in,
                 struct message *out)
{
    struct note note = {
        .connection = connection->number,
        .type = in->envelope.bytes ? in->frame[0] : 0,
        .bytes = in->envelope.bytes,
    };
    int done;

    pthread_mutex_lock(&state.lock);
    done = upstream_port ? by_upstream(connection->upstream, in, out, &note)
                         : by_hypercall(in, out, &note);
    if ( done )
    {
        take_longer(&note);
        note.answer_bytes = out->envelope.bytes;
        note.answer_type = note.answer_bytes ? out->frame[0] : 0;
        keep(&note);
    }
    pthread_mutex_unlock(&state.lock);

    return done;
}

static void *serve(void *argument)
{
    struct connection *connection = argument;
    struct message *in = malloc(sizeof(*in)), *out = malloc(sizeof(*out));

    if ( !in || !out )
        fail("leak-relay");
    while ( read_message(connection->client, in) &&
            in->envelope.bytes <= XEN_SEVMON_MAX_FRAME_BYTES &&
            relay(connection, in, out) && write_message(connection->client, out) )
        ;
    close(connection->client);
    if ( connection->upstream >= 0 )
        close(connection->upstream);
    free(in);
    free(out);
    free(connection);

    return NULL;
}

/* ---- Control --------------------------------------------------------- */

static void print_log(FILE *out)
{
    pthread_mutex_lock(&state.lock);
    for ( size_t i = 0; i < state.count; i++ )
    {
        const struct note *n = &state.notes[i];

        fprintf(out, "%u %u %u %u %u %llu %llu\n", n->connection, n->type, n->bytes,
                n->answer_type, n->answer_bytes, (unsigned long long)n->at_ns,
                (unsigned long long)n->took_ns);
    }
    state.count = 0;
    pthread_mutex_unlock(&state.lock);
}

static void set_slow(const char *line)
{
    int at = 0;
    unsigned long long ns = 0;

    pthread_mutex_lock(&state.lock);
    free(state.slow);
    state.slow = NULL;
    if ( sscanf(line, "slow %llu %n", &ns, &at) == 1 && at && !(state.slow = strdup(line + at)) )
        fail("leak-relay");
    state.slow_ns = ns;
    state.slow_next = 0;
    pthread_mutex_unlock(&state.lock);
}

static void control(int fd)
{
    static char line[MAX_LINE];
    FILE *peer = fdopen(fd, "r+");

    if ( !peer )
        fail("leak-relay");
    if ( fgets(line, sizeof(line), peer) )
    {
        /* Between reading and writing a stream must be positioned, which a socket cannot. */
        FILE *out = fdopen(dup(fd), "w");

        if ( !out )
            fail("leak-relay");
        if ( !strcmp(line, "log\n") )
            print_log(out);
        else
            set_slow(line);
        fclose(out);
    }
    fclose(peer);
}

/* ---- Start ----------------------------------------------------------- */

static int listen_on(const char *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    if ( fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
         bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 16) )
        fail("leak-relay: listen");

    return fd;
}

static int connect_upstream(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(upstream_port) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if ( fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
         setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) )
        fail("leak-relay: connect");

    return fd;
}

static void *control_all(void *listener)
{
    for ( int fd; (fd = accept(*(int *)listener, NULL, NULL)) >= 0; )
        control(fd);
    fail("leak-relay: accept");

    return NULL;
}

static void prepare_hypercall(void)
{
    struct sched_param first = { .sched_priority = 1 };

    privcmd = sevmon_open();
    hypercall_in = sevmon_buffer(XEN_SEVMON_MAX_FRAME_BYTES);
    hypercall_out = sevmon_buffer(XEN_SEVMON_MAX_ANSWER_BYTES);
    /* Root in Dom0 sees to it that nothing else runs meanwhile. */
    if ( sched_setscheduler(0, SCHED_FIFO, &first) )
        fail("leak-relay: sched_setscheduler");
}

int main(int argc, char **argv)
{
    int listener, control_listener, client, on = 1;
    unsigned int number = 0;
    pthread_t thread;

    if ( argc != 3 && argc != 4 )
    {
        fprintf(stderr, "usage: leak-relay PORT CONTROL_PORT [UPSTREAM_PORT]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if ( argc == 4 )
        upstream_port = atoi(argv[3]);
    else
        prepare_hypercall();
    listener = listen_on(argv[1]);
    control_listener = listen_on(argv[2]);
    if ( pthread_create(&thread, NULL, control_all, &control_listener) )
        fail("leak-relay: thread");
    while ( (client = accept(listener, NULL, NULL)) >= 0 )
    {
        struct connection *connection = malloc(sizeof(*connection));

        if ( !connection )
            fail("leak-relay");
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        *connection = (struct connection){
            .client = client,
            .upstream = upstream_port ? connect_upstream() : -1,
            .number = number++,
        };
        if ( pthread_create(&thread, NULL, serve, connection) || pthread_detach(thread) )
            fail("leak-relay: thread");
    }
    fail("leak-relay: accept");
}
