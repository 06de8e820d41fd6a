/* Puts the events of all sensors into one order of kernel time. Each ring is (nearly) in order by itself; an event is released once it is
 * LIMIT_HOLD_NS old, when every other sensor has had time to deliver what came before it. Pure. */
#ifndef ECSGUARD_MERGE_H
#define ECSGUARD_MERGE_H

#include "common/event.h"
#include "common/ring.h"

#define MERGE_RINGS_MAX (LIMIT_EXEC_READERS + 24)

struct merge {
    struct ring *rings[MERGE_RINGS_MAX];
    int n_rings;
    int current; /* ring of the event given last */
};

void merge_add(struct merge *m, struct ring *ring);

/* The oldest event that is ripe at `now_ns` (UINT64_MAX: any), or NULL. Valid until merge_pop(). */
const struct event *merge_peek(struct merge *m, uint64_t now_ns);
void merge_pop(struct merge *m);

/* Everything before this time was given out: `now_ns`, or the time of the oldest event that waits. */
uint64_t merge_horizon(struct merge *m, uint64_t now_ns);

/* True when no ring holds anything. */
bool merge_is_empty(struct merge *m);

#endif
