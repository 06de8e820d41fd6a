#include "agent/enrich/dns_queries.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define WAYS 4
#define DOCKER_PROTO 255 /* in the key under which what was asked of Docker's resolver is found again, from any port */

int dns_queries_init(struct dns_queries *q, struct hash_key hash)
{
    q->hash = hash;
    q->docker_until_ns = 0;
    q->slots = aligned_alloc(WAYS * sizeof *q->slots, LIMIT_DNS_QUERIES * sizeof *q->slots); /* a set is two lines of the CPU's cache */
    if (!q->slots)
        return -ENOMEM;
    memset(q->slots, 0, LIMIT_DNS_QUERIES * sizeof *q->slots);
    return 0;
}

void dns_queries_fini(struct dns_queries *q)
{
    free(q->slots);
    q->slots = NULL;
}

/* Servers may give the name back in other case than it was asked in. */
static uint64_t key_of(const struct dns_queries *q, const struct event *ev, uint8_t proto, uint16_t port)
{
    struct {
        int32_t nsid;
        uint16_t port, id, type, proto;
        char name[LIMIT_DOMAIN_BYTES]; /* not cleared: most names are short */
    } key;
    key.nsid = ev->nsid;
    key.port = port;
    key.id = ev->dns_id;
    key.type = ev->dns_type;
    key.proto = proto;
    const char *name = event_text(ev, ev->dns_name);
    size_t size = ev->dns_name.len < sizeof key.name ? ev->dns_name.len : sizeof key.name;
    for (size_t i = 0; i < size; i++)
        key.name[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
    uint64_t h = hash_bytes(&q->hash, &key, offsetof(__typeof__(key), name) + size);
    return h ? h : 1;
}

static struct dns_query *set_of(const struct dns_queries *q, uint64_t key)
{
    return &q->slots[key % (LIMIT_DNS_QUERIES / WAYS) * WAYS];
}

static uint32_t age_ms(const struct dns_query *query, uint64_t time_ns)
{
    return (uint32_t)(time_ns / NS_PER_MS) - query->time_ms;
}

static struct dns_query *find(const struct dns_queries *q, uint64_t key, uint64_t time_ns)
{
    struct dns_query *set = set_of(q, key);
    for (int i = 0; i < WAYS; i++)
        if (set[i].key == key && age_ms(&set[i], time_ns) < LIMIT_DNS_QUERY_NS / NS_PER_MS)
            return &set[i];
    return NULL;
}

static struct dns_query *put(struct dns_queries *q, uint64_t key, uint64_t time_ns)
{
    struct dns_query *set = set_of(q, key), *to = set;
    for (int i = 0; i < WAYS; i++) {
        if (set[i].key == key) {
            to = &set[i];
            break;
        }
        if (to->key && (!set[i].key || age_ms(&set[i], time_ns) > age_ms(to, time_ns)))
            to = &set[i];
    }
    *to = (struct dns_query){ .key = key, .time_ms = (uint32_t)(time_ns / NS_PER_MS) };
    return to;
}

static bool is_docker(const struct address *a)
{
    static const uint8_t embedded[4] = { 127, 0, 0, 11 };
    return a->family == 4 && !memcmp(a->bytes, embedded, 4);
}

struct dns_query *dns_query_note(struct dns_queries *q, const struct event *ev)
{
    bool docker = is_docker(&ev->dst), forwarded = false;
    if (docker) {
        put(q, key_of(q, ev, DOCKER_PROTO, 0), ev->time_ns);
        q->docker_until_ns = ev->time_ns + LIMIT_DNS_QUERY_NS;
    } else if (ev->time_ns < q->docker_until_ns) {
        forwarded = find(q, key_of(q, ev, DOCKER_PROTO, 0), ev->time_ns) != NULL;
    }
    struct dns_query *query = put(q, key_of(q, ev, ev->proto, ev->sport), ev->time_ns);
    query->forwarded = forwarded;
    return query;
}

const struct dns_query *dns_query_find(const struct dns_queries *q, const struct event *answer)
{
    return find(q, key_of(q, answer, answer->proto, answer->sport), answer->time_ns);
}
