/* Tor, told from the lists of its relays and from the shape of the traffic. Only connections that were established count, in a window of an hour.
 *
 *   client: a container connects to a guard or directory authority, or to two different relays;
 *   relay:  it connects to at least 3 different relays and accepts connections from at least 3, or connects to at least 20.
 *
 * A client keeps to its few guards for months, and nobody connects to it. A relay is connected with a good part of all others, in both directions; a
 * bridge is connected with many, but called by addresses that are on no list: hence the 20. */
#include <stdio.h>
#include <string.h>

#include "agent/detect/listed.h"
#include "common/clock.h"
#include "common/text.h"

#define WINDOW_NS (3600 * NS_PER_SECOND)
#define CLIENT_AGAIN_NS (600 * NS_PER_SECOND)
#define RELAYS 24
#define CLIENT_RELAYS 2
#define RELAY_BOTH_WAYS 3
#define RELAY_OUT 20

struct relays {
    struct {
        struct address address;
        uint64_t seen_ns; /* 0 = free */
    } seen[RELAYS];
};

struct watch {
    bool used;
    int32_t container;
    uint64_t last_ns, client_ns, relay_ns; /* when these were told */
    struct relays out, in;
};

struct state {
    struct watch watches[LIMIT_TOR_WATCHES];
};

static struct watch *watch_of(struct state *state, int32_t container)
{
    struct watch *oldest = &state->watches[0];
    for (int i = 0; i < LIMIT_TOR_WATCHES; i++) {
        struct watch *w = &state->watches[i];
        if (w->used && w->container == container)
            return w;
        if (!w->used || w->last_ns < oldest->last_ns)
            oldest = w;
        if (!w->used)
            break;
    }
    *oldest = (struct watch){ .used = true, .container = container };
    return oldest;
}

static void relays_add(struct relays *r, const struct address *address, uint64_t now_ns)
{
    int oldest = 0;
    for (int i = 0; i < RELAYS; i++) {
        if (r->seen[i].seen_ns && address_equal(&r->seen[i].address, address)) {
            r->seen[i].seen_ns = now_ns;
            return;
        }
        if (r->seen[i].seen_ns < r->seen[oldest].seen_ns)
            oldest = i;
    }
    r->seen[oldest].address = *address;
    r->seen[oldest].seen_ns = now_ns;
}

static int relays_count(const struct relays *r, uint64_t now_ns)
{
    int n = 0;
    for (int i = 0; i < RELAYS; i++)
        n += r->seen[i].seen_ns && r->seen[i].seen_ns + WINDOW_NS > now_ns;
    return n;
}

static json_t *relays_evidence(const struct relays *r, uint64_t now_ns)
{
    json_t *all = json_array();
    char text[46];
    for (int i = 0; i < RELAYS && json_array_size(all) < 5; i++) {
        if (!r->seen[i].seen_ns || r->seen[i].seen_ns + WINDOW_NS <= now_ns)
            continue;
        address_format(&r->seen[i].address, text);
        json_array_append_new(all, json_string(text));
    }
    return all;
}

static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    enum owner_by by;
    char address[46];
    uint64_t again = flow_wait_more(p, now_ns);
    if (again)
        return again;
    struct watch *w = watch_of(detection_state(d, &detector_tor_client), p->container);
    struct process *owner = flow_process(d, p, &by);
    struct finding *f = detection_begin(d, p->detector, owner, owner ? owner->image : NULL, flow_container_id(p, owner), p->time_ns, p->event_id);
    int n_out = relays_count(&w->out, p->time_ns), n_in = relays_count(&w->in, p->time_ns);
    const char *who = owner ? owner->comm : "A process (not identified)";
    address_format(&p->dst, address);
    if (p->detector == &detector_tor_relay)
        finding_printf(f, FT_DESCRIPTION, "Traffic as of a Tor relay: within an hour connections to %d%s different relays, and from %d%s.", n_out,
                       n_out == RELAYS ? " or more" : "", n_in, n_in == RELAYS ? " or more" : "");
    else
        finding_printf(f, FT_DESCRIPTION, "%s is connected with %s port %u, which is on the list %s; different relays within an hour: %d.",
                       who, address, p->dport,
                       p->note, n_out);
    json_t *e = json_object();
    json_object_set_new(e, "protocol", json_string(ip_proto_name(p->proto)));
    evidence_address(e, "local", &p->src, p->sport);
    evidence_address(e, "remote", &p->dst, p->dport);
    evidence_text(e, "list", p->note, strlen(p->note));
    json_object_set_new(e, "relays_connected_to", json_integer(n_out));
    json_object_set_new(e, "relays_connected_from", json_integer(n_in));
    json_object_set_new(e, "connected_to", relays_evidence(&w->out, p->time_ns));
    json_object_set_new(e, "connected_from", relays_evidence(&w->in, p->time_ns));
    json_object_set_new(e, "process_known", json_boolean(owner != NULL));
    if (owner)
        json_object_set_new(e, "process_by", json_string(owner_words(by)));
    detection_end(d, f, "", e);
    return 0;
}

static void wait(struct detection *d, const struct detector *self, const struct step *s, const struct flow_view *view,
                 const struct intel_match *match)
{
    struct text_out out;
    struct pending *p = flow_wait(d, self, s, view);
    text_out_init(&out, p->note, sizeof p->note);
    text_out_printf(&out, "%s (%s)", match->list, match->category);
}

void tor_flow(struct detection *d, const struct step *s, const struct flow_view *view, const struct intel_match *match)
{
    uint64_t now_ns = s->ev->time_ns;
    bool outbound = view->direction != DIRECTION_IN;
    if (!view->is_established)
        return;
    struct watch *w = watch_of(detection_state(d, &detector_tor_client), s->container ? s->container->id : 0);
    w->last_ns = now_ns;
    relays_add(outbound ? &w->out : &w->in, &view->far, now_ns);
    int n_out = relays_count(&w->out, now_ns), n_in = relays_count(&w->in, now_ns);
    bool relay = n_out >= RELAY_OUT || (n_out >= RELAY_BOTH_WAYS && n_in >= RELAY_BOTH_WAYS);
    bool client = outbound && (match->kind == INTEL_TOR_GUARD || n_out >= CLIENT_RELAYS);
    if (relay && (!w->relay_ns || now_ns >= w->relay_ns + WINDOW_NS)) {
        w->relay_ns = now_ns;
        wait(d, &detector_tor_relay, s, view, match);
    } else if (client && !relay && (!w->client_ns || now_ns >= w->client_ns + CLIENT_AGAIN_NS)) {
        w->client_ns = now_ns;
        wait(d, &detector_tor_client, s, view, match);
    }
}

const struct detector detector_tor_client = {
    .rule = "tor_client",
    .type = "UnauthorizedAccess:Runtime/TorClient",
    .severity = SEVERITY_HIGH,
    .mitre = "TA0011 T1090.003",
    .title = "A connection to a guard or directory authority of Tor",
    .condition = "A container or the host has an established connection to an address of a list of category tor-guard (guards and "
                 "directory authorities), or within an "
                 "hour to two different addresses of category tor-relay. Told again after ten minutes as long as it goes on.",
    .limits = "Needs lists of guards or relays: those that come with ecsguard hold the directory authorities only. Bridges, which are on "
              "no list, and attempts that "
              "nobody answered are not told.",
    .advice = "Which program is it, and how did it come there? Tor has few uses in a task: look at the image, at new binaries of the task, "
              "and at what else the process did.",
    .needs = FILL_FLOW,
    .due = due,
    .state_bytes = sizeof(struct state),
};

const struct detector detector_tor_relay = {
    .rule = "tor_relay",
    .type = "UnauthorizedAccess:Runtime/TorRelay",
    .severity = SEVERITY_HIGH,
    .mitre = "TA0011 T1090.003 TA0040 T1496",
    .title = "Traffic shaped as that of a Tor relay",
    .condition = "Within an hour a container or the host has established connections to at least 3 different addresses of categories "
                 "tor-relay and tor-guard and accepted "
                 "connections from at least 3, or has connections to at least 20. Told once an hour.",
    .limits = "Needs a list of relays. A relay younger than the hour in which it met 3 others both ways is not told yet; a crawler that "
              "connects to 20 relays is "
              "told as one.",
    .advice = "Which program is it, and which port does it listen on: ss -ltnp in the container. Bandwidth and the address of your network "
              "are being used by others: stop the task.",
    .needs = FILL_FLOW,
    .due = due,
};
