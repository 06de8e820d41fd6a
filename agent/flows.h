/* What the pipeline does with flows: whose they are, who began them, which get rows, and for which the process is asked. Pure. */
#ifndef ECSGUARD_FLOWS_H
#define ECSGUARD_FLOWS_H

#include "agent/enrich/container_table.h"
#include "agent/enrich/dns_names.h"
#include "agent/enrich/dns_owner.h"
#include "agent/enrich/flow_bursts.h"
#include "agent/enrich/flow_direction.h"
#include "agent/enrich/flow_first.h"
#include "agent/enrich/flow_table.h"
#include "agent/enrich/netns_addresses.h"
#include "agent/enrich/proctree.h"
#include "agent/outcome.h"

/* A flow event has one text at most, its domain. */
union flow_buffer {
    struct event event;
    char bytes[sizeof(struct event) + LIMIT_DOMAIN_BYTES + 16];
};

/* A flow whose process may still be told: what a row with the answer says of the flow. */
struct flow_waiting {
    uint64_t flow_id, time_ns;
    struct flow_kind_key key;
    int32_t nsid;
    struct address src, dst;
    uint16_t sport, dport;
};

struct flows {
    struct proctree *tree;              /* borrowed, as the next */
    struct container_table *containers;
    struct dns_names *names;            /* NULL = none */
    const struct dns_owners *starts;    /* who started last in each container, to infer the process; NULL = none */
    struct netns_addresses addresses;
    struct flow_table table;
    struct flow_firsts firsts;
    struct flow_bursts bursts;
    struct flow_waiting waiting[LIMIT_FLOW_WAITING]; /* a circle */
    uint64_t n_waiting;
    uint64_t asks_paid_ns;
    uint64_t n_asked, n_answered; /* questions; answers, also to what nobody asked, that name a process */
    union flow_buffer copy, row;
};

int flows_init(struct flows *f, struct proctree *tree, struct container_table *containers); /* 0 or -ENOMEM */
void flows_fini(struct flows *f);

/* A copy of the flow event that knows more (valid until the next call), with its process and container. */
const struct event *flows_know(struct flows *f, const struct event *ev, struct process **process, struct container_facts **container);

/* After the detectors, about the event that flows_know() gave: is it to be stored (as row `id`), and is its process to be asked for?
 * Requests are added to `out`. */
void flows_settle(struct flows *f, const struct event *ev, const struct container_facts *container, int64_t id, struct outcome *out);

/* What is told of the owner of a flow, asked for or not (then often before the flow itself): the row that tells it, or NULL when there is nothing to
 * store. `process`: the owner, NULL = not found; then it is inferred if the answer was asked for. `*container`: the socket's, and gets the
 * flow's. */
const struct event *flows_answer(struct flows *f, const struct event *answer, const struct process *process,
                                 struct container_facts **container);

/* A row that stands for many flows and is due, or NULL. */
const struct event *flows_tick(struct flows *f, uint64_t now_ns, struct process **process, struct container_facts **container);
uint64_t flows_due(const struct flows *f);

#endif
