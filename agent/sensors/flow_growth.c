#include "agent/sensors/flow_growth.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 8
#define SETS (LIMIT_FLOW_GROWTH / WAYS)
#define LEAST_BYTES (16u << 10)
#define MOST_BYTES (16u << 20)

int flow_growth_init(struct flow_growth *g)
{
    memset(g, 0, sizeof *g);
    g->slots = calloc(LIMIT_FLOW_GROWTH, sizeof *g->slots);
    g->round = 1;
    return g->slots ? 0 : -ENOMEM;
}

void flow_growth_fini(struct flow_growth *g)
{
    free(g->slots);
    g->slots = NULL;
}

void flow_growth_round(struct flow_growth *g)
{
    g->round++;
}

/* Its slot, or the one to take: free, or of a flow that was not in the last round any more. */
static struct flow_size *slot_of(struct flow_growth *g, uint64_t flow_id)
{
    struct flow_size *set = g->slots + (flow_id >> 32) % SETS * WAYS, *at = NULL;
    for (int i = 0; i < WAYS; i++) {
        if (set[i].flow_id == flow_id)
            return &set[i];
        if (!set[i].flow_id || set[i].round + 1 < g->round)
            at = &set[i];
    }
    return at;
}

static bool has_grown(const struct flow_size *s, uint64_t bytes)
{
    uint64_t least = s->told_bytes / 8;
    least = least < LEAST_BYTES ? LEAST_BYTES : least > MOST_BYTES ? MOST_BYTES : least;
    return !s->told || bytes >= s->told_bytes + least;
}

bool flow_growth_tell(struct flow_growth *g, const struct event *ev)
{
    uint64_t bytes = ev->bytes_out + ev->bytes_in;
    struct flow_size *s = slot_of(g, ev->flow_id);
    if (!event_knows(ev, F_BYTES_OUT) || !ev->flow_id)
        return false;
    if (!s) {
        g->n_untold++;
        return false;
    }
    bool known = s->flow_id == ev->flow_id && s->round + 1 >= g->round && bytes >= s->told_bytes; /* fewer bytes: the id is another flow's now */
    if (!known)
        *s = (struct flow_size){ .flow_id = ev->flow_id };
    bool again = known && s->round != g->round; /* a dump may show a flow twice */
    s->round = g->round;
    if (!again || !has_grown(s, bytes))
        return false;
    s->told = true;
    s->told_bytes = bytes;
    return true;
}
