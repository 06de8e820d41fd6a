/* Connections into containers that are not expected.
 *
 *   To a new listener: a socket that began to listen ten minutes or more after its container started, called from a public or listed address; or from
 *   anywhere outside the container when what listens is a tool, a shell, code of a command line, or a new binary.
 *   From a new kind of caller: a port that for a day was only called by private addresses, at least 50 times, is called by a public one.
 *
 * Only connections that were established count. Containers that share a network namespace share its ports. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/ancestry.h"
#include "agent/detect/flow_step.h"
#include "agent/detect/repeats.h"
#include "common/clock.h"
#include "common/text.h"

#define WARM_UP_NS (600 * NS_PER_SECOND)
#define LEARN_NS (24 * 3600 * NS_PER_SECOND)
#define LEARN_CALLS 50
#define OUTLIVES_NS (24 * 3600 * NS_PER_SECOND) /* a new listener is an old one then */

extern const struct detector detector_listener_called, detector_public_caller;

struct new_listener {
    uint64_t since_ns; /* 0 = free */
    int32_t nsid;
    uint16_t port;
    uint8_t proto;
    int32_t pid;
    uint64_t start_ns;
};

struct port {
    int32_t nsid;
    uint16_t port; /* 0 = free */
    uint8_t proto;
    bool public; /* was called by a public address */
    uint64_t first_ns, last_ns;
    uint32_t n_private;
};

struct state {
    struct new_listener listeners[LIMIT_NEW_LISTENERS];
    struct port ports[LIMIT_CALLED_PORTS];
    struct repeats repeats;
};

/* ---- listeners ---------------------------------------------------------------------------------------------------- */

static struct new_listener *listener_find(struct state *state, int32_t nsid, uint8_t proto, uint16_t port)
{
    for (int i = 0; i < LIMIT_NEW_LISTENERS; i++) {
        struct new_listener *l = &state->listeners[i];
        if (l->since_ns && l->nsid == nsid && l->port == port && l->proto == proto)
            return l;
    }
    return NULL;
}

static struct new_listener *listener_place(struct state *state)
{
    struct new_listener *oldest = &state->listeners[0];
    for (int i = 0; i < LIMIT_NEW_LISTENERS; i++)
        if (state->listeners[i].since_ns < oldest->since_ns)
            oldest = &state->listeners[i];
    return oldest;
}

/* What a task opens while it starts is its own. */
static bool is_warm(const struct detection *d, const struct container_facts *c, uint64_t now_ns)
{
    return c->started_wall_ns && now_ns + (uint64_t)d->wall_offset_ns >= c->started_wall_ns + WARM_UP_NS;
}

static void take_listener(struct detection *d, struct state *state, const struct step *s)
{
    const struct event *ev = s->ev;
    struct new_listener *l = listener_find(state, ev->nsid, ev->proto, ev->sport);
    if (ev->listen_phase == LISTEN_END) {
        if (l)
            *l = (struct new_listener){ 0 };
        return;
    }
    if (l || ev->listen_phase != LISTEN_NEW || !s->container || !is_warm(d, s->container, ev->time_ns) || address_is_loopback(&ev->src))
        return;
    *listener_place(state) = (struct new_listener){ .since_ns = ev->time_ns, .nsid = ev->nsid, .port = ev->sport, .proto = ev->proto,
        .pid = s->process ? s->process->pid : 0, .start_ns = s->process ? s->process->start_ns : 0 };
}

static struct process *listener_process(struct detection *d, const struct new_listener *l)
{
    struct process *p = l->pid ? proctree_find(d->tree, l->pid) : NULL;
    return p && p->start_ns == l->start_ns ? p : NULL;
}

/* What has no business to serve anybody; NULL = nothing against it. */
static const char *suspicious_server(const struct detection *d, const struct process *p)
{
    if (!p || !p->image)
        return NULL;
    if (image_is_new_in(d, p->container, p->image))
        return "what listens is a program that is new in the container";
    return image_is_client(p->image) || image_is_shell(p->image) ||
        image_is_inline_code(p->image) ? "what listens is a tool, a shell or code of a command line" : NULL;
}

/* ---- called ports ------------------------------------------------------------------------------------------------- */

static struct port *port_of(struct state *state, int32_t nsid, uint8_t proto, uint16_t number, uint64_t now_ns)
{
    struct port *oldest = &state->ports[0];
    for (int i = 0; i < LIMIT_CALLED_PORTS; i++) {
        struct port *p = &state->ports[i];
        if (p->port == number && p->nsid == nsid && p->proto == proto)
            return p;
        if (p->last_ns < oldest->last_ns)
            oldest = p;
    }
    *oldest = (struct port){ .nsid = nsid, .proto = proto, .port = number, .first_ns = now_ns };
    return oldest;
}

/* The first public caller of a port that only private ones called. */
static bool is_first_public(struct port *p, const struct address *far, uint64_t now_ns)
{
    bool public = address_is_public(far), before = p->public;
    p->last_ns = now_ns;
    p->public |= public;
    p->n_private += !public && !address_is_loopback(far) && p->n_private < UINT32_MAX;
    return public && !before && p->n_private >= LEARN_CALLS && now_ns >= p->first_ns + LEARN_NS;
}

/* ---- findings ----------------------------------------------------------------------------------------------------- */

static struct finding *begin(struct detection *d, const struct detector *self, const struct step *s, const struct process *process)
{
    return detection_begin(d, self, process, process ? process->image : NULL, process &&
                           process->container ? process->container : s->container->id,
                           s->ev->time_ns, s->event_id);
}

static json_t *evidence_of(const struct step *s, const struct flow_view *view, const struct process *process)
{
    json_t *e = json_object();
    json_object_set_new(e, "protocol", json_string(ip_proto_name(s->ev->proto)));
    evidence_address(e, "local", &view->near, view->near_port);
    evidence_address(e, "caller", &view->far, view->far_port);
    json_object_set_new(e, "process_known", json_boolean(process != NULL));
    return e;
}

static void to_new_listener(struct detection *d, struct state *state, const struct step *s, const struct flow_view *view,
                            const struct new_listener *l)
{
    struct intel_match match = { .list = "" };
    char address[46], key[80], since[32];
    const struct process *process = listener_process(d, l);
    bool listed = d->intel && intel_lookup(d->intel, &view->far, &match);
    const char *why = listed ? "the caller is on a threat list" : suspicious_server(d, process);
    if (!why && address_is_public(&view->far))
        why = "the caller's address is public";
    address_format(&view->far, address);
    snprintf(key, sizeof key, "%s:%u", ip_proto_name(s->ev->proto), view->near_port);
    uint32_t times = why ? repeat_due(&state->repeats, d, s->container->id, key, s->ev->time_ns) : 0;
    if (!times)
        return;
    struct finding *f = begin(d, &detector_listener_called, s, process);
    f->severity = listed || suspicious_server(d, process) ? SEVERITY_HIGH : SEVERITY_MEDIUM;
    text_time(since, l->since_ns + (uint64_t)d->wall_offset_ns);
    finding_printf(f, FT_DESCRIPTION, "%s called port %u of the container, on which %s listens since %s: %s.", address, view->near_port,
                   process ? process->comm : "an unknown process", since, why);
    json_t *e = evidence_of(s, view, process);
    json_object_set_new(e, "why", json_string(why));
    json_object_set_new(e, "listens_since", json_string(since));
    json_object_set_new(e, "times", json_integer(times));
    if (listed)
        evidence_text(e, "list", match.list, strlen(match.list));
    detection_end(d, f, key, e);
}

static void from_public(struct detection *d, const struct step *s, const struct flow_view *view, const struct port *port)
{
    char address[46], key[80];
    unsigned hours = (unsigned)((s->ev->time_ns - port->first_ns) / (3600 * NS_PER_SECOND));
    struct finding *f = begin(d, &detector_public_caller, s, s->process);
    address_format(&view->far, address);
    finding_printf(f, FT_DESCRIPTION, "The public address %s called port %u of the container, which for %u hours was called %u times by private addresses only.", address,
                   view->near_port, hours, port->n_private);
    json_t *e = evidence_of(s, view, s->process);
    json_object_set_new(e, "private_calls", json_integer(port->n_private));
    json_object_set_new(e, "hours", json_integer(hours));
    snprintf(key, sizeof key, "%s:%u", ip_proto_name(s->ev->proto), view->near_port);
    detection_end(d, f, key, e);
}

static void on_flow(struct detection *d, struct state *state, const struct step *s)
{
    struct flow_view view;
    const struct event *ev = s->ev;
    if (!s->container || ev->flow_phase != FLOW_UPDATE || !flow_view_of(d, s, &view) || view.direction != DIRECTION_IN || !view.is_established)
        return;
    int32_t nsid = s->container->nsid >= 0 ? s->container->nsid : ev->nsid;
    if (nsid < 0 || ev->proto != IPPROTO_TCP)
        return;
    const struct new_listener *l = listener_find(state, nsid, ev->proto, view.near_port);
    struct port *port = port_of(state, nsid, ev->proto, view.near_port, ev->time_ns);
    bool first_public = is_first_public(port, &view.far, ev->time_ns);
    if (l && ev->time_ns < l->since_ns + OUTLIVES_NS)
        to_new_listener(d, state, s, &view, l);
    else if (first_public)
        from_public(d, s, &view, port);
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    if (s->ev->kind == EVENT_LISTEN)
        take_listener(d, detection_state(d, self), s);
    else if (s->ev->kind == EVENT_FLOW)
        on_flow(d, detection_state(d, self), s);
}

const struct detector detector_listener_called = {
    .rule = "new_listener_called",
    .type = "Backdoor:Runtime/NewListenerContacted",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0011 T1571 TA0003 T1205",
    .title = "A port that was opened long after the container started was called",
    .condition = "A TCP socket of a container began to listen, not on loopback only, ten minutes or more after the container started, and "
                 "within a day of it a connection to its "
                 "port is established from a public address (medium), from an address of a threat list, or from anywhere outside of the "
                 "namespace when what listens is a "
                 "tool such as nc or socat, a shell, an interpreter with code on its command line or a program that is new in the "
                 "container (high).",
    .limits = "Listening sockets are looked at in intervals: a connection before the new one was noticed is not told, nor are ports opened "
              "while nobody watched. Callers behind a "
              "load balancer have its address. TCP only.",
    .advice = "Which program listens and who started it: docker top CONTAINER, and the lineage here. What went over the connection: "
              "sqlite3 ecsguard.db \"select * from flows "
              "where dport = PORT\".",
    .needs = FILL_FLOW | FILL_LISTEN,
    .helps = FILL_EXEC | FILL_CGROUP,
    .on = ON(LISTEN) | ON(FLOW),
    .event = event,
    .state_bytes = sizeof(struct state),
};

const struct detector detector_public_caller = {
    .rule = "public_caller",
    .type = "UnauthorizedAccess:Runtime/UnexpectedCaller",
    .severity = SEVERITY_LOW,
    .mitre = "TA0001 T1190 T1133",
    .title = "A port that only private addresses called was called by a public one",
    .condition = "A port of a container that for at least 24 hours was called only by private addresses, at least 50 times, has an "
                 "established TCP connection from a public "
                 "address. Told once for each port.",
    .limits = "Learns anew when the container is replaced or the agent starts; 512 ports at a time. Callers behind a load balancer have "
              "its address.",
    .advice = "Did a security group or a load balancer change: this port is reachable from the Internet now. If that is meant, nothing is wrong.",
    .needs = FILL_FLOW,
};
