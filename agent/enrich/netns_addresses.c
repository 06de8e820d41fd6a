#include "agent/enrich/netns_addresses.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 8
#define SETS (LIMIT_NETNS_ADDRESSES / WAYS)

int netns_addresses_init(struct netns_addresses *t)
{
    memset(t, 0, sizeof *t);
    t->slots = calloc(LIMIT_NETNS_ADDRESSES, sizeof *t->slots);
    return t->slots ? 0 : -ENOMEM;
}

void netns_addresses_fini(struct netns_addresses *t)
{
    free(t->slots);
    t->slots = NULL;
}

/* Nobody gains by choosing addresses that meet in one set: they would only make their own directions unknown. */
static struct netns_address *set_of(const struct netns_addresses *t, int32_t nsid, const struct address *a)
{
    uint64_t parts[2];
    memcpy(parts, a->bytes, sizeof parts);
    uint64_t h = (parts[0] ^ (parts[1] * 0x9e3779b97f4a7c15u) ^ (uint32_t)nsid) * 0x9e3779b97f4a7c15u;
    return t->slots + (h >> 32) % SETS * WAYS;
}

static bool is_slot(const struct netns_address *s, int32_t nsid, const struct address *a)
{
    return s->told_ns && s->nsid == nsid && address_equal(&s->address, a);
}

bool netns_has_address(const struct netns_addresses *t, int32_t nsid, const struct address *a)
{
    const struct netns_address *set = set_of(t, nsid, a);
    for (int i = 0; i < WAYS; i++)
        if (is_slot(&set[i], nsid, a))
            return true;
    return false;
}

static void add(struct netns_addresses *t, const struct event *ev)
{
    struct netns_address *set = set_of(t, ev->nsid, &ev->src), *at = set;
    for (int i = 0; i < WAYS; i++) {
        if (is_slot(&set[i], ev->nsid, &ev->src))
            return;
        if (set[i].told_ns < at->told_ns)
            at = &set[i];
    }
    t->n_evicted += at->told_ns != 0;
    *at = (struct netns_address){ .told_ns = ev->time_ns ? ev->time_ns : 1, .nsid = ev->nsid, .address = ev->src };
}

static void drop_all(struct netns_addresses *t, int32_t nsid)
{
    for (int i = 0; i < LIMIT_NETNS_ADDRESSES; i++)
        if (t->slots[i].nsid == nsid)
            t->slots[i].told_ns = 0;
}

static void drop(struct netns_addresses *t, const struct event *ev)
{
    struct netns_address *set = set_of(t, ev->nsid, &ev->src);
    for (int i = 0; i < WAYS; i++)
        if (is_slot(&set[i], ev->nsid, &ev->src))
            set[i].told_ns = 0;
}

void netns_addresses_apply(struct netns_addresses *t, const struct event *ev)
{
    if (ev->kind != EVENT_NETNS || !event_knows(ev, F_NSID))
        return;
    if (ev->netns_op == NETNS_ADDRESS && ev->src.family)
        add(t, ev);
    else if (ev->netns_op == NETNS_ADDRESS_GONE && !event_knows(ev, F_SRC))
        drop_all(t, ev->nsid);
    else if (ev->netns_op == NETNS_ADDRESS_GONE)
        drop(t, ev);
}
