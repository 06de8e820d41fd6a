/* Answers the pipeline's questions but those for the owner of a flow. Each is looked up in a worker thread of libuv, because /proc of a process in trouble can be slow;
 * the answer comes back as events in a ring of its own. */
#ifndef ECSGUARD_REQUESTS_H
#define ECSGUARD_REQUESTS_H

#include <uv.h>

#include "agent/outcome.h"
#include "agent/sensors/procfs.h"
#include "agent/sensors/sensor.h"

struct request_job;

struct requests {
    uv_loop_t *loop;
    int procdir;
    struct sensor sensor; /* the answers */
    struct sensor_stats stats;
    struct request_job *jobs; /* LIMIT_REQUEST_JOBS */
    int n_running;
};

int requests_open(struct requests *r, uv_loop_t *loop, int procdir, struct waker *waker); /* 0 or -errno */
/* Only when the loop has run dry. */
void requests_close(struct requests *r);

/* Starts one; not REQUEST_OWNER, which the owner sensor answers. When too many run the question is dropped and counted: the decision that waits
 * for it is then made without. */
void requests_ask(struct requests *r, const struct request *request);

#endif
