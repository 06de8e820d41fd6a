#include "agent/detect/flow_step.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "common/clock.h"

#define ASK_EACH_NS (20 * NS_PER_MS)

static enum flow_direction direction_of(const struct detection *d, const struct step *s)
{
    const struct event *ev = s->ev;
    const struct container_facts *c = s->container;
    if (event_knows(ev, F_DIRECTION) && ev->direction)
        return (enum flow_direction)ev->direction;
    if (!c)
        return address_is_host(d, &ev->dst) && !address_is_host(d, &ev->src) ? DIRECTION_IN : DIRECTION_OUT;
    if (address_equal(&ev->src, &c->address) || address_equal(&ev->src, &c->address6))
        return DIRECTION_OUT;
    const struct address *target = event_knows(ev, F_REPLY_SRC) ? &ev->reply_src : &ev->dst;
    return target->family && (address_equal(target, &c->address) || address_equal(target, &c->address6)) ? DIRECTION_IN : DIRECTION_OUT;
}

static void view_inbound(const struct event *ev, struct flow_view *out)
{
    bool translated = event_knows(ev, F_REPLY_SRC) && ev->reply_src.family;
    out->near = translated ? ev->reply_src : ev->dst;
    out->near_port = translated ? ev->reply_sport : ev->dport;
    out->far = out->far_real = ev->src;
    out->far_port = out->far_real_port = ev->sport;
}

static void view_outbound(const struct event *ev, struct flow_view *out)
{
    bool translated = event_knows(ev, F_REPLY_SRC) && ev->reply_src.family;
    out->near = ev->src;
    out->near_port = ev->sport;
    out->far = ev->dst;
    out->far_port = ev->dport;
    out->far_real = translated ? ev->reply_src : ev->dst;
    out->far_real_port = translated ? ev->reply_sport : ev->dport;
}

/* Of TCP the state says it; of others that an update came, which the kernel sends with the first packet back. At the end the counters do, where
 * they are kept. */
static bool established(const struct event *ev)
{
    if (ev->flow_phase == FLOW_NEW)
        return false;
    if (ev->flow_phase == FLOW_END)
        return event_knows(ev, F_PACKETS_IN) && ev->packets_in > (ev->proto == IPPROTO_TCP ? 1 : 0);
    return ev->proto == IPPROTO_TCP ? event_knows(ev, F_TCP_STATE) && ev->tcp_state == TCP_ESTABLISHED : true;
}

bool flow_view_of(const struct detection *d, const struct step *s, struct flow_view *out)
{
    const struct event *ev = s->ev;
    if (ev->kind != EVENT_FLOW || ev->flow_phase == FLOW_BURST)
        return false;
    *out = (struct flow_view){ .direction = direction_of(d, s) };
    if (out->direction == DIRECTION_IN)
        view_inbound(ev, out);
    else
        view_outbound(ev, out);
    out->is_new = ev->flow_phase == FLOW_NEW;
    out->is_established = established(ev);
    out->is_closed = ev->proto == IPPROTO_TCP && ev->flow_phase == FLOW_UPDATE && event_knows(ev, F_TCP_STATE) && ev->tcp_state == TCP_CLOSE;
    return true;
}

struct pending *flow_wait(struct detection *d, const struct detector *self, const struct step *s, const struct flow_view *view)
{
    const struct event *ev = s->ev;
    struct pending *p = detection_wait(d, self, s, ev->time_ns + FLOW_OWNER_NS);
    p->deadline_ns = p->due_ns;
    p->flow_id = ev->flow_id;
    p->proto = ev->proto;
    p->src = view->near;
    p->sport = view->near_port;
    p->dst = view->far;
    p->dport = view->far_port;
    if (s->process && event_knows(ev, F_OWNER) && ev->owner == OWNER_SOCKET) {
        p->answered = true;
        p->owner = OWNER_SOCKET;
        p->asked_pid = s->process->pid;
        p->due_ns = ev->time_ns;
        return p;
    }
    p->owner = event_owner(ev);
    struct request ask = { .kind = REQUEST_OWNER, .pid = s->container ? s->container->init_pid : 0, .container = p->container,
                           .flow_id = ev->flow_id,
                           .proto = ev->proto, .src = p->src, .dst = p->dst, .sport = p->sport, .dport = p->dport };
    if (view->direction == DIRECTION_IN && event_knows(ev, F_REPLY_DST)) { /* as the near end names the far one */
        ask.dst = ev->reply_dst;
        ask.dport = ev->reply_dport;
    }
    detection_request(d, &ask);
    return p;
}

bool flow_may_ask(uint64_t *paid_ns, uint64_t now_ns)
{
    if (*paid_ns > now_ns + 20 * ASK_EACH_NS)
        return false;
    *paid_ns = (*paid_ns > now_ns ? *paid_ns : now_ns) + ASK_EACH_NS;
    return true;
}

uint64_t flow_wait_more(const struct pending *p, uint64_t now_ns)
{
    return !p->answered && now_ns < p->deadline_ns ? p->deadline_ns : 0;
}

struct process *flow_process(struct detection *d, const struct pending *p, enum owner_by *by)
{
    struct process *owner = p->answered && p->asked_pid ? proctree_find(d->tree, p->asked_pid) : NULL;
    *by = (enum owner_by)p->owner;
    return owner ? owner : pending_process(d, p);
}

int32_t flow_container_id(const struct pending *p, const struct process *process)
{
    return process && process->container ? process->container : p->container;
}

enum owner_by event_owner(const struct event *ev)
{
    return event_knows(ev, F_OWNER) ? (enum owner_by)ev->owner : OWNER_RECENT;
}

const char *owner_words(enum owner_by by)
{
    switch (by) {
    case OWNER_SOCKET:
        return "it holds the socket";
    case OWNER_ONLY_UID:
        return "likely: the only process with the packet's user";
    case OWNER_ONLY:
        return "likely: the only process";
    case OWNER_RECENT:
        return "likely: the latest that started";
    }
    return "";
}

bool address_is_host(const struct detection *d, const struct address *address)
{
    const struct host_facts *host = d->rules.host;
    for (uint32_t i = 0; host && i < host->n_addresses; i++)
        if (address_equal(&host->addresses[i], address))
            return true;
    return false;
}
