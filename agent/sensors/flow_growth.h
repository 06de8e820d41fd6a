/* What long flows sent meanwhile: conntrack tells counters at the end only, so all flows are dumped now and then, and those that grew are told. A
 * flow is told when it is seen the second time (it is older than the pause between two rounds), and again when it has grown noticeably: a steady
 * stream gets few rows at first and one per 16 MiB later. Pure; bounded: when a set is full, flows that are not in it yet are not told. */
#ifndef ECSGUARD_FLOW_GROWTH_H
#define ECSGUARD_FLOW_GROWTH_H

#include "common/event.h"

struct flow_size {
    uint64_t flow_id; /* 0 = free */
    uint64_t told_bytes;
    uint32_t round;   /* when it was seen */
    bool told;
};

struct flow_growth {
    struct flow_size *slots;
    uint32_t round;
    uint64_t n_untold; /* flows that found no room */
};

int flow_growth_init(struct flow_growth *g); /* 0 or -ENOMEM */
void flow_growth_fini(struct flow_growth *g);
void flow_growth_round(struct flow_growth *g); /* another round begins */
/* A flow of the dump: is it to be told? */
bool flow_growth_tell(struct flow_growth *g, const struct event *ev);

#endif
