/* ecsguard-uploader: sends findings to an HTTPS endpoint, and fetches threat lists. A process and a user of its own: it reads the database, has no
 * capability, and keeps what was acknowledged and fetched in its own directory. Anything the network does to it cannot touch the evidence. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "agent/deliver/batch.h"
#include "agent/deliver/cursor.h"
#include "agent/deliver/intel_fetch.h"
#include "agent/deliver/schedule.h"
#include "agent/deliver/source.h"
#include "agent/deliver/upload.h"
#include "agent/detect_files.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/last_words.h"
#include "common/log.h"
#include "common/text.h"

#define STATUS_FILE "status.json"

/* What status.json tells, since the start of this process. */
struct delivery_status {
    char state[160];
    char last_error[512];
    uint64_t last_error_ns, last_attempt_ns, last_success_ns; /* wall time, 0 = never */
    uint64_t requests, failures, findings;
    int64_t pending, newest;
};

struct uploader {
    struct config config;
    char host[256];
    int state_fd; /* of delivery.state_dir, locked */
    uv_loop_t loop;
    uv_timer_t next, stop_limit, watchdog;
    uv_signal_t terminate, interrupt, hangup;
    struct source source;
    struct batch batch;
    struct schedule schedule;
    struct upload upload;
    bool sending, stopping;
    struct intel_sources sources; /* of threat lists */
    struct intel_fetch fetch;     /* when there are any */
    struct delivery_status status;
};

static uint64_t random_number(void)
{
    uint64_t value = 0;
    if (getrandom(&value, sizeof value, 0) != sizeof value)
        value = clock_monotonic_ns();
    return value;
}

/* ---- status ---- */

static json_t *time_json(uint64_t wall_ns)
{
    char text[32];
    if (!wall_ns)
        return json_null();
    text_time(text, wall_ns);
    return json_string(text);
}

/* delivery.url without what may be secret in it: user and query. */
static void shown_url(const char *url, char *shown, size_t size)
{
    if (!url[0]) {
        shown[0] = 0;
        return;
    }
    const char *host = url + strlen("https://");
    size_t n = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', n);
    if (at) {
        n -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    snprintf(shown, size, "https://%.*s", (int)(n + strcspn(host + n, "?#")), host);
}

static void status_write(struct uploader *u)
{
    const struct delivery_status *s = &u->status;
    char url[LIMIT_CONFIG_TEXT_BYTES];
    uint64_t now = clock_ns(CLOCK_REALTIME), next = u->schedule.next_ns;
    shown_url(u->config.delivery.url, url, sizeof url);
    json_t *json = json_pack("{s:s,s:o,s:s,s:s,s:o,s:o,s:o,s:o,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:i}", "schema", "ecsguard.delivery/1", "updated",
                             time_json(now), "state", s->state, "url", url, "last_attempt", time_json(s->last_attempt_ns), "last_success",
                             time_json(s->last_success_ns), "last_error_time", time_json(s->last_error_ns), "next_attempt",
                             u->sending || !u->config.delivery.enabled ? json_null() : time_json(next + (uint64_t)clock_wall_offset_ns()),
                                 "last_error", s->last_error,
                             "acknowledged_revision", (json_int_t)u->schedule.acknowledged, "newest_revision", (json_int_t)s->newest, "pending",
                             (json_int_t)s->pending, "requests", (json_int_t)s->requests, "failures", (json_int_t)s->failures, "findings_sent",
                             (json_int_t)s->findings, "findings_skipped", (json_int_t)u->schedule.skipped, "findings_held",
                             (int)u->schedule.held);
    if (json && u->sources.n)
        json_object_set_new(json, "lists", intel_fetch_status(&u->fetch));
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    int error = text ? cursor_replace_file(u->config.delivery.state_dir, STATUS_FILE, text, strlen(text), 0644, 0) : -ENOMEM;
    if (error)
        log_warn("status", "cannot write %s/" STATUS_FILE ": %s", u->config.delivery.state_dir, strerror(-error));
    free(text);
    json_decref(json);
}

__attribute__((format(printf, 2, 3))) static void status_say(struct uploader *u, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(u->status.state, sizeof u->status.state, format, args);
    va_end(args);
    sd_notifyf(0, "STATUS=%s", u->status.state);
    status_write(u);
}

/* Says a failure in the log when it is another than before, and every time it is shown in the status. */
static void status_fail(struct uploader *u, const char *what, const char *why)
{
    char text[sizeof u->status.last_error];
    snprintf(text, sizeof text, "%s: %.400s", what, why);
    if (strcmp(text, u->status.last_error) || u->status.last_success_ns > u->status.last_error_ns)
        log_warn("deliver", "%s", text);
    memcpy(u->status.last_error, text, sizeof text);
    u->status.last_error_ns = clock_ns(CLOCK_REALTIME);
}

/* ---- sending ---- */

static void on_next(uv_timer_t *timer);

static void arm(struct uploader *u)
{
    uint64_t now = clock_monotonic_ns();
    uint64_t ms = u->schedule.next_ns > now ? (u->schedule.next_ns - now + NS_PER_MS - 1) / NS_PER_MS : 0;
    uv_update_time(&u->loop);
    if (!u->stopping)
        uv_timer_start(&u->next, on_next, ms, 0);
}

static void wait_interval(struct uploader *u)
{
    u->schedule.next_ns = clock_monotonic_ns() + u->config.delivery.interval_ns;
}

/* Where delivery begins in this database. 0 or -errno. */
static int load_cursor(struct uploader *u)
{
    const char *dir = u->config.delivery.state_dir;
    struct schedule_policy policy = {
        .interval_ns = u->config.delivery.interval_ns, .backoff_min_ns = u->config.delivery.backoff_min_ns,
        .backoff_max_ns = u->config.delivery.backoff_max_ns, .batch_max = (unsigned)u->config.delivery.batch_max
    };
    int64_t revision = 0;
    uint64_t skipped = u->schedule.skipped;
    int condition = cursor_load(dir, u->source.identity, &revision);
    if (condition < 0)
        return condition;
    if (condition == CURSOR_NONE)
        log_info("cursor", "nothing was acknowledged yet: all findings of the database are sent");
    if (condition == CURSOR_DAMAGED)
        log_error("cursor", "%s/" CURSOR_FILE " is damaged: moved to " CURSOR_FILE ".refused, all findings are sent again", dir);
    if (condition == CURSOR_OTHER)
        log_warn("cursor", "%s/" CURSOR_FILE " is of another database: moved to " CURSOR_FILE ".refused, all findings of this one are sent", dir);
    if (condition == CURSOR_OK)
        log_info("cursor", "acknowledged up to revision %lld", (long long)revision);
    schedule_init(&u->schedule, &policy, revision, clock_monotonic_ns());
    u->schedule.skipped = skipped;
    return 0;
}

/* The database may come later than we do, and be replaced. True when it can be read. */
static bool database_ready(struct uploader *u)
{
    char why[256] = "";
    if (u->source.query && !source_is_replaced(&u->source))
        return true;
    if (u->source.query) {
        log_warn("source", "the database was replaced or removed");
        source_close(&u->source);
    }
    int error = source_open(&u->source, u->config.storage.path, why, sizeof why);
    if (!error && (error = load_cursor(u))) {
        snprintf(why, sizeof why, "%s", strerror(-error));
        source_close(&u->source);
        status_fail(u, u->config.delivery.state_dir, why);
    } else if (error) {
        status_fail(u, u->config.storage.path, why);
    }
    if (error)
        status_say(u, "waiting for the database: %.100s", why);
    return !error;
}

static int add_finding(void *arg, const struct delivery_finding *finding)
{
    return batch_add(arg, finding);
}

/* Fills the batch. 0 or -errno. */
static int collect(struct uploader *u)
{
    struct schedule *s = &u->schedule;
    int error = source_pending(&u->source, s->acknowledged, &u->status.newest, &u->status.pending);
    if (error)
        return error;
    if (u->status.newest && u->status.newest < s->acknowledged) {
        log_warn("source", "the database went back from revision %lld to %lld (restored?): all its findings are sent again",
                 (long long)s->acknowledged, (long long)u->status.newest);
        s->acknowledged = s->position = 0;
    }
    batch_begin(&u->batch, u->host, s->n_max, s->slim);
    error = source_findings(&u->source, s->position, s->n_max, add_finding, &u->batch);
    batch_end(&u->batch);
    return error < 0 ? error : 0;
}

static void on_answer(void *arg, const struct upload_result *result);

static void send_next(struct uploader *u)
{
    struct upload_result result;
    int error = database_ready(u) ? collect(u) : -ENOENT;
    if (error) {
        if (u->source.query) {
            status_fail(u, "cannot read the database", strerror(-error));
            source_close(&u->source); /* opened anew next time */
        }
        wait_interval(u);
        return;
    }
    if (!u->batch.n) {
        schedule_nothing(&u->schedule, random_number(), clock_monotonic_ns());
        status_say(u, u->status.pending ? "the receiver refuses %lld findings" : "all findings are delivered", (long long)u->status.pending);
        return;
    }
    u->status.requests++;
    u->status.last_attempt_ns = clock_ns(CLOCK_REALTIME);
    u->sending = true;
    if (upload_send(&u->upload, u->batch.body, u->batch.length, u->batch.id, on_answer, u, &result))
        on_answer(u, &result);
}

static void on_next(uv_timer_t *timer)
{
    struct uploader *u = timer->data;
    if (u->sending || u->stopping)
        return;
    send_next(u);
    if (!u->sending)
        arm(u);
}

/* ---- answers ---- */

static void uploader_stop(struct uploader *u);

static void store_cursor(struct uploader *u)
{
    int error = cursor_store(u->config.delivery.state_dir, u->source.identity, u->schedule.acknowledged);
    if (error)
        log_error("cursor", "cannot write %s/" CURSOR_FILE ": %s; after a restart findings are sent again", u->config.delivery.state_dir,
                  strerror(-error));
}

static void on_answer(void *arg, const struct upload_result *result)
{
    struct uploader *u = arg;
    struct schedule_sent sent = { u->batch.n, u->batch.last_revision };
    enum answer answer = schedule_answer_of(result->status);
    int64_t before = u->schedule.acknowledged;
    u->sending = false;
    if (schedule_answer(&u->schedule, answer, &sent, result->retry_after_ns, random_number(), clock_monotonic_ns()))
        log_error("deliver", "the receiver refuses the finding with revision %lld (%s) and takes others: it is skipped",
                  (long long)sent.last_revision, result->error);
    if (u->schedule.acknowledged != before)
        store_cursor(u);
    if (answer == ANSWER_ACCEPTED) {
        if (u->status.last_error_ns > u->status.last_success_ns)
            log_info("deliver", "the receiver accepts findings");
        u->status.last_success_ns = clock_ns(CLOCK_REALTIME);
        u->status.findings += sent.n;
        u->status.pending = u->status.pending > (int64_t)sent.n ? u->status.pending - (int64_t)sent.n : 0;
        status_say(u, "delivered up to revision %lld", (long long)u->schedule.acknowledged);
    } else {
        u->status.failures++;
        status_fail(u, "the receiver did not take the findings", result->error);
        status_say(u, "failing: %.120s", result->error);
    }
    if (u->stopping)
        uploader_stop(u);
    else
        arm(u);
}

/* ---- life ---- */

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* Ends the loop: what is under way is abandoned, and sent again after the next start. */
static void uploader_stop(struct uploader *u)
{
    uv_stop(&u->loop);
}

static void on_stop_limit(uv_timer_t *timer)
{
    log_warn("deliver", "no answer yet: stopping without it, the batch will be sent again");
    uploader_stop(timer->data);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct uploader *u = handle->data;
    (void)signum;
    if (u->stopping)
        return;
    u->stopping = true;
    sd_notify(0, "STOPPING=1");
    uv_timer_stop(&u->next);
    if (u->sources.n)
        intel_fetch_stop(&u->fetch);
    if (u->sending)
        uv_timer_start(&u->stop_limit, on_stop_limit, LIMIT_DELIVERY_STOP_MS, 0);
    else
        uploader_stop(u);
}

static void on_hangup(uv_signal_t *handle, int signum)
{
    struct uploader *u = handle->data;
    (void)signum;
    if (!u->sources.n || u->stopping)
        return;
    log_info("uploader", "SIGHUP: fetching the threat lists now");
    intel_fetch_now(&u->fetch);
}

static void on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    sd_notify(0, "WATCHDOG=1");
}

static void loop_open(struct uploader *u)
{
    uint64_t watchdog_us = 0;
    uv_timer_init(&u->loop, &u->next);
    uv_timer_init(&u->loop, &u->stop_limit);
    uv_timer_init(&u->loop, &u->watchdog);
    uv_signal_init(&u->loop, &u->terminate);
    uv_signal_init(&u->loop, &u->interrupt);
    uv_signal_init(&u->loop, &u->hangup);
    u->next.data = u->stop_limit.data = u->terminate.data = u->interrupt.data = u->hangup.data = u;
    uv_signal_start(&u->hangup, on_hangup, SIGHUP);
    uv_signal_start(&u->terminate, on_signal, SIGTERM);
    uv_signal_start(&u->interrupt, on_signal, SIGINT);
    if (sd_watchdog_enabled(0, &watchdog_us) > 0)
        uv_timer_start(&u->watchdog, on_watchdog, 0, watchdog_us / 2000);
}

/* The directory is locked: two uploaders on one cursor would send everything twice and lose track. */
static int state_dir_open(struct uploader *u)
{
    const char *dir = u->config.delivery.state_dir;
    u->state_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (u->state_fd < 0 || faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) < 0) {
        log_error("uploader", "cannot use delivery.state_dir %s: %s", dir, strerror(errno));
        return -errno;
    }
    if (flock(u->state_fd, LOCK_EX | LOCK_NB) < 0) {
        log_error("uploader", "another ecsguard-uploader is using %s", dir);
        return -EBUSY;
    }
    return 0;
}

static void on_fetched(void *context)
{
    status_write(context);
}

static int fetch_open(struct uploader *u)
{
    u->fetch.random = random_number;
    u->fetch.on_change = on_fetched;
    u->fetch.context = u;
    return intel_fetch_open(&u->fetch, &u->loop, u->config.delivery.state_dir, &u->sources);
}

static int uploader_open(struct uploader *u)
{
    umask(0077);
    last_words_prepare("uploader"); /* and no SIGPIPE */
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* tokens and keys are in memory */
    if (geteuid() == 0)
        log_warn("uploader", "running as root; its unit runs it as a user that can only read the database");
    if (u->config.host.name[0])
        snprintf(u->host, sizeof u->host, "%.255s", u->config.host.name);
    else if (gethostname(u->host, sizeof u->host - 1) < 0)
        u->host[0] = 0;
    int error = state_dir_open(u);
    if (!error)
        error = batch_init(&u->batch, u->config.delivery.batch_bytes);
    if (!error)
        error = uv_loop_init(&u->loop);
    if (error)
        return error;
    loop_open(u);
    error = upload_open(&u->upload, &u->loop, &u->config);
    return !error && u->sources.n ? fetch_open(u) : error;
}

static void uploader_close(struct uploader *u)
{
    status_say(u, "stopped");
    if (u->sources.n)
        intel_fetch_stop(&u->fetch);
    while (u->fetch.working) /* before libcurl is given up */
        uv_run(&u->loop, UV_RUN_ONCE);
    upload_close(&u->upload);
    uv_walk(&u->loop, close_handle, NULL);
    uv_run(&u->loop, UV_RUN_DEFAULT);
    uv_loop_close(&u->loop);
    if (u->sources.n)
        intel_fetch_close(&u->fetch);
    source_close(&u->source);
    batch_fini(&u->batch);
    close(u->state_fd);
}

static int usage(FILE *out, int status)
{
    fputs("usage: ecsguard-uploader [--config FILE]\n"
          "Sends findings to delivery.url of the configuration (" CONFIG_PATH "),\n"
          "and fetches the threat lists of its intel.sources.\n", out);
    return status;
}

/* -1 to go on, or the exit status. */
static int parse_options(int argc, char **argv, const char **config_path)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'V' }, { 0 }
    };
    int option;
    while ((option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
        if (option == 'c') {
            *config_path = optarg;
        } else if (option == 'V') {
            puts("ecsguard-uploader " PACKAGE_VERSION);
            return 0;
        } else {
            return option == 'h' ? usage(stdout, 0) : usage(stderr, 2);
        }
    }
    return optind < argc ? usage(stderr, 2) : -1;
}

int main(int argc, char **argv)
{
    static struct uploader u;
    char error[1024];
    struct text_out why;
    const char *config_path = CONFIG_PATH;
    int exit_status = parse_options(argc, argv, &config_path);
    if (exit_status >= 0)
        return exit_status;
    text_out_init(&why, error, sizeof error);
    log_open(LOG_LEVEL_INFO);
    if (config_load(&u.config, config_path, &why)) {
        log_error("config", "%s", error);
        return 78; /* EX_CONFIG: restarting does not help */
    }
    log_open((enum log_level)u.config.log.level);
    if (intel_sources_load(&u.sources, config_path, &why)) {
        log_error("config", "%s", error);
        return 78;
    }
    if (!u.config.delivery.enabled && !u.sources.n) {
        log_info("uploader", "delivery is not configured: set delivery.enabled and delivery.url in %s to send findings, intel.sources to fetch threat lists",
                 config_path);
        sd_notify(0, "READY=1\nSTATUS=delivery is not configured"); /* else systemd takes the exit for a failed start */
        return 0;
    }
    if (uploader_open(&u))
        return 1;
    sd_notify(0, "READY=1");
    if (u.config.delivery.enabled)
        uv_timer_start(&u.next, on_next, 0, 0);
    else
        status_say(&u, "delivery is not configured; fetching threat lists");
    uv_run(&u.loop, UV_RUN_DEFAULT);
    uploader_close(&u);
    return 0;
}
