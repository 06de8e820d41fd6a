/* The pipeline: every event passes it, in order of kernel time, and every decision is made in it. Pure: no descriptor, no clock;
 * `now_ns` is the time of the event or tick. */
#ifndef ECSGUARD_PIPELINE_H
#define ECSGUARD_PIPELINE_H

#include "agent/outcome.h"

struct pipeline;
struct intel;

struct pipeline_options {
    int64_t next_event_id;    /* first row id to give to events */
    int32_t next_container_id;
    const struct intel *intel; /* threat lists, NULL = none; borrowed */
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

/* Sizes and losses of the core's tables, for `health`. */
struct pipeline_counters {
    uint64_t n_processes, n_containers; /* alive */
    uint64_t n_processes_evicted, n_containers_evicted, n_origins_evicted, n_images_cut, n_images_lost;
    uint64_t n_forced;      /* decisions made without the fact they waited for, because too many waited */
    uint64_t n_bad_cgroups; /* control group texts that no kernel writes */
    uint64_t n_conflicts;   /* sources that named another task than the control group does */
};

void pipeline_count(const struct pipeline *p, struct pipeline_counters *out);

/* The living processes of a container (0 = the host), the newest first: at most `max` pids. Returns how many. */
size_t pipeline_processes(const struct pipeline *p, int32_t container, int32_t *pids, size_t max);

/* The i-th container that is known, NULL after the last one. */
const struct container_facts *pipeline_container(const struct pipeline *p, uint32_t i);

/* When the next waiting decision is due (CLOCK_MONOTONIC), UINT64_MAX = none waits. */
uint64_t pipeline_next_due(const struct pipeline *p);

#endif
