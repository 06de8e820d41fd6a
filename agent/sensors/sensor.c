#include "agent/sensors/sensor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"

int sensor_init(struct sensor *s, enum event_source source, size_t ring_bytes, struct sensor_stats *stats, struct waker *waker)
{
    memset(s, 0, sizeof *s);
    s->source = source;
    s->stats = stats;
    s->waker = waker;
    return ring_init(&s->ring, ring_bytes);
}

void sensor_fini(struct sensor *s)
{
    ring_fini(&s->ring);
}

/* Says what was lost, once there is room again. */
static void report_loss(struct sensor *s, uint64_t time_ns)
{
    struct event *ev = ring_reserve(&s->ring, sizeof *ev + 256, 0);
    if (!ev)
        return;
    event_init(ev, EVENT_LOSS, s->source, time_ns);
    ev->text_max = 256;
    event_set(ev, F_COUNT, count, s->unreported);
    event_set_text(ev, F_REASON, s->unreported_reason, strlen(s->unreported_reason));
    s->unreported = 0;
    ring_commit(&s->ring, ev->size);
}

struct event *sensor_event(struct sensor *s, enum event_kind kind, uint64_t time_ns, size_t text_max)
{
    if (s->unreported)
        report_loss(s, time_ns);
    struct event *ev = ring_reserve(&s->ring, sizeof *ev + text_max, 0);
    if (!ev) {
        sensor_count(&s->stats->lost, 1);
        s->unreported++;
        s->unreported_reason = "our queue was full: the agent got too little CPU time";
        if (s->waker)
            waker_wake(s->waker);
        return NULL;
    }
    event_init(ev, kind, s->source, time_ns);
    ev->text_max = (uint16_t)text_max;
    return ev;
}

void sensor_commit(struct sensor *s, const struct event *ev)
{
    ring_commit(&s->ring, ev->size);
    sensor_count(&s->stats->events, 1);
    if (s->waker)
        waker_wake(s->waker);
}

void sensor_lost(struct sensor *s, uint64_t n, const char *reason)
{
    sensor_count(&s->stats->lost, n);
    sensor_count(&s->stats->overflows, 1);
    s->unreported += n;
    s->unreported_reason = reason;
    report_loss(s, clock_monotonic_ns());
    if (s->waker)
        waker_wake(s->waker);
}

void sensor_state(struct sensor_stats *stats, enum sensor_state state, const char *reason, ...)
{
    va_list args;
    va_start(args, reason);
    vsnprintf(stats->reason, sizeof stats->reason, reason, args);
    va_end(args);
    atomic_store_explicit(&stats->state, (int)state, memory_order_release);
}
