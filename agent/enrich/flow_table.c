#include "agent/enrich/flow_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 8
#define SETS (LIMIT_FLOWS / WAYS)

int flow_table_init(struct flow_table *t)
{
    memset(t, 0, sizeof *t);
    t->ids = aligned_alloc(64, LIMIT_FLOWS * sizeof *t->ids);
    t->states = calloc(LIMIT_FLOWS, sizeof *t->states);
    if (!t->ids || !t->states) {
        flow_table_fini(t);
        return -ENOMEM;
    }
    memset(t->ids, 0, LIMIT_FLOWS * sizeof *t->ids);
    return 0;
}

void flow_table_fini(struct flow_table *t)
{
    free(t->ids);
    free(t->states);
    memset(t, 0, sizeof *t);
}

/* A flow's id is a hash already, over one that the kernel keys. */
static size_t set_of(uint64_t flow_id)
{
    return (flow_id >> 32) % SETS * WAYS;
}

struct flow_state *flow_find(struct flow_table *t, uint64_t flow_id, uint64_t now_ns)
{
    size_t set = set_of(flow_id);
    for (size_t i = set; i < set + WAYS; i++) {
        if (t->ids[i] != flow_id || !flow_id)
            continue;
        t->states[i].seen_ns = now_ns;
        return &t->states[i];
    }
    return NULL;
}

struct flow_state *flow_enter(struct flow_table *t, uint64_t flow_id, uint64_t now_ns)
{
    struct flow_state *known = flow_find(t, flow_id, now_ns);
    if (known)
        return known;
    size_t set = set_of(flow_id), at = set;
    for (size_t i = set + 1; i < set + WAYS && t->ids[at]; i++)
        if (!t->ids[i] || t->states[i].seen_ns < t->states[at].seen_ns)
            at = i;
    t->n_evicted += t->ids[at] && !t->states[at].ended;
    t->ids[at] = flow_id;
    t->states[at] = (struct flow_state){ .seen_ns = now_ns };
    return &t->states[at];
}
