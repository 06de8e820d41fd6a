#include "agent/agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "agent/health.h"
#include "common/clock.h"
#include "common/log.h"

#define REPORT_MS 5000
#define NS_PER_DAY (86400 * NS_PER_SECOND)
#define LAST_DECISIONS_NS (10 * NS_PER_SECOND) /* at the end: what waits longer than this would not be decided anyway */
#define EVENTS_PER_TICK 4096 /* then the loop looks at its other duties */

/* ---- outcome -> writer, sensors, requests ------------------------------------------------------------------------- */

static void hold_finding(struct agent *a, const struct finding *f)
{
    struct finding *copy = a->n_held < AGENT_HELD_FINDINGS ? malloc(f->size) : NULL;
    if (!copy) {
        a->n_findings_lost++;
        if (log_due(&a->last_lost_ns, clock_monotonic_ns(), NS_PER_SECOND))
            log_error("agent", "finding %s %s could not be stored: the writer has no room", f->id, finding_get(f, FT_TYPE));
        return;
    }
    memcpy(copy, f, f->size);
    a->held[a->n_held++] = copy;
}

static void put_findings(struct agent *a, const struct outcome *out)
{
    for (int i = 0; i < out->n_findings; i++) {
        a->n_findings++;
        if (a->n_held || writer_put_finding(a->writer, out->findings[i]))
            hold_finding(a, out->findings[i]);
    }
}

static void retry_held(struct agent *a)
{
    int done = 0;
    while (done < a->n_held && !writer_put_finding(a->writer, a->held[done]))
        free(a->held[done++]);
    a->n_held -= done;
    memmove(a->held, a->held + done, (size_t)a->n_held * sizeof *a->held);
}

/* Some container row had no room: all of them again, they are few. */
static void retry_containers(struct agent *a)
{
    const struct container_facts *c;
    for (uint32_t i = 0; a->containers_behind && (c = pipeline_container(a->pipeline, i)); i++)
        if (writer_put_container(a->writer, c))
            return;
    a->containers_behind = false;
}

static void put_requests(struct agent *a, const struct outcome *out)
{
    int32_t pids[REQUEST_CANDIDATES];
    for (int i = 0; i < out->n_requests; i++) {
        size_t n = 0;
        if (out->requests[i].kind == REQUEST_OWNER && requests_have_room(&a->requests))
            n = pipeline_processes(a->pipeline, out->requests[i].container, pids, REQUEST_CANDIDATES);
        requests_ask(&a->requests, &out->requests[i], pids, n);
    }
}

static void put_outcome(struct agent *a, const struct event *ev, const struct outcome *out)
{
    for (int i = 0; i < out->n_containers; i++)
        if (writer_put_container(a->writer, out->containers[i]))
            a->containers_behind = true;
    if (ev && out->store)
        writer_put_event(a->writer, &out->stamp, ev);
    put_findings(a, out);
    put_requests(a, out);
    if (ev && ev->kind == EVENT_CONTAINER)
        sources_container(&a->sources, ev, out->n_containers ? out->containers[0]->init_pid : 0);
}

/* ---- the loop ----------------------------------------------------------------------------------------------------- */

static void process_events(struct agent *a, uint64_t now_ns)
{
    struct outcome out;
    const struct event *ev;
    for (int n = 0; n < EVENTS_PER_TICK && (ev = merge_peek(&a->merge, now_ns)); n++) {
        pipeline_event(a->pipeline, ev, &out);
        put_outcome(a, ev, &out);
        merge_pop(&a->merge);
        a->n_events++;
    }
}

static void make_decisions(struct agent *a, uint64_t now_ns)
{
    struct outcome out;
    bool more;
    do {
        more = pipeline_tick(a->pipeline, now_ns, &out);
        put_outcome(a, NULL, &out);
    } while (more);
}

/* Only real steps of the clock: the noise of reading two clocks would give one process several start times. */
static void follow_clock(struct agent *a)
{
    int64_t now_ns = clock_wall_offset_ns(), change_ns = now_ns - a->wall_offset_ns;
    if (change_ns > -(int64_t)NS_PER_MS && change_ns < (int64_t)NS_PER_MS)
        return;
    a->wall_offset_ns = now_ns;
    pipeline_set_wall_offset(a->pipeline, now_ns);
}

static void on_tick(uv_timer_t *timer);
static void on_readable(uv_poll_t *poll, int status, int events);

static void start_ticking(struct agent *a)
{
    if (a->ticking)
        return;
    a->ticking = true;
    atomic_store(&a->waker.asleep, 0);
    if (a->has_proc_poll)
        uv_poll_stop(&a->proc_poll);
    if (a->has_flow_poll)
        uv_poll_stop(&a->flow_poll);
    uv_timer_start(&a->tick, on_tick, LIMIT_TICK_MS, LIMIT_TICK_MS);
}

/* Sleep until a descriptor or another thread wakes us, or a decision is due. */
static void stop_ticking(struct agent *a, uint64_t now_ns)
{
    uint64_t due = pipeline_next_due(a->pipeline);
    atomic_store(&a->waker.asleep, 1);
    atomic_thread_fence(memory_order_seq_cst); /* before the look at the rings */
    if (!merge_is_empty(&a->merge) || a->containers_behind) { /* somebody wrote before seeing us asleep */
        atomic_store(&a->waker.asleep, 0);
        return;
    }
    a->ticking = false;
    if (a->has_proc_poll)
        uv_poll_start(&a->proc_poll, UV_READABLE, on_readable);
    if (a->has_flow_poll)
        uv_poll_start(&a->flow_poll, UV_READABLE, on_readable);
    if (due == UINT64_MAX)
        uv_timer_stop(&a->tick);
    else
        uv_timer_start(&a->tick, on_tick, due > now_ns ? (due - now_ns) / NS_PER_MS + 1 : 1, 0);
}

static void on_tick(uv_timer_t *timer)
{
    struct agent *a = timer->data;
    uint64_t now_ns = clock_monotonic_ns();
    follow_clock(a);
    if (a->n_held)
        retry_held(a);
    sources_drain(&a->sources);
    process_events(a, now_ns);
    make_decisions(a, merge_horizon(&a->merge, now_ns));
    retry_containers(a);
    if (!merge_is_empty(&a->merge) || a->n_held)
        start_ticking(a);
    else if (!sources_busy(&a->sources))
        stop_ticking(a, now_ns);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    start_ticking(poll->data);
}

static void on_wake(uv_poll_t *poll, int status, int events)
{
    struct agent *a = poll->data;
    uint64_t n;
    (void)status, (void)events;
    if (read(a->waker.fd, &n, sizeof n) > 0)
        start_ticking(a);
}

/* ---- reports ------------------------------------------------------------------------------------------------------ */

static void report_agent(struct agent *a, uint64_t wall_ns)
{
    struct pipeline_counters counts;
    struct health row;
    pipeline_count(a->pipeline, &counts);
    const struct health_counter counters[] = {
        { "pid", (uint64_t)getpid() },
        { "started", a->started_wall_ns / NS_PER_SECOND },
        { "events", a->n_events },
        { "findings", a->n_findings },
        { "findings_lost", a->n_findings_lost },
        { "processes", counts.n_processes },
        { "containers", counts.n_containers },
        { "processes_evicted", counts.n_processes_evicted },
        { "containers_evicted", counts.n_containers_evicted },
        { "origins_evicted", counts.n_origins_evicted },
        { "images_cut", counts.n_images_cut },
        { "images_lost", counts.n_images_lost },
        { "decisions_forced", counts.n_forced },
        { "bad_cgroups", counts.n_bad_cgroups },
        { "identity_conflicts", counts.n_conflicts },
        { "requests_dropped", atomic_load(&a->requests.stats.lost) },
    };
    const char *reason = a->n_findings_lost ? "findings could not be stored"
                         : counts.n_images_lost ? "more programs with long command lines run than can be kept apart: some are not judged" : "";
    health_of("agent", *reason ? SENSOR_DEGRADED : SENSOR_OK, reason, counters,
              sizeof counters / sizeof counters[0], wall_ns, &row);
    writer_put_health(a->writer, &row);
}

static void report_writer(struct agent *a, uint64_t wall_ns)
{
    struct writer_stats stats;
    struct health row;
    writer_stats(a->writer, &stats);
    const struct health_counter counters[] = {
        { "rows", stats.rows },          { "findings", stats.findings },     { "dropped", stats.dropped },   { "skipped", stats.skipped },
        { "retries", stats.retries },    { "replaced", stats.replaced },     { "queue_bytes", stats.queue_bytes },
        { "commit_us", stats.commit_ns / 1000 }, { "db_bytes", stats.db_bytes }, { "log_bytes", stats.log_bytes },
        { "max_bytes", a->config->storage.max_size_bytes },
    };
    health_of("writer", stats.degraded ? SENSOR_DEGRADED : SENSOR_OK, stats.reason, counters, sizeof counters / sizeof counters[0], wall_ns, &row);
    writer_put_health(a->writer, &row);
}

static void on_report(uv_timer_t *timer)
{
    struct agent *a = timer->data;
    struct source_health parts[SOURCES_HEALTH_MAX];
    struct health row;
    uint64_t wall_ns = clock_ns(CLOCK_REALTIME);
    int n = sources_health(&a->sources, parts);
    for (int i = 0; i < n; i++) {
        health_of_source(&parts[i], wall_ns, &row);
        writer_put_health(a->writer, &row);
    }
    report_agent(a, wall_ns);
    report_writer(a, wall_ns);
    sd_notify(0, "WATCHDOG=1");
}

/* ---- signals ------------------------------------------------------------------------------------------------------ */

/* In a worker thread: a million entries take a second. */
static void intel_read(uv_work_t *work)
{
    struct agent *a = work->data;
    intel_init(&a->fresh);
    a->fresh_error = a->config->intel.dir[0] ? intel_files_load(&a->fresh, a->config->intel.dir, &a->fresh_result) : 0;
}

static void intel_take(uv_work_t *work, int status)
{
    struct agent *a = work->data;
    a->reading_intel = false;
    if (status || a->fresh_error) {
        log_error("intel", "the lists in force stay: cannot read %s: %s", a->config->intel.dir, strerror(-a->fresh_error));
        intel_fini(&a->fresh);
        return;
    }
    intel_fini(&a->intel);
    a->intel = a->fresh;
    log_info("intel", "%u addresses and networks from %u lists (%u files and %u lines refused)", intel_count(&a->intel),
             a->fresh_result.files, a->fresh_result.failed, a->fresh_result.bad_lines);
}

static void intel_reload(struct agent *a)
{
    if (a->reading_intel)
        return;
    a->reading_intel = uv_queue_work(&a->loop, &a->intel_work, intel_read, intel_take) == 0;
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct agent *a = signal->data;
    if (number == SIGHUP) {
        log_info("agent", "SIGHUP: reading the threat lists again");
        intel_reload(a);
        return;
    }
    log_info("agent", "signal %d: stopping", number);
    uv_stop(&a->loop);
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

static int open_loop(struct agent *a)
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
    uv_loop_init(&a->loop);
    a->waker.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (a->waker.fd < 0)
        return -errno;
    uv_timer_init(&a->loop, &a->tick);
    uv_timer_init(&a->loop, &a->report);
    uv_poll_init(&a->loop, &a->waker_poll, a->waker.fd);
    a->tick.data = a->report.data = a->waker_poll.data = a;
    uv_poll_start(&a->waker_poll, UV_READABLE, on_wake);
    for (int i = 0; i < 3; i++) {
        uv_signal_init(&a->loop, &a->signals[i]);
        a->signals[i].data = a;
        uv_signal_start(&a->signals[i], on_signal, numbers[i]);
    }
    return 0;
}

static int open_core(struct agent *a)
{
    const struct store_options options = { .max_bytes = a->config->storage.max_size_bytes,
                                           .max_event_days = (unsigned)(a->config->storage.events_age_ns / NS_PER_DAY),
                                           .max_finding_days = (unsigned)(a->config->storage.findings_age_ns / NS_PER_DAY),
                                           .host = a->config->host.name };
    int error = writer_open(&a->writer, a->config->storage.path, &options, &a->waker);
    if (error)
        return error;
    intel_init(&a->intel);
    a->intel_work.data = a;
    intel_read(&a->intel_work); /* before the first event */
    intel_take(&a->intel_work, 0);
    const struct store_limits *limits = writer_limits(a->writer);
    struct pipeline_options core = { .next_event_id = limits->next_event_id, .next_container_id = limits->next_container_id, .intel = &a->intel };
    a->pipeline = pipeline_new(&core);
    if (!a->pipeline)
        return -ENOMEM;
    follow_clock(a);
    return 0;
}

static bool open_poll(struct agent *a, uv_poll_t *poll, int fd)
{
    poll->data = a;
    return fd >= 0 && uv_poll_init(&a->loop, poll, fd) == 0;
}

int agent_open(struct agent *a, const struct config *config)
{
    memset(a, 0, sizeof *a);
    a->sources.procdir = a->waker.fd = -1;
    a->config = config;
    a->started_wall_ns = clock_ns(CLOCK_REALTIME);
    int error = open_loop(a);
    if (!error)
        error = open_core(a);
    if (!error)
        error = sources_open(&a->sources, config, &a->loop, &a->waker, &a->merge);
    if (!error)
        error = requests_open(&a->requests, &a->loop, a->sources.procdir, &a->waker);
    if (error) {
        log_error("agent", "cannot start: %s", strerror(-error));
        return error;
    }
    merge_add(&a->merge, &a->requests.sensor.ring);
    a->has_proc_poll = open_poll(a, &a->proc_poll, sources_proc_fd(&a->sources));
    a->has_flow_poll = open_poll(a, &a->flow_poll, sources_flow_fd(&a->sources));
    return 0;
}

void agent_run(struct agent *a)
{
    start_ticking(a);
    uv_timer_start(&a->report, on_report, 200, REPORT_MS);
    sd_notifyf(0, "READY=1\nSTATUS=watching; findings in %s", a->config->storage.path);
    log_info("agent", "ready; findings in %s", a->config->storage.path);
    uv_run(&a->loop, UV_RUN_DEFAULT);
    sd_notify(0, "STOPPING=1");
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* What the sensors delivered before they were closed, and decisions that still waited. */
static void drain_all(struct agent *a)
{
    sources_drain(&a->sources);
    while (!merge_is_empty(&a->merge))
        process_events(a, UINT64_MAX);
    make_decisions(a, clock_monotonic_ns() + LAST_DECISIONS_NS);
    for (int tries = 0; a->n_held && tries < 100; tries++) {
        retry_held(a);
        usleep(10000);
    }
}

void agent_close(struct agent *a)
{
    if (a->requests.jobs) { /* it was open */
        drain_all(a);
        on_report(&a->report);
    }
    sources_stop(&a->sources);
    uv_walk(&a->loop, close_handle, NULL);
    uv_run(&a->loop, UV_RUN_DEFAULT);
    sources_close(&a->sources);
    requests_close(&a->requests);
    uv_loop_close(&a->loop);
    pipeline_free(a->pipeline);
    if (a->writer)
        writer_close(a->writer);
    intel_fini(&a->intel);
    close(a->waker.fd);
}
