#include "agent/agent.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "agent/detect/detector.h"
#include "agent/detect/rules_detector.h"
#include "agent/health.h"
#include "agent/rule_status.h"
#include "common/clock.h"
#include "common/log.h"

#define REPORT_MS 5000
#define REPORTS_PER_HOST_READ 12 /* users and addresses of the host: every minute, ~100 us */
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
        rule_report_finding(&a->rule_report, out->findings[i]);
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

static void ask_owner(struct agent *a, const struct request *r)
{
    struct owner_question q = { .flow_id = r->flow_id, .proto = r->proto, .local = r->src, .peer = r->dst, .lport = r->sport, .pport = r->dport,
                                .netns_pid = r->pid };
    q.n_candidates = (uint32_t)pipeline_processes(a->pipeline, r->container, q.candidates, OWNER_CANDIDATES);
    sources_ask_owner(&a->sources, &q);
}

static void put_requests(struct agent *a, const struct outcome *out)
{
    for (int i = 0; i < out->n_requests; i++)
        if (out->requests[i].kind == REQUEST_OWNER)
            ask_owner(a, &out->requests[i]);
        else
            requests_ask(&a->requests, &out->requests[i]);
}

static void put_outcome(struct agent *a, const struct outcome *out)
{
    const struct event *ev = out->event;
    for (int i = 0; i < out->n_containers; i++)
        if (writer_put_container(a->writer, out->containers[i]))
            a->containers_behind = true;
    if (out->store)
        writer_put_event(a->writer, &out->stamp, ev);
    put_findings(a, out);
    put_requests(a, out);
    if (ev && ev->kind == EVENT_CONTAINER)
        sources_container(&a->sources, ev, out->n_containers ? out->containers[0]->init_pid : 0);
    if (ev && ev->kind == EVENT_MOUNT)
        sources_mount(&a->sources, ev);
}

/* ---- the loop ----------------------------------------------------------------------------------------------------- */

static void process_events(struct agent *a, uint64_t now_ns)
{
    struct outcome out;
    const struct event *ev;
    for (int n = 0; n < EVENTS_PER_TICK && (ev = merge_peek(&a->merge, now_ns)); n++) {
        pipeline_event(a->pipeline, ev, &out);
        put_outcome(a, &out);
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
        put_outcome(a, &out);
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
    for (int i = 0; i < a->n_source_polls; i++)
        uv_poll_stop(&a->source_polls[i]);
    uv_timer_start(&a->tick, on_tick, LIMIT_TICK_MS, LIMIT_TICK_MS);
}

/* Sleep until a descriptor or another thread wakes us, or a decision is due. */
static void stop_ticking(struct agent *a, uint64_t now_ns)
{
    uint64_t due = pipeline_next_due(a->pipeline), look = sources_due(&a->sources);
    due = due < look ? due : look;
    atomic_store(&a->waker.asleep, 1);
    atomic_thread_fence(memory_order_seq_cst); /* before the look at the rings */
    if (!merge_is_empty(&a->merge) || a->containers_behind) { /* somebody wrote before seeing us asleep */
        atomic_store(&a->waker.asleep, 0);
        return;
    }
    a->ticking = false;
    for (int i = 0; i < a->n_source_polls; i++)
        uv_poll_start(&a->source_polls[i], UV_READABLE, on_readable);
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
    if (!merge_is_empty(&a->merge) || a->n_held || sources_busy(&a->sources))
        start_ticking(a);
    else
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
        { "behaviour_forgotten", counts.n_forgotten },
        { "not_compared", counts.n_not_compared },
        { "late_execs", counts.n_late_execs },
        { "unknown_execs", counts.n_execs_unknown },
        { "bad_cgroups", counts.n_bad_cgroups },
        { "identity_conflicts", counts.n_conflicts },
        { "dns_names", counts.n_dns_names },
        { "dns_names_evicted", counts.n_dns_names_evicted },
        { "dns_unasked", counts.n_dns_unasked },
        { "requests_dropped", atomic_load(&a->requests.stats.lost) },
    };
    const char *reason = a->n_findings_lost ? "findings could not be stored"
                         : counts.n_images_lost ? "more programs with long command lines run than can be kept apart: some are not judged" : "";
    health_of("agent", *reason ? SENSOR_DEGRADED : SENSOR_OK, reason, counters,
              sizeof counters / sizeof counters[0], wall_ns, &row);
    writer_put_health(a->writer, &row);
}

static void report_rules(struct agent *a, uint64_t wall_ns)
{
    const struct rules *rules = pipeline_rules(a->pipeline);
    struct pipeline_counters counts;
    struct health row;
    char reason[sizeof row.reason];
    pipeline_count(a->pipeline, &counts);
    const struct health_counter counters[] = {
        { "rules", rules ? rules->set->n_rules : 0 },      { "files", a->rules_result.n_files },
        { "files_refused", a->rules_result.n_failed },     { "warnings", a->rules_result.n_warnings },
        { "held", counts.n_rules_held },                   { "held_forced", counts.n_rules_forced },
        { "hits_dropped", counts.n_rule_hits_dropped },    { "loaded", a->rules_loaded_wall_ns / NS_PER_SECOND },
        { "values_dropped", counts.n_rule_values_dropped }, { "regex_given_up", counts.n_regex_given_up },
    };
    struct text_out out;
    text_out_init(&out, reason, sizeof reason);
    text_out_printf(&out, "%s%s", a->rules_refused ? "the last reload was refused, the rules before it are in force: " : "",
                    a->rules_result.first_error);
    health_of("rules", reason[0] ? SENSOR_DEGRADED : SENSOR_OK, reason, counters, sizeof counters / sizeof counters[0], wall_ns, &row);
    writer_put_health(a->writer, &row);
}

/* Flows and DNS messages without rows of their own, and processes asked for. */
static void report_rows(struct agent *a, uint64_t wall_ns)
{
    struct pipeline_counters counts;
    struct health row;
    pipeline_count(a->pipeline, &counts);
    const struct health_counter counters[] = {
        { "folded", counts.n_flows_folded },     { "bursts", counts.n_flow_bursts }, { "unsummed", counts.n_flows_unsummed },
        { "evicted", counts.n_flows_evicted },
        { "owners_asked", counts.n_owners_asked }, { "owners_found", counts.n_owners_found },
    };
    health_of("flow_rows", SENSOR_OK, "", counters, sizeof counters / sizeof counters[0], wall_ns, &row);
    writer_put_health(a->writer, &row);
    const struct health_counter dns[] = { { "folded", counts.n_dns_folded }, { "bursts", counts.n_dns_bursts }, { "unsummed", counts.n_dns_unsummed } };
    health_of("dns_rows", SENSOR_OK, "", dns, sizeof dns / sizeof dns[0], wall_ns, &row);
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
    health_of("writer", stats.degraded ? SENSOR_DEGRADED : SENSOR_OK, stats.reason, counters, sizeof counters / sizeof counters[0], wall_ns,
              &row);
    writer_put_health(a->writer, &row);
}

/* How much each filter took. */
static void report_suppress(struct agent *a, uint64_t wall_ns)
{
    struct health_counter counters[LIMIT_SUPPRESS_SHOWN + 2];
    struct health row;
    const struct suppress *s = a->suppress;
    uint64_t n_matched = 0;
    int n = 2;
    for (uint32_t i = 0; i < s->n_filters; i++) {
        n_matched += s->filters[i].n_matched;
        if (i < LIMIT_SUPPRESS_SHOWN)
            counters[n++] = (struct health_counter){ s->filters[i].name, s->filters[i].n_matched };
    }
    counters[0] = (struct health_counter){ "filters", s->n_filters };
    counters[1] = (struct health_counter){ "suppressed", n_matched };
    health_of("suppress", a->suppress_error[0] ? SENSOR_DEGRADED : SENSOR_OK, a->suppress_error, counters, n, wall_ns, &row);
    writer_put_health(a->writer, &row);
}

static void on_report(uv_timer_t *timer)
{
    struct agent *a = timer->data;
    struct source_health parts[SOURCES_HEALTH_MAX];
    struct health row;
    uint64_t wall_ns = clock_ns(CLOCK_REALTIME);
    unsigned filled = FILL_ALWAYS;
    int n = sources_health(&a->sources, parts);
    for (int i = 0; i < n; i++) {
        if (atomic_load(&parts[i].stats->state) != SENSOR_OFF)
            filled |= component_fills(parts[i].component);
        health_of_source(&parts[i], wall_ns, &row);
        writer_put_health(a->writer, &row);
    }
    report_agent(a, wall_ns);
    report_writer(a, wall_ns);
    report_rules(a, wall_ns);
    report_rows(a, wall_ns);
    rule_report_some(&a->rule_report, a->writer, filled, wall_ns);
    if (++a->n_reports % REPORTS_PER_HOST_READ == 0)
        host_state_read(&a->host, a->sources.procdir);
    report_suppress(a, wall_ns);
    intel_lists_report(&a->lists, a->writer, wall_ns);
    sd_notify(0, "WATCHDOG=1");
}

/* ---- signals ------------------------------------------------------------------------------------------------------ */

/* What is being read takes the place of what is in force; what cannot be read leaves it. */
static void sequences_take(struct agent *a)
{
    if (a->fresh_sequences_error) {
        log_error("sequences", "those in force stay: cannot read %s: %s", a->config->sequences.dir, strerror(-a->fresh_sequences_error));
        return;
    }
    struct sequences *before = a->sequences;
    a->sequences = a->fresh_sequences;
    a->fresh_sequences = before;
    if (a->pipeline)
        pipeline_set_sequences(a->pipeline, a->sequences);
    log_info("sequences", "%u attack sequences from %u files (%u refused)", a->sequences->n, a->sequence_result.files, a->sequence_result.failed);
}

static void suppress_take(struct agent *a)
{
    memcpy(a->suppress_error, a->fresh_suppress_reason, sizeof a->suppress_error);
    if (a->fresh_suppress_error) {
        log_error("suppress", "the filters in force stay: %s", a->suppress_error);
        return;
    }
    struct suppress *before = a->suppress;
    suppress_keep_counts(a->fresh_suppress, before);
    a->suppress = a->fresh_suppress;
    a->fresh_suppress = before;
    if (a->pipeline)
        pipeline_set_suppress(a->pipeline, a->suppress);
    if (a->suppress->n_filters)
        log_info("suppress", "%u filters", a->suppress->n_filters);
}

static void files_read(uv_work_t *work)
{
    struct agent *a = work->data;
    struct text_out error;
    text_out_init(&error, a->fresh_suppress_reason, sizeof a->fresh_suppress_reason);
    a->fresh_suppress_error = suppress_file_load(a->fresh_suppress, a->config_path, &error);
    a->fresh_sequences_error = sequence_files_load(a->fresh_sequences, a->config->sequences.shipped, a->config->sequences.dir,
                                                   &a->sequence_result);
}

static void files_reload(struct agent *a);

static void files_take(uv_work_t *work, int status)
{
    struct agent *a = work->data;
    a->reading_files = false;
    if (!status) {
        sequences_take(a);
        suppress_take(a);
    }
    if (a->files_again)
        files_reload(a);
}

static void files_reload(struct agent *a)
{
    a->files_again = a->reading_files;
    if (a->reading_files)
        return;
    a->reading_files = uv_queue_work(&a->loop, &a->files_work, files_read, files_take) == 0;
}

/* ---- rules -------------------------------------------------------------------------------------------------------- */

static void rule_message_log(struct rule_files_listener *listener, const struct rule_message *message)
{
    char text[2048];
    struct text_out out;
    (void)listener;
    text_out_init(&out, text, sizeof text);
    rule_message_print(&out, message);
    if (rule_code_is_error(message->code))
        log_error("rules", "%s", text);
    else
        log_info("rules", "%s", text);
}

static int rules_read_dirs(struct agent *a, struct ruleset *set)
{
    struct rule_files_listener listener = { rule_message_log };
    const char *const dirs[] = { a->config->rules.shipped_dir, a->config->rules.dir };
    int error = 0;
    for (int i = 0; i < 2 && !error; i++) {
        int r = dirs[i][0] ? rule_files_load(set, dirs[i], &listener, &a->fresh_rules_result) : 0;
        if (r)
            log_error("rules", "cannot read %s: %s", dirs[i], strerror(-r));
        if (r)
            a->fresh_rules_result.n_failed++;
        error = r == -ENOMEM ? r : 0;
    }
    char *first_error = a->fresh_rules_result.first_error;
    if (rule_files_missing(dirs[0])) {
        log_warn("rules", "%s does not exist: without the shipped rules, only detectors and own rules run", dirs[0]);
        if (!first_error[0])
            snprintf(first_error, sizeof a->fresh_rules_result.first_error, "%.400s does not exist: no shipped rules", dirs[0]);
    }
    return error;
}

/* In a worker thread: some hundred rules take some 50 ms. */
static void rules_read(uv_work_t *work)
{
    struct agent *a = work->data;
    const struct config *c = a->config;
    struct rules_options options = { .priority_max = PRIORITY_DEBUG, .first_match = c->rules.first_match, .wait_ns = c->rules.wait_ns,
                                     .now_ns = clock_monotonic_ns };
    rule_priority_find(c->rules.priority, &options.priority_max);
    memset(&a->fresh_rules_result, 0, sizeof a->fresh_rules_result);
    a->fresh_rules = NULL;
    struct ruleset *set = ruleset_new();
    if (!set || rules_read_dirs(a, set))
        ruleset_free(set);
    else
        a->fresh_rules = rules_new(set, &options);
}

/* At start a broken file is left out. At a reload one broken file refuses it all: what is in force was whole. */
static void rules_put_in_force(struct agent *a, int status)
{
    bool at_start = !a->rules_loaded_wall_ns;
    a->rules_result = a->fresh_rules_result;
    a->rules_refused = status || !a->fresh_rules || (a->rules_result.n_failed && !at_start);
    if (a->rules_refused) {
        rules_free(a->fresh_rules);
        log_error("rules", "the rules in force stay: %s", a->rules_result.first_error[0] ? a->rules_result.first_error : "out of memory");
        return;
    }
    a->rules_loaded_wall_ns = clock_ns(CLOCK_REALTIME);
    rules_free(pipeline_set_rules(a->pipeline, a->fresh_rules));
    malloc_trim(0); /* each worker thread has an arena, and would keep 3 MiB of what was freed */
    rule_report_begin(&a->rule_report, a->fresh_rules, a->rules_loaded_wall_ns);
    log_info("rules", "%u rules from %u files (%u files refused)", a->fresh_rules->set->n_rules, a->rules_result.n_files,
             a->rules_result.n_failed);
}

static void rules_reload(struct agent *a);

static void rules_take(uv_work_t *work, int status)
{
    struct agent *a = work->data;
    a->reading_rules = false;
    rules_put_in_force(a, status);
    if (a->rules_again)
        rules_reload(a);
}

static void rules_reload(struct agent *a)
{
    a->rules_again = a->reading_rules;
    if (a->reading_rules)
        return;
    a->reading_rules = uv_queue_work(&a->loop, &a->rules_work, rules_read, rules_take) == 0;
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct agent *a = signal->data;
    if (number == SIGHUP) {
        log_info("agent", "SIGHUP: reading threat lists, rules, attack sequences and filters again");
        files_reload(a);
        intel_lists_reload(&a->lists);
        rules_reload(a);
        return;
    }
    log_info("agent", "signal %d: stopping", number);
    a->stopping = true;
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
    error = intel_lists_open(&a->lists, &a->loop, a->config, a->config_path);
    if (error)
        return error;
    a->sequences = calloc(1, sizeof *a->sequences);
    a->fresh_sequences = calloc(1, sizeof *a->fresh_sequences);
    a->suppress = calloc(1, sizeof *a->suppress);
    a->fresh_suppress = calloc(1, sizeof *a->fresh_suppress);
    if (!a->sequences || !a->fresh_sequences || !a->suppress || !a->fresh_suppress)
        return -ENOMEM;
    a->files_work.data = a;
    files_read(&a->files_work); /* before the first event */
    files_take(&a->files_work, 0);
    const struct detect_options detect = { .miner_cpu_percent = (uint32_t)a->config->miner.cpu_percent,
                                           .miner_time_ns = a->config->miner.time_ns,
                                           .scan_ports = (uint32_t)a->config->network.scan_ports,
                                           .scan_addresses = (uint32_t)a->config->network.scan_addresses,
                                           .data_volume_bytes = a->config->network.data_volume_bytes,
                                           .listen_after_ns = a->config->network.listen_after_ns };
    const struct store_limits *limits = writer_limits(a->writer);
    struct pipeline_options core = { .next_event_id = limits->next_event_id, .next_container_id = limits->next_container_id,
                                     .sequences = a->sequences, .suppress = a->suppress, .detect = &detect, .host = a->config->host.name };
    a->pipeline = pipeline_new(&core);
    if (!a->pipeline)
        return -ENOMEM;
    follow_clock(a);
    intel_lists_start(&a->lists, a->pipeline);
    pipeline_set_host(a->pipeline, &a->host.facts, &a->host.users, a->config->host.name);
    a->rules_work.data = a;
    rules_read(&a->rules_work);
    rules_take(&a->rules_work, 0);
    return 0;
}

static void open_polls(struct agent *a)
{
    int fds[SOURCES_FDS_MAX], n = sources_fds(&a->sources, fds);
    for (int i = 0; i < n; i++) {
        uv_poll_t *poll = &a->source_polls[a->n_source_polls];
        poll->data = a;
        if (uv_poll_init(&a->loop, poll, fds[i]) == 0)
            a->n_source_polls++;
    }
}

int agent_open(struct agent *a, const struct config *config, const char *config_path)
{
    memset(a, 0, sizeof *a);
    a->sources.procdir = a->sources.exec_procdir = a->waker.fd = -1;
    host_state_init(&a->host);
    a->config = config;
    a->config_path = config_path;
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
    host_state_read(&a->host, a->sources.procdir);
    open_polls(a);
    return 0;
}

void agent_run(struct agent *a)
{
    start_ticking(a);
    uv_timer_start(&a->report, on_report, 200, REPORT_MS);
    sd_notifyf(0, "READY=1\nSTATUS=watching; findings in %s", a->config->storage.path);
    log_info("agent", "ready; findings in %s", a->config->storage.path);
    uv_run(&a->loop, UV_RUN_DEFAULT);
    if (!a->stopping)
        log_error("agent", "the loop has ended by itself: stopping");
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

/* Without the loop they would end us at once, and what is in the writer's queue must still be stored. */
static void ignore_signals(void)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
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
    ignore_signals();
    sources_close(&a->sources);
    requests_close(&a->requests);
    uv_loop_close(&a->loop);
    pipeline_free(a->pipeline);
    if (a->writer)
        writer_close(a->writer);
    intel_lists_close(&a->lists);
    host_state_fini(&a->host);
    rule_report_fini(&a->rule_report);
    free(a->sequences);
    free(a->fresh_sequences);
    free(a->suppress);
    free(a->fresh_suppress);
    close(a->waker.fd);
}
