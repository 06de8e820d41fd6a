#include "agent/merge.h"

void merge_add(struct merge *m, struct ring *ring)
{
    if (m->n_rings < MERGE_RINGS_MAX)
        m->rings[m->n_rings++] = ring;
}

const struct event *merge_peek(struct merge *m, uint64_t now_ns)
{
    const struct event *oldest = NULL;
    for (int i = 0; i < m->n_rings; i++) {
        size_t size;
        const struct event *ev = ring_peek(m->rings[i], &size);
        if (ev && (!oldest || ev->time_ns < oldest->time_ns)) {
            oldest = ev;
            m->current = i;
        }
    }
    return oldest && (now_ns == UINT64_MAX || oldest->time_ns + LIMIT_HOLD_NS <= now_ns) ? oldest : NULL;
}

void merge_pop(struct merge *m)
{
    ring_pop(m->rings[m->current]);
}

uint64_t merge_horizon(struct merge *m, uint64_t now_ns)
{
    const struct event *oldest = merge_peek(m, UINT64_MAX);
    return oldest && oldest->time_ns < now_ns ? oldest->time_ns : now_ns;
}

bool merge_is_empty(struct merge *m)
{
    size_t size;
    for (int i = 0; i < m->n_rings; i++)
        if (ring_peek(m->rings[i], &size))
            return false;
    return true;
}
