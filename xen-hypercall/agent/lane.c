/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "lane.h"
#include "agent-state.h"

#define MOST_RESPONSE_BYTES SEVMON_SHM_RECORD_BYTES(SEVMON_MAX_FRAME_BYTES)

_Static_assert(MOST_RESPONSE_BYTES <= SEVMON_SHM_RESPONSE_BYTES &&
               SEVMON_SHM_RECORD_BYTES(SEVMON_REQUEST_FRAME_BYTES) <=
               SEVMON_SHM_REQUEST_BYTES, "any record fits its ring");
_Static_assert(!(SEVMON_SHM_REQUEST_BYTES & (SEVMON_SHM_REQUEST_BYTES - 1)) &&
               !(SEVMON_SHM_RESPONSE_BYTES & (SEVMON_SHM_RESPONSE_BYTES - 1)),
               "what an index is masked with");
_Static_assert(sizeof(struct sevmon_envelope) == SEVMON_SHM_ALIGN,
               "an envelope never goes round a ring's end");

/* Copies of what the client writes, each read once. */
struct said {
    uint32_t claim;
    uint32_t request_tail;
    uint32_t response_head;
};

static struct sevmon_shm_agent *agent_line(const struct sevmon_lane *lane)
{
    return (struct sevmon_shm_agent *)
           (lane->memory + SEVMON_SHM_AGENT_OFFSET);
}

static const struct sevmon_shm_ids *ids_line(const struct sevmon_lane *lane)
{
    return (const struct sevmon_shm_ids *)
           (lane->memory + SEVMON_SHM_IDS_OFFSET);
}

static uint32_t load(const uint32_t *shared)
{
    return __atomic_load_n(shared, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *shared, uint32_t value)
{
    __atomic_store_n(shared, value, __ATOMIC_RELEASE);
}

/*
 * Out of a ring, once: without the barrier the compiler could use the shared
 * bytes a second time in place of its copy.
 */
static void copy_out(const struct sevmon_lane *lane, void *to, uint32_t index,
                     uint32_t bytes)
{
    const uint8_t *ring = lane->memory + SEVMON_SHM_REQUEST_OFFSET;
    uint32_t at = index & (SEVMON_SHM_REQUEST_BYTES - 1);
    uint32_t first = SEVMON_SHM_REQUEST_BYTES - at;

    if ( first > bytes )
        first = bytes;
    memcpy(to, ring + at, first);
    memcpy((uint8_t *)to + first, ring, bytes - first);
    __asm__ volatile ( "" : : "r" (to) : "memory" );
}

static void copy_in(const struct sevmon_lane *lane, uint32_t index,
                    const void *from, uint32_t bytes)
{
    uint8_t *ring = lane->memory + SEVMON_SHM_RESPONSE_OFFSET;
    uint32_t at = index & (SEVMON_SHM_RESPONSE_BYTES - 1);
    uint32_t first = SEVMON_SHM_RESPONSE_BYTES - at;

    if ( first > bytes )
        first = bytes;
    memcpy(ring + at, from, first);
    memcpy(ring, (const uint8_t *)from + first, bytes - first);
}

/*
 * The claim last: a client that comes takes the old one away before it sets the
 * indices back, so indices are those of the claim that is read after them.
 */
static void look(const struct sevmon_lane *lane, struct said *said)
{
    const struct sevmon_shm_ids *ids = ids_line(lane);

    said->request_tail = load(&ids->request_tail);
    said->response_head = load(&ids->response_head);
    said->claim = load(&ids->claim);
}

/* The claim first, so that nobody takes the rest for indices of his. */
static void clear(struct sevmon_lane *lane)
{
    store(&agent_line(lane)->accepted, 0);
    memset(lane->memory, 0, SEVMON_SHM_CONTROL_BYTES);
}

void sevmon_lane_init(struct sevmon_lane *lane, void *memory,
                      unsigned int lanes)
{
    struct sevmon_shm_agent *line;

    memset(lane, 0, sizeof(*lane));
    lane->memory = memory;
    clear(lane);
    line = agent_line(lane);
    line->version = SEVMON_SHM_VERSION;
    line->lanes = lanes;
    __atomic_store_n(&line->magic, SEVMON_SHM_MAGIC, __ATOMIC_RELEASE);
}

void sevmon_lane_end(struct sevmon_lane *lane)
{
    lane->claim = 0;
    lane->serves = false;
    clear(lane);
}

void sevmon_lane_set_poll(struct sevmon_lane *lane, uint32_t poll_ns)
{
    store(&agent_line(lane)->poll_ns, poll_ns);
}

static bool is_within(uint32_t used, uint32_t ring_bytes)
{
    return used <= ring_bytes && !(used & (SEVMON_SHM_ALIGN - 1));
}

/* Of a ring whose index can be one: see answer(). */
static bool has_room(uint32_t used)
{
    return SEVMON_SHM_RESPONSE_BYTES - used >= MOST_RESPONSE_BYTES;
}

/*
 * A client that takes no answers has nothing to be done for it, however much it
 * asks.  An index that cannot be one is: it ends the lane.
 */
bool sevmon_lane_is_due(const struct sevmon_lane *lane)
{
    const struct sevmon_shm_ids *ids = ids_line(lane);
    uint32_t used;

    if ( load(&ids->claim) != lane->claim )
        return true;
    if ( !lane->serves )
        return false;
    if ( lane->runs )
        return true;
    used = lane->response_tail - load(&ids->response_head);

    return load(&ids->request_tail) != lane->request_head &&
           (!is_within(used, SEVMON_SHM_RESPONSE_BYTES) || has_room(used));
}

/* A run of the former client's is given up, as one that Dom0 abandons. */
static void greet(struct sevmon_lane *lane, uint32_t claim)
{
    struct sevmon_shm_agent *line = agent_line(lane);

    store(&line->accepted, 0);
    lane->claim = claim;
    lane->serves = claim != 0;
    lane->runs = false;
    lane->request_head = 0;
    lane->response_tail = 0;
    store(&line->request_head, 0);
    store(&line->response_tail, 0);
    store(&line->accepted, claim);
}

/* Nothing that this client can say from here on is understood. */
static void drop(struct sevmon_agent *agent, struct sevmon_lane *lane)
{
    sevmon_count(agent, SEVMON_COUNT_MALFORMED);
    lane->serves = false;
    lane->runs = false;
    store(&agent_line(lane)->accepted, 0);
}

/* The sealed answer or a notice; there is room. */
static void put(struct sevmon_lane *lane, const struct sevmon_work *work,
                int rc)
{
    static const uint8_t zeros[SEVMON_SHM_ALIGN];
    struct sevmon_envelope envelope = { .tag = lane->tag };
    uint32_t at = lane->response_tail + sizeof(envelope);

    if ( rc > 0 )
        envelope.bytes = rc;
    else if ( rc == -EBUSY )
        envelope.status = SEVMON_NOTICE_BUSY;
    else
        envelope.status = SEVMON_NOTICE_REJECTED;

    copy_in(lane, lane->response_tail, &envelope, sizeof(envelope));
    copy_in(lane, at, sevmon_work_out(work), envelope.bytes);
    lane->response_tail += SEVMON_SHM_RECORD_BYTES(envelope.bytes);
    at += envelope.bytes;
    copy_in(lane, at, zeros, lane->response_tail - at);
    store(&agent_line(lane)->response_tail, lane->response_tail);
}

static enum sevmon_lane_state finish(struct sevmon_lane *lane,
                                     const struct sevmon_work *work, int rc)
{
    lane->runs = rc == -ERESTART;
    if ( lane->runs )
    {
        lane->token = sevmon_work_token(work);
        return SEVMON_LANE_RUNNING;
    }
    put(lane, work, rc);

    return SEVMON_LANE_ANSWERED;
}

/*
 * Copy the record that begins the `waiting` bytes into private memory.  Returns
 * the frame's size, or 0: it cannot be one.
 */
static uint32_t take(struct sevmon_lane *lane, struct sevmon_work *work,
                     uint32_t waiting)
{
    struct sevmon_envelope envelope;
    uint8_t padding[SEVMON_SHM_ALIGN];
    uint32_t at = lane->request_head, bytes, record, end;

    copy_out(lane, &envelope, at, sizeof(envelope));
    bytes = envelope.bytes;
    if ( envelope.status || envelope.zero ||
         bytes < sizeof(struct sevmon_header) ||
         bytes > SEVMON_REQUEST_FRAME_BYTES )
        return 0;
    bytes = array_index_nospec(bytes, SEVMON_REQUEST_FRAME_BYTES + 1);
    record = SEVMON_SHM_RECORD_BYTES(bytes);
    if ( record > waiting )
        return 0;

    copy_out(lane, sevmon_work_in(work), at + sizeof(envelope), bytes);
    end = sizeof(envelope) + bytes;
    copy_out(lane, padding, at + end, record - end);
    if ( !sevmon_is_zero(padding, record - end) )
        return 0;
    lane->tag = envelope.tag;
    lane->request_head += record;
    store(&agent_line(lane)->request_head, lane->request_head);

    return bytes;
}

/* A frame of so many bytes; 0: go on with the lane's run. */
static enum sevmon_lane_state run(struct sevmon_agent *agent,
                                  struct sevmon_lane *lane,
                                  struct sevmon_work *work, uint32_t bytes)
{
    int rc;

    /* Dom0's hypercall must not end what it was not asked to carry. */
    sevmon_work_set_way(work, lane);
    rc = bytes ? sevmon_agent_frame(agent, work, bytes)
               : sevmon_agent_continue(agent, work, lane->token);
    sevmon_work_set_way(work, NULL);

    return finish(lane, work, rc);
}

static enum sevmon_lane_state answer(struct sevmon_agent *agent,
                                     struct sevmon_lane *lane,
                                     struct sevmon_work *work,
                                     const struct said *said)
{
    uint32_t waiting = said->request_tail - lane->request_head;
    uint32_t used = lane->response_tail - said->response_head;
    uint32_t bytes;

    if ( !is_within(waiting, SEVMON_SHM_REQUEST_BYTES) ||
         !is_within(used, SEVMON_SHM_RESPONSE_BYTES) )
    {
        drop(agent, lane);
        return SEVMON_LANE_NOTHING;
    }
    if ( !waiting )
        return SEVMON_LANE_NOTHING;
    /* Whatever the answer, it will not have to be kept anywhere else. */
    if ( !has_room(used) )
        return SEVMON_LANE_BLOCKED;

    bytes = take(lane, work, waiting);
    if ( !bytes )
    {
        drop(agent, lane);
        return SEVMON_LANE_NOTHING;
    }

    return run(agent, lane, work, bytes);
}

enum sevmon_lane_state sevmon_lane_poll(struct sevmon_agent *agent,
                                        struct sevmon_lane *lane,
                                        struct sevmon_work *work)
{
    struct said said;

    look(lane, &said);
    if ( said.claim != lane->claim )
    {
        greet(lane, said.claim);
        return SEVMON_LANE_ANSWERED;
    }
    if ( !lane->serves )
        return SEVMON_LANE_NOTHING;
    if ( lane->runs )
        return run(agent, lane, work, 0);

    return answer(agent, lane, work, &said);
}
