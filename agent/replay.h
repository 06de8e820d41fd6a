/* Recorded events through the pipeline, without root, kernel or database: any detection can be reproduced. The recording holds what
 * the shell would have answered (container facts, sockets, cgroups); time is the events' time. */
#ifndef ECSGUARD_REPLAY_H
#define ECSGUARD_REPLAY_H

#include <stdio.h>

#include "agent/detect/rules/field_context.h"
#include "agent/pipeline.h"

/* Repeats of one finding, added up as the store does. */
struct replay_finding {
    struct finding *finding; /* the first occurrence */
    struct container_facts container; /* as known at that moment; id 0 = the host */
    uint64_t count;
    uint64_t first_wall_ns, last_wall_ns;
};

struct replay {
    struct event **events; /* sorted by time once loaded */
    size_t n_events, max_events;
    size_t n_bytes;
    uint64_t n_bad; /* lines refused */
    uint64_t now_ns, n_replayed;
    struct host_facts host; /* where it was recorded, as its process 1 shows */
    struct container_facts **containers;
    size_t n_containers, max_containers;
    struct replay_finding *findings;
    size_t n_findings, max_findings;
    uint64_t n_findings_dropped; /* beyond LIMIT_REPLAY_FINDINGS */
};

void replay_init(struct replay *r);
void replay_fini(struct replay *r);

/* Adds the lines of `in`. A bad line is reported on `errors` as "name:7: why", counted and skipped; so is the rest of a line that is
 * too long. Empty lines are skipped. 0, -EFBIG (LIMIT_REPLAY_BYTES), -ENOMEM or the errno of reading. */
int replay_load(struct replay *r, FILE *in, const char *name, FILE *errors);

/* Sorts, and passes every event through `p`, with ticks between the events as the agent's loop makes them. 0 or -ENOMEM. */
int replay_run(struct replay *r, struct pipeline *p);

/* The same for events that come one by one, in order of time; replay_end() after the last one. */
int replay_event(struct replay *r, struct pipeline *p, const struct event *ev);
int replay_end(struct replay *r, struct pipeline *p);

#endif
