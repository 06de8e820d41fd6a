#include "agent/sources.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/sensors/netns.h"
#include "agent/sensors/nflog.h"
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
        int error = exec_sensor_open(&s->exec, s->exec_procdir, s->waker, &options);
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

static void name_own_files(struct sources *s, const char *database)
{
    static const char *const suffixes[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        snprintf(s->database[i], sizeof s->database[i], "%s%s", database, suffixes[i]);
        s->own_files[i] = s->database[i];
    }
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
    name_own_files(s, config->storage.path);
    struct file_sensor_options options = { .layer_dirs = s->layer_dirs,
                                           .host_paths = file_sensor_host_paths,
                                           .log_paths = file_sensor_log_paths,
                                           .watch_files = file_sensor_watch_files,
                                           .own_files = s->own_files,
                                           .no_proc_opens = !config->files.proc_opens,
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
    sensor_state(&s->addresses.stats, SENSOR_OFF, off_by_config);
    if (!config->sensors.flow)
        return 0;
    int error = sensor_init(&s->flow_ring, SOURCE_FLOW, LIMIT_FLOW_RING_BYTES, &s->flow_stats, s->waker);
    if (error)
        return error;
    merge_add(merge, &s->flow_ring.ring);
    struct flow_options options = { .proc_fd = s->procdir, .long_ns = config->flows.update_interval_ns };
    s->has_flow = flow_sensor_open(&s->flow, &s->flow_ring, &options) == 0; /* its stats say why not */
    error = address_sensor_open(&s->addresses, s->waker);
    if (error)
        return error;
    s->has_addresses = true;
    merge_add(merge, &s->addresses.sensor.ring);
    return 0;
}

static int open_owner(struct sources *s, const struct config *config, struct merge *merge)
{
    s->owner = calloc(1, sizeof *s->owner);
    if (!s->owner)
        return -ENOMEM;
    int error = owner_sensor_open(s->owner, s->procdir, config->sensors.flow, s->waker);
    if (error)
        return error;
    s->has_owner = true;
    merge_add(merge, &s->owner->sensor.ring);
    return 0;
}

static int open_listeners(struct sources *s, const struct config *config, struct merge *merge)
{
    s->listen = calloc(1, sizeof *s->listen);
    if (!s->listen)
        return -ENOMEM;
    sensor_state(&s->listen->stats, SENSOR_OFF, off_by_config);
    if (!config->sensors.listen)
        return 0;
    int error = listen_sensor_open(s->listen, s->procdir, s->waker);
    if (error)
        return error;
    s->has_listen = true;
    merge_add(merge, &s->listen->sensor.ring);
    return 0;
}

static int open_dns(struct sources *s, const struct config *config, struct merge *merge)
{
    sensor_state(&s->dns.stats, SENSOR_OFF, off_by_config);
    if (!config->sensors.dns)
        return 0;
    int error = dns_sensor_open(&s->dns, s->waker);
    if (error)
        return error;
    s->has_dns = true;
    merge_add(merge, &s->dns.sensor.ring);
    return 0;
}

/* In the namespace. */
static void dns_opened(void *context, uint64_t netns, int32_t nsid)
{
    int fd = nflog_open(), r = fd < 0 ? fd : dns_sensor_add(context, netns, nsid, fd);
    if (r)
        log_warn("dns", "DNS is not seen in network namespace %llu: %s", (unsigned long long)netns, strerror(-r));
}

static void dns_closed(void *context, uint64_t netns)
{
    dns_sensor_remove(context, netns);
}

/* In the namespace; the host's is the sensor's own. */
static void flow_opened(void *context, uint64_t netns, int32_t nsid)
{
    int r = nsid == NSID_HOST ? 0 : flow_sensor_add(context, netns, nsid);
    if (r)
        log_warn("flow", "flows that network namespace %llu holds already are not told: %s", (unsigned long long)netns, strerror(-r));
}

static void flow_closed(void *context, uint64_t netns)
{
    flow_sensor_remove(context, netns);
}

/* Sensors that need a socket in each namespace add their hooks before the start. */
static int open_netns(struct sources *s, const struct config *config, struct merge *merge)
{
    sensor_state(&s->netns_off, SENSOR_OFF, off_by_config);
    if (!config->sensors.flow && !config->sensors.dns)
        return 0;
    const struct nft_switches untouched = { -1, -1 };
    const struct netns_options options = { .proc_fd = s->procdir,
                                           .host_before = s->has_flow ? flow_sensor_switches(&s->flow) : untouched,
                                           .dns = s->has_dns,
                                           .track_containers = config->sensors.flow && config->flows.track_containers,
                                           .track_host = config->sensors.flow && config->flows.track_host,
                                           .guard = { .withdraw_percent = (unsigned)config->flows.withdraw_percent,
                                                      .return_percent = (unsigned)config->flows.return_percent } };
    s->netns = malloc(sizeof *s->netns);
    int error = s->netns ? netns_watch_open(s->netns, &options, s->waker) : -ENOMEM;
    if (error)
        return error;
    merge_add(merge, &s->netns->sensor.ring);
    merge_add(merge, &s->netns->ends.ring);
    const struct netns_hook dns = { &s->dns, dns_opened, dns_closed }, flow = { &s->flow, flow_opened, flow_closed };
    if (s->has_dns)
        error = netns_watch_hook(s->netns, &dns);
    if (!error && s->has_flow)
        error = netns_watch_hook(s->netns, &flow);
    return error ? error : netns_watch_start(s->netns);
}

static int open_syscalls(struct sources *s, const struct config *config, struct merge *merge)
{
    sensor_state(&s->syscall.stats, SENSOR_OFF, off_by_config);
    if (!config->sensors.syscalls)
        return 0;
    s->has_syscall = true;
    int error = syscall_sensor_open(&s->syscall, s->procdir, s->waker);
    if (!error)
        merge_add(merge, &s->syscall.sensor.ring);
    return error;
}

/* What containers mount and reach, and kernel modules: three small threads. */
static int open_watchers(struct sources *s, const struct config *config, struct merge *merge)
{
    const struct module_sensor_options modules = { .modules_file = NULL };
    sensor_state(&s->mounts.stats, SENSOR_OFF, off_by_config);
    sensor_state(&s->unix_sockets.stats, SENSOR_OFF, off_by_config);
    sensor_state(&s->modules.stats, SENSOR_OFF, off_by_config);
    if (!config->sensors.file)
        return 0;
    int error = mount_sensor_open(&s->mounts, s->waker);
    if (error)
        return error;
    s->has_mounts = true;
    merge_add(merge, &s->mounts.sensor.ring);
    error = unix_sensor_open(&s->unix_sockets, s->waker);
    if (error)
        return error;
    s->has_unix = true;
    merge_add(merge, &s->unix_sockets.sensor.ring);
    error = module_sensor_open(&s->modules, &modules, s->waker);
    if (error)
        return error;
    s->has_modules = true;
    merge_add(merge, &s->modules.sensor.ring);
    return 0;
}

static int open_containers(struct sources *s, const struct config *config, uv_loop_t *loop, struct merge *merge)
{
    sensor_state(&s->docker_stats, SENSOR_OFF, off_by_config);
    sensor_state(&s->ecs_stats, SENSOR_OFF, off_by_config);
    sensor_state(&s->cpu_stats, SENSOR_OFF, "containers are not found, so their CPU time is not known");
    struct container_sensor_options options = { 0 };
    if (container_sensor_open(&s->container, &options, &s->container_stats, s->waker) == 0) {
        s->has_container = true;
        merge_add(merge, &s->container.sensor.ring);
    }
    struct cpu_sensor_options cpu = { 0 };
    if (s->has_container && cpu_sensor_open(&s->cpu, &cpu, &s->cpu_stats, s->waker) == 0) {
        s->has_cpu = true;
        merge_add(merge, &s->cpu.sensor.ring);
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
    s->procdir = s->exec_procdir = procfs_open("/proc");
    if (s->procdir < 0)
        return s->procdir;
    int own = procfs_open_own();
    if (own >= 0)
        s->exec_procdir = own;
    int error = open_processes(s, config, merge);
    if (!error)
        error = open_files(s, config, merge);
    if (!error)
        error = open_flows(s, config, merge);
    if (!error)
        error = open_owner(s, config, merge);
    if (!error)
        error = open_listeners(s, config, merge);
    if (!error)
        error = open_dns(s, config, merge);
    if (!error)
        error = open_netns(s, config, merge);
    if (!error)
        error = open_syscalls(s, config, merge);
    if (!error)
        error = open_watchers(s, config, merge);
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
    if (s->netns)
        netns_watch_fini(s->netns); /* before what has hooks in it */
    free(s->netns);
    if (s->has_docker)
        docker_client_fini(&s->docker);
    if (s->has_ecs)
        ecs_client_fini(&s->ecs);
    if (s->has_cpu)
        cpu_sensor_close(&s->cpu);
    if (s->has_container)
        container_sensor_close(&s->container);
    if (s->has_modules)
        module_sensor_close(&s->modules);
    if (s->has_unix)
        unix_sensor_close(&s->unix_sockets);
    if (s->has_mounts)
        mount_sensor_close(&s->mounts);
    if (s->has_syscall)
        syscall_sensor_close(&s->syscall);
    if (s->has_listen)
        listen_sensor_close(s->listen);
    free(s->listen);
    if (s->has_owner)
        owner_sensor_close(s->owner);
    free(s->owner);
    if (s->has_addresses)
        address_sensor_close(&s->addresses);
    if (s->has_dns)
        dns_sensor_close(&s->dns);
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
    if (s->exec_procdir != s->procdir)
        close(s->exec_procdir);
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
    if (s->has_addresses)
        address_sensor_drain(&s->addresses);
    if (s->has_flow)
        flow_sensor_drain(&s->flow, DRAIN_MESSAGES);
    if (s->has_syscall)
        syscall_sensor_drain(&s->syscall, DRAIN_MESSAGES);
}

bool sources_busy(struct sources *s)
{
    return (s->has_proc && (s->proc.scan || s->proc.resync_wanted)) || (s->has_flow && flow_sensor_busy(&s->flow)) ||
           (s->has_addresses && address_sensor_busy(&s->addresses));
}

uint64_t sources_due(const struct sources *s)
{
    return s->has_flow ? flow_sensor_due(&s->flow) : UINT64_MAX;
}

int sources_fds(const struct sources *s, int fds[SOURCES_FDS_MAX])
{
    const int all[] = { s->has_proc ? s->proc.fd : -1, s->has_flow ? flow_sensor_fd(&s->flow) : -1,
                        s->has_addresses ? address_sensor_fd(&s->addresses) : -1,
                        s->has_syscall ? syscall_sensor_fd(&s->syscall) : -1 };
    int n = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i] >= 0)
            fds[n++] = all[i];
    return n;
}

static void container_started(struct sources *s, int32_t init_pid)
{
    if (s->has_file)
        file_sensor_add_container(s->file, init_pid);
    if (s->has_mounts)
        mount_sensor_add(&s->mounts, init_pid);
    if (s->has_unix)
        unix_sensor_add(&s->unix_sockets, init_pid);
}

static void container_ended(struct sources *s, int32_t init_pid)
{
    if (s->has_file)
        file_sensor_remove_container(s->file, init_pid);
    if (s->has_mounts)
        mount_sensor_remove(&s->mounts, init_pid);
    if (s->has_unix)
        unix_sensor_remove(&s->unix_sockets, init_pid);
    if (s->has_owner)
        owner_sensor_remove(s->owner, init_pid);
    if (s->has_listen)
        listen_sensor_remove(s->listen, init_pid);
}

/* By its first process at once: that may be in the container's namespace already, before the program starts. Later by its init. */
static void container_netns(struct netns_watch *w, const struct event *ev)
{
    const char *id = event_text(ev, ev->container_id);
    if (ev->container_phase == CONTAINER_END)
        netns_watch_end(w, id);
    else if (event_knows(ev, F_PID))
        netns_watch_container(w, id, ev->pid, event_knows(ev, F_NETNS) ? ev->netns : 0);
}

void sources_container(struct sources *s, const struct event *ev, int32_t init_pid)
{
    if (ev->source == SOURCE_CGROUP && s->has_docker)
        docker_client_event(&s->docker, ev);
    if (ev->source == SOURCE_CGROUP && s->has_cpu)
        cpu_sensor_container(&s->cpu, ev);
    if (ev->source != SOURCE_ECS && s->has_ecs)
        ecs_client_event(&s->ecs, ev);
    if (ev->source == SOURCE_CGROUP && s->netns)
        container_netns(s->netns, ev);
    if (ev->source != SOURCE_CGROUP || !init_pid)
        return;
    if (s->has_owner && ev->container_phase != CONTAINER_END)
        owner_sensor_add(s->owner, init_pid); /* its network may be its own from the first moment */
    if (s->has_listen && ev->container_phase != CONTAINER_END)
        listen_sensor_add(s->listen, init_pid);
    if (ev->container_phase == CONTAINER_END)
        container_ended(s, init_pid);
    else if (event_knows(ev, F_ROOT_DEV)) /* its init has its own root: there is something to mark */
        container_started(s, init_pid);
}

void sources_mount(struct sources *s, const struct event *ev)
{
    if (s->has_file)
        file_sensor_add_container(s->file, ev->pid);
    if (s->has_unix)
        unix_sensor_add(&s->unix_sockets, ev->pid);
}

void sources_ask_owner(struct sources *s, const struct owner_question *question)
{
    if (s->has_owner)
        owner_sensor_ask(s->owner, question);
}

static struct source_health part(const char *component, const struct sensor_stats *stats, const struct sensor *sensor)
{
    return (struct source_health){ component, stats, sensor && sensor->ring.data ? ring_used(&sensor->ring) : 0 };
}

static void add_netns_counters(struct source_health *h, const struct netns_counters *c)
{
    const struct health_counter more[] = { { "namespaces", c->namespaces }, { "tracking", c->tracking }, { "withdrawn", c->withdrawn },
                                           { "refused", c->refused },       { "removed", c->removed },   { "installs", c->installs } };
    memcpy(h->more, more, sizeof more);
    h->n_more = sizeof more / sizeof more[0];
}

static void add_owner_counters(struct source_health *h, const struct owner_counters *c)
{
    const struct health_counter more[] = { { "heard", c->heard },   { "found", c->found }, { "gone", c->gone },        { "skipped", c->skipped },
                                           { "pauses", c->pauses }, { "asked", c->asked }, { "answered", c->answered } };
    memcpy(h->more, more, sizeof more);
    h->n_more = sizeof more / sizeof more[0];
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
    out[n++] = part("netns", s->netns ? &s->netns->stats : &s->netns_off, s->netns ? &s->netns->sensor : NULL);
    if (s->netns)
        add_netns_counters(&out[n - 1], &s->netns->counters);
    out[n++] = part("owner", &s->owner->stats, s->has_owner ? &s->owner->sensor : NULL);
    add_owner_counters(&out[n - 1], &s->owner->counters);
    out[n++] = part("listen", &s->listen->stats, s->has_listen ? &s->listen->sensor : NULL);
    out[n++] = part("addresses", &s->addresses.stats, &s->addresses.sensor);
    out[n++] = part("dns", &s->dns.stats, &s->dns.sensor);
    out[n++] = part("syscalls", &s->syscall.stats, &s->syscall.sensor);
    out[n++] = part("mounts", &s->mounts.stats, &s->mounts.sensor);
    out[n++] = part("unix", &s->unix_sockets.stats, &s->unix_sockets.sensor);
    out[n++] = part("modules", &s->modules.stats, &s->modules.sensor);
    out[n++] = part("containers", &s->container_stats, s->has_container ? &s->container.sensor : NULL);
    out[n++] = part("cpu", &s->cpu_stats, s->has_cpu ? &s->cpu.sensor : NULL);
    out[n++] = part("docker", &s->docker_stats, s->has_docker ? &s->docker.sensor : NULL);
    out[n++] = part("ecs", &s->ecs_stats, s->has_ecs ? &s->ecs.sensor : NULL);
    return n;
}
