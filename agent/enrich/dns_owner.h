/* Who in a network namespace asked a DNS question: its containers are known surely, the process only as likely, by how few there are with the
 * packet's user id and how lately they started. Kept for that, of each container, are the processes that started last; no question walks
 * over all processes. Pure. */
#ifndef ECSGUARD_DNS_OWNER_H
#define ECSGUARD_DNS_OWNER_H

#include "agent/enrich/container_table.h"
#include "agent/enrich/proctree.h"

struct dns_member {
    int32_t pid; /* 0 = free */
    uint32_t uid; /* effective; UINT32_MAX = unknown */
    uint64_t started_ns; /* last executed or forked */
    uint64_t ended_ns;   /* 0 = lives */
};

struct dns_group {
    int32_t container;
    int32_t init_pid;
    bool is_pause;
    uint32_t n_missed; /* living ones that found no place */
    struct dns_member members[LIMIT_DNS_MEMBERS];
};

struct dns_owners {
    struct dns_group *groups; /* by slot of the container table */
    int32_t *nsids;           /* the same, close together: looked through for every query; -2 = none */
    uint32_t n_slots, n_used;
};

struct dns_owner {
    int32_t container; /* the process's; unknown: the namespace's only one, else who holds it (the pause container of an awsvpc task); 0 = none */
    int32_t pid;       /* 0 = unknown */
    uint8_t by;        /* enum owner_by, 0 = unknown */
};

int dns_owners_init(struct dns_owners *o, uint32_t n_slots); /* as many as the container table has; 0 or -ENOMEM */
void dns_owners_fini(struct dns_owners *o);

/* A container has changed or ended. */
void dns_owners_container(struct dns_owners *o, const struct container_table *table, const struct container_facts *c);
/* An event of a process of this container. */
void dns_owners_process(struct dns_owners *o, const struct container_table *table, const struct container_facts *c, const struct event *ev,
                        const struct process *process);

/* Who asked the query `ev`. In the host's own namespace nobody is named: any process of the host may have asked, also where containers use
 * that namespace. */
struct dns_owner dns_owner_find(const struct dns_owners *o, const struct event *ev);

#endif
