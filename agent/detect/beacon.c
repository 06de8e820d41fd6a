/* Beacons: connections to one public address and port in regular intervals with little in them, as implants ask their masters for orders. Many programs do
 * the same for good reasons (metrics, licences, cron jobs), so that regularity alone is not told. It must come with one of these:
 *   - the program is new in its container, runs from memory, was deleted, or is a shell that connects by itself;
 *   - the address was never an answer of DNS, in a container whose DNS was seen from its start: somebody wrote the bare address down.
 * And other kinds of containers on this host must not go there as well: what all of them call is the platform. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/network.h"
#include "common/clock.h"
#include "common/text.h"

#define CONNECTIONS_MIN 13
#define TOGETHER_NS (2 * NS_PER_SECOND) /* connections this close are one beat */
#define INTERVAL_MIN_MS 5000
#define INTERVAL_MAX_MS (4 * 3600 * 1000u)
#define JITTER 5                   /* the median deviation from the median interval is at most a fifth of it */
#define SENT_MAX (32u << 10)       /* bytes of a connection, on average */
#define GOT_MAX (128u << 10)
#define FLEET_KINDS 3
#define AGAIN_NS (6 * 3600 * NS_PER_SECOND)
#define WAIT_OWNER_NS (200 * NS_PER_MS)

struct far {
    uint64_t key; /* 0 = free */
    uint64_t first_ns, last_ns, told_ns;
    uint32_t n, n_ended;
    uint64_t sent, got;
    bool named, waiting;
    uint32_t intervals_ms[LIMIT_BEACON_INTERVALS]; /* a circle */
};

struct caller {
    uint64_t dns_ns; /* when it was first seen to use DNS */
    struct far fars[LIMIT_BEACON_FARS];
};

/* Which kinds of containers (families, images) call one address. */
struct fleet {
    uint64_t key, last_ns;
    uint64_t kinds[FLEET_KINDS];
    uint8_t n_kinds;
};

struct about { /* in the note of a waiting decision */
    uint64_t key;
    int32_t scope;
};

struct state {
    struct hash_key key;
    struct net_slots slots;
    struct caller callers[LIMIT_NET_CONTAINERS];
    struct fleet fleet[LIMIT_BEACON_FLEET];
};

/* ---- regularity --------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t median(uint32_t *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return n % 2 ? values[n / 2] : values[n / 2 - 1] / 2 + values[n / 2] / 2;
}

struct rhythm {
    uint32_t interval_ms, deviation_ms;
};

static struct rhythm rhythm_of(const struct far *a)
{
    uint32_t values[LIMIT_BEACON_INTERVALS];
    size_t n = a->n - 1 < LIMIT_BEACON_INTERVALS ? a->n - 1 : LIMIT_BEACON_INTERVALS;
    struct rhythm r;
    memcpy(values, a->intervals_ms, n * sizeof *values);
    r.interval_ms = median(values, n);
    for (size_t i = 0; i < n; i++)
        values[i] = values[i] > r.interval_ms ? values[i] - r.interval_ms : r.interval_ms - values[i];
    r.deviation_ms = median(values, n);
    return r;
}

static bool is_regular(const struct far *a)
{
    if (a->n < CONNECTIONS_MIN)
        return false;
    if (a->n_ended && (a->sent / a->n_ended > SENT_MAX || a->got / a->n_ended > GOT_MAX))
        return false;
    struct rhythm r = rhythm_of(a);
    return r.interval_ms >= INTERVAL_MIN_MS && r.interval_ms <= INTERVAL_MAX_MS && r.deviation_ms <= r.interval_ms / JITTER;
}

/* ---- the fleet ---------------------------------------------------------------------------------------------------- */

static uint64_t kind_of(const struct state *state, const struct container_facts *c)
{
    const char *kind = !c ? "host" : c->family[0] ? c->family : c->image[0] ? c->image : c->container_id;
    return hash_bytes(&state->key, kind, strlen(kind)) | 1;
}

static struct fleet *fleet_of(struct state *state, uint64_t key)
{
    return &state->fleet[key % LIMIT_BEACON_FLEET];
}

/* True if the address is called by other kinds of containers too. */
static bool is_of_fleet(struct state *state, uint64_t key)
{
    const struct fleet *f = fleet_of(state, key);
    return f->key == key && f->n_kinds == FLEET_KINDS;
}

static void fleet_note(struct state *state, uint64_t key, const struct step *s)
{
    struct fleet *f = fleet_of(state, key);
    uint64_t kind = kind_of(state, s->container);
    if (f->key != key) {
        if (f->key && s->ev->time_ns - f->last_ns < 3600 * NS_PER_SECOND)
            return; /* one that was called lately stays */
        *f = (struct fleet){ .key = key };
    }
    f->last_ns = s->ev->time_ns;
    for (int i = 0; i < f->n_kinds; i++)
        if (f->kinds[i] == kind)
            return;
    if (f->n_kinds < FLEET_KINDS)
        f->kinds[f->n_kinds++] = kind;
}

/* ---- reporting ---------------------------------------------------------------------------------------------------- */

static const char *suspicion_of(const struct detection *d, const struct pending *p, const struct process *owner)
{
    const struct image *image = owner ? owner->image : NULL;
    if (!image)
        return NULL;
    if (image_is_fileless(image))
        return "its program runs from memory or was deleted";
    if (image_is_new_in(d, owner_container(p, owner), image))
        return "its program was written after the container started";
    return image_is_shell(image) ? "a shell holds the connection itself" : NULL;
}

/* DNS of this container was watched before it could ask for anything. */
static bool address_is_bare(const struct detection *d, const struct caller *caller, const struct far *a, int32_t id)
{
    const struct container_facts *c = container_by_id(d->containers, id);
    if (a->named || !caller->dns_ns || !c || !c->started_wall_ns)
        return false;
    return c->started_wall_ns - (uint64_t)d->wall_offset_ns >= d->began_ns;
}

static void report(struct detection *d, const struct pending *p, const struct far *a, const struct process *owner, const char *why,
                   bool suspicious)
{
    char address[46], key[64];
    struct rhythm r = rhythm_of(a);
    struct finding *f = detection_begin(d, p->detector, owner, owner ? owner->image : NULL, owner_container(p, owner), p->time_ns, p->event_id);
    json_t *e = json_object();
    address_format(&p->dst, address);
    evidence_address(e, "remote", &p->dst, p->dport);
    json_object_set_new(e, "protocol", json_string(ip_proto_name(p->proto)));
    json_object_set_new(e, "connections", json_integer(a->n));
    json_object_set_new(e, "interval_seconds", json_real((double)(r.interval_ms / 100) / 10));
    json_object_set_new(e, "deviation_seconds", json_real((double)(r.deviation_ms / 100) / 10));
    if (a->n_ended) {
        json_object_set_new(e, "bytes_out_average", json_integer((json_int_t)(a->sent / a->n_ended)));
        json_object_set_new(e, "bytes_in_average", json_integer((json_int_t)(a->got / a->n_ended)));
    }
    evidence_time(e, "first", a->first_ns + (uint64_t)d->wall_offset_ns);
    json_object_set_new(e, "why", json_string(why));
    json_object_set_new(e, "process_known", json_boolean(owner != NULL));
    if (suspicious)
        f->severity = SEVERITY_MEDIUM;
    finding_printf(f, FT_DESCRIPTION, "%s connected %u times to %s port %u, every %.1f s with a deviation of %.1f s; %s.",
                   owner ? owner->comm : p->container ? "The container" : "The host", a->n, address, p->dport, r.interval_ms / 1000.0,
                       r.deviation_ms / 1000.0, why);
    snprintf(key, sizeof key, "%s:%u", address, p->dport);
    detection_end(d, f, key, e);
}

static struct far *far_find(struct caller *c, uint64_t key)
{
    for (int i = 0; i < LIMIT_BEACON_FARS; i++)
        if (c->fars[i].key == key)
            return &c->fars[i];
    return NULL;
}

static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    struct state *state = detection_state(d, p->detector);
    struct about about;
    memcpy(&about, p->note, sizeof about);
    int at = net_slots_find(&state->slots, about.scope);
    struct far *a = at < 0 ? NULL : far_find(&state->callers[at], about.key);
    if (!a)
        return 0;
    struct process *owner = owner_of(d, p);
    if (!owner && !p->answered && now_ns < p->time_ns + WAIT_OWNER_NS && now_ns < p->deadline_ns)
        return p->time_ns + WAIT_OWNER_NS;
    a->waiting = false;
    const char *why = suspicion_of(d, p, owner);
    bool suspicious = why != NULL;
    if (!why && address_is_bare(d, &state->callers[at], a, p->container))
        why = "the address was never an answer of DNS";
    if (!why)
        return 0;
    a->told_ns = now_ns;
    report(d, p, a, owner, why, suspicious);
    return 0;
}

/* ---- flows -------------------------------------------------------------------------------------------------------- */

/* The one with the fewest connections gives way, of these the one quiet for longest. What is silent for long counts as new. */
static struct far *far_take(struct detection *d, struct caller *c, uint64_t key, uint64_t now_ns)
{
    struct far *a = far_find(c, key), *least = NULL;
    if (a)
        return a;
    for (int i = 0; i < LIMIT_BEACON_FARS; i++) {
        a = &c->fars[i];
        bool stale = now_ns - a->last_ns > 2 * (uint64_t)INTERVAL_MAX_MS * NS_PER_MS;
        if (!a->key || (stale && !a->waiting)) {
            least = a;
            break;
        }
        if (!a->waiting && (!least || a->n < least->n || (a->n == least->n && a->last_ns < least->last_ns)))
            least = a;
    }
    if (!least)
        return NULL;
    d->n_forgotten += least->key != 0;
    *least = (struct far){ .key = key, .first_ns = now_ns };
    return least;
}

static void begin(struct detection *d, const struct detector *self, struct state *state, struct caller *c, const struct step *s, uint64_t key)
{
    const struct event *ev = s->ev;
    struct far *a = far_take(d, c, key, ev->time_ns);
    if (!a)
        return;
    fleet_note(state, key, s);
    a->named |= event_knows(ev, F_DOMAIN);
    uint64_t since_ns = ev->time_ns - a->last_ns;
    if (a->n && since_ns < TOGETHER_NS)
        return;
    if (a->n)
        a->intervals_ms[(a->n - 1) % LIMIT_BEACON_INTERVALS] = (uint32_t)(since_ns / NS_PER_MS < UINT32_MAX ? since_ns / NS_PER_MS : UINT32_MAX);
    a->last_ns = ev->time_ns;
    a->n++;
    if (a->waiting || (a->told_ns && ev->time_ns - a->told_ns < AGAIN_NS) || !is_regular(a) || is_of_fleet(state, key) ||
        address_is_trusted(d, &ev->dst))
        return;
    struct pending *p = owner_wait(d, self, s, ev->time_ns + WAIT_OWNER_NS);
    memcpy(p->note, &(struct about){ .key = key, .scope = net_scope(s) }, sizeof(struct about));
    a->waiting = true;
}

static bool is_looked_at(const struct event *ev)
{
    return ev->direction == DIRECTION_OUT && (ev->proto == IPPROTO_TCP || ev->proto == IPPROTO_UDP) && ev->dport != 53 &&
        ev->dport != 123 && ev->dport != 853 &&
           address_is_public(&ev->dst);
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    const struct event *ev = s->ev;
    bool fresh = false, flow = ev->kind == EVENT_FLOW && ev->flow_phase != FLOW_UPDATE && is_looked_at(ev);
    if (!flow && ev->kind != EVENT_DNS)
        return;
    struct state *state = detection_state(d, self);
    if (!state->key.k0)
        state->key = hash_key_random();
    bool make = ev->kind == EVENT_DNS || ev->flow_phase == FLOW_NEW;
    int32_t id = net_scope(s);
    int at = make ? net_slots_take(d, &state->slots, id, ev->time_ns, &fresh) : net_slots_find(&state->slots, id);
    if (at < 0)
        return;
    struct caller *c = &state->callers[at];
    if (fresh)
        memset(c, 0, sizeof *c);
    if (ev->kind == EVENT_DNS) {
        if (!c->dns_ns)
            c->dns_ns = ev->time_ns;
        return;
    }
    uint64_t key = (address_hash(&state->key, &ev->dst) ^ ((uint64_t)ev->proto << 16 | ev->dport)) | 1;
    struct far *a = ev->flow_phase == FLOW_END ? far_find(c, key) : NULL;
    if (ev->flow_phase == FLOW_NEW)
        begin(d, self, state, c, s, key);
    if (a && event_knows(ev, F_BYTES_OUT)) {
        a->n_ended++;
        a->sent += ev->bytes_out;
        a->got += ev->bytes_in;
    }
}

const struct detector detector_beacon = {
    .rule = "beacon",
    .type = "Backdoor:Runtime/Beacon",
    .severity = SEVERITY_LOW,
    .mitre = "TA0011 T1071 T1573 T1029",
    .title = "Small connections to one public address in regular intervals, by a program or to an address that is out of place",
    .advice = "See what the program is and who wrote it, and all that went to the address: ecsguardctl flows. Regular calls of a service "
              "of yours: put its address on a "
              "trusted list, or let the program use its name.",
    .condition = "A container or the host connects at least 13 times to one public address and port; of the last 12 to 16 intervals the "
                 "median is 5 s to 4 h and the "
                 "median deviation from it at most a fifth of it; connections carry at most 32 KiB out and 128 KiB in on average. And "
                 "(medium severity) the "
                 "program was written after its container started, runs from memory, was deleted, or is a shell; or (low severity) the "
                 "address was never an "
                 "answer of DNS, in a container that uses DNS and was watched from its start. Left out: trusted lists, addresses that "
                 "three different task "
                 "families or images of the host call, ports 53, 123 and 853. Told at most every 6 hours for one address.",
    .limits = "Regular calls by a program of the image to a name are ordinary and not told. Jitter of more than about 40 % in each "
              "direction, one connection that is "
              "kept open, and changing addresses hide a beacon. The program is known when it still holds the socket when asked.",
    .needs = FILL_FLOW,
    .helps = FILL_CGROUP | FILL_DNS | FILL_EXEC | FILL_FILE,
    .on = ON(FLOW) | ON(DNS),
    .event = event,
    .due = due,
    .state_bytes = sizeof(struct state),
};
