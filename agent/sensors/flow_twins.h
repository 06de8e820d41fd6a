/* One flow of a container is often tracked twice: in the container's network namespace and in the host's, which forwards it. This table
 * makes one flow of the two. Pure.
 *
 * Rule. Two flows are twins when one is reported by the host's namespace and the other by another, and the original 5-tuple of the
 * other is what passes the host: the host's original 5-tuple, or (destination NAT, inbound) its reply 5-tuple turned round.
 *   - The container's view is told, with the container's nsid. The host's twin is dropped.
 *   - The host's came first (inbound): it was told already. The container's view follows as FLOW_UPDATE under the same flow_id, and
 *     from then on the host's is dropped.
 *   - Bytes: the container's END is told with the host's counters where it has none (accounting is a switch per namespace). If the
 *     host's END comes later, it is told as a second END of the same flow_id which holds the counters.
 * Addresses that mean something else in each namespace (loopback, IPv6 link-local, unspecified) never make twins. Flows that several
 * namespaces other than the host's report are all told: each is one container's end of it.
 *
 * The table is bounded (LIMIT_FLOW_TWINS): flows without a twin leave first. A twin that was pushed out is reported twice; counted. */
#ifndef ECSGUARD_FLOW_TWINS_H
#define ECSGUARD_FLOW_TWINS_H

#include "common/event.h"
#include "common/hash.h"

struct flow_twin {
    uint64_t key;     /* keyed hash of the 5-tuple; 0 = free */
    uint64_t flow_id; /* under which the flow is told */
    uint64_t host_id, container_id; /* 0 = not seen */
    uint64_t seen_ns;
    uint64_t counters[4]; /* of the host's, as they came at its end: bytes out, in, packets out, in */
    int32_t nsid;         /* of the container's */
    uint8_t flags;
};

struct flow_twins {
    struct flow_twin *twins;
    uint64_t *keys; /* of each, apart from the rest: one line of memory is a set */
    uint32_t *worth; /* ... and how much it is worth keeping */
    struct hash_key hash;
    uint64_t dropped; /* events not told because they are a twin's */
    uint64_t evicted; /* pairs pushed out while both were alive */
};

/* 0 or -ENOMEM. */
int flow_twins_init(struct flow_twins *t, struct hash_key key);
void flow_twins_fini(struct flow_twins *t);

/* True: tell this event (flow_id, nsid, phase and counters may have been changed by the rule above). False: drop it. */
bool flow_twins_pass(struct flow_twins *t, struct event *ev);

/* Was this very flow seen lately? For the resync after loss, which tells the others. */
bool flow_twins_knows(const struct flow_twins *t, const struct event *ev);

#endif
