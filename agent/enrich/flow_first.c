#include "agent/enrich/flow_first.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 8
#define SETS (LIMIT_FLOW_FIRSTS / WAYS)

int flow_firsts_init(struct flow_firsts *t, struct hash_key key)
{
    t->hash = key;
    t->slots = calloc(LIMIT_FLOW_FIRSTS, sizeof *t->slots);
    return t->slots ? 0 : -ENOMEM;
}

void flow_firsts_fini(struct flow_firsts *t)
{
    free(t->slots);
    t->slots = NULL;
}

static uint64_t key_of(const struct flow_firsts *t, const struct flow_destination *d)
{
    uint8_t bytes[32] = { d->proto, d->direction, d->address.family };
    memcpy(bytes + 4, &d->container, sizeof d->container);
    memcpy(bytes + 8, d->address.bytes, sizeof d->address.bytes);
    memcpy(bytes + 24, &d->port, sizeof d->port);
    uint64_t key = hash_bytes(&t->hash, bytes, sizeof bytes);
    return key ? key : 1;
}

bool flow_first_is(struct flow_firsts *t, const struct flow_destination *d, uint64_t now_ns)
{
    uint64_t key = key_of(t, d);
    struct flow_first *set = t->slots + key % SETS * WAYS, *at = set;
    for (int i = 0; i < WAYS; i++) {
        if (set[i].key == key) {
            bool first = now_ns >= set[i].told_ns + LIMIT_FLOW_FIRST_NS;
            if (first)
                set[i].told_ns = now_ns;
            return first;
        }
        if (set[i].told_ns < at->told_ns)
            at = &set[i];
    }
    *at = (struct flow_first){ .key = key, .told_ns = now_ns };
    return true;
}
