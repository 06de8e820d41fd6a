/* What a sensor tells about itself: written by its thread, read by the loop for `health`. */
#ifndef ECSGUARD_SENSOR_STATS_H
#define ECSGUARD_SENSOR_STATS_H

#include <stdatomic.h>
#include <stdint.h>

enum sensor_state {
    SENSOR_OFF,      /* not running: `reason` says why and what to do */
    SENSOR_DEGRADED, /* running with less than its full coverage: `reason` says what is not covered */
    SENSOR_OK,
};

struct sensor_stats {
    _Atomic int state; /* enum sensor_state */
    _Atomic uint64_t events;
    _Atomic uint64_t lost;      /* events known to be lost (kernel queue or our ring); an overflow of unknown size counts 1 */
    _Atomic uint64_t overflows; /* how often the kernel said that it dropped */
    _Atomic uint64_t resyncs;   /* how often we rescanned because of it */
    _Atomic uint64_t malformed; /* messages refused by the decoder */
    char reason[192];           /* set before `state`, by the sensor's own thread; plain text */
};

static inline void sensor_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

#endif
