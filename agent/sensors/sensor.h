/* What every sensor has: a ring in which it builds its events in place, counters, and honest loss. One thread uses a
 * struct sensor; the loop reads the other end of its ring. */
#ifndef ECSGUARD_SENSOR_H
#define ECSGUARD_SENSOR_H

#include <pthread.h>

#include "common/event.h"
#include "common/ring.h"
#include "common/sensor_stats.h"
#include "common/waker.h"

struct sensor {
    struct ring ring;
    struct sensor_stats *stats; /* may be shared by several readers of one sensor */
    struct waker *waker;        /* NULL in tests */
    enum event_source source;
    uint64_t unreported;        /* lost, and not yet said by an EVENT_LOSS */
    const char *unreported_reason;
};

/* 0 or -ENOMEM. `ring_bytes` is a power of two from limits.h. */
int sensor_init(struct sensor *s, enum event_source source, size_t ring_bytes, struct sensor_stats *stats, struct waker *waker);
void sensor_fini(struct sensor *s);

/* A fresh event in the ring with room for `text_max` bytes of texts (LIMIT_EVENT_TEXT_BYTES for any), or NULL when the ring is
 * full: the event is lost and counted. Fill it, then sensor_commit(); an event that is not committed leaves no trace. */
struct event *sensor_event(struct sensor *s, enum event_kind kind, uint64_t time_ns, size_t text_max);
void sensor_commit(struct sensor *s, const struct event *ev);

/* The kernel (or someone else before us) lost `n` events; n = 1 when only the fact is known. Counts, and an EVENT_LOSS follows as soon
 * as there is room. `reason` is a string literal. */
void sensor_lost(struct sensor *s, uint64_t n, const char *reason);

/* Sets state and reason, for `health`. `reason` says what is not covered, why, and what to do; "" when all is well. */
__attribute__((format(printf, 3, 4))) void sensor_state(struct sensor_stats *stats, enum sensor_state state, const char *reason, ...);

#endif
