/* Times. Events carry CLOCK_MONOTONIC (what the proc connector stamps); people and the database see the wall clock,
 * which the shell maps with one offset per event group, so that a clock step never reorders events. */
#ifndef ECSGUARD_CLOCK_H
#define ECSGUARD_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_SECOND 1000000000ull
#define NS_PER_MS 1000000ull

static inline uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * NS_PER_SECOND + (uint64_t)t.tv_nsec;
}

static inline uint64_t clock_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* Add to a monotonic time to get nanoseconds since 1970. */
static inline int64_t clock_wall_offset_ns(void)
{
    return (int64_t)(clock_ns(CLOCK_REALTIME) - clock_monotonic_ns());
}

#endif
