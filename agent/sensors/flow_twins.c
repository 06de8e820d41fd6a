#include "agent/sensors/flow_twins.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define WAYS 8 /* entries of one set; a new flow takes the place of the least useful of them */
#define SETS (LIMIT_FLOW_TWINS / WAYS)
#define PAIR (1u << 31)

enum {
    HOST_ENDED = 1,
    CONTAINER_ENDED = 2,
    COUNTED = 4,      /* bytes were told */
    HAS_COUNTERS = 8, /* counters[] holds the host's */
};

int flow_twins_init(struct flow_twins *t, struct hash_key key)
{
    memset(t, 0, sizeof *t);
    t->hash = key;
    t->twins = calloc(LIMIT_FLOW_TWINS, sizeof *t->twins);
    t->keys = aligned_alloc(64, LIMIT_FLOW_TWINS * sizeof *t->keys);
    t->worth = aligned_alloc(64, LIMIT_FLOW_TWINS * sizeof *t->worth);
    if (!t->twins || !t->keys || !t->worth) {
        flow_twins_fini(t);
        return -ENOMEM;
    }
    memset(t->keys, 0, LIMIT_FLOW_TWINS * sizeof *t->keys);
    memset(t->worth, 0, LIMIT_FLOW_TWINS * sizeof *t->worth);
    return 0;
}

void flow_twins_fini(struct flow_twins *t)
{
    free(t->twins);
    free(t->keys);
    free(t->worth);
    t->twins = NULL;
    t->keys = NULL;
    t->worth = NULL;
}

static bool address_is_local(const struct address *a)
{
    static const uint8_t zero[15];
    if (a->family == 4) /* 169.254.0.0/16 is no exception: ECS routes it from the tasks through the host, each with its own source */
        return a->bytes[0] == 127 || a->bytes[0] == 0;
    return (a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80) || (!memcmp(a->bytes, zero, 15) && a->bytes[15] <= 1);
}

static uint64_t key_of(const struct flow_twins *t, uint8_t proto, const struct address *src, uint16_t sport, const struct address *dst,
                       uint16_t dport)
{
    uint8_t bytes[40] = { 0 };
    memcpy(bytes, src->bytes, 16);
    memcpy(bytes + 16, dst->bytes, 16);
    memcpy(bytes + 32, &sport, 2);
    memcpy(bytes + 34, &dport, 2);
    bytes[36] = proto;
    bytes[37] = src->family;
    uint64_t key = hash_bytes(&t->hash, bytes, sizeof bytes);
    return key ? key : 1;
}

static uint64_t original_key(const struct flow_twins *t, const struct event *ev)
{
    return key_of(t, ev->proto, &ev->src, ev->sport, &ev->dst, ev->dport);
}

/* The host translates the destination: what it forwards to the container is its reply tuple turned round. */
static bool is_redirected(const struct event *ev)
{
    return ev->nsid < 0 && event_knows(ev, F_REPLY_SRC) &&
           (!address_equal(&ev->dst, &ev->reply_src) || (ev->dport != ev->reply_sport && ev->proto != 1 && ev->proto != 58));
}

static uint64_t forwarded_key(const struct flow_twins *t, const struct event *ev)
{
    return key_of(t, ev->proto, &ev->reply_dst, ev->reply_dport, &ev->reply_src, ev->reply_sport);
}

static struct flow_twin *twin_find(const struct flow_twins *t, uint64_t key)
{
    size_t set = (key % SETS) * WAYS;
    for (size_t i = set; i < set + WAYS; i++)
        if (t->keys[i] == key)
            return &t->twins[i];
    return NULL;
}

static struct flow_twin *flow_find(const struct flow_twins *t, const struct event *ev)
{
    struct flow_twin *twin = twin_find(t, original_key(t, ev));
    return twin || !is_redirected(ev) ? twin : twin_find(t, forwarded_key(t, ev));
}

static bool is_pair(const struct flow_twin *twin)
{
    return twin->key && twin->host_id && twin->container_id;
}

/* How much an entry is worth keeping: nothing (0), a flow on its own (its twin would have come within milliseconds), a pair; of equals, that which
 * was seen last is worth more. Kept apart from the entries, so that finding a place reads a line of memory and not ten. */
static uint32_t worth_of(const struct flow_twin *twin)
{
    uint32_t seen_ms = (uint32_t)(twin->seen_ns / NS_PER_MS) & (PAIR - 1);
    return !twin->key ? 0 : (is_pair(twin) ? PAIR : 0) | (seen_ms ? seen_ms : 1);
}

static struct flow_twin *twin_place(struct flow_twins *t, uint64_t key)
{
    size_t set = (key % SETS) * WAYS, out = set;
    for (size_t i = set + 1; i < set + WAYS; i++)
        if (t->worth[i] < t->worth[out])
            out = i;
    t->evicted += is_pair(&t->twins[out]);
    return &t->twins[out];
}

static void twin_changed(struct flow_twins *t, const struct flow_twin *twin)
{
    t->keys[twin - t->twins] = twin->key;
    t->worth[twin - t->twins] = worth_of(twin);
}

static void twin_start(struct flow_twin *twin, uint64_t key, const struct event *ev)
{
    *twin = (struct flow_twin){ .key = key, .flow_id = ev->flow_id, .seen_ns = ev->time_ns, .nsid = ev->nsid };
    *(ev->nsid < 0 ? &twin->host_id : &twin->container_id) = ev->flow_id;
}

static bool knows_counters(const struct event *ev)
{
    return event_knows(ev, F_BYTES_OUT) || event_knows(ev, F_BYTES_IN);
}

static void counters_keep(struct flow_twin *twin, const struct event *ev)
{
    const uint64_t now[4] = { ev->bytes_out, ev->bytes_in, ev->packets_out, ev->packets_in };
    for (int i = 0; i < 4; i++)
        twin->counters[i] += now[i]; /* the host's may end and begin again while the container's goes on */
    twin->flags |= HAS_COUNTERS;
}

static void counters_give(const struct flow_twin *twin, struct event *ev)
{
    event_set(ev, F_BYTES_OUT, bytes_out, twin->counters[0]);
    event_set(ev, F_BYTES_IN, bytes_in, twin->counters[1]);
    event_set(ev, F_PACKETS_OUT, packets_out, twin->counters[2]);
    event_set(ev, F_PACKETS_IN, packets_in, twin->counters[3]);
}

/* The end of the host's twin, when the container's view is the one that is told. */
static bool pass_host_end(struct flow_twin *twin, struct event *ev)
{
    bool tell = false;
    twin->flags |= HOST_ENDED;
    if (knows_counters(ev) && !(twin->flags & COUNTED)) {
        counters_keep(twin, ev);
        tell = twin->flags & CONTAINER_ENDED;
    }
    if (tell) {
        counters_give(twin, ev);
        ev->flow_id = twin->flow_id;
        ev->nsid = twin->nsid;
    }
    if (twin->flags & CONTAINER_ENDED)
        twin->key = 0;
    return tell;
}

static bool pass_host(struct flow_twin *twin, struct event *ev)
{
    bool fresh = ev->flow_phase == FLOW_NEW && (twin->flags & CONTAINER_ENDED);
    if (!twin->container_id || fresh) {
        if (ev->flow_phase == FLOW_END)
            twin->key = 0;
        else if (fresh || twin->host_id != ev->flow_id)
            twin_start(twin, twin->key, ev);
        return true;
    }
    twin->host_id = ev->flow_id;
    twin->flags &= (uint8_t)~HOST_ENDED;
    return ev->flow_phase == FLOW_END && pass_host_end(twin, ev);
}

static bool pass_container_end(struct flow_twin *twin, struct event *ev)
{
    bool host_ended = !twin->host_id || twin->flags & HOST_ENDED;
    twin->flags |= CONTAINER_ENDED;
    if (knows_counters(ev))
        twin->flags |= COUNTED;
    else if (host_ended && twin->flags & HAS_COUNTERS)
        counters_give(twin, ev);
    if (host_ended)
        twin->key = 0;
    return true;
}

static bool pass_container(struct flow_twin *twin, struct event *ev)
{
    if (!twin->container_id) { /* the host's came first */
        twin->container_id = ev->flow_id;
        twin->nsid = ev->nsid;
        if (ev->flow_phase == FLOW_NEW)
            ev->flow_phase = FLOW_UPDATE;
    } else if (twin->container_id != ev->flow_id) {
        if (ev->flow_phase == FLOW_END || (twin->nsid != ev->nsid && !(twin->flags & CONTAINER_ENDED)))
            return true; /* another container's end of the flow */
        twin->container_id = twin->flow_id = ev->flow_id; /* same ports again */
        twin->nsid = ev->nsid;
        twin->flags &= HOST_ENDED;
        memset(twin->counters, 0, sizeof twin->counters);
    }
    ev->flow_id = twin->flow_id;
    return ev->flow_phase != FLOW_END || pass_container_end(twin, ev);
}

bool flow_twins_pass(struct flow_twins *t, struct event *ev)
{
    if (address_is_local(&ev->src) || address_is_local(&ev->dst))
        return true;
    uint64_t key = original_key(t, ev);
    struct flow_twin *twin = twin_find(t, key);
    if (!twin && is_redirected(ev)) {
        key = forwarded_key(t, ev);
        twin = twin_find(t, key);
    }
    if (!twin && ev->flow_phase != FLOW_END) {
        twin = twin_place(t, key);
        twin_start(twin, key, ev);
        twin_changed(t, twin);
        return true;
    }
    if (!twin)
        return true;
    twin->seen_ns = ev->time_ns;
    bool pass = ev->nsid < 0 ? pass_host(twin, ev) : pass_container(twin, ev);
    twin_changed(t, twin);
    t->dropped += !pass;
    return pass;
}

bool flow_twins_knows(const struct flow_twins *t, const struct event *ev)
{
    const struct flow_twin *twin = flow_find(t, ev);
    return twin && (twin->host_id == ev->flow_id || twin->container_id == ev->flow_id);
}
