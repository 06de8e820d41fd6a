/* UDP floods: a container (or the host) sends what hardly anybody answers, fast, to one public address: as many flows (a port each) or as many packets
 * of one flow. And services that multiply what others ask in a victim's name: large answers to small questions, to one address.
 *
 * A flow's packets are known when it ends and when it is looked at in between; how long it took is known from its begin. What is sent to private
 * addresses is what metrics, logs and traces are, and not looked at. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/network.h"
#include "common/clock.h"

#define WINDOW_NS (10 * NS_PER_SECOND)
#define FLOOD_FLOWS 5000          /* in a window */
#define FLOOD_FLOWS_AT_ONCE 2000  /* in a second: fewer than LIMIT_FLOW_BEGINS_AT_ONCE, because of a larger flood the kernel tells no more at first */
#define MARKS 4                   /* ... whose quarters are timed */
#define FLOOD_PACKETS 100000
#define FLOOD_PACKETS_SECOND 10000
#define ANSWERS_ONE_IN 20
#define WAIT_ANSWERS_NS NS_PER_SECOND
#define AGAIN_NS (300 * NS_PER_SECOND)
#define MIRROR_WINDOW_NS (60 * NS_PER_SECOND)
#define MIRROR_BYTES (10u << 20)
#define MIRROR_FACTOR 10
#define STARTS 4

struct target {
    uint64_t key; /* 0 = free */
    uint64_t window_ns, last_ns, told_ns;
    uint64_t flows, answered;         /* of the window */
    uint64_t asked_bytes, sent_bytes; /* of the window, inbound */
    uint64_t marks_ns[MARKS];         /* when the last quarters of FLOOD_FLOWS_AT_ONCE were full */
    uint32_t begun;                   /* flows, ever */
    struct address address;
    struct {
        uint64_t flow_id, time_ns;
    } starts[STARTS]; /* of the first flows of the window */
    uint8_t n_starts;
    bool waiting;
};

struct source {
    struct target targets[LIMIT_FLOOD_TARGETS];
};

struct state {
    struct hash_key key;
    struct net_slots slots;
    struct source sources[LIMIT_NET_CONTAINERS];
    struct flow_totals totals;
};

struct seen { /* in the note of a waiting decision */
    uint64_t key, packets, packets_in, bytes, per_second;
    uint64_t asked_bytes, sent_bytes;
    uint64_t burst_ns; /* when the first of FLOOD_FLOWS_AT_ONCE began; 0 = it is no burst */
    int32_t scope;
};

static struct target *target_find(struct source *s, uint64_t key)
{
    for (int i = 0; i < LIMIT_FLOOD_TARGETS; i++)
        if (s->targets[i].key == key)
            return &s->targets[i];
    return NULL;
}

static void target_turn(struct target *t, uint64_t now_ns, uint64_t length_ns)
{
    if (now_ns - t->window_ns < length_ns || t->waiting)
        return;
    t->window_ns = now_ns;
    t->flows = t->answered = t->asked_bytes = t->sent_bytes = 0;
    t->n_starts = 0;
}

/* In the place of the one with the fewest flows in a window, of these the one that was quiet the longest. */
static struct target *target_take(struct detection *d, struct source *s, uint64_t key, const struct address *address, uint64_t now_ns)
{
    struct target *t = target_find(s, key), *least = NULL;
    if (t)
        return t;
    for (int i = 0; i < LIMIT_FLOOD_TARGETS; i++) {
        t = &s->targets[i];
        target_turn(t, now_ns, MIRROR_WINDOW_NS);
        if (!t->waiting && (!least || t->flows < least->flows || (t->flows == least->flows && t->last_ns < least->last_ns)))
            least = t;
    }
    if (!least)
        return NULL;
    d->n_forgotten += least->key != 0;
    *least = (struct target){ .key = key, .window_ns = now_ns, .address = *address };
    return least;
}

static bool may_tell(const struct detection *d, const struct target *t, uint64_t now_ns)
{
    return !t->waiting && (!t->told_ns || now_ns - t->told_ns >= AGAIN_NS) && !address_is_trusted(d, &t->address);
}

static void wait_to_tell(struct detection *d, const struct detector *self, const struct step *s, struct target *t, struct seen *seen)
{
    struct pending *p = owner_wait(d, self, s, s->ev->time_ns + WAIT_ANSWERS_NS);
    seen->scope = net_scope(s);
    memcpy(p->note, seen, sizeof *seen);
    t->waiting = true;
}

/* ---- reporting ---------------------------------------------------------------------------------------------------- */

static void report_flood(struct detection *d, const struct pending *p, const struct target *t, const struct seen *seen)
{
    char address[46];
    struct process *owner = owner_of(d, p);
    struct finding *f = detection_begin(d, p->detector, owner, owner ? owner->image : NULL, owner_container(p, owner), p->time_ns, p->event_id);
    json_t *e = json_object();
    const char *who = owner ? owner->comm : p->container ? "The container" : "The host";
    address_format(&t->address, address);
    evidence_address(e, "remote", &t->address, p->dport);
    if (seen->packets) {
        json_object_set_new(e, "packets", json_integer((json_int_t)seen->packets));
        json_object_set_new(e, "packets_per_second", json_integer((json_int_t)seen->per_second));
        json_object_set_new(e, "packets_back", json_integer((json_int_t)seen->packets_in));
        json_object_set_new(e, "bytes", json_integer((json_int_t)seen->bytes));
        finding_printf(f, FT_DESCRIPTION, "%s sent %llu UDP packets to %s port %u, at least %llu per second; %llu came back.", who,
                       (unsigned long long)seen->packets, address, p->dport, (unsigned long long)seen->per_second,
                           (unsigned long long)seen->packets_in);
    } else {
        bool is_older = seen->burst_ns && seen->burst_ns < t->window_ns; /* than the window, which has turned meanwhile */
        uint64_t since_ns = is_older ? seen->burst_ns : t->window_ns;
        uint64_t flows = is_older && t->flows < FLOOD_FLOWS_AT_ONCE ? FLOOD_FLOWS_AT_ONCE : t->flows;
        json_object_set_new(e, "flows", json_integer((json_int_t)flows));
        json_object_set_new(e, "answered", json_integer((json_int_t)t->answered));
        evidence_time(e, "since", since_ns + (uint64_t)d->wall_offset_ns);
        finding_printf(f, FT_DESCRIPTION, "%s began at least %llu UDP flows to %s within %llu s; %llu were answered.", who,
                       (unsigned long long)flows, address, (unsigned long long)((t->last_ns - since_ns) / NS_PER_SECOND + 1),
                       (unsigned long long)t->answered);
    }
    json_object_set_new(e, "process_known", json_boolean(owner != NULL));
    detection_end(d, f, address, e);
}

static void report_mirror(struct detection *d, const struct pending *p, const struct target *t, const struct seen *seen)
{
    char address[46], key[64];
    struct finding *f = detection_begin(d, p->detector, NULL, NULL, p->container, p->time_ns, p->event_id);
    json_t *e = json_object();
    address_format(&t->address, address);
    json_object_set_new(e, "amplification", json_true());
    json_object_set_new(e, "victim", json_string(address));
    json_object_set_new(e, "port", json_integer(p->dport));
    json_object_set_new(e, "asked_bytes", json_integer((json_int_t)seen->asked_bytes));
    json_object_set_new(e, "sent_bytes", json_integer((json_int_t)seen->sent_bytes));
    finding_printf(f, FT_DESCRIPTION, "The service on UDP port %u sent %llu bytes to %s for %llu bytes of questions within a minute: it may be used to flood that "
                   "address.", p->dport, (unsigned long long)seen->sent_bytes, address, (unsigned long long)seen->asked_bytes);
    f->severity = SEVERITY_MEDIUM;
    snprintf(key, sizeof key, "mirror %s", address);
    detection_end(d, f, key, e);
}

static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    struct state *state = detection_state(d, p->detector);
    struct seen seen;
    memcpy(&seen, p->note, sizeof seen);
    bool forced = p->deadline_ns <= now_ns;
    if (!forced && now_ns < p->time_ns + WAIT_ANSWERS_NS)
        return p->time_ns + WAIT_ANSWERS_NS;
    int at = net_slots_find(&state->slots, seen.scope);
    struct target *t = at < 0 ? NULL : target_find(&state->sources[at], seen.key);
    if (!t || !t->waiting)
        return 0;
    t->waiting = false;
    if (seen.sent_bytes)
        report_mirror(d, p, t, &seen);
    else if (seen.packets || (!forced && t->answered * ANSWERS_ONE_IN < t->flows))
        report_flood(d, p, t, &seen);
    else
        return 0;
    t->told_ns = now_ns;
    return 0;
}

/* ---- flows -------------------------------------------------------------------------------------------------------- */

static struct source *source_of(struct detection *d, struct state *state, const struct step *s, bool make)
{
    int32_t id = net_scope(s);
    bool fresh = false;
    int at = make ? net_slots_take(d, &state->slots, id, s->ev->time_ns, &fresh) : net_slots_find(&state->slots, id);
    if (fresh)
        memset(&state->sources[at], 0, sizeof state->sources[at]);
    return at < 0 ? NULL : &state->sources[at];
}

/* When the last FLOOD_FLOWS_AT_ONCE flows began, if that was within a second, looked at for each quarter of them; else 0. */
static uint64_t burst_began(struct target *t, uint64_t now_ns)
{
    uint32_t quarter = FLOOD_FLOWS_AT_ONCE / MARKS;
    uint32_t n = t->begun++;
    if (n % quarter)
        return 0;
    uint64_t *mark_ns = &t->marks_ns[n / quarter % MARKS], before_ns = *mark_ns;
    *mark_ns = now_ns;
    return before_ns && now_ns - before_ns < NS_PER_SECOND ? before_ns : 0;
}

static void flow_begins(struct detection *d, const struct detector *self, struct state *state, const struct step *s)
{
    const struct event *ev = s->ev;
    uint64_t key = address_hash(&state->key, &ev->dst) | 1;
    struct target *t = target_take(d, source_of(d, state, s, true), key, &ev->dst, ev->time_ns);
    if (!t)
        return;
    target_turn(t, ev->time_ns, WINDOW_NS);
    t->last_ns = ev->time_ns;
    t->flows++;
    if (t->n_starts < STARTS) {
        t->starts[t->n_starts].flow_id = ev->flow_id;
        t->starts[t->n_starts++].time_ns = ev->time_ns;
    }
    uint64_t burst_ns = burst_began(t, ev->time_ns);
    if ((burst_ns || t->flows >= FLOOD_FLOWS) && t->answered * ANSWERS_ONE_IN < t->flows && may_tell(d, t, ev->time_ns))
        wait_to_tell(d, self, s, t, &(struct seen){ .key = key, .burst_ns = burst_ns });
}

static uint64_t started_ns(const struct target *t, uint64_t flow_id)
{
    for (int i = 0; t && i < t->n_starts; i++)
        if (t->starts[i].flow_id == flow_id)
            return t->starts[i].time_ns;
    return 0;
}

/* Packets of one flow since they were last counted. */
static void flow_counts(struct detection *d, const struct detector *self, struct state *state, const struct step *s)
{
    const struct event *ev = s->ev;
    struct flow_growth g;
    struct source *source = source_of(d, state, s, false);
    uint64_t key = address_hash(&state->key, &ev->dst) | 1;
    struct target *t = source ? target_find(source, key) : NULL;
    if (ev->packets_out < FLOOD_PACKETS || !flow_totals_take(d, &state->totals, ev, &g) || !t)
        return;
    uint64_t since_ns = g.since_ns ? g.since_ns : started_ns(t, ev->flow_id);
    uint64_t ms = since_ns && since_ns < ev->time_ns ? (ev->time_ns - since_ns) / NS_PER_MS : 0;
    if (!ms || g.packets_out < FLOOD_PACKETS || g.packets_in * ANSWERS_ONE_IN >= g.packets_out || !may_tell(d, t, ev->time_ns))
        return;
    struct seen seen = { .key = key, .packets = g.packets_out, .packets_in = g.packets_in, .bytes = g.bytes_out,
                         .per_second = g.packets_out * 1000 / ms };
    if (seen.per_second >= FLOOD_PACKETS_SECOND)
        wait_to_tell(d, self, s, t, &seen);
}

/* Services that answer more than they are asked, to whoever seems to ask: qotd, chargen, DNS, NTP, SNMP, CLDAP, RIP, SSDP, memcached ... */
static bool is_mirror_port(uint16_t port)
{
    static const uint16_t ports[] = { 17, 19, 53, 69, 111, 123, 137, 161, 389, 520, 1900, 3283, 3702, 5353, 10001, 11211 };
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++)
        if (ports[i] == port)
            return true;
    return false;
}

static void answers_sent(struct detection *d, const struct detector *self, struct state *state, const struct step *s)
{
    const struct event *ev = s->ev;
    struct flow_growth g;
    if (ev->bytes_in < ev->bytes_out * MIRROR_FACTOR || !flow_totals_take(d, &state->totals, ev, &g) || !g.bytes_in)
        return;
    uint64_t key = (address_hash(&state->key, &ev->src) ^ ev->dport) | 1;
    struct target *t = target_take(d, source_of(d, state, s, true), key, &ev->src, ev->time_ns);
    if (!t)
        return;
    target_turn(t, ev->time_ns, MIRROR_WINDOW_NS);
    t->last_ns = ev->time_ns;
    t->asked_bytes += g.bytes_out;
    t->sent_bytes += g.bytes_in;
    if (t->sent_bytes < MIRROR_BYTES || t->sent_bytes < t->asked_bytes * MIRROR_FACTOR || !may_tell(d, t, ev->time_ns))
        return;
    wait_to_tell(d, self, s, t, &(struct seen){ .key = key, .asked_bytes = t->asked_bytes, .sent_bytes = t->sent_bytes });
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    const struct event *ev = s->ev;
    if (ev->proto != IPPROTO_UDP)
        return;
    struct state *state = detection_state(d, self);
    if (!state->key.k0)
        state->key = hash_key_random();
    if (ev->direction == DIRECTION_IN) {
        if (ev->flow_phase != FLOW_NEW && is_mirror_port(ev->dport) && address_is_public(&ev->src))
            answers_sent(d, self, state, s);
        return;
    }
    if (ev->direction != DIRECTION_OUT || !address_is_public(&ev->dst))
        return;
    if (ev->flow_phase == FLOW_NEW)
        flow_begins(d, self, state, s);
    else if (event_knows(ev, F_PACKETS_OUT))
        flow_counts(d, self, state, s);
    if (flow_is_answered(ev)) {
        struct source *source = source_of(d, state, s, false);
        struct target *t = source ? target_find(source, address_hash(&state->key, &ev->dst) | 1) : NULL;
        if (t && !event_knows(ev, F_PACKETS_IN))
            t->answered++;
    }
}

const struct detector detector_udp_flood = {
    .rule = "udp_flood",
    .type = "Backdoor:Runtime/DenialOfService.Udp",
    .severity = SEVERITY_HIGH,
    .mitre = "TA0040 T1498.001 T1498.002",
    .title = "A flood of UDP packets, hardly any of them answered",
    .advice = "Stop the traffic first (security group, or stop the task): others suffer from it. Then see which process sends and what "
              "started it. If it is a stream of "
              "yours (video, telemetry to a public collector), put the address on a trusted list. A service that answers the whole "
              "Internet belongs behind a "
              "security group, or needs response rate limiting.",
    .condition = "A container or the host sends to one public address: at least 5,000 new UDP flows within 10 s, or 2,000 within one, of which "
                 "less than one in 20 is answered within a second; or at least 100,000 packets of one flow at 10,000 a second or more, with "
                 "less than one packet back for 20 sent. Or (medium severity) a service on a UDP port that is known for amplification sends "
                 "one public address 10 MiB or more within a minute, at least ten times what it was asked. Told at most every 5 minutes for "
                 "one address. Left out: trusted lists.",
    .limits = "Floods of private addresses, and floods spread over more than a few addresses (many addresses on one port are a port scan), "
              "are not told. The packets of "
              "one flow are counted when it ends or is looked at; its pause before the end lowers the rate. Packets with forged source "
              "addresses are not told "
              "apart.",
    .needs = FILL_FLOW,
    .helps = FILL_CGROUP,
    .on = ON(FLOW),
    .event = event,
    .due = due,
    .state_bytes = sizeof(struct state),
};
