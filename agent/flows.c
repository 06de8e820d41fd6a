#include "agent/flows.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "common/clock.h"

#define SAME_START_NS (30 * NS_PER_MS)
#define TEXT_MAX (sizeof(union flow_buffer) - offsetof(struct event, text))

int flows_init(struct flows *f, struct proctree *tree, struct container_table *containers)
{
    memset(f, 0, sizeof *f);
    f->tree = tree;
    f->containers = containers;
    if (netns_addresses_init(&f->addresses) || flow_table_init(&f->table) || flow_firsts_init(&f->firsts, hash_key_random()) ||
        flow_bursts_init(&f->bursts)) {
        flows_fini(f);
        return -ENOMEM;
    }
    return 0;
}

void flows_fini(struct flows *f)
{
    flow_bursts_fini(&f->bursts);
    flow_firsts_fini(&f->firsts);
    flow_table_fini(&f->table);
    netns_addresses_fini(&f->addresses);
}

static struct flow_kind_key kind_key(const struct event *ev, const struct container_facts *c)
{
    return (struct flow_kind_key){ .container = c ? c->id : 0, .direction = ev->direction, .proto = ev->proto };
}

/* ---- whose ---- */

static struct process *process_of(struct flows *f, int32_t pid, uint64_t start_ns)
{
    struct process *process = pid ? proctree_find(f->tree, pid) : NULL;
    return process && process->start_ns == start_ns ? process : NULL;
}

/* Where several containers share a network namespace, or one shares the host's, the process tells which of them it is. `nsid` and `known` are the
 * flow's: a process of another namespace cannot have it. */
static struct container_facts *container_of_owner(struct flows *f, const struct process *process, int32_t nsid, struct container_facts *known)
{
    struct container_facts *c = process ? container_by_id(f->containers, process->container) : NULL;
    bool fits = c && (c->nsid == nsid || c->nsid < -1 || (known && known->nsid == c->nsid));
    return fits ? c : known;
}

static struct event *copy_of(union flow_buffer *to, const struct event *ev)
{
    memcpy(&to->event, ev, ev->size);
    to->event.text_max = TEXT_MAX;
    return &to->event;
}

static void name_far_end(struct flows *f, struct event *copy, const struct container_facts *c)
{
    const struct address *far = copy->direction == DIRECTION_IN ? &copy->src : &copy->dst;
    const char *name = dns_names_of_flow(f->names, c, copy, far);
    if (name)
        event_set_text(copy, F_DOMAIN, name, strlen(name));
}

/* The same ports and the same address of kernel memory again. The end of a flow that two namespaces track may be told twice; and whose it is may
 * be known before its first event. */
static bool is_new_flow(const struct flow_state *known, const struct event *ev)
{
    return known->ended ? ev->flow_phase != FLOW_END : known->begin_id && ev->flow_phase == FLOW_NEW;
}

/* What earlier events of the flow said. A container may have ended since, or its namespace's number may be another's. */
static void know_flow(struct flows *f, const struct flow_state *known, struct event *copy, struct process **process,
                      struct container_facts **container)
{
    struct container_facts *before = container_by_id(f->containers, known->container);
    if (before)
        *container = before;
    if (known->begin_id)
        event_set(copy, F_BEGIN_ID, begin_id, (uint64_t)known->begin_id);
    if (known->pid) {
        *process = process_of(f, known->pid, known->start_ns);
        event_set(copy, F_PID, pid, known->pid);
        event_set(copy, F_OWNER, owner, known->owner);
        if (!before)
            *container = container_of_owner(f, *process, copy->nsid, *container);
    }
}

const struct event *flows_know(struct flows *f, const struct event *ev, struct process **process, struct container_facts **container)
{
    const struct container_facts *end = *container = flow_container(f->containers, ev); /* of several in one namespace, the one with the address */
    if (ev->flow_phase == FLOW_BURST || ev->size > sizeof f->copy)
        return ev;
    struct event *copy = copy_of(&f->copy, ev);
    struct flow_state *known = flow_find(&f->table, ev->flow_id, ev->time_ns);
    if (known && is_new_flow(known, ev))
        *known = (struct flow_state){ .seen_ns = ev->time_ns };
    if (known)
        know_flow(f, known, copy, process, container);
    uint8_t direction = known ? known->direction : 0;
    if (!direction)
        direction = flow_direction(&f->addresses, end, ev);
    if (direction)
        event_set(copy, F_DIRECTION, direction, direction);
    name_far_end(f, copy, *container);
    return copy;
}

/* ---- asking ---- */

static bool may_ask(struct flows *f, uint64_t now_ns)
{
    const uint64_t each_ns = NS_PER_SECOND / LIMIT_FLOW_ASKS;
    if (f->asks_paid_ns > now_ns + NS_PER_SECOND)
        return false;
    f->asks_paid_ns = (f->asks_paid_ns > now_ns ? f->asks_paid_ns : now_ns) + each_ns;
    return true;
}

/* When the socket has its process: of what comes in by TCP, once it is accepted. */
static bool is_time_to_ask(const struct event *ev)
{
    if (ev->direction == DIRECTION_IN && ev->proto == IPPROTO_TCP)
        return ev->flow_phase == FLOW_UPDATE && ev->tcp_state == TCP_ESTABLISHED;
    return ev->flow_phase == FLOW_NEW;
}

static bool is_first(struct flows *f, const struct event *ev, const struct container_facts *c)
{
    struct flow_destination d = { .container = c ? c->id : 0, .proto = ev->proto, .direction = ev->direction, .port = ev->dport };
    if (ev->direction == DIRECTION_IN)
        d.port = event_knows(ev, F_REPLY_SPORT) ? ev->reply_sport : ev->dport;
    else
        d.address = ev->dst;
    return flow_first_is(&f->firsts, &d, ev->time_ns);
}

static bool is_worth_asking(struct flows *f, const struct event *ev, const struct container_facts *c, bool stored)
{
    if ((ev->proto != IPPROTO_TCP && ev->proto != IPPROTO_UDP) || !ev->direction || event_knows(ev, F_PID) || !is_time_to_ask(ev))
        return false;
    const struct flow_state *known = flow_find(&f->table, ev->flow_id, ev->time_ns);
    if (known && known->asked && ev->flow_phase == FLOW_NEW) /* what was looked for at the begin may be found once it is accepted */
        return false;
    struct flow_kind_key key = kind_key(ev, c);
    return (stored || flow_bursts_asks(&f->bursts, &key, ev->time_ns)) && is_first(f, ev, c) && may_ask(f, ev->time_ns);
}

/* The end of the flow that is in the container, or else the one that began it. */
static struct request question(const struct event *ev, const struct container_facts *c)
{
    struct request ask = { .kind = REQUEST_OWNER, .pid = c ? c->init_pid : 0, .container = c ? c->id : 0, .flow_id = ev->flow_id,
                           .proto = ev->proto, .src = ev->src, .dst = ev->dst, .sport = ev->sport, .dport = ev->dport };
    if (ev->direction != DIRECTION_IN)
        return ask;
    bool has_reply = event_knows(ev, F_REPLY_SRC);
    ask.src = has_reply ? ev->reply_src : ev->dst;
    ask.sport = has_reply ? ev->reply_sport : ev->dport;
    ask.dst = has_reply ? ev->reply_dst : ev->src;
    ask.dport = has_reply ? ev->reply_dport : ev->sport;
    return ask;
}

static const struct request *request_about(const struct outcome *out, uint64_t flow_id)
{
    for (int i = 0; i < out->n_requests; i++)
        if (out->requests[i].kind == REQUEST_OWNER && out->requests[i].flow_id == flow_id)
            return &out->requests[i];
    return NULL;
}

static void note_waiting(struct flows *f, const struct event *ev, const struct container_facts *c)
{
    f->waiting[f->n_waiting++ % LIMIT_FLOW_WAITING] =
        (struct flow_waiting){ .flow_id = ev->flow_id, .time_ns = ev->time_ns, .key = kind_key(ev, c), .nsid = ev->nsid, .src = ev->src,
                               .dst = ev->dst,
                               .sport = ev->sport, .dport = ev->dport };
}

static void remember(struct flows *f, const struct event *ev, const struct container_facts *c, int64_t id)
{
    struct flow_state *known = flow_enter(&f->table, ev->flow_id, ev->time_ns);
    if (!known->begin_id)
        known->begin_id = id;
    if (!known->container)
        known->container = c ? c->id : 0;
    known->direction = ev->direction;
    known->ended = ev->flow_phase == FLOW_END;
}

/* Of a flow without rows: whose it is says whose its burst is, and its end is the end of what was known. */
static void remember_folded(struct flows *f, const struct event *ev, const struct flow_kind_key *key)
{
    struct flow_state *known = ev->flow_phase == FLOW_UPDATE ? NULL : flow_find(&f->table, ev->flow_id, ev->time_ns);
    if (known && known->pid && ev->flow_phase == FLOW_NEW)
        flow_bursts_set_owner(&f->bursts, key, known->pid, known->start_ns, ev->time_ns);
    if (known)
        known->ended = ev->flow_phase == FLOW_END;
}

void flows_settle(struct flows *f, const struct event *ev, const struct container_facts *container, int64_t id, struct outcome *out)
{
    struct flow_kind_key key = kind_key(ev, container);
    bool asked = request_about(out, ev->flow_id);
    out->store = flow_bursts_take(&f->bursts, ev, &key, asked || out->n_findings);
    if (out->store && ev->flow_phase != FLOW_BURST)
        remember(f, ev, container, id);
    else if (!out->store)
        remember_folded(f, ev, &key);
    if (!asked && out->n_requests < LIMIT_OUTCOME_REQUESTS && is_worth_asking(f, ev, container, out->store)) {
        out->requests[out->n_requests++] = question(ev, container);
        asked = true;
        f->n_asked++;
    }
    if (asked || (out->store && ev->flow_phase == FLOW_NEW && !event_knows(ev, F_PID)))
        note_waiting(f, ev, container);
}

static struct event *row_begin(struct flows *f, uint64_t time_ns)
{
    event_init(&f->row.event, EVENT_FLOW, SOURCE_PIPELINE, time_ns);
    f->row.event.text_max = TEXT_MAX;
    return &f->row.event;
}

static const struct flow_waiting *waiting_find(const struct flows *f, uint64_t flow_id)
{
    for (int i = 0; flow_id && i < LIMIT_FLOW_WAITING; i++)
        if (f->waiting[i].flow_id == flow_id)
            return &f->waiting[i];
    return NULL;
}

static void row_fill(struct event *row, const struct flow_waiting *flow, const struct flow_state *known)
{
    event_set(row, F_FLOW_PHASE, flow_phase, FLOW_UPDATE);
    event_set(row, F_FLOW_ID, flow_id, flow->flow_id);
    event_set(row, F_NSID, nsid, flow->nsid);
    event_set(row, F_PROTO, proto, flow->key.proto);
    event_set(row, F_SRC, src, flow->src);
    event_set(row, F_SPORT, sport, flow->sport);
    event_set(row, F_DST, dst, flow->dst);
    event_set(row, F_DPORT, dport, flow->dport);
    if (flow->key.direction)
        event_set(row, F_DIRECTION, direction, flow->key.direction);
    event_set(row, F_PID, pid, known->pid);
    event_set(row, F_OWNER, owner, known->owner);
    if (known->begin_id)
        event_set(row, F_BEGIN_ID, begin_id, (uint64_t)known->begin_id);
}

/* The control group is known also of sockets whose process is gone. */
static struct container_facts *container_of_group(struct flows *f, const struct event *answer)
{
    struct cgroup_identity identity;
    if (!event_knows(answer, F_CGROUP) || cgroup_identify(event_text(answer, answer->cgroup), answer->cgroup.len, &identity) < 0 ||
        !identity.is_container)
        return NULL;
    return container_by_name(f->containers, identity.container_id);
}

/* The process that was told, if it is the one that we know by that pid: /proc tells the start to 10 ms, rounded down. */
static const struct process *process_told(const struct event *answer, const struct process *process)
{
    if (!process || !event_knows(answer, F_PID))
        return NULL;
    if (event_knows(answer, F_START_NS) && process->start_ns &&
        (process->start_ns > answer->start_ns + SAME_START_NS || answer->start_ns > process->start_ns + SAME_START_NS))
        return NULL;
    return process;
}

/* Nobody holds the socket any more: who was it likely? */
static const struct process *process_guessed(struct flows *f, const struct event *answer, const struct flow_waiting *flow, enum owner_by *by)
{
    struct event clue;
    if (!f->starts || !flow || flow->nsid < 0 || flow->key.direction == DIRECTION_IN)
        return NULL;
    event_init(&clue, EVENT_FLOW, SOURCE_PIPELINE, flow->time_ns);
    event_set(&clue, F_NSID, nsid, flow->nsid);
    if (event_knows(answer, F_UID))
        event_set(&clue, F_UID, uid, answer->uid);
    struct dns_owner likely = dns_owner_find(f->starts, &clue);
    *by = (enum owner_by)likely.by;
    return likely.pid ? proctree_find(f->tree, likely.pid) : NULL;
}

/* Who holds the socket, or likely did; false when nobody is found. */
static bool take_owner(struct flows *f, struct flow_state *known, const struct event *answer, const struct process *process,
                       const struct flow_waiting *flow)
{
    enum owner_by by = event_knows(answer, F_OWNER) ? (enum owner_by)answer->owner : OWNER_SOCKET;
    const struct process *told = process_told(answer, process);
    bool is_unknown_here = !process && event_knows(answer, F_PID) && event_knows(answer, F_START_NS);
    if (!told && !is_unknown_here && !known->pid) /* who was found is not replaced by who is likely */
        told = process_guessed(f, answer, flow, &by);
    if (!told && !is_unknown_here)
        return false;
    known->pid = told ? told->pid : answer->pid;
    known->start_ns = told ? told->start_ns : answer->start_ns;
    known->owner = (uint8_t)by;
    return true;
}

const struct event *flows_answer(struct flows *f, const struct event *answer, const struct process *process,
                                 struct container_facts **container)
{
    const struct flow_waiting *flow = waiting_find(f, answer->flow_id);
    struct flow_state *known = flow_enter(&f->table, answer->flow_id, answer->time_ns);
    struct container_facts *of_group = container_of_group(f, answer);
    const struct flow_state before = *known;
    known->asked = true;
    if (of_group)
        known->container = of_group->id;
    if (!take_owner(f, known, answer, process, flow))
        return NULL;
    f->n_answered++;
    process = process_of(f, known->pid, known->start_ns);
    if (!flow) /* its first event is still to come, or long past */
        return NULL;
    if (flow_bursts_is_folded(&f->bursts, answer->flow_id))
        flow_bursts_set_owner(&f->bursts, &flow->key, known->pid, known->start_ns, answer->time_ns);
    if (!known->begin_id || (before.pid == known->pid && before.owner == known->owner))
        return NULL;
    struct event *row = row_begin(f, answer->time_ns);
    row_fill(row, flow, known);
    *container = container_of_owner(f, process, flow->nsid, of_group ? of_group : container_by_id(f->containers, flow->key.container));
    known->container = *container ? (*container)->id : 0;
    name_far_end(f, row, *container);
    return row;
}

/* ---- rows for many ---- */

const struct event *flows_tick(struct flows *f, uint64_t now_ns, struct process **process, struct container_facts **container)
{
    struct flow_kind_key key;
    uint64_t start_ns;
    if (flow_bursts_due(&f->bursts) > now_ns)
        return NULL;
    struct event *row = row_begin(f, now_ns);
    if (!flow_bursts_next(&f->bursts, now_ns, row, &key, &start_ns))
        return NULL;
    *process = event_knows(row, F_PID) ? process_of(f, row->pid, start_ns) : NULL;
    *container = container_by_id(f->containers, key.container);
    if (event_knows(row, F_DST))
        name_far_end(f, row, *container);
    return row;
}

uint64_t flows_due(const struct flows *f)
{
    return flow_bursts_due(&f->bursts);
}
