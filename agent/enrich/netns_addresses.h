/* Which addresses belong to which network namespace, as the kernel tells (EVENT_NETNS with NETNS_ADDRESS). What is a namespace's own decides
 * who began a flow. Pure; bounded (LIMIT_NETNS_ADDRESSES): the address that was told first leaves. */
#ifndef ECSGUARD_NETNS_ADDRESSES_H
#define ECSGUARD_NETNS_ADDRESSES_H

#include "common/event.h"

struct netns_address {
    uint64_t told_ns; /* 0 = free */
    int32_t nsid;
    struct address address;
};

struct netns_addresses {
    struct netns_address *slots;
    uint64_t n_evicted;
};

int netns_addresses_init(struct netns_addresses *t); /* 0 or -ENOMEM */
void netns_addresses_fini(struct netns_addresses *t);

/* Takes what an EVENT_NETNS says: an address came, one went (or, without F_SRC, all of the namespace). */
void netns_addresses_apply(struct netns_addresses *t, const struct event *ev);
bool netns_has_address(const struct netns_addresses *t, int32_t nsid, const struct address *a);

#endif
