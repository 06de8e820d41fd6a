/* All the agent's senses: opened by what the configuration and the kernel allow, and closed again. A source that cannot be opened stays off
 * with its reason in `health`; the agent runs with what there is. */
#ifndef ECSGUARD_SOURCES_H
#define ECSGUARD_SOURCES_H

#include <uv.h>

#include "agent/merge.h"
#include "agent/sensors/container_sensor.h"
#include "agent/sensors/docker_client.h"
#include "agent/sensors/ecs_client.h"
#include "agent/sensors/exec_sensor.h"
#include "agent/sensors/file_sensor.h"
#include "agent/sensors/flow_sensor.h"
#include "agent/sensors/proc_sensor.h"
#include "common/config.h"

struct sources {
    int procdir;
    struct waker *waker;
    struct exec_sensor exec;
    struct proc_sensor proc;
    struct file_sensor *file; /* large */
    struct sensor flow_ring;
    struct sensor_stats flow_stats;
    struct flow_sensor flow;
    struct sensor_stats container_stats;
    struct container_sensor container;
    struct sensor_stats docker_stats, ecs_stats;
    struct docker_client docker;
    struct ecs_client ecs;
    bool has_exec, has_proc, has_file, has_flow, has_container, has_docker, has_ecs;
    const char *layer_dirs[LIMIT_CONFIG_LIST + 1];
};

/* A named set of counters, for `health`. */
struct source_health {
    const char *component;
    const struct sensor_stats *stats;
    size_t queue_bytes;
};

#define SOURCES_HEALTH_MAX 16

/* Opens everything; 0, or -errno for lack of memory or threads only. Adds all rings to `merge`. */
int sources_open(struct sources *s, const struct config *config, uv_loop_t *loop, struct waker *waker, struct merge *merge);
/* What lives on the loop ends; the loop must run dry before sources_close(). */
void sources_stop(struct sources *s);
void sources_close(struct sources *s);

/* Moves what waits in the sockets that the loop itself reads into their rings. */
void sources_drain(struct sources *s);

/* True while a scan or resync goes on that needs more calls of sources_drain(). */
bool sources_busy(const struct sources *s);

/* Descriptors whose readability means that sources_drain() has work; -1 where absent. */
int sources_proc_fd(const struct sources *s);
int sources_flow_fd(const struct sources *s);

/* What a container event asks of the other sources: marks, facts, and an end to both. `init_pid`: of the container, 0 = unknown. */
void sources_container(struct sources *s, const struct event *ev, int32_t init_pid);

int sources_health(const struct sources *s, struct source_health *out); /* at most SOURCES_HEALTH_MAX; returns how many */

#endif
