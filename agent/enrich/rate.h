/* A rate limit that lets bursts through: so many at once, so many a second in the long run. Pure. */
#ifndef ECSGUARD_RATE_H
#define ECSGUARD_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

/* The time at which a steady stream at that rate would have let through what was let through. */
struct rate {
    uint64_t paid_ns;
};

static inline bool rate_pass(struct rate *r, uint64_t now_ns, uint64_t at_once, uint64_t per_second)
{
    const uint64_t each_ns = NS_PER_SECOND / per_second, room_ns = (at_once - 1) * each_ns;
    if (r->paid_ns > now_ns + room_ns)
        return false;
    r->paid_ns = (r->paid_ns > now_ns ? r->paid_ns : now_ns) + each_ns;
    return true;
}

#endif
