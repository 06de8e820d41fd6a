/* Port scans: a container (or the host) that tries many ports of one address, or one port on many addresses; and somebody outside who tries many
 * ports of a container or of the host.
 *
 * What tells a scan is that nobody answers: connections that are refused, dropped, or given up before they are established. So attempts and answered
 * attempts are both counted, by sketches (sketch.h), for each pair in question. An answer does not count on the ports below 1024: nobody has business
 * on fifty of them at one address. When the numbers are reached, answers that are still under way are waited for.
 *
 * A scan is one finding: more evidence is added while it goes on, and when it has ended. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/network.h"
#include "agent/detect/sketch.h"
#include "common/clock.h"
#include "common/text.h"

#define FAST_NS (60 * NS_PER_SECOND)
#define SLOW_NS (6 * 3600 * NS_PER_SECOND)
#define SLOW_FACTOR 3 /* so many times more within the long window */
#define WAIT_ANSWERS_NS (700 * NS_PER_MS) /* a round trip across the world, twice */
#define FOLLOW_NS (5 * NS_PER_SECOND)
#define IDLE_NS (20 * NS_PER_SECOND)
#define SERVICE_PORT_MAX 1023
#define EPHEMERAL_PORT_MIN 32768
#define TRACEROUTE_PORT_MIN 33434 /* traceroute(8): one port up with each packet */
#define TRACEROUTE_PORT_MAX 33690
#define WAYS 8
#define ICMP_ECHO_PORT (8 << 8) /* as decoded: type << 8 | code */
#define ICMP6_ECHO_PORT (128 << 8)

struct window {
    uint64_t start_ns;
    struct sketch tried, answered;
};

/* One address whose ports are tried, or one port that is tried on addresses. */
struct probe {
    uint64_t key; /* 0 = free */
    uint64_t first_ns, last_ns;
    struct window fast, slow;
    bool over_ports, told;
    uint8_t proto, n_samples;
    uint16_t port;
    uint32_t told_n;
    struct address address;
    union {
        uint16_t ports[LIMIT_SCAN_SHOWN];
        struct address addresses[LIMIT_SCAN_SHOWN];
    } samples;
};

/* Who tries from one container. */
struct source {
    bool waiting; /* a decision waits or a scan is followed */
    struct probe by_address[LIMIT_SCAN_ADDRESSES], by_port[LIMIT_SCAN_PORTS];
};

/* Who tries from outside: one probe, its key holds the far address and the container. */
struct visitor {
    int32_t container;
    bool waiting;
    struct address from;
    struct probe probe;
};

struct state {
    struct hash_key key;
    struct net_slots slots;
    struct source sources[LIMIT_NET_CONTAINERS];
    struct visitor visitors[LIMIT_SCAN_SOURCES];
};

/* What a waiting decision is about, in its note. */
struct about {
    bool inbound;
    bool told;
    int32_t scope;
    int32_t container; /* as it was told: the process may be forgotten later */
    uint32_t visitor;
    uint64_t key; /* of the visitor's probe */
};

/* ---- counting ----------------------------------------------------------------------------------------------------- */

static uint32_t unanswered(const struct window *w)
{
    uint32_t tried = sketch_count(&w->tried), answered = sketch_count(&w->answered);
    return tried > answered ? tried - answered : 0;
}

static bool window_alarms(const struct window *w, uint32_t least)
{
    uint32_t open = unanswered(w);
    return open >= least && open * 3 >= sketch_count(&w->tried) * 2;
}

static bool probe_alarms(const struct detection *d, const struct probe *p)
{
    uint32_t least = p->over_ports ? d->options.scan_ports : d->options.scan_addresses;
    return window_alarms(&p->fast, least) || window_alarms(&p->slow, SLOW_FACTOR * least);
}

static void window_turn(struct window *w, uint64_t now_ns, uint64_t length_ns)
{
    if (now_ns - w->start_ns >= length_ns)
        *w = (struct window){ .start_ns = now_ns };
}

/* A scan that was told of keeps its counts until it is over. */
static void probe_turn(struct probe *p, uint64_t now_ns)
{
    if (p->told)
        return;
    window_turn(&p->fast, now_ns, FAST_NS);
    window_turn(&p->slow, now_ns, SLOW_NS);
}

static void add_sample(struct probe *p, const struct event *ev)
{
    if (p->n_samples == LIMIT_SCAN_SHOWN)
        return;
    if (p->over_ports)
        p->samples.ports[p->n_samples++] = ev->dport;
    else
        p->samples.addresses[p->n_samples++] = ev->dst;
}

/* True if the numbers of a scan are reached by this attempt. */
static bool probe_try(const struct detection *d, struct probe *p, const struct event *ev, uint64_t thing)
{
    probe_turn(p, ev->time_ns);
    p->last_ns = ev->time_ns;
    bool new_slow = sketch_add(&p->slow.tried, thing);
    if (new_slow)
        add_sample(p, ev);
    return (sketch_add(&p->fast.tried, thing) || new_slow) && probe_alarms(d, p);
}

static void probe_answer(struct probe *p, uint64_t thing, uint16_t port)
{
    if (p->over_ports && port <= SERVICE_PORT_MAX)
        return;
    sketch_add(&p->fast.answered, thing);
    sketch_add(&p->slow.answered, thing);
}

static struct probe *probe_find(struct probe *probes, size_t n, uint64_t key)
{
    for (size_t i = 0; i < n; i++)
        if (probes[i].key == key)
            return &probes[i];
    return NULL;
}

/* The one with the least tried gives way: what many new addresses pass by does not push a scan out. */
static struct probe *probe_place(struct detection *d, struct probe *probes, size_t n, uint64_t now_ns)
{
    struct probe *least = NULL;
    for (size_t i = 0; i < n; i++) {
        struct probe *p = &probes[i];
        if (!p->key || (!p->told && now_ns - p->slow.start_ns >= SLOW_NS))
            return p;
        if (!p->told && (!least || p->slow.tried.n < least->slow.tried.n ||
                         (p->slow.tried.n <= least->slow.tried.n && p->last_ns < least->last_ns)))
            least = p;
    }
    d->n_forgotten += least != NULL;
    return least;
}

static struct probe *probe_take(struct detection *d, struct probe *probes, size_t n, uint64_t key, const struct event *ev, bool over_ports)
{
    struct probe *p = probe_find(probes, n, key);
    if (p || !(p = probe_place(d, probes, n, ev->time_ns)))
        return p;
    *p = (struct probe){ .key = key, .first_ns = ev->time_ns, .fast.start_ns = ev->time_ns, .slow.start_ns = ev->time_ns, .over_ports = over_ports,
                         .proto = ev->proto };
    if (over_ports)
        p->address = ev->dst;
    else
        p->port = ev->dport;
    return p;
}

/* ---- reporting ---------------------------------------------------------------------------------------------------- */

static json_t *sample_list(const struct probe *p)
{
    json_t *list = json_array();
    char text[46];
    for (int i = 0; i < p->n_samples; i++) {
        if (p->over_ports) {
            json_array_append_new(list, json_integer(p->samples.ports[i]));
        } else {
            address_format(&p->samples.addresses[i], text);
            json_array_append_new(list, json_string(text));
        }
    }
    return list;
}

/* The larger of both windows: a slow scan shows in the long one only. */
static const struct window *probe_window(const struct probe *p)
{
    return p->slow.tried.n >= p->fast.tried.n ? &p->slow : &p->fast;
}

static json_t *probe_json(const struct detection *d, const struct probe *p)
{
    char text[46];
    json_t *o = json_object();
    const struct window *w = probe_window(p);
    json_object_set_new(o, "protocol", json_string(ip_proto_name(p->proto)));
    if (p->over_ports) {
        address_format(&p->address, text);
        json_object_set_new(o, "address", json_string(text));
        json_object_set_new(o, "ports", json_integer(sketch_count(&w->tried)));
        json_object_set_new(o, "sample_ports", sample_list(p));
    } else {
        json_object_set_new(o, "port", json_integer(p->port));
        json_object_set_new(o, "addresses", json_integer(sketch_count(&w->tried)));
        json_object_set_new(o, "sample_addresses", sample_list(p));
    }
    json_object_set_new(o, "unanswered", json_integer(unanswered(w)));
    evidence_time(o, "first", p->first_ns + (uint64_t)d->wall_offset_ns);
    evidence_time(o, "last", p->last_ns + (uint64_t)d->wall_offset_ns);
    return o;
}

static void describe(const struct probe *p, char *out, size_t size)
{
    char text[46];
    address_format(&p->address, text);
    uint32_t n = sketch_count(&probe_window(p)->tried);
    unsigned long long seconds = (p->last_ns - p->first_ns) / NS_PER_SECOND;
    if (p->over_ports)
        snprintf(out, size, "about %u %s ports of %s within %llu s", n, ip_proto_name(p->proto), text, seconds + 1);
    else if (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP)
        snprintf(out, size, "%s port %u on about %u addresses within %llu s", ip_proto_name(p->proto), p->port, n, seconds + 1);
    else
        snprintf(out, size, "about %u addresses with ICMP echo requests within %llu s", n, seconds + 1);
}

struct report {
    struct detection *d;
    struct pending *p;
    json_t *scans;
    const struct probe *largest;
    uint64_t last_ns;
    int n;
};

/* What is told of one probe: something, if it is a scan that grew by a quarter since the last time, or has ended. */
static bool probe_tells(const struct detection *d, const struct probe *p, bool ended)
{
    uint32_t n = sketch_count(&probe_window(p)->tried);
    if (!p->key || (!p->told && !probe_alarms(d, p)))
        return false;
    return ended ? n != p->told_n : n >= p->told_n + p->told_n / 4 + 1;
}

static void report_probe(struct report *r, struct probe *p)
{
    if (!p->key || (!p->told && !probe_alarms(r->d, p)))
        return;
    if (json_array_size(r->scans) < LIMIT_SCAN_ADDRESSES)
        json_array_append_new(r->scans, probe_json(r->d, p));
    p->told = true;
    p->told_n = sketch_count(&probe_window(p)->tried);
    r->n++;
    if (!r->largest || r->largest->told_n < p->told_n)
        r->largest = p;
    if (r->last_ns < p->last_ns)
        r->last_ns = p->last_ns;
}

static void report_end(struct report *r, const struct visitor *from)
{
    char what[160], key[64] = "outbound", address[46];
    struct pending *p = r->p;
    struct process *owner = from ? NULL : owner_of(r->d, p);
    struct about about;
    memcpy(&about, p->note, sizeof about);
    int32_t container = from ? from->container : about.told ? about.container : owner_container(p, owner);
    about.container = container;
    about.told = true;
    memcpy(p->note, &about, sizeof about);
    describe(r->largest, what, sizeof what);
    struct finding *f = detection_begin(r->d, p->detector, owner, owner ? owner->image : NULL, container, r->last_ns, p->event_id);
    json_t *e = json_object();
    json_object_set_new(e, "direction", json_string(from ? "inbound" : "outbound"));
    if (from) {
        address_format(&from->from, address);
        snprintf(key, sizeof key, "inbound %s", address);
        json_object_set_new(e, "from", json_string(address));
        finding_printf(f, FT_DESCRIPTION, "%s tried %s; most had no answer.", address, what);
        if (address_is_public(&from->from))
            f->severity = SEVERITY_LOW; /* what is open to the Internet is scanned all day */
    } else {
        finding_printf(f, FT_DESCRIPTION, "%s tried %s; most had no answer.%s",
                       owner ? owner->comm : container ? "The container" : "The host", what,
                       r->n > 1 ? " More targets are in the evidence." : "");
        json_object_set_new(e, "process_known", json_boolean(owner != NULL));
    }
    json_object_set_new(e, "scans", r->scans);
    detection_end(r->d, f, key, e);
}

/* ---- waiting ------------------------------------------------------------------------------------------------------ */

typedef void probe_visit(struct probe *p, void *context);

static void visit(struct source *s, struct visitor *v, probe_visit *call, void *context)
{
    if (v) {
        call(&v->probe, context);
        return;
    }
    for (int i = 0; i < LIMIT_SCAN_ADDRESSES; i++)
        call(&s->by_address[i], context);
    for (int i = 0; i < LIMIT_SCAN_PORTS; i++)
        call(&s->by_port[i], context);
}

struct survey {
    const struct detection *d;
    bool ended, tells, scans;
    uint64_t last_ns;
};

static void survey_probe(struct probe *p, void *context)
{
    struct survey *s = context;
    s->tells |= probe_tells(s->d, p, s->ended);
    if (p->key && p->told && p->last_ns > s->last_ns)
        s->last_ns = p->last_ns;
}

static void tell_probe(struct probe *p, void *context)
{
    report_probe(context, p);
}

/* It begins anew: the next scan has to reach the numbers again. */
static void forget_probe(struct probe *p, void *context)
{
    (void)context;
    if (p->told)
        memset(p, 0, sizeof *p);
}

static void tell(struct detection *d, struct pending *p, struct source *s, struct visitor *v)
{
    struct report r = { .d = d, .p = p, .scans = json_array() };
    visit(s, v, tell_probe, &r);
    if (r.n)
        report_end(&r, v);
    else
        json_decref(r.scans);
}

static struct visitor *visitor_of(struct state *state, const struct about *about)
{
    struct visitor *v = &state->visitors[about->visitor];
    return v->probe.key == about->key ? v : NULL;
}

static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    struct state *state = detection_state(d, p->detector);
    struct about about;
    memcpy(&about, p->note, sizeof about);
    int at = about.inbound ? -1 : net_slots_find(&state->slots, about.scope);
    struct source *s = at < 0 ? NULL : &state->sources[at];
    struct visitor *v = about.inbound ? visitor_of(state, &about) : NULL;
    bool forced = p->deadline_ns <= now_ns;
    if (!s && !v)
        return 0;
    if (!p->stage && !forced && now_ns < p->time_ns + WAIT_ANSWERS_NS)
        return p->time_ns + WAIT_ANSWERS_NS;
    struct survey survey = { .d = d };
    visit(s, v, survey_probe, &survey);
    survey = (struct survey){ .d = d, .ended = forced || (p->stage && survey.last_ns + IDLE_NS <= now_ns) };
    visit(s, v, survey_probe, &survey);
    if (survey.tells && (p->stage || !forced))
        tell(d, p, s, v);
    else if (!p->stage)
        survey.ended = true; /* they were answered */
    p->stage = 1;
    if (!survey.ended)
        return now_ns + FOLLOW_NS;
    visit(s, v, forget_probe, NULL);
    *(v ? &v->waiting : &s->waiting) = false;
    return 0;
}

/* ---- flows -------------------------------------------------------------------------------------------------------- */

static uint64_t port_thing(const struct state *state, uint16_t port)
{
    return sketch_mix(port, state->key.k0);
}

static void look_outbound(struct detection *d, const struct detector *self, const struct step *s, bool answer)
{
    struct state *state = detection_state(d, self);
    const struct event *ev = s->ev;
    int32_t id = net_scope(s);
    bool fresh, has_ports = ev->proto == IPPROTO_TCP || ev->proto == IPPROTO_UDP, scan = false;
    int at = answer ? net_slots_find(&state->slots, id) : net_slots_take(d, &state->slots, id, ev->time_ns, &fresh);
    if (at < 0)
        return;
    struct source *source = &state->sources[at];
    if (!answer && fresh)
        memset(source, 0, sizeof *source);
    uint64_t address = address_hash(&state->key, &ev->dst);
    uint64_t by_address = (address ^ ev->proto) | 1, by_port = (uint64_t)ev->proto << 16 | ev->dport;
    if (answer) {
        struct probe *p = has_ports ? probe_find(source->by_address, LIMIT_SCAN_ADDRESSES, by_address) : NULL;
        if (p)
            probe_answer(p, port_thing(state, ev->dport), ev->dport);
        if ((p = probe_find(source->by_port, LIMIT_SCAN_PORTS, by_port)))
            probe_answer(p, address, ev->dport);
        return;
    }
    struct probe *p = has_ports ? probe_take(d, source->by_address, LIMIT_SCAN_ADDRESSES, by_address, ev, true) : NULL;
    scan |= p && probe_try(d, p, ev, port_thing(state, ev->dport)) && !address_is_trusted(d, &ev->dst);
    p = probe_take(d, source->by_port, LIMIT_SCAN_PORTS, by_port, ev, false);
    scan |= p && probe_try(d, p, ev, address);
    if (!scan || source->waiting)
        return;
    source->waiting = true;
    struct pending *wait = owner_wait(d, self, s, ev->time_ns + WAIT_ANSWERS_NS);
    memcpy(wait->note, &(struct about){ .inbound = false, .scope = id }, sizeof(struct about));
}

/* What it would cost to forget a visitor: ports tried, as long as they count. */
static double visitor_worth(const struct visitor *v, uint64_t now_ns)
{
    return v->probe.key && now_ns - v->probe.slow.start_ns < SLOW_NS ? v->probe.slow.tried.n : 0;
}

/* In sets of WAYS; the one with the least tried gives way, of these the one seen the longest time ago. */
static struct visitor *visitor_take(struct detection *d, struct state *state, const struct step *s, uint64_t key, bool make)
{
    struct visitor *set = &state->visitors[key % (LIMIT_SCAN_SOURCES / WAYS) * WAYS], *least = NULL;
    const struct event *ev = s->ev;
    double least_worth = 0;
    for (int i = 0; i < WAYS; i++) {
        if (set[i].probe.key == key)
            return &set[i];
        double worth = visitor_worth(&set[i], ev->time_ns);
        if (set[i].waiting || (least && (worth > least_worth || (worth >= least_worth && set[i].probe.last_ns >= least->probe.last_ns))))
            continue;
        least = &set[i];
        least_worth = worth;
    }
    if (!make || !least)
        return NULL;
    d->n_forgotten += least_worth > 0;
    *least = (struct visitor){ .container = s->container ? s->container->id : 0, .from = ev->src };
    least->probe = (struct probe){ .key = key, .first_ns = ev->time_ns, .fast.start_ns = ev->time_ns, .slow.start_ns = ev->time_ns,
                                   .over_ports = true,
                                   .proto = ev->proto, .address = ev->dst };
    return least;
}

static void look_inbound(struct detection *d, const struct detector *self, const struct step *s, bool answer)
{
    struct state *state = detection_state(d, self);
    const struct event *ev = s->ev;
    if (ev->proto != IPPROTO_TCP && ev->proto != IPPROTO_UDP)
        return;
    uint64_t key = (address_hash(&state->key, &ev->src) ^ ev->proto ^ (uint64_t)(uint32_t)net_scope(s) << 8) | 1;
    struct visitor *v = visitor_take(d, state, s, key, !answer);
    if (!v)
        return;
    if (answer) {
        probe_answer(&v->probe, port_thing(state, ev->dport), ev->dport);
        return;
    }
    if (!probe_try(d, &v->probe, ev, port_thing(state, ev->dport)) || v->waiting || address_is_trusted(d, &ev->src))
        return;
    v->waiting = true;
    struct pending *p = detection_wait(d, self, s, ev->time_ns + WAIT_ANSWERS_NS);
    struct about about = { .inbound = true, .visitor = (uint32_t)(v - state->visitors), .key = key };
    p->deadline_ns = UINT64_MAX;
    memcpy(p->note, &about, sizeof about);
}

/* Late answers of a service, of which nobody remembers the question, look like new flows to many ports. */
static bool is_stray_answer(const struct event *ev)
{
    return ev->sport && ev->sport <= SERVICE_PORT_MAX && ev->dport >= EPHEMERAL_PORT_MIN;
}

static bool is_attempt(const struct event *ev)
{
    if (ev->proto == IPPROTO_UDP && ev->dport >= TRACEROUTE_PORT_MIN && ev->dport <= TRACEROUTE_PORT_MAX)
        return false;
    if (ev->proto == IPPROTO_ICMP || ev->proto == IPPROTO_ICMPV6)
        return ev->dport == (ev->proto == IPPROTO_ICMP ? ICMP_ECHO_PORT : ICMP6_ECHO_PORT);
    return (ev->proto == IPPROTO_TCP || ev->proto == IPPROTO_UDP) && !is_stray_answer(ev);
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    const struct event *ev = s->ev;
    if ((ev->flow_phase != FLOW_NEW && !flow_is_answered(ev)) || !is_attempt(ev))
        return;
    struct state *state = detection_state(d, self);
    if (!state->key.k0)
        state->key = hash_key_random();
    bool answer = ev->flow_phase != FLOW_NEW;
    switch ((enum flow_direction)ev->direction) {
    case DIRECTION_OUT:
    case DIRECTION_LOCAL:
        look_outbound(d, self, s, answer);
        break;
    case DIRECTION_IN:
        look_inbound(d, self, s, answer);
        break;
    }
}

const struct detector detector_port_scan = {
    .rule = "port_scan",
    .type = "Discovery:Runtime/PortScan",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0007 T1046",
    .title = "Many ports or addresses were tried, and hardly any answered",
    .advice = "Is it a scanner of yours (inventory, vulnerability scans, monitoring of hosts that are switched off)? Then put its targets "
              "on a trusted list or "
              "suppress its task family. If not, see what was started just before (ecsguardctl events --container ID) and where "
              "connections succeeded "
              "(ecsguardctl flows).",
    .condition = "A container or the host tries at least network.scan_ports (50) ports of one address within 60 s, or three times as many "
                 "within 6 h; or one port (or ICMP echo) on at "
                 "least network.scan_addresses (100) addresses within 60 s, or three times as many within 6 h; or somebody outside tries "
                 "that many ports of a container or of the host (low severity from "
                 "public addresses). At least two thirds of the attempts are not answered 0.7 s later: no TCP connection is established, "
                 "no datagram comes back; ports "
                 "below 1024 count even then. Left out: addresses on a trusted list, UDP ports of traceroute (33434 to 33690), packets "
                 "from a port below "
                 "1024 to one above 32767. Numbers are estimates, off by 7 % usually. A scan goes on as one finding until it pauses for 20 s.",
    .limits = "One port on many addresses of which more than a third accept the connection looks like the work of a crawler and is not "
              "told; a scan that changes its "
              "target address each time, with few ports each, neither; slower than the 6 h windows, neither. Of inbound attempts only "
              "those that reach the "
              "network namespace are seen. Raw packets (SYN scans) have no socket: the process is then unknown.",
    .needs = FILL_FLOW,
    .helps = FILL_CGROUP,
    .on = ON(FLOW),
    .event = event,
    .due = due,
    .state_bytes = sizeof(struct state),
};
