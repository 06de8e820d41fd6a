/* ecsguardctl status: is the agent running, what does it cover, what did it lose, is everything delivered. Also a health check. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/ctl/finding_view.h"
#include "common/clock.h"
#include "common/text.h"

/* The agent renews its health rows every few seconds; silence of this length means that it hangs or is starved. */
#define HEALTH_FRESH_NS (30 * NS_PER_SECOND)
#define BY_CHOICE "switched off in the configuration" /* a source that is off on purpose is no defect */

static const struct option options[] = { CTL_OPTIONS, { NULL, 0, NULL, 0 } };

struct status {
    struct ctl *ctl;
    json_t *root;
    bool running, degraded;
};

static json_t *object_in(json_t *parent, const char *key)
{
    json_t *object = json_object();
    json_object_set_new(parent, key, object);
    return object;
}

/* The first line of a small file. */
static bool file_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    bool read = file && fgets(line, (int)size, file);
    if (file)
        fclose(file);
    if (read)
        line[strcspn(line, "\n")] = 0;
    return read;
}

/* Seconds since a process was started, from /proc/PID/stat; -1 when unknown. */
static int64_t process_age(int pid)
{
    char path[64], line[1024];
    unsigned long long started;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    const char *after = file_line(path, line, sizeof line) ? strrchr(line, ')') : NULL;
    if (!after || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &started) != 1)
        return -1;
    return (int64_t)(clock_ns(CLOCK_BOOTTIME) / NS_PER_SECOND) - (int64_t)(started / (unsigned long long)sysconf(_SC_CLK_TCK));
}

static bool is_agent(int pid)
{
    char path[64], comm[64];
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    return pid > 0 && file_line(path, comm, sizeof comm) && !strcmp(comm, "ecsguardd");
}

/* The pid of the lock file, or where that may not be read the pid that the agent reported, if it still is the agent's. */
static void status_agent(struct status *s)
{
    char path[2048], line[64];
    json_t *agent = json_object_get(s->root, "agent");
    snprintf(path, sizeof path, "%s/ecsguardd.lock", s->ctl->config->run_dir);
    int pid = file_line(path, line, sizeof line) ? atoi(line) : 0;
    if (!is_agent(pid))
        pid = (int)row_number(agent, "pid");
    s->running = is_agent(pid);
    json_object_set_new(agent, "running", json_boolean(s->running));
    json_object_set_new(agent, "pid", s->running ? json_integer(pid) : json_null());
    json_object_set_new(agent, "uptime_s", s->running ? json_integer((json_int_t)process_age(pid)) : json_null());
}

static int take_health(json_t *row, void *arg)
{
    struct status *s = arg;
    const char *component = row_string(row, "component");
    if (!strcmp(component, "agent"))
        json_object_update(json_object_get(s->root, "agent"), json_object_get(row, "counters"));
    s->degraded |= strcmp(row_string(row, "state"), "ok") && strcmp(row_string(row, "reason"), BY_CHOICE);
    json_array_append(json_object_get(s->root, "components"), row);
    const char *newest = row_string(s->root, "reported");
    if (strcmp(row_string(row, "updated"), newest) > 0)
        json_object_set(s->root, "reported", json_object_get(row, "updated"));
    return 0;
}

static int take_count(json_t *row, void *arg)
{
    json_object_set(arg, row_string(row, "severity"), json_object_get(row, "n"));
    return 0;
}

static int take_container(json_t *row, void *arg)
{
    struct status *s = arg;
    json_object_set_new(row, "covered", json_boolean(json_is_null(json_object_get(row, "not_covered"))));
    return json_array_append(json_object_get(s->root, "containers"), row);
}

static int status_query(struct status *s, const char *text, int (*each)(json_t *row, void *arg), void *arg)
{
    struct sql sql;
    sql_init(&sql, text);
    int result = ctl_db_each(s->ctl, &sql, each, arg);
    sql_fini(&sql);
    return result;
}

static uint64_t file_bytes(const char *path, const char *suffix, uint64_t *changed_ns)
{
    char full[600];
    struct stat st;
    snprintf(full, sizeof full, "%s%s", path, suffix);
    if (stat(full, &st))
        return 0;
    uint64_t ns = (uint64_t)st.st_mtim.tv_sec * NS_PER_SECOND + (uint64_t)st.st_mtim.tv_nsec;
    if (st.st_size && ns > *changed_ns)
        *changed_ns = ns;
    return (uint64_t)st.st_size;
}

static void set_time(json_t *object, const char *key, uint64_t wall_ns)
{
    char text[32];
    text_time(text, wall_ns);
    json_object_set_new(object, key, wall_ns ? json_string(text) : json_null());
}

static int status_database(struct status *s)
{
    json_t *database = object_in(s->root, "database"), *findings = object_in(s->root, "findings");
    uint64_t changed_ns = 0;
    json_object_set_new(s->root, "components", json_array());
    json_object_set_new(s->root, "containers", json_array());
    if (ctl_db_open(s->ctl))
        return CTL_FAILED;
    json_object_set_new(database, "path", json_string(s->ctl->db_path));
    json_object_set_new(database, "bytes", json_integer((json_int_t)file_bytes(s->ctl->db_path, "", &changed_ns)));
    json_object_set_new(database, "log_bytes", json_integer((json_int_t)file_bytes(s->ctl->db_path, "-wal", &changed_ns)));
    json_object_set_new(database, "max_bytes", json_integer((json_int_t)s->ctl->config->storage.max_size_bytes));
    set_time(database, "last_commit", changed_ns);
    if (status_query(s, "SELECT * FROM health ORDER BY component", take_health, s) ||
        status_query(s, "SELECT * FROM containers WHERE state = 'running' ORDER BY id", take_container, s) ||
        status_query(s, "SELECT severity, count(*) AS n FROM findings WHERE status <> 'suppressed' GROUP BY severity", take_count, findings))
        return CTL_FAILED;
    return CTL_OK;
}

/* It runs, had time to report, and did not: what is in the database may be of an earlier run. */
static bool is_silent(const struct status *s)
{
    uint64_t up_ns = (uint64_t)row_number(json_object_get(s->root, "agent"), "uptime_s") * NS_PER_SECOND;
    return s->running && up_ns > HEALTH_FRESH_NS && row_time(s->root, "reported") + HEALTH_FRESH_NS < s->ctl->now_wall_ns;
}

/* The last attempt failed. ISO times compare as texts. */
static bool delivery_fails(const json_t *delivery)
{
    return *row_string(delivery, "last_error") && strcmp(row_string(delivery, "last_error_time"), row_string(delivery, "last_success")) > 0;
}

static void status_delivery(struct status *s)
{
    char path[2048];
    json_error_t problem;
    if (!s->ctl->config->delivery.enabled) {
        json_object_set_new(s->root, "delivery", json_null());
        return;
    }
    snprintf(path, sizeof path, "%s/status.json", s->ctl->config->delivery.state_dir);
    json_t *delivery = json_load_file(path, 0, &problem);
    if (!json_is_object(delivery)) {
        json_decref(delivery);
        delivery = json_object();
        json_object_set_new(delivery, "last_error", json_string("ecsguard-uploader has not reported; systemctl status ecsguard-uploader"));
        json_object_set_new(delivery, "last_error_time", json_string("now"));
    }
    s->degraded |= delivery_fails(delivery);
    json_object_set_new(s->root, "delivery", delivery);
}

/* ---- for people ----------------------------------------------------------------------------------------------------- */

static enum style state_style(const char *state)
{
    return !strcmp(state, "ok") ? STYLE_GREEN : !strcmp(state, "degraded") ? STYLE_YELLOW : STYLE_RED;
}

static void duration(char out[24], int64_t s)
{
    if (s < 120)
        snprintf(out, 24, "%" PRId64 " s", s);
    else if (s < 7200)
        snprintf(out, 24, "%" PRId64 " min", s / 60);
    else if (s < 172800)
        snprintf(out, 24, "%" PRId64 " h", s / 3600);
    else
        snprintf(out, 24, "%" PRId64 " days", s / 86400);
}

static void print_agent(const struct status *s, const char *state)
{
    const struct terminal *t = &s->ctl->term;
    const json_t *agent = json_object_get(s->root, "agent");
    char up[24], ago[16];
    terminal_cell(t, STYLE_BOLD, 0, "ecsguard");
    terminal_cell(t, STYLE_PLAIN, 1, "");
    terminal_cell(t, state_style(state), 0, state);
    if (s->running) {
        duration(up, row_number(agent, "uptime_s"));
        fprintf(t->out, "  (pid %" PRId64 ", up %s)", row_number(agent, "pid"), up);
    }
    fputc('\n', t->out);
    if (s->running && !*row_string(s->root, "reported"))
        terminal_wrap(t, 2, "The agent has not reported yet.");
    else if (is_silent(s)) {
        terminal_ago(ago, row_time(s->root, "reported"), s->ctl->now_wall_ns);
        fprintf(t->out, "  The agent last reported %s: it hangs or gets no CPU.\n", ago);
    } else if (!s->running) {
        terminal_wrap(t, 2, "Nothing is watched. Start it: systemctl start ecsguard. What follows is from its last run.");
    }
}

static void counter_cell(const struct terminal *t, const json_t *counters, const char *name, int width, bool bad)
{
    char number[24];
    const char *text = row_text(counters, name, number);
    terminal_cell(t, bad && row_number(counters, name) ? STYLE_RED : STYLE_PLAIN, -width, *text ? text : "-");
    terminal_cell(t, STYLE_PLAIN, 1, "");
}

static void print_components(const struct status *s)
{
    static const struct {
        const char *counter, *title;
        int width;
        bool bad;
    } columns[] = { { "events", "EVENTS", 10, false }, { "lost", "LOST", 7, true },           { "overflows", "OVERFL", 7, true },
                    { "resyncs", "RESYNCS", 7, false }, { "malformed", "MALFORM", 7, true }, { "queue_bytes", "QUEUED", 7, false } };
    const struct terminal *t = &s->ctl->term;
    const json_t *components = json_object_get(s->root, "components");
    size_t i;
    json_t *row;
    if (!json_array_size(components))
        return;
    fputc('\n', t->out);
    terminal_cell(t, STYLE_BOLD, 13, "COMPONENT");
    terminal_cell(t, STYLE_BOLD, 9, "STATE");
    for (i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        terminal_cell(t, STYLE_BOLD, -columns[i].width, columns[i].title);
        terminal_cell(t, STYLE_PLAIN, 1, "");
    }
    fputc('\n', t->out);
    json_array_foreach(components, i, row) {
        const json_t *counters = json_object_get(row, "counters");
        terminal_cell(t, STYLE_PLAIN, 12, row_string(row, "component"));
        terminal_cell(t, STYLE_PLAIN, 1, "");
        terminal_cell(t, state_style(row_string(row, "state")), 9, row_string(row, "state"));
        for (size_t j = 0; j < sizeof columns / sizeof columns[0]; j++)
            counter_cell(t, counters, columns[j].counter, columns[j].width, columns[j].bad);
        fputc('\n', t->out);
        if (*row_string(row, "reason"))
            terminal_wrap(t, 4, row_string(row, "reason"));
    }
}

static void print_containers(const struct status *s)
{
    const struct terminal *t = &s->ctl->term;
    const json_t *containers = json_object_get(s->root, "containers");
    char line[1200], place[600];
    size_t i, covered = 0;
    json_t *row;
    json_array_foreach(containers, i, row) {
        covered += json_is_true(json_object_get(row, "covered"));
    }
    fprintf(t->out, "\n%zu of %zu running containers fully covered\n", covered, json_array_size(containers));
    json_array_foreach(containers, i, row) {
        if (json_is_true(json_object_get(row, "covered")))
            continue;
        finding_place(row, place, sizeof place);
        snprintf(line, sizeof line, "%.12s %s: %s", row_string(row, "container_id"), place, row_string(row, "not_covered"));
        terminal_wrap(t, 2, line);
    }
}

static void print_findings(const struct status *s)
{
    static const char *const severities[] = { "critical", "high", "medium", "low", "info" };
    const struct terminal *t = &s->ctl->term;
    const json_t *findings = json_object_get(s->root, "findings");
    const char *separator = "";
    fputs("Findings: ", t->out);
    for (size_t i = 0; i < sizeof severities / sizeof severities[0]; i++) {
        char cell[64];
        if (!row_number(findings, severities[i]))
            continue;
        snprintf(cell, sizeof cell, "%" PRId64 " %s", row_number(findings, severities[i]), severities[i]);
        fputs(separator, t->out);
        terminal_cell(t, terminal_severity_style(severities[i]), 0, cell);
        separator = ", ";
    }
    fputs(*separator ? "\n" : "none\n", t->out);
}

static void print_database(const struct status *s)
{
    const json_t *database = json_object_get(s->root, "database");
    char bytes[16], log[16], max[16], ago[16] = "never", line[1200];
    if (!*row_string(database, "path"))
        return;
    terminal_bytes(bytes, (uint64_t)row_number(database, "bytes"));
    terminal_bytes(log, (uint64_t)row_number(database, "log_bytes"));
    terminal_bytes(max, (uint64_t)row_number(database, "max_bytes"));
    if (row_time(database, "last_commit"))
        terminal_ago(ago, row_time(database, "last_commit"), s->ctl->now_wall_ns);
    snprintf(line, sizeof line, "Database: %s, %s of at most %s and %s of log, last commit %s", row_string(database, "path"), bytes, max, log, ago);
    terminal_wrap(&s->ctl->term, 0, line);
}

static void print_delivery(const struct status *s)
{
    const struct terminal *t = &s->ctl->term;
    const json_t *delivery = json_object_get(s->root, "delivery");
    const char *error = delivery_fails(delivery) ? row_string(delivery, "last_error") : row_string(delivery, "state");
    char ago[16] = "never", line[1024];
    if (!json_is_object(delivery)) {
        fputs("Delivery: off (delivery.enabled)\n", t->out);
        return;
    }
    if (row_time(delivery, "last_success"))
        terminal_ago(ago, row_time(delivery, "last_success"), s->ctl->now_wall_ns);
    snprintf(line, sizeof line, "Delivery: last upload %s%s%s", ago, *error ? "; " : "", error);
    terminal_wrap(t, 0, line);
}

static int finish(struct status *s, bool readable)
{
    s->degraded |= !readable || is_silent(s);
    const char *state = !s->running ? "not running" : s->degraded ? "degraded" : "ok";
    json_object_set_new(s->root, "state", json_string(state));
    if (s->ctl->json) {
        ctl_print_json(s->ctl, s->root, true);
    } else {
        print_agent(s, state);
        if (readable) {
            print_components(s);
            print_containers(s);
            print_findings(s);
            print_database(s);
        }
        print_delivery(s);
    }
    return !s->running ? CTL_NOT_RUNNING : s->degraded ? CTL_FAILED : CTL_OK;
}

int ctl_status(struct ctl *ctl, int argc, char **argv)
{
    struct status s = { .ctl = ctl };
    int status;
    if (ctl_getopt(ctl, "status", argc, argv, options, &status) == CTL_DONE)
        return status;
    if (optind < argc)
        return ctl_misuse("status", "takes no argument: '%s'", argv[optind]);
    if (ctl_config_load(ctl))
        return CTL_FAILED;
    s.root = json_object();
    object_in(s.root, "agent");
    bool readable = !status_database(&s);
    status_agent(&s);
    status_delivery(&s);
    status = finish(&s, readable);
    json_decref(s.root);
    return status;
}
