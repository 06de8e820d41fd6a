/* Names of addresses, as each network namespace resolved them: the name that was asked for, not the last CNAME that led to the address. Of
 * several names the latest counts. Pure; bounded: what was used least lately leaves, and is counted. */
#ifndef ECSGUARD_DNS_NAMES_H
#define ECSGUARD_DNS_NAMES_H

#include "common/container.h"
#include "common/event.h"
#include "common/hash.h"
#include "common/slab.h"

/* A CNAME without an address: who asks for its target next means `name`. */
struct dns_alias {
    uint64_t target; /* hash of namespace and target, 0 = free */
    uint64_t expires_ns;
    uint16_t size;
    char name[LIMIT_DOMAIN_BYTES / 4];
};

struct dns_names {
    struct slab blocks;
    uint32_t *buckets;
    uint32_t oldest, newest; /* blocks, in order of their last use */
    struct hash_key hash;
    struct dns_alias aliases[LIMIT_DNS_ALIASES]; /* a circle */
    uint32_t next_alias;
    uint64_t alias_until_ns; /* none is alive later */
    uint64_t n_names, n_evicted;
};

int dns_names_init(struct dns_names *names, struct hash_key hash); /* 0 or -ENOMEM */
void dns_names_fini(struct dns_names *names);

/* Learns from an EVENT_DNS answer, which must be one to a question that was seen: dns_query_find(). Only records that follow from the name
 * asked for are believed. */
void dns_names_note(struct dns_names *names, const struct event *ev);

/* The name under which network namespace `nsid` (-1 = the host's) resolved the address, valid until the next call of dns_names_note(); NULL
 * when it did not, or too long ago. */
const char *dns_names_find(struct dns_names *names, int32_t nsid, const struct address *address, uint64_t now_ns);
/* The same for one end of a flow of container `c` (NULL = the host): in the container's own namespace, also when the host's tells of the flow.
 * Without names NULL. */
const char *dns_names_of_flow(struct dns_names *names, const struct container_facts *c, const struct event *flow, const struct address *end);

#endif
