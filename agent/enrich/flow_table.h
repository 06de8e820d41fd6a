/* What is remembered of flows that have rows: the row of their first event, so that the others point to it; whose they are; and who began
 * them. Pure; bounded (LIMIT_FLOWS): what was seen least lately leaves, and its later events stand alone. */
#ifndef ECSGUARD_FLOW_TABLE_H
#define ECSGUARD_FLOW_TABLE_H

#include "common/event.h"

struct flow_state {
    int64_t begin_id;  /* 0 = no row yet */
    uint64_t start_ns; /* of the process */
    uint64_t seen_ns;
    int32_t pid;       /* 0 = not known */
    int32_t container; /* row id, 0 = host or unknown */
    uint8_t owner;     /* enum owner_by */
    uint8_t direction; /* enum flow_direction */
    bool ended;
    bool asked;        /* somebody looked for its process */
};

struct flow_table {
    uint64_t *ids; /* of the flows, apart from the rest: one line of memory is a set */
    struct flow_state *states;
    uint64_t n_evicted; /* flows pushed out before their end */
};

int flow_table_init(struct flow_table *t); /* 0 or -ENOMEM */
void flow_table_fini(struct flow_table *t);

struct flow_state *flow_find(struct flow_table *t, uint64_t flow_id, uint64_t now_ns); /* NULL = not known */
/* Finds it or makes it. Never NULL. */
struct flow_state *flow_enter(struct flow_table *t, uint64_t flow_id, uint64_t now_ns);

#endif
