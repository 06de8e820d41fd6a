#include "agent/enrich/burst_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int burst_set_init(struct burst_set *s, uint32_t n, size_t size)
{
    *s = (struct burst_set){ .items = calloc(n, size), .size = size, .n = n };
    return s->items ? 0 : -ENOMEM;
}

void burst_set_fini(struct burst_set *s)
{
    free(s->items);
    *s = (struct burst_set){ 0 };
}

struct burst_head *burst_set_at(const struct burst_set *s, uint32_t i)
{
    return (struct burst_head *)(void *)(s->items + i * s->size);
}

struct burst_head *burst_set_first(const struct burst_set *s)
{
    struct burst_head *first = NULL;
    for (uint32_t i = 0; s->n_open && i < s->n; i++) {
        struct burst_head *burst = burst_set_at(s, i);
        if (burst->used && (!first || burst->due_ns < first->due_ns))
            first = burst;
    }
    return first;
}

struct burst_head *burst_set_open(struct burst_set *s, uint64_t due_ns)
{
    for (uint32_t i = 0; s->n_open < s->n && i < s->n; i++) {
        struct burst_head *burst = burst_set_at(s, i);
        if (burst->used)
            continue;
        memset(burst, 0, s->size);
        *burst = (struct burst_head){ .used = true, .due_ns = due_ns };
        s->n_open++;
        return burst;
    }
    return NULL;
}

void burst_set_close(struct burst_set *s, struct burst_head *burst)
{
    s->n_open -= burst->used;
    burst->used = false;
}
