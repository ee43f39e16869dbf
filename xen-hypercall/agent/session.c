/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "session.h"

#define NS_PER_SECOND 1000000000ULL

/*
 * A session number says where its session is, so that looking one up costs the
 * same for every number that a relay may invent: a count of handshakes, then
 * the IDS's index, then the connection's.
 */
#define CONNECTION_BITS 2
#define IDS_BITS        3
#define PLACE_BITS      (CONNECTION_BITS + IDS_BITS)

_Static_assert(SEVMON_MAX_CONNECTIONS == 1 << CONNECTION_BITS, "index bits");
_Static_assert(SEVMON_MAX_KEYS == 1 << IDS_BITS, "index bits");

static uint32_t draw_number(struct sevmon_agent *agent, unsigned int ids,
                            unsigned int connection)
{
    uint32_t count;

    /* 27 bits: comes round after more handshakes than live 180 s. */
    do {
        count = __atomic_add_fetch(&agent->handshakes, 1, __ATOMIC_RELAXED)
                << PLACE_BITS;
    } while ( !count );

    return count | (ids << CONNECTION_BITS) | connection;
}

/* NULL for an IDS without a key. */
static struct sevmon_ids *ids_of(struct sevmon_agent *agent, uint32_t number)
{
    unsigned int index =
        (number >> CONNECTION_BITS) & (SEVMON_MAX_KEYS - 1);

    if ( index >= agent->keys )
        return NULL;

    return &agent->ids[array_index_nospec(index, agent->keys)];
}

static struct sevmon_connection *connection_of(struct sevmon_ids *ids,
                                               uint32_t number)
{
    return &ids->connection[number & (SEVMON_MAX_CONNECTIONS - 1)];
}

static uint64_t elapsed_ns(uint64_t since_ns, uint64_t now_ns)
{
    /* Another CPU may have read the clock later and got the lock first. */
    return now_ns > since_ns ? now_ns - since_ns : 0;
}

/*
 * Every response is longer than its request, so its direction reaches the
 * limit first.  A message costs its body's blocks and one for the tag.
 */
static bool is_exhausted(const struct sevmon_session *session)
{
    uint64_t blocks =
        SEVMON_RESPONSE_BODY_BYTES(session->size_class) /
        SEVMON_AES_BLOCK_BYTES + 1;

    return session->messages * blocks >= SEVMON_MAX_BLOCKS;
}

static void wipe_if(struct sevmon_session *session, bool over)
{
    if ( session->number && over )
        sevmon_wipe(session, sizeof(*session));
}

/* Wipe the sessions that are over.  Needs the IDS's lock. */
static void expire(struct sevmon_connection *connection, uint64_t now_ns)
{
    struct sevmon_session *pending = &connection->pending;
    struct sevmon_session *current = &connection->current;
    struct sevmon_session *previous = &connection->previous;

    wipe_if(pending, elapsed_ns(pending->accepted_ns, now_ns) >=
                     SEVMON_PENDING_SECONDS * NS_PER_SECOND);
    wipe_if(current, elapsed_ns(current->accepted_ns, now_ns) >=
                     SEVMON_EXPIRE_SECONDS * NS_PER_SECOND ||
                     is_exhausted(current));
    wipe_if(previous, elapsed_ns(previous->replaced_ns, now_ns) >=
                      SEVMON_GRACE_SECONDS * NS_PER_SECOND ||
                      elapsed_ns(previous->accepted_ns, now_ns) >=
                      SEVMON_EXPIRE_SECONDS * NS_PER_SECOND ||
                      is_exhausted(previous));
}

static bool is_free(const struct sevmon_connection *connection)
{
    return !connection->pending.number && !connection->current.number &&
           !connection->previous.number;
}

/* Needs the IDS's lock. */
static void expire_all(struct sevmon_ids *ids, uint64_t now_ns)
{
    unsigned int i;

    for ( i = 0; i < SEVMON_MAX_CONNECTIONS; i++ )
        expire(&ids->connection[i], now_ns);
}

/*
 * The connection with this id; else a free one; else the one that has been
 * idle for longest; else NULL.  Needs the IDS's lock.
 */
static struct sevmon_connection *find_room(
    struct sevmon_ids *ids, const uint8_t connection_id[SEVMON_ID_BYTES],
    uint64_t now_ns)
{
    struct sevmon_connection *room = NULL;
    struct sevmon_connection *idlest = NULL;
    unsigned int i;

    for ( i = 0; i < SEVMON_MAX_CONNECTIONS; i++ )
    {
        struct sevmon_connection *connection = &ids->connection[i];

        if ( is_free(connection) )
            room = room ? room : connection;
        else if ( sevmon_equal(connection->id, connection_id,
                               SEVMON_ID_BYTES) )
            return connection;
        else if ( !idlest || connection->active_ns < idlest->active_ns )
            idlest = connection;
    }
    if ( room )
        return room;
    if ( elapsed_ns(idlest->active_ns, now_ns) <
         SEVMON_IDLE_SECONDS * NS_PER_SECOND )
        return NULL;

    return idlest;
}

uint16_t sevmon_session_add(struct sevmon_agent *agent,
                            struct sevmon_ids *ids,
                            const struct sevmon_new_session *new_session,
                            uint32_t *number)
{
    struct sevmon_connection *connection;
    struct sevmon_session *pending;

    sevmon_lock(&ids->lock);
    expire_all(ids, new_session->now_ns);
    connection = find_room(ids, new_session->connection_id,
                           new_session->now_ns);
    if ( !connection )
    {
        sevmon_unlock(&ids->lock);
        return SEVMON_ACCEPT_BUSY;
    }

    *number = draw_number(agent, ids - agent->ids,
                          connection - ids->connection);
    if ( !sevmon_equal(connection->id, new_session->connection_id,
                       SEVMON_ID_BYTES) || is_free(connection) )
    {
        sevmon_wipe(connection, sizeof(*connection));
        memcpy(connection->id, new_session->connection_id, SEVMON_ID_BYTES);
    }
    if ( !connection->has_requested )
        connection->active_ns = new_session->now_ns;

    pending = &connection->pending;
    memset(pending, 0, sizeof(*pending));
    pending->number = *number;
    pending->size_class = new_session->size_class;
    pending->accepted_ns = new_session->now_ns;
    memcpy(pending->request_key, new_session->request_key,
           SEVMON_AES_KEY_BYTES);
    memcpy(pending->response_key, new_session->response_key,
           SEVMON_AES_KEY_BYTES);
    sevmon_unlock(&ids->lock);

    return SEVMON_ACCEPT_OK;
}

/* NULL, or a session that is not over.  Needs the IDS's lock. */
static struct sevmon_session *find_session(
    struct sevmon_connection *connection, uint32_t number)
{
    /* A count of zero is in no number: what is wiped is never found. */
    if ( !(number >> PLACE_BITS) )
        return NULL;
    if ( connection->current.number == number )
        return &connection->current;
    if ( connection->pending.number == number )
        return &connection->pending;
    if ( connection->previous.number == number )
        return &connection->previous;

    return NULL;
}

bool sevmon_session_view(struct sevmon_agent *agent, uint32_t number,
                         uint64_t now_ns, struct sevmon_session_view *view)
{
    struct sevmon_ids *ids = ids_of(agent, number);
    struct sevmon_connection *connection;
    const struct sevmon_session *session;

    if ( !ids )
        return false;
    connection = connection_of(ids, number);

    sevmon_lock(&ids->lock);
    expire_all(ids, now_ns);
    session = find_session(connection, number);
    if ( session )
    {
        view->ids = ids;
        view->connection = connection;
        view->number = number;
        view->size_class = session->size_class;
        memcpy(view->connection_id, connection->id, SEVMON_ID_BYTES);
        memcpy(view->request_key, session->request_key,
               SEVMON_AES_KEY_BYTES);
        memcpy(view->response_key, session->response_key,
               SEVMON_AES_KEY_BYTES);
    }
    sevmon_unlock(&ids->lock);

    return session;
}

/* The window slides up to `n`: the numbers between are not seen yet. */
static void slide_window(struct sevmon_session *session, uint64_t n)
{
    uint64_t word = session->highest / 64;
    uint64_t last = n / 64;

    /* Beyond one round every word is cleared already. */
    if ( last - word > SEVMON_WINDOW_WORDS )
        word = last - SEVMON_WINDOW_WORDS;
    while ( word < last )
        session->window[++word % SEVMON_WINDOW_WORDS] = 0;
    session->highest = n;
}

/* True, and `n` is marked, if it was not and is not below the window. */
static bool mark(struct sevmon_session *session, uint64_t n)
{
    uint64_t *word = &session->window[(n / 64) % SEVMON_WINDOW_WORDS];
    uint64_t bit = 1ULL << (n % 64);

    if ( n > session->highest )
        slide_window(session, n);
    else if ( session->highest - n > SEVMON_WINDOW_BITS || (*word & bit) )
        return false;
    *word |= bit;

    return true;
}

/* pending -> current -> previous.  Needs the IDS's lock. */
static void confirm(struct sevmon_connection *connection, uint64_t now_ns)
{
    connection->previous = connection->current;
    connection->previous.replaced_ns = now_ns;
    connection->current = connection->pending;
    sevmon_wipe(&connection->pending, sizeof(connection->pending));
}

enum sevmon_take sevmon_session_take(const struct sevmon_session_view *view,
                                     uint64_t n, uint64_t now_ns)
{
    struct sevmon_ids *ids = view->ids;
    struct sevmon_connection *connection = view->connection;
    enum sevmon_take result = SEVMON_TAKE_OK;
    struct sevmon_session *session;

    sevmon_lock(&ids->lock);
    /* Anything may have happened since the view was copied. */
    expire_all(ids, now_ns);
    session = find_session(connection, view->number);
    if ( !session )
        result = SEVMON_TAKE_EXPIRED;
    else if ( !mark(session, n) )
        result = SEVMON_TAKE_REPLAYED;
    else
    {
        session->messages++;
        connection->active_ns = now_ns;
        connection->has_requested = true;
        if ( session == &connection->pending )
            confirm(connection, now_ns);
    }
    sevmon_unlock(&ids->lock);

    return result;
}

void sevmon_session_close(const struct sevmon_session_view *view)
{
    struct sevmon_ids *ids = view->ids;
    struct sevmon_connection *connection = view->connection;

    sevmon_lock(&ids->lock);
    if ( sevmon_equal(connection->id, view->connection_id, SEVMON_ID_BYTES) )
        sevmon_wipe(connection, sizeof(*connection));
    sevmon_unlock(&ids->lock);
}
