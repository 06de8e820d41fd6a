#include "agent/dns.h"

#include <string.h>

int dns_init(struct dns *d, struct proctree *tree, struct container_table *containers)
{
    struct hash_key key = hash_key_random();
    d->tree = tree;
    d->containers = containers;
    int error = dns_queries_init(&d->queries, key);
    if (!error)
        error = dns_names_init(&d->names, key);
    if (!error)
        error = dns_owners_init(&d->owners, containers->n_slots);
    return error ? error : dns_bursts_init(&d->bursts, containers->n_slots);
}

void dns_fini(struct dns *d)
{
    dns_bursts_fini(&d->bursts);
    dns_owners_fini(&d->owners);
    dns_names_fini(&d->names);
    dns_queries_fini(&d->queries);
}

void dns_see(struct dns *d, const struct event *ev, const struct process *process, const struct container_facts *container)
{
    if (!container)
        return;
    if (ev->kind == EVENT_CONTAINER)
        dns_owners_container(&d->owners, d->containers, container);
    else if (process && ev->kind != EVENT_FILE)
        dns_owners_process(&d->owners, d->containers, container, ev, process);
}

/* Who asked is looked for when the question comes; its answer is theirs, too. */
static void take_query(struct dns *d, const struct event *ev, struct dns_query *query)
{
    if (query->forwarded)
        return; /* Docker's daemon, of which no process is in the container */
    struct dns_owner o = dns_owner_find(&d->owners, ev);
    struct process *p = o.pid ? proctree_find(d->tree, o.pid) : NULL;
    query->container = o.container;
    if (!p || p->container != o.container)
        return;
    query->pid = o.pid;
    query->start_ns = p->start_ns;
    query->owner = o.by;
}

static const struct dns_query *query_of(struct dns *d, const struct event *ev)
{
    if (ev->dns_op == DNS_QUERY) {
        struct dns_query *query = dns_query_note(&d->queries, ev);
        take_query(d, ev, query);
        return query;
    }
    const struct dns_query *query = dns_query_find(&d->queries, ev);
    if (query)
        dns_names_note(&d->names, ev);
    else
        d->n_unasked++;
    return query;
}

const struct event *dns_know(struct dns *d, const struct event *ev, struct process **process, struct container_facts **container)
{
    bool is_message = !event_knows(ev, F_MESSAGES) && ev->size <= sizeof d->copy;
    const struct dns_query *query = is_message ? query_of(d, ev) : NULL;
    if (!query)
        return ev;
    struct event *copy = &d->copy.event;
    memcpy(copy, ev, ev->size);
    event_set(copy, F_DNS_FORWARDED, dns_forwarded, query->forwarded);
    if (query->container)
        *container = container_by_id(d->containers, query->container);
    if (query->pid) {
        struct process *p = proctree_find(d->tree, query->pid);
        event_set(copy, F_PID, pid, query->pid);
        event_set(copy, F_OWNER, owner, query->owner);
        *process = p && p->start_ns == query->start_ns ? p : NULL;
    }
    return copy;
}

bool dns_settle(struct dns *d, const struct event *ev, const struct container_facts *container, bool wanted)
{
    struct dns_speaker who = { .slot = d->containers->n_slots };
    if (container) {
        who.slot = (uint32_t)(container - d->containers->slots);
        who.container = container->id;
    }
    return dns_bursts_take(&d->bursts, ev, who, wanted);
}

const struct event *dns_tick(struct dns *d, uint64_t now_ns, struct process **process, struct container_facts **container)
{
    int32_t id;
    if (dns_bursts_due(&d->bursts) > now_ns)
        return NULL;
    struct event *row = &d->row.event;
    event_init(row, EVENT_DNS, SOURCE_PIPELINE, now_ns);
    row->text_max = sizeof d->row - offsetof(struct event, text);
    if (!dns_bursts_next(&d->bursts, now_ns, row, &id))
        return NULL;
    struct process *p = event_knows(row, F_PID) ? proctree_find(d->tree, row->pid) : NULL;
    *process = p && p->start_ns <= row->time_ns ? p : NULL; /* else another has the pid by now */
    *container = container_by_id(d->containers, id);
    return row;
}

uint64_t dns_due(const struct dns *d)
{
    return dns_bursts_due(&d->bursts);
}
