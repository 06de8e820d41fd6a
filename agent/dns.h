/* What the pipeline does with DNS messages: whose they are, and the names that addresses got by them, and which get rows.
 * Pure. */
#ifndef ECSGUARD_DNS_H
#define ECSGUARD_DNS_H

#include "agent/enrich/dns_bursts.h"
#include "agent/enrich/dns_names.h"
#include "agent/enrich/dns_owner.h"
#include "agent/enrich/dns_queries.h"

union dns_buffer {
    struct event event;
    char bytes[sizeof(struct event) + LIMIT_DOMAIN_BYTES + LIMIT_DNS_ANSWERS_BYTES + 16];
};

struct dns {
    struct proctree *tree;              /* borrowed, as the next */
    struct container_table *containers;
    struct dns_queries queries;
    struct dns_names names;
    struct dns_owners owners;
    struct dns_bursts bursts;
    uint64_t n_unasked; /* answers to questions that nobody was seen to ask */
    union dns_buffer copy, row;
};

int dns_init(struct dns *d, struct proctree *tree, struct container_table *containers); /* 0 or -ENOMEM */
void dns_fini(struct dns *d);

/* Each event of a process that is in a container, and each change of a container. */
void dns_see(struct dns *d, const struct event *ev, const struct process *process, const struct container_facts *container);

/* A copy of the DNS event that knows more (valid until the next call), with its process and container. */
const struct event *dns_know(struct dns *d, const struct event *ev, struct process **process, struct container_facts **container);

/* After the detectors: is the message to be stored? `wanted`: a finding refers to it. */
bool dns_settle(struct dns *d, const struct event *ev, const struct container_facts *container, bool wanted);

/* A row that stands for many messages and is due, or NULL. */
const struct event *dns_tick(struct dns *d, uint64_t now_ns, struct process **process, struct container_facts **container);
uint64_t dns_due(const struct dns *d);

#endif
