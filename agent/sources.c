#include "agent/sources.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/sensors/netns.h"
#include "common/log.h"

#define DRAIN_MESSAGES 8192 /* of each socket per tick: four times what the worst storm measured brings in one tick */

static const char off_by_config[] = "switched off in the configuration";

static int open_processes(struct sources *s, const struct config *config, struct merge *merge)
{
    struct exec_options options = { .full_per_second = (unsigned)config->sensors.exec_full_rate };
    sensor_state(&s->exec.stats, SENSOR_OFF, off_by_config);
    sensor_state(&s->proc.stats, SENSOR_OFF, off_by_config);
    s->proc.fd = -1;
    if (config->sensors.exec) {
        int error = exec_sensor_open(&s->exec, s->procdir, s->waker, &options);
        if (error)
            return error;
        s->has_exec = true;
        for (int i = 0; i < s->exec.n_readers; i++)
            merge_add(merge, &exec_sensor_ring(&s->exec, i)->ring);
    }
    if (config->sensors.proc) {
        int error = proc_sensor_open(&s->proc, s->procdir, s->waker);
        if (error)
            return error;
        s->has_proc = true;
        merge_add(merge, &s->proc.sensor.ring);
        return proc_sensor_scan_start(&s->proc);
    }
    return 0;
}

static int open_files(struct sources *s, const struct config *config, struct merge *merge)
{
    s->file = calloc(1, sizeof *s->file);
    if (!s->file)
        return -ENOMEM;
    for (int i = 0; i < FILE_GROUPS; i++)
        sensor_state(&s->file->stats[i], SENSOR_OFF, off_by_config);
    if (!config->sensors.file)
        return 0;
    for (int i = 0; i < config->files.layers.n; i++)
        s->layer_dirs[i] = config->files.layers.items[i];
    struct file_sensor_options options = { .layer_dirs = s->layer_dirs,
                                           .host_paths = file_sensor_host_paths,
                                           .watch_files = file_sensor_watch_files,
                                           .waker = s->waker };
    int error = file_sensor_open(s->file, &options);
    if (error)
        return error;
    s->has_file = true;
    for (int i = 0; i < FILE_GROUPS; i++)
        merge_add(merge, &s->file->sensors[i].ring);
    return 0;
}

static int open_flows(struct sources *s, const struct config *config, struct merge *merge)
{
    sensor_state(&s->flow_stats, SENSOR_OFF, off_by_config);
    if (!config->sensors.flow)
        return 0;
    int error = sensor_init(&s->flow_ring, SOURCE_FLOW, LIMIT_FLOW_RING_BYTES, &s->flow_stats, s->waker);
    if (error)
        return error;
    merge_add(merge, &s->flow_ring.ring);
    struct flow_options options = { .proc_fd = s->procdir };
    s->has_flow = flow_sensor_open(&s->flow, &s->flow_ring, &options) == 0; /* its stats say why not */
    return 0;
}

static int open_containers(struct sources *s, const struct config *config, uv_loop_t *loop, struct merge *merge)
{
    sensor_state(&s->docker_stats, SENSOR_OFF, off_by_config);
    sensor_state(&s->ecs_stats, SENSOR_OFF, off_by_config);
    struct container_sensor_options options = { 0 };
    if (container_sensor_open(&s->container, &options, &s->container_stats, s->waker) == 0) {
        s->has_container = true;
        merge_add(merge, &s->container.sensor.ring);
    }
    if (config->docker.socket[0]) {
        struct docker_client_options docker = { .socket_path = config->docker.socket };
        int error = docker_client_open(&s->docker, &docker, loop, &s->docker_stats, s->waker);
        if (error)
            return error;
        s->has_docker = true;
        merge_add(merge, &s->docker.sensor.ring);
    }
    if (config->ecs.introspection_url[0]) {
        struct ecs_client_options ecs = { .url = config->ecs.introspection_url };
        int error = ecs_client_open(&s->ecs, &ecs, loop, &s->ecs_stats, s->waker);
        if (error)
            return error;
        s->has_ecs = true;
        merge_add(merge, &s->ecs.sensor.ring);
    }
    return 0;
}

int sources_open(struct sources *s, const struct config *config, uv_loop_t *loop, struct waker *waker, struct merge *merge)
{
    memset(s, 0, sizeof *s);
    s->waker = waker;
    s->procdir = procfs_open("/proc");
    if (s->procdir < 0)
        return s->procdir;
    int error = open_processes(s, config, merge);
    if (!error)
        error = open_files(s, config, merge);
    if (!error)
        error = open_flows(s, config, merge);
    return error ? error : open_containers(s, config, loop, merge);
}

void sources_stop(struct sources *s)
{
    if (s->has_docker)
        docker_client_close(&s->docker);
    if (s->has_ecs)
        ecs_client_close(&s->ecs);
}

void sources_close(struct sources *s)
{
    if (s->has_docker)
        docker_client_fini(&s->docker);
    if (s->has_ecs)
        ecs_client_fini(&s->ecs);
    if (s->has_container)
        container_sensor_close(&s->container);
    if (s->has_flow)
        flow_sensor_close(&s->flow);
    sensor_fini(&s->flow_ring);
    if (s->has_file)
        file_sensor_close(s->file);
    free(s->file);
    if (s->has_proc)
        proc_sensor_close(&s->proc);
    if (s->has_exec)
        exec_sensor_close(&s->exec);
    if (s->procdir >= 0)
        close(s->procdir);
}

void sources_drain(struct sources *s)
{
    if (s->has_proc) {
        proc_sensor_drain(&s->proc, DRAIN_MESSAGES);
        if (s->proc.resync_wanted)
            proc_sensor_scan_start(&s->proc);
        if (s->proc.scan)
            proc_sensor_scan(&s->proc);
    }
    if (s->has_flow)
        flow_sensor_drain(&s->flow, DRAIN_MESSAGES);
}

bool sources_busy(const struct sources *s)
{
    return (s->has_proc && (s->proc.scan || s->proc.resync_wanted)) || (s->has_flow && (s->flow.resync_wanted || s->flow.resync_runs));
}

int sources_proc_fd(const struct sources *s)
{
    return s->has_proc ? s->proc.fd : -1;
}

int sources_flow_fd(const struct sources *s)
{
    return s->has_flow ? flow_sensor_fd(&s->flow) : -1;
}

void sources_container(struct sources *s, const struct event *ev, int32_t init_pid)
{
    if (ev->source == SOURCE_CGROUP && s->has_docker)
        docker_client_event(&s->docker, ev);
    if (ev->source != SOURCE_ECS && s->has_ecs)
        ecs_client_event(&s->ecs, ev);
    if (ev->source != SOURCE_CGROUP || !s->has_file || !init_pid)
        return;
    if (ev->container_phase == CONTAINER_END)
        file_sensor_remove_container(s->file, init_pid);
    else if (event_knows(ev, F_ROOT_DEV)) /* its init has its own root: there is something to mark */
        file_sensor_add_container(s->file, init_pid);
}

static struct source_health part(const char *component, const struct sensor_stats *stats, const struct sensor *sensor)
{
    return (struct source_health){ component, stats, sensor && sensor->ring.data ? ring_used(&sensor->ring) : 0 };
}

int sources_health(const struct sources *s, struct source_health *out)
{
    int n = 0;
    out[n++] = part("exec", &s->exec.stats, NULL);
    for (int i = 0; s->has_exec && i < s->exec.n_readers; i++)
        out[0].queue_bytes += ring_used(&s->exec.readers[i].sensor.ring);
    out[n++] = part("proc", &s->proc.stats, &s->proc.sensor);
    out[n++] = part("layers", &s->file->stats[FILE_GROUP_LAYERS], &s->file->sensors[FILE_GROUP_LAYERS]);
    out[n++] = part("overlay", &s->file->stats[FILE_GROUP_OVERLAY], &s->file->sensors[FILE_GROUP_OVERLAY]);
    out[n++] = part("procfs", &s->file->stats[FILE_GROUP_PROCFS], &s->file->sensors[FILE_GROUP_PROCFS]);
    out[n++] = part("flow", &s->flow_stats, &s->flow_ring);
    out[n++] = part("containers", &s->container_stats, s->has_container ? &s->container.sensor : NULL);
    out[n++] = part("docker", &s->docker_stats, s->has_docker ? &s->docker.sensor : NULL);
    out[n++] = part("ecs", &s->ecs_stats, s->has_ecs ? &s->ecs.sensor : NULL);
    return n;
}
