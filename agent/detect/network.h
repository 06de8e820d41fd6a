/* What detectors of network behaviour share: whose process a flow is, and the places for what is remembered of each
 * network namespace. Pure. */
#ifndef ECSGUARD_DETECT_NETWORK_H
#define ECSGUARD_DETECT_NETWORK_H

#include "agent/detect/detector.h"
#include "common/address.h"

/* The flow got an answer: a TCP connection was established, or something else came back. */
bool flow_is_answered(const struct event *ev);

/* A trusted list has it. */
bool address_is_trusted(const struct detection *d, const struct address *address);

/* Waits with a decision about a flow, whose process is asked for if it is not known. Decided early because the table is full: then deadline_ns is not
 * after now_ns. */
struct pending *owner_wait(struct detection *d, const struct detector *self, const struct step *s, uint64_t due_ns);
struct process *owner_of(struct detection *d, const struct pending *p); /* NULL = not found */
/* Whose finding it is: containers that share a network namespace are told apart by the process. */
int32_t owner_container(const struct pending *p, const struct process *owner);

/* Under which number the behaviour of this step is remembered: that of its network namespace, or of the container where the host's namespace reports it;
 * 0 = the host. Not simply the container: of those that share a namespace it is known only once the process is, in the middle of a flow. */
int32_t net_scope(const struct step *s);

/* A place for each scope lately active, of an array of LIMIT_NET_CONTAINERS that the caller has. */
struct net_slots {
    int32_t ids[LIMIT_NET_CONTAINERS]; /* + 1; 0 = free */
    uint64_t last_ns[LIMIT_NET_CONTAINERS];
};

/* The place of a scope, -1 if it has none. */
int net_slots_find(const struct net_slots *slots, int32_t scope);
/* ... given to it if it has none (*fresh: what is there is another's): that of the one active the longest time ago, counted. */
int net_slots_take(struct detection *d, struct net_slots *slots, int32_t scope, uint64_t now_ns, bool *fresh);

/* Flows of which totals come more than once. Gives what was added since the last time. */
struct flow_total {
    uint64_t flow_id, time_ns; /* time 0 = free */
    uint64_t bytes_out, packets_out, bytes_in, packets_in;
};

struct flow_totals {
    struct flow_total slots[LIMIT_NET_TOTALS];
};

struct flow_growth {
    uint64_t bytes_out, packets_out, bytes_in, packets_in;
    uint64_t since_ns; /* 0 = the first time: since the flow began */
};

/* Of an EVENT_FLOW with counters (FLOW_UPDATE, FLOW_END); false if it has none. */
bool flow_totals_take(struct detection *d, struct flow_totals *totals, const struct event *ev, struct flow_growth *growth);

#endif
