/* The first flow to each destination in a while: whose process is worth asking for. Pure; bounded, the oldest of a set leaves. */
#ifndef ECSGUARD_FLOW_FIRST_H
#define ECSGUARD_FLOW_FIRST_H

#include "common/event.h"
#include "common/hash.h"

/* Of one container, by protocol: far end and its port; of inbound flows, the container's own port. */
struct flow_destination {
    int32_t container;
    uint8_t proto, direction;
    struct address address; /* family 0 for inbound */
    uint16_t port;
};

struct flow_first {
    uint64_t key; /* 0 = free */
    uint64_t told_ns;
};

struct flow_firsts {
    struct flow_first *slots;
    struct hash_key hash;
};

int flow_firsts_init(struct flow_firsts *t, struct hash_key key); /* 0 or -ENOMEM */
void flow_firsts_fini(struct flow_firsts *t);
/* True for the first flow in LIMIT_FLOW_FIRST_NS. */
bool flow_first_is(struct flow_firsts *t, const struct flow_destination *d, uint64_t now_ns);

#endif
