/* DNS queries that await their answer: an answer is believed only if somebody asked for it (network namespace, protocol, port, id and name),
 * and belongs to whoever asked. Anybody in a namespace can still make up answers to its own questions: what is learnt from one is used for
 * that namespace only. Pure; bounded: in each set of four the oldest leaves. */
#ifndef ECSGUARD_DNS_QUERIES_H
#define ECSGUARD_DNS_QUERIES_H

#include "common/event.h"
#include "common/hash.h"

struct dns_query {
    uint64_t key; /* 0 = free */
    uint64_t start_ns; /* of the process */
    uint32_t time_ms;  /* wraps */
    int32_t pid;       /* who asked, 0 = unknown */
    int32_t container;
    uint8_t owner;     /* enum owner_by, 0 = unknown */
    bool forwarded;    /* Docker's own, on behalf of another query */
};

struct dns_queries {
    struct dns_query *slots;
    struct hash_key hash;
    uint64_t docker_until_ns; /* nothing was asked of Docker's resolver that is still remembered then */
};

int dns_queries_init(struct dns_queries *q, struct hash_key hash); /* 0 or -ENOMEM */
void dns_queries_fini(struct dns_queries *q);

/* Notes an EVENT_DNS query; the entry is the caller's to complete, until the next call. `forwarded` is set when the same was asked of
 * Docker's resolver (127.0.0.11) just before: Docker passes it on out of the container's own namespace, with the same id. */
struct dns_query *dns_query_note(struct dns_queries *q, const struct event *ev);
/* The query that an EVENT_DNS answer belongs to, or NULL: nobody asked. */
const struct dns_query *dns_query_find(const struct dns_queries *q, const struct event *answer);

#endif
