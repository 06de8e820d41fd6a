#include "agent/detect/network.h"

#include <netinet/in.h>

#define TCP_STATE_ESTABLISHED 1
#define WAYS 8

bool flow_is_answered(const struct event *ev)
{
    if (ev->flow_phase != FLOW_UPDATE)
        return false;
    if (ev->proto == IPPROTO_TCP)
        return ev->tcp_state == TCP_STATE_ESTABLISHED;
    return !event_knows(ev, F_PACKETS_IN) || ev->packets_in; /* without counters: the kernel tells the first answer */
}

/* ---- owners ------------------------------------------------------------------------------------------------------- */

struct pending *owner_wait(struct detection *d, const struct detector *self, const struct step *s, uint64_t due_ns)
{
    const struct event *ev = s->ev;
    struct pending *p = detection_wait(d, self, s, due_ns);
    p->deadline_ns = UINT64_MAX;
    p->proto = ev->proto;
    p->src = ev->src;
    p->sport = ev->sport;
    p->dst = ev->dst;
    p->dport = ev->dport;
    if (s->process)
        return p;
    p->flow_id = ev->flow_id;
    struct request ask = { .kind = REQUEST_OWNER, .pid = s->container ? s->container->init_pid : 0, .container = p->container,
                           .flow_id = ev->flow_id,
                           .proto = ev->proto, .src = ev->src, .dst = ev->dst, .sport = ev->sport, .dport = ev->dport };
    detection_request(d, &ask);
    return p;
}

struct process *owner_of(struct detection *d, const struct pending *p)
{
    return p->asked_pid ? proctree_find(d->tree, p->asked_pid) : pending_process(d, p);
}

int32_t owner_container(const struct pending *p, const struct process *owner)
{
    return owner && owner->container ? owner->container : p->container;
}

bool address_is_trusted(const struct detection *d, const struct address *address)
{
    struct intel_match match = { .list = "" };
    return d->intel && !intel_lookup(d->intel, address, &match) && match.trusted;
}

/* ---- places -------------------------------------------------------------------------------------------------------- */

int32_t net_scope(const struct step *s)
{
    const struct container_facts *c = s->container;
    if (c && c->nsid >= 0)
        return -2 - c->nsid;
    if (event_knows(s->ev, F_NSID) && s->ev->nsid >= 0)
        return -2 - s->ev->nsid;
    return c && c->nsid != -1 ? c->id : 0; /* -1: it is in the host's namespace */
}

int net_slots_find(const struct net_slots *slots, int32_t scope)
{
    uint32_t first = (uint32_t)scope % LIMIT_NET_CONTAINERS; /* numbers count up: usually there */
    if (slots->ids[first] == scope + 1)
        return (int)first;
    for (int i = 0; i < LIMIT_NET_CONTAINERS; i++)
        if (slots->ids[i] == scope + 1)
            return i;
    return -1;
}

int net_slots_take(struct detection *d, struct net_slots *slots, int32_t scope, uint64_t now_ns, bool *fresh)
{
    int at = net_slots_find(slots, scope);
    *fresh = at < 0;
    if (at < 0) {
        at = (int)((uint32_t)scope % LIMIT_NET_CONTAINERS);
        for (int i = 0; i < LIMIT_NET_CONTAINERS && slots->ids[at]; i++)
            if (!slots->ids[i] || slots->last_ns[i] < slots->last_ns[at])
                at = i;
        d->n_forgotten += slots->ids[at] != 0;
        slots->ids[at] = scope + 1;
    }
    slots->last_ns[at] = now_ns;
    return at;
}

/* ---- totals of flows ---------------------------------------------------------------------------------------------- */

/* Few flows live long enough to be told of twice. In the place of the one that was told of the longest time ago. */
static struct flow_total *total_of(struct detection *d, struct flow_totals *totals, const struct event *ev)
{
    struct flow_total *set = &totals->slots[ev->flow_id % (LIMIT_NET_TOTALS / WAYS) * WAYS], *oldest = set, *found = NULL;
    for (int i = 0; i < WAYS; i++) {
        if (set[i].time_ns && set[i].flow_id == ev->flow_id)
            found = &set[i];
        if (set[i].time_ns < oldest->time_ns)
            oldest = &set[i];
    }
    if (found || ev->flow_phase == FLOW_END)
        return found;
    d->n_forgotten += oldest->time_ns != 0;
    *oldest = (struct flow_total){ .flow_id = ev->flow_id };
    return oldest;
}

bool flow_totals_take(struct detection *d, struct flow_totals *totals, const struct event *ev, struct flow_growth *growth)
{
    if (!event_knows(ev, F_BYTES_OUT) || !event_knows(ev, F_PACKETS_OUT))
        return false;
    struct flow_total *t = total_of(d, totals, ev), none = { 0 };
    const struct flow_total *before = t ? t : &none;
    /* counters never fall: if they do, it is another flow */
    bool same = ev->bytes_out >= before->bytes_out && ev->packets_out >= before->packets_out && ev->bytes_in >= before->bytes_in &&
                ev->packets_in >= before->packets_in;
    if (!same)
        before = &none;
    *growth = (struct flow_growth){ .bytes_out = ev->bytes_out - before->bytes_out,
                                    .packets_out = ev->packets_out - before->packets_out,
                                    .bytes_in = ev->bytes_in - before->bytes_in,
                                    .packets_in = ev->packets_in - before->packets_in,
                                    .since_ns = before->time_ns };
    if (t && ev->flow_phase == FLOW_END)
        *t = none;
    else if (t)
        *t = (struct flow_total){ ev->flow_id, ev->time_ns, ev->bytes_out, ev->packets_out, ev->bytes_in, ev->packets_in };
    return true;
}
