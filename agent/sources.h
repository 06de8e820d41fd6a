/* All the agent's senses: opened by what the configuration and the kernel allow, and closed again. A source that cannot be opened stays off
 * with its reason in `health`; the agent runs with what there is. */
#ifndef ECSGUARD_SOURCES_H
#define ECSGUARD_SOURCES_H

#include <uv.h>

#include "agent/merge.h"
#include "agent/sensors/address_sensor.h"
#include "agent/sensors/container_sensor.h"
#include "agent/sensors/cpu_sensor.h"
#include "agent/sensors/dns_sensor.h"
#include "agent/sensors/docker_client.h"
#include "agent/sensors/ecs_client.h"
#include "agent/sensors/exec_sensor.h"
#include "agent/sensors/file_sensor.h"
#include "agent/sensors/flow_sensor.h"
#include "agent/sensors/listen_sensor.h"
#include "agent/sensors/module_sensor.h"
#include "agent/sensors/mount_sensor.h"
#include "agent/sensors/netns_watch.h"
#include "agent/sensors/owner_sensor.h"
#include "agent/sensors/proc_sensor.h"
#include "agent/sensors/syscall_sensor.h"
#include "agent/sensors/unix_sensor.h"
#include "common/config.h"

struct sources {
    int procdir;
    int exec_procdir; /* the exec readers' own instance of procfs, or procdir */
    struct waker *waker;
    struct exec_sensor exec;
    struct proc_sensor proc;
    struct file_sensor *file; /* large */
    struct sensor flow_ring;
    struct sensor_stats flow_stats;
    struct flow_sensor flow;
    struct netns_watch *netns; /* large; NULL = off */
    struct sensor_stats netns_off;
    struct address_sensor addresses;
    struct dns_sensor dns;
    struct sensor_stats container_stats;
    struct container_sensor container;
    struct sensor_stats cpu_stats;
    struct cpu_sensor cpu;
    struct sensor_stats docker_stats, ecs_stats;
    struct docker_client docker;
    struct ecs_client ecs;
    struct syscall_sensor syscall;
    struct mount_sensor mounts;
    struct unix_sensor unix_sockets;
    struct owner_sensor *owner;   /* large, as is */
    struct listen_sensor *listen;
    struct module_sensor modules;
    bool has_exec, has_proc, has_file, has_flow, has_addresses, has_dns, has_container, has_cpu, has_docker, has_ecs, has_syscall,
        has_mounts, has_unix, has_modules,
        has_owner, has_listen;
    const char *layer_dirs[LIMIT_CONFIG_LIST + 1];
    char database[3][LIMIT_CONFIG_TEXT_BYTES + 8]; /* the files of SQLite's that it locks */
    const char *own_files[4];
};

struct health_counter {
    const char *name;
    uint64_t value;
};

#define SOURCE_COUNTERS_MAX 8

/* A named set of counters, for `health`. */
struct source_health {
    const char *component;
    const struct sensor_stats *stats;
    size_t queue_bytes;
    int n_more; /* what only this source counts */
    struct health_counter more[SOURCE_COUNTERS_MAX];
};

#define SOURCES_HEALTH_MAX 24

/* Opens everything; 0, or -errno for lack of memory or threads only. Adds all rings to `merge`. */
int sources_open(struct sources *s, const struct config *config, uv_loop_t *loop, struct waker *waker, struct merge *merge);
/* What lives on the loop ends; the loop must run dry before sources_close(). */
void sources_stop(struct sources *s);
void sources_close(struct sources *s);

/* Moves what waits in the sockets that the loop itself reads into their rings. */
void sources_drain(struct sources *s);

/* True while a scan, resync or look at long flows goes on or is due that needs more calls of sources_drain(). */
bool sources_busy(struct sources *s);

/* When sources_drain() has something to do though nothing happens (CLOCK_MONOTONIC); UINT64_MAX = never. */
uint64_t sources_due(const struct sources *s);

/* Descriptors whose readability means that sources_drain() has work; returns how many. */
#define SOURCES_FDS_MAX 8
int sources_fds(const struct sources *s, int fds[SOURCES_FDS_MAX]);

/* What a container event asks of the other sources: marks, facts, and an end to both. `init_pid`: of the container, 0 = unknown. */
void sources_container(struct sources *s, const struct event *ev, int32_t init_pid);
/* A container mounted something: there may be more to mark, and a runtime's socket to reach. */
void sources_mount(struct sources *s, const struct event *ev);

/* Which process has the socket of a flow? The answer is an EVENT_SOCKETS with the flow's id, also when nobody was found. */
void sources_ask_owner(struct sources *s, const struct owner_question *question);

int sources_health(const struct sources *s, struct source_health *out); /* at most SOURCES_HEALTH_MAX; returns how many */

#endif
