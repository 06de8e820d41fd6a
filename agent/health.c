#include "agent/health.h"

#include <string.h>

#include "common/text.h"

static const char *state_name(enum sensor_state state)
{
    switch (state) {
    case SENSOR_OFF:
        return "off";
    case SENSOR_DEGRADED:
        return "degraded";
    case SENSOR_OK:
        return "ok";
    }
    return "?";
}

void health_of(const char *component, enum sensor_state state, const char *reason, const struct health_counter *counters, int n_counters,
               uint64_t wall_ns, struct health *out)
{
    struct text_out json;
    memset(out, 0, sizeof *out);
    text_copy(out->component, sizeof out->component, component, sizeof out->component);
    text_copy(out->state, sizeof out->state, state_name(state), sizeof out->state);
    text_copy(out->reason, sizeof out->reason, reason, sizeof out->reason);
    out->wall_ns = wall_ns;
    text_out_init(&json, out->counters, sizeof out->counters);
    for (int i = 0; i < n_counters; i++)
        text_out_printf(&json, "%s\"%s\":%llu", i ? "," : "{", counters[i].name, (unsigned long long)counters[i].value);
    text_out_printf(&json, "}");
}

void health_of_source(const struct source_health *source, uint64_t wall_ns, struct health *out)
{
    const struct sensor_stats *s = source->stats;
    struct health_counter counters[6 + SOURCE_COUNTERS_MAX] = {
        { "events", atomic_load(&s->events) },   { "lost", atomic_load(&s->lost) },           { "overflows", atomic_load(&s->overflows) },
        { "resyncs", atomic_load(&s->resyncs) }, { "malformed", atomic_load(&s->malformed) }, { "queue_bytes", source->queue_bytes },
    };
    memcpy(counters + 6, source->more, (size_t)source->n_more * sizeof counters[0]);
    health_of(source->component, (enum sensor_state)atomic_load(&s->state), s->reason, counters, 6 + source->n_more, wall_ns, out);
}
