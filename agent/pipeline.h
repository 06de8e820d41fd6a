/* The pipeline: every event passes it, in order of kernel time, and every decision is made in it. Pure: no descriptor, no clock;
 * `now_ns` is the time of the event or tick. */
#ifndef ECSGUARD_PIPELINE_H
#define ECSGUARD_PIPELINE_H

#include "agent/outcome.h"

struct pipeline;

struct pipeline_options {
    const char *host;         /* name for findings */
    int64_t next_event_id;    /* first row id to give to events */
    int32_t next_container_id;
    const char *intel_dir;    /* NULL = none */
};

/* NULL on lack of memory. */
struct pipeline *pipeline_new(const struct pipeline_options *options);
void pipeline_free(struct pipeline *p);

/* Wall time = monotonic + offset, for stamps and findings; the shell renews it. */
void pipeline_set_wall_offset(struct pipeline *p, int64_t offset_ns);

/* One event. `out` is overwritten. */
void pipeline_event(struct pipeline *p, const struct event *ev, struct outcome *out);

/* Decisions whose waiting time is over at `now_ns`. Call until it returns false (nothing more is due). */
bool pipeline_tick(struct pipeline *p, uint64_t now_ns, struct outcome *out);

#endif
