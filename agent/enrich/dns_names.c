#include "agent/enrich/dns_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/dns_code.h"
#include "common/dns_record.h"

#define NONE UINT32_MAX
#define N_BUCKETS 16384u
#define EVICTIONS 64 /* for one new name at most: room for the longest */

struct name {
    uint64_t hash, expires_ns;
    uint32_t bytes; /* of this block */
    uint32_t hash_next, older, newer;
    int32_t nsid;
    struct address address;
    char text[];
};

/* A piece of text that somebody else holds. */
struct piece {
    const char *at;
    size_t size;
};

/* ---- the table ---------------------------------------------------------------------------------------------------- */

int dns_names_init(struct dns_names *n, struct hash_key hash)
{
    memset(n, 0, sizeof *n);
    n->hash = hash;
    n->oldest = n->newest = NONE;
    n->buckets = malloc(N_BUCKETS * sizeof *n->buckets);
    if (!n->buckets || slab_init(&n->blocks, LIMIT_DNS_NAMES_BYTES)) {
        dns_names_fini(n);
        return -ENOMEM;
    }
    memset(n->buckets, 0xff, N_BUCKETS * sizeof *n->buckets);
    return 0;
}

void dns_names_fini(struct dns_names *n)
{
    free(n->buckets);
    n->buckets = NULL;
    slab_fini(&n->blocks);
}

static struct name *name_at(const struct dns_names *n, uint32_t block)
{
    return (struct name *)(void *)(n->blocks.arena + (size_t)block * SLAB_MIN);
}

static uint32_t block_of(const struct dns_names *n, const struct name *name)
{
    return (uint32_t)((size_t)((const uint8_t *)name - n->blocks.arena) / SLAB_MIN);
}

static uint64_t hash_of(const struct dns_names *n, int32_t nsid, const struct address *a)
{
    uint8_t key[24] = { 0 };
    memcpy(key, &nsid, 4);
    key[4] = a->family;
    memcpy(key + 8, a->bytes, a->family == 6 ? 16 : 4);
    return hash_bytes(&n->hash, key, sizeof key);
}

static void list_push(struct dns_names *n, struct name *name)
{
    uint32_t block = block_of(n, name);
    name->newer = NONE;
    name->older = n->newest;
    if (n->newest != NONE)
        name_at(n, n->newest)->newer = block;
    else
        n->oldest = block;
    n->newest = block;
}

static void list_drop(struct dns_names *n, const struct name *name)
{
    if (name->older != NONE)
        name_at(n, name->older)->newer = name->newer;
    else
        n->oldest = name->newer;
    if (name->newer != NONE)
        name_at(n, name->newer)->older = name->older;
    else
        n->newest = name->older;
}

static void name_drop(struct dns_names *n, struct name *name)
{
    uint32_t block = block_of(n, name);
    for (uint32_t *at = &n->buckets[name->hash % N_BUCKETS]; *at != NONE; at = &name_at(n, *at)->hash_next)
        if (*at == block) {
            *at = name->hash_next;
            break;
        }
    list_drop(n, name);
    n->n_names--;
    slab_give(&n->blocks, name, name->bytes);
}

static struct name *find(const struct dns_names *n, uint64_t hash, int32_t nsid, const struct address *a)
{
    for (uint32_t at = n->buckets[hash % N_BUCKETS]; at != NONE; at = name_at(n, at)->hash_next) {
        struct name *name = name_at(n, at);
        if (name->hash == hash && name->nsid == nsid && address_equal(&name->address, a))
            return name;
    }
    return NULL;
}

/* A block with room for a text of `size` bytes; what was used least lately makes place. */
static struct name *name_new(struct dns_names *n, uint64_t hash, size_t size)
{
    size_t bytes = sizeof(struct name) + size + 1;
    struct name *name = slab_take(&n->blocks, &bytes);
    for (int i = 0; !name && i < EVICTIONS && n->oldest != NONE; i++) {
        name_drop(n, name_at(n, n->oldest));
        n->n_evicted++;
        name = slab_take(&n->blocks, &bytes);
    }
    if (!name)
        return NULL;
    name->bytes = (uint32_t)bytes;
    name->hash = hash;
    uint32_t *bucket = &n->buckets[hash % N_BUCKETS];
    name->hash_next = *bucket;
    *bucket = block_of(n, name);
    list_push(n, name);
    n->n_names++;
    return name;
}

static void put(struct dns_names *n, int32_t nsid, const struct address *a, struct piece text, uint64_t expires_ns)
{
    uint64_t hash = hash_of(n, nsid, a);
    struct name *name = find(n, hash, nsid, a);
    if (name && sizeof *name + text.size + 1 > name->bytes) {
        name_drop(n, name);
        name = NULL;
    }
    if (name) {
        list_drop(n, name);
        list_push(n, name);
    } else {
        name = name_new(n, hash, text.size);
        if (!name)
            return;
    }
    name->nsid = nsid;
    name->address = *a;
    name->expires_ns = expires_ns;
    memcpy(name->text, text.at, text.size);
    name->text[text.size] = 0;
}

const char *dns_names_find(struct dns_names *n, int32_t nsid, const struct address *a, uint64_t now_ns)
{
    struct name *name = a->family ? find(n, hash_of(n, nsid, a), nsid, a) : NULL;
    if (!name || now_ns >= name->expires_ns)
        return NULL;
    list_drop(n, name);
    list_push(n, name);
    return name->text;
}

/* ---- CNAMEs whose address comes in an answer of its own ----------------------------------------------------------------- */

static uint64_t target_of(const struct dns_names *n, int32_t nsid, struct piece name)
{
    char lower[LIMIT_DOMAIN_BYTES];
    struct hash_key key = n->hash;
    key.k0 ^= (uint64_t)(uint32_t)nsid;
    size_t size = name.size < sizeof lower ? name.size : sizeof lower;
    for (size_t i = 0; i < size; i++)
        lower[i] = (char)(name.at[i] >= 'A' && name.at[i] <= 'Z' ? name.at[i] | 0x20 : name.at[i]);
    uint64_t h = hash_bytes(&key, lower, size);
    return h ? h : 1;
}

static void alias_put(struct dns_names *n, const struct event *ev, struct piece target, struct piece name)
{
    struct dns_alias *alias = &n->aliases[n->next_alias++ % LIMIT_DNS_ALIASES];
    if (name.size > sizeof alias->name)
        return;
    alias->target = target_of(n, ev->nsid, target);
    alias->expires_ns = n->alias_until_ns = ev->time_ns + LIMIT_DNS_ALIAS_NS;
    alias->size = (uint16_t)name.size;
    memcpy(alias->name, name.at, name.size);
}

/* What was asked for at first, when `asked` is where it led to. */
static struct piece first_asked(const struct dns_names *n, const struct event *ev, struct piece asked)
{
    if (ev->time_ns >= n->alias_until_ns)
        return asked;
    uint64_t target = target_of(n, ev->nsid, asked);
    for (int i = 0; i < LIMIT_DNS_ALIASES; i++)
        if (n->aliases[i].target == target && ev->time_ns < n->aliases[i].expires_ns)
            return (struct piece){ n->aliases[i].name, n->aliases[i].size };
    return asked;
}

/* ---- answers ------------------------------------------------------------------------------------------------------ */

static bool same_name(struct piece a, const char *b, size_t size)
{
    return a.size == size && !strncasecmp(a.at, b, size);
}

/* One pass: what follows from `*at` (the name asked for, or where it leads to), which moves along CNAMEs. How many addresses were noted. */
static int pass(struct dns_names *n, const struct event *ev, struct piece name, struct piece *at)
{
    const char *answers = event_text(ev, ev->dns_answers);
    struct dns_record r;
    size_t position = 0;
    int found = 0;
    while (dns_record_next(answers, ev->dns_answers.len, &position, &r)) {
        struct address address;
        if (!same_name(*at, r.name, r.name_size))
            continue;
        if (dns_record_is(&r, "CNAME")) {
            *at = (struct piece){ r.data, r.data_size };
        } else if (dns_record_address(&r, &address)) {
            uint64_t ttl = r.ttl < LIMIT_DNS_NAME_TTL ? r.ttl : LIMIT_DNS_NAME_TTL;
            put(n, ev->nsid, &address, name, ev->time_ns + ttl * NS_PER_SECOND + LIMIT_DNS_NAME_KEPT_NS);
            found++;
        }
    }
    return found;
}

void dns_names_note(struct dns_names *n, const struct event *ev)
{
    struct piece asked = { event_text(ev, ev->dns_name), ev->dns_name.len }, at = asked, before;
    int found = 0;
    if (!asked.size || !ev->dns_answers.len || (ev->dns_type != DNS_A && ev->dns_type != DNS_AAAA))
        return;
    struct piece name = first_asked(n, ev, asked);
    char copy[LIMIT_DOMAIN_BYTES / 4]; /* an alias may be overwritten below */
    if (name.at != asked.at)
        name.at = memcpy(copy, name.at, name.size);
    for (int i = 0; i < LIMIT_DNS_CHAIN; i++) {
        before = at;
        found += pass(n, ev, name, &at);
        if (found || at.at == before.at)
            break;
    }
    if (!found && at.at != asked.at)
        alias_put(n, ev, at, name);
}

const char *dns_names_of_flow(struct dns_names *names, const struct container_facts *c, const struct event *flow, const struct address *end)
{
    return names ? dns_names_find(names, c && c->nsid >= -1 ? c->nsid : flow->nsid, end, flow->time_ns) : NULL;
}
