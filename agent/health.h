/* Health rows: what each part covers, what it lost, how deep its queue is; written every few seconds for `ecsguardctl status`
 * and the view `health`. */
#ifndef ECSGUARD_HEALTH_H
#define ECSGUARD_HEALTH_H

#include "agent/sources.h"
#include "common/record.h"

/* The row of one source. */
void health_of_source(const struct source_health *source, uint64_t wall_ns, struct health *out);

/* A row of any other part. */
void health_of(const char *component, enum sensor_state state, const char *reason, const struct health_counter *counters, int n_counters,
               uint64_t wall_ns, struct health *out);

#endif
