#include "agent/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/ring.h"
#include "common/text.h"
#include "common/thread.h"

#define LOG_INTERVAL_NS (60 * NS_PER_SECOND)

/* A finding of the group being written; its record stays in the ring until it is announced. */
struct announcement {
    const struct finding *finding;
    uint64_t count;
};

struct writer {
    struct ring ring;
    struct store *store;
    struct store_limits limits;
    struct store_options options;
    char path[4096], host[257];
    struct waker *loop;
    pthread_t thread;

    /* Two ways to sleep on one descriptor: until anything comes, and until something that must not wait comes. */
    struct waker idle, gathering;
    _Atomic int urgent, stop, refuse_events;
    _Atomic int loop_waits; /* a finding was refused */

    /* the group */
    int rows_max; /* less than LIMIT_GROUP_ROWS while larger groups found no room */
    int rows, n_announcements, n_skipped;
    struct announcement announcements[LIMIT_GROUP_FINDINGS];
    char row_fault[128];

    uint64_t stop_ns;       /* when to give up, after `stop` */
    uint64_t failure_logged_ns;
    uint64_t drop_logged_ns;

    _Atomic uint64_t n_rows, n_findings, n_dropped, n_row_faults, n_retries, n_replaced, commit_ns, db_bytes, log_bytes;
    pthread_mutex_t reason_lock;
    bool degraded;
    char reason[192];
};

/* ---- the loop's side ---------------------------------------------------------------------------------------------------- */

static void *record_reserve(struct writer *w, enum record_kind kind, size_t size, size_t keep_free)
{
    struct record *head = ring_reserve(&w->ring, size, keep_free);
    if (head)
        *head = (struct record){ .kind = kind, .size = (uint32_t)size };
    return head;
}

static void record_commit(struct writer *w, const struct record *head, bool urgent)
{
    ring_commit(&w->ring, head->size);
    if (urgent)
        atomic_store(&w->urgent, 1);
    waker_wake(&w->idle);
    if (urgent)
        waker_wake(&w->gathering);
}

int writer_put_event(struct writer *w, const struct stamp *stamp, const struct event *ev)
{
    struct record_event *r = NULL;
    if (!atomic_load_explicit(&w->refuse_events, memory_order_relaxed))
        r = record_reserve(w, RECORD_EVENT, offsetof(struct record_event, event) + ev->size, LIMIT_WRITER_RESERVE_BYTES);
    if (!r) {
        atomic_fetch_add_explicit(&w->n_dropped, 1, memory_order_relaxed);
        return -EAGAIN;
    }
    r->stamp = *stamp;
    memcpy(&r->event, ev, ev->size);
    record_commit(w, &r->head, ring_used(&w->ring) > LIMIT_WRITER_RING_BYTES / 2);
    return 0;
}

int writer_put_finding(struct writer *w, const struct finding *f)
{
    struct record_finding *r = record_reserve(w, RECORD_FINDING, offsetof(struct record_finding, finding) + f->size, 0);
    if (!r) {
        atomic_store(&w->loop_waits, 1);
        return -EAGAIN;
    }
    memcpy(&r->finding, f, f->size);
    record_commit(w, &r->head, true);
    return 0;
}

int writer_put_container(struct writer *w, const struct container_facts *facts)
{
    struct record_container *r = record_reserve(w, RECORD_CONTAINER, sizeof *r, 0);
    if (!r) {
        atomic_store(&w->loop_waits, 1);
        return -EAGAIN;
    }
    r->facts = *facts;
    record_commit(w, &r->head, false);
    return 0;
}

int writer_put_health(struct writer *w, const struct health *health)
{
    struct record_health *r = record_reserve(w, RECORD_HEALTH, sizeof *r, LIMIT_WRITER_RESERVE_BYTES);
    if (!r)
        return -EAGAIN;
    r->health = *health;
    record_commit(w, &r->head, false);
    return 0;
}

int writer_put_rule(struct writer *w, const struct rule_status *rule)
{
    struct record_rule *r = record_reserve(w, RECORD_RULE, sizeof *r, LIMIT_WRITER_RESERVE_BYTES);
    if (!r)
        return -EAGAIN;
    r->rule = *rule;
    record_commit(w, &r->head, false);
    return 0;
}

const struct store_limits *writer_limits(const struct writer *w)
{
    return &w->limits;
}

void writer_stats(struct writer *w, struct writer_stats *stats)
{
    *stats = (struct writer_stats){
        .rows = w->n_rows, .findings = w->n_findings, .dropped = w->n_dropped, .skipped = w->n_row_faults, .retries = w->n_retries,
        .replaced = w->n_replaced, .queue_bytes = ring_used(&w->ring), .commit_ns = w->commit_ns, .db_bytes = w->db_bytes,
        .log_bytes = w->log_bytes,
    };
    pthread_mutex_lock(&w->reason_lock);
    stats->degraded = w->degraded;
    memcpy(stats->reason, w->reason, sizeof stats->reason);
    pthread_mutex_unlock(&w->reason_lock);
}

/* ---- sleeping ----------------------------------------------------------------------------------------------------------- */

static void eventfd_drain(int fd)
{
    uint64_t count;
    if (read(fd, &count, sizeof count) < 0)
        return; /* EAGAIN: nobody woke us */
}

/* Sleeps until `waker` is woken or the time is over, unless `ready` says so already. -1 = no time. */
static void sleep_unless(struct writer *w, struct waker *waker, bool (*ready)(struct writer *), int timeout_ms)
{
    struct pollfd p = { .fd = waker->fd, .events = POLLIN };
    atomic_store(&waker->asleep, 1);
    atomic_thread_fence(memory_order_seq_cst);
    if (!ready(w))
        poll(&p, 1, timeout_ms);
    atomic_store(&waker->asleep, 0);
    eventfd_drain(waker->fd);
}

static bool has_work(struct writer *w)
{
    return ring_used(&w->ring) > 0 || atomic_load(&w->stop);
}

static bool must_commit(struct writer *w)
{
    return atomic_load(&w->urgent) || atomic_load(&w->stop);
}

static bool is_stopping(struct writer *w)
{
    return atomic_load(&w->stop);
}

/* ---- state for people --------------------------------------------------------------------------------------------------- */

static void set_state(struct writer *w, bool degraded, const char *reason)
{
    pthread_mutex_lock(&w->reason_lock);
    bool recovered = w->degraded && !degraded;
    w->degraded = degraded;
    snprintf(w->reason, sizeof w->reason, "%s", reason);
    pthread_mutex_unlock(&w->reason_lock);
    if (recovered) {
        log_warn("writer", "the database takes rows again");
        w->failure_logged_ns = 0;
    }
}

static const char *error_meaning(int error)
{
    switch (error) {
    case -ENOSPC:
        return "the disk is full";
    case -EROFS:
        return "the database is read-only";
    case -EBUSY:
        return "another program keeps the database locked";
    case -EUCLEAN:
        return "the database is damaged";
    case -ENOMEM:
        return "there is no memory";
    default:
        return "the disk fails";
    }
}

static void report_failure(struct writer *w, int error, const char *why)
{
    char reason[192];
    snprintf(reason, sizeof reason, "%s (%.80s): events wait and then are dropped, findings wait", error_meaning(error), why);
    set_state(w, true, reason);
    if (log_due(&w->failure_logged_ns, clock_monotonic_ns(), LOG_INTERVAL_NS))
        log_error("writer", "%s", reason);
}

static bool announce_repeat(uint64_t count)
{
    while (count >= 10 && count % 10 == 0)
        count /= 10;
    return count == 1;
}

static void announce(struct writer *w, const struct announcement *a)
{
    const struct finding *f = a->finding;
    char line[1500], label[700], severity[16], again[48] = "";
    struct text_out out;
    atomic_fetch_add(&w->n_findings, 1);
    if (finding_get(f, FT_SUPPRESSED_BY)[0] || !announce_repeat(a->count))
        return; /* a filter wants it so; and the 10th, 100th, ... repeat is said; all are in the database */
    snprintf(severity, sizeof severity, "%s", severity_name((enum severity)f->severity));
    for (char *c = severity; *c; c++)
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
    if (a->count > 1)
        snprintf(again, sizeof again, ", seen %llu times", (unsigned long long)a->count);
    store_container_label(w->store, f->container, label, sizeof label);
    text_out_init(&out, line, sizeof line);
    text_clean(&out, finding_get(f, FT_TYPE), strnlen(finding_get(f, FT_TYPE), 120));
    text_out_printf(&out, " in %s: ", label);
    text_clean(&out, finding_get(f, FT_TITLE), strnlen(finding_get(f, FT_TITLE), 400));
    log_warn("writer", "finding %s %s (id %s%s)", severity, line, f->id, again);
}

/* ---- writing ------------------------------------------------------------------------------------------------------------ */

static int write_finding(struct writer *w, const struct finding *f)
{
    struct announcement *a = &w->announcements[w->n_announcements];
    int r = store_finding(w->store, f, &a->count);
    if (r)
        return r;
    a->finding = f;
    w->n_announcements++;
    return 0;
}

static int write_record(struct writer *w, const struct record *head)
{
    switch ((enum record_kind)head->kind) {
    case RECORD_EVENT: {
        const struct record_event *r = (const struct record_event *)(const void *)head;
        return store_event(w->store, &r->stamp, &r->event);
    }
    case RECORD_FINDING:
        return write_finding(w, &((const struct record_finding *)(const void *)head)->finding);
    case RECORD_CONTAINER:
        return store_container(w->store, &((const struct record_container *)(const void *)head)->facts);
    case RECORD_HEALTH:
        return store_health(w->store, &((const struct record_health *)(const void *)head)->health);
    case RECORD_RULE:
        return store_rule(w->store, &((const struct record_rule *)(const void *)head)->rule);
    }
    return -EINVAL;
}

/* One transaction of what the ring holds, up to the group's bounds; `*at` moves behind it. 0 or the error that undid it all. */
static int write_rows(struct writer *w, size_t *at)
{
    const struct record *head;
    size_t size;
    w->rows = w->n_announcements = w->n_skipped = 0;
    int r = store_begin(w->store);
    while (!r && w->rows < w->rows_max && w->n_announcements < LIMIT_GROUP_FINDINGS && (head = ring_next(&w->ring, at, &size))) {
        r = write_record(w, head);
        if (!r) {
            w->rows++;
        } else if (store_usable(w->store, r)) {
            if (!w->n_skipped++)
                snprintf(w->row_fault, sizeof w->row_fault, "%.120s", store_error(w->store));
            r = 0;
        }
    }
    return r ? r : store_commit(w->store);
}

static bool give_up(struct writer *w)
{
    return atomic_load(&w->stop) && clock_monotonic_ns() > w->stop_ns;
}

/* Waits before the next try; a stop does not end the tries, but hurries them. */
static void pause_before_retry(struct writer *w)
{
    if (atomic_load(&w->stop)) {
        poll(NULL, 0, 50);
        return;
    }
    sleep_unless(w, &w->gathering, is_stopping, LIMIT_RETRY_MS);
}

/* The database turned out damaged while in use: a new one takes its place, and the group is tried there. */
static int replace_database(struct writer *w)
{
    char why[128];
    snprintf(why, sizeof why, "%.120s", store_error(w->store));
    store_close(w->store);
    w->store = NULL;
    int r = store_set_aside(w->path, why);
    if (!r)
        r = store_open(&w->store, w->path, &w->options);
    if (!r)
        atomic_fetch_add(&w->n_replaced, 1);
    return r;
}

static int reopen_database(struct writer *w)
{
    int r = store_open(&w->store, w->path, &w->options);
    if (r)
        set_state(w, true, "the database cannot be opened: see the log");
    return r;
}

/* What can be done at once against an error; 0 if the group should be tried again without a pause. */
static int remedy(struct writer *w, int error)
{
    if (error == -EUCLEAN)
        return replace_database(w);
    if (error != -ENOSPC)
        return error;
    store_checkpoint(w->store); /* then the log is used from its start and need not grow */
    if (store_prune(w->store, clock_ns(CLOCK_REALTIME)) == 1)
        return 0;
    if (w->rows_max == 1)
        return error;
    w->rows_max /= 2; /* a small group may fit where a large one does not */
    return 0;
}

/* Commits the next group; it stays in the ring until then. 0, or an error after which the ring is as before. */
static int try_group(struct writer *w, size_t *at)
{
    if (!w->store && reopen_database(w)) {
        pause_before_retry(w);
        return -EIO;
    }
    int r = write_rows(w, at);
    if (!r) {
        w->rows_max = w->rows_max * 2 < LIMIT_GROUP_ROWS ? w->rows_max * 2 : LIMIT_GROUP_ROWS;
        return 0;
    }
    char why[128];
    snprintf(why, sizeof why, "%.120s", store_error(w->store));
    store_rollback(w->store);
    atomic_fetch_add(&w->n_retries, 1);
    if (remedy(w, r)) {
        report_failure(w, r, why);
        pause_before_retry(w);
    }
    return r;
}

/* Findings are said only when the disk has them. */
static void make_durable(struct writer *w)
{
    int r;
    while (w->n_announcements && (r = store_sync(w->store)) != 0) {
        report_failure(w, r, "sync");
        if (give_up(w))
            return;
        pause_before_retry(w);
    }
    for (int i = 0; i < w->n_announcements; i++)
        announce(w, &w->announcements[i]);
}

/* A reader that keeps its snapshot keeps the log from being used again. */
static void watch_log(struct writer *w)
{
    if (!w->store)
        return;
    if (store_log_bytes(w->store) > LIMIT_WAL_BYTES)
        store_checkpoint(w->store);
    uint64_t log = store_log_bytes(w->store);
    atomic_store(&w->log_bytes, log);
    atomic_store_explicit(&w->refuse_events, log > LIMIT_WAL_BYTES, memory_order_relaxed);
    if (log > LIMIT_WAL_BYTES)
        set_state(w, true, "a program that reads the database does not end: its log is too long, events are dropped until it ends");
    else
        set_state(w, false, "");
}

static void update_figures(struct writer *w, uint64_t started_ns)
{
    atomic_fetch_add(&w->n_rows, (uint64_t)w->rows);
    atomic_fetch_add(&w->n_row_faults, (uint64_t)w->n_skipped);
    atomic_store(&w->commit_ns, clock_monotonic_ns() - started_ns);
    atomic_store(&w->db_bytes, store_used_bytes(w->store));
    if (w->n_skipped && log_due(&w->drop_logged_ns, clock_monotonic_ns(), LOG_INTERVAL_NS))
        log_error("writer", "the database refused %d rows: %s", w->n_skipped, w->row_fault);
    watch_log(w);
}

/* Keeps the bounds; this is also where damage in old pages shows. 1 if there is more to do. */
static int prune(struct writer *w)
{
    int r = store_prune(w->store, clock_ns(CLOCK_REALTIME));
    if (r == -EUCLEAN)
        replace_database(w);
    return r;
}

static void write_group(struct writer *w)
{
    uint64_t started_ns = clock_monotonic_ns();
    size_t at = ring_start(&w->ring);
    while (try_group(w, &at)) {
        at = ring_start(&w->ring);
        if (give_up(w))
            return;
    }
    make_durable(w);
    ring_pop_to(&w->ring, at);
    update_figures(w, started_ns);
    prune(w);
    if (w->loop && atomic_exchange(&w->loop_waits, 0))
        waker_wake(w->loop);
}

/* A group that reached a bound left something behind; anything else may gather again. */
static bool more_waits(struct writer *w)
{
    bool bounded = w->rows >= LIMIT_GROUP_ROWS / 2 || w->rows_max < LIMIT_GROUP_ROWS || w->n_announcements == LIMIT_GROUP_FINDINGS;
    return bounded && ring_used(&w->ring) && !atomic_load(&w->stop);
}

static void *writer_run(void *arg)
{
    struct writer *w = arg;
    while (!atomic_load(&w->stop)) {
        sleep_unless(w, &w->idle, has_work, atomic_load(&w->refuse_events) ? LIMIT_RETRY_MS : -1);
        if (!has_work(w)) { /* events are refused: look whether they still must be */
            watch_log(w);
            continue;
        }
        if (!must_commit(w))
            sleep_unless(w, &w->gathering, must_commit, LIMIT_GROUP_MS);
        atomic_store(&w->urgent, 0);
        do
            write_group(w);
        while (more_waits(w));
        while (w->store && !has_work(w) && prune(w) == 1)
            ;
    }
    while (ring_used(&w->ring) && !give_up(w))
        write_group(w);
    if (ring_used(&w->ring))
        log_error("writer", "gave up: %zu bytes of rows are lost, %s", ring_used(&w->ring), w->reason);
    return NULL;
}

/* ---- life --------------------------------------------------------------------------------------------------------------- */

static void writer_free(struct writer *w)
{
    store_close(w->store);
    if (w->idle.fd >= 0)
        close(w->idle.fd);
    ring_fini(&w->ring);
    pthread_mutex_destroy(&w->reason_lock);
    free(w);
}

int writer_open(struct writer **writer, const char *path, const struct store_options *options, struct waker *loop)
{
    struct writer *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    pthread_mutex_init(&w->reason_lock, NULL);
    snprintf(w->path, sizeof w->path, "%s", path);
    snprintf(w->host, sizeof w->host, "%s", options->host ? options->host : "");
    w->options = *options;
    w->options.host = w->host;
    w->loop = loop;
    w->rows_max = LIMIT_GROUP_ROWS;
    w->idle.fd = w->gathering.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = w->idle.fd < 0 ? -errno : ring_init(&w->ring, LIMIT_WRITER_RING_BYTES);
    if (!r)
        r = store_open(&w->store, path, &w->options);
    if (!r) {
        store_limits(w->store, &w->limits);
        atomic_store(&w->db_bytes, store_used_bytes(w->store));
        r = thread_start(&w->thread, writer_run, w, "writer");
    }
    if (r) {
        writer_free(w);
        return r;
    }
    *writer = w;
    return 0;
}

void writer_close(struct writer *w)
{
    w->stop_ns = clock_monotonic_ns() + LIMIT_CLOSE_MS * NS_PER_MS;
    atomic_store(&w->stop, 1);
    waker_wake(&w->idle);
    waker_wake(&w->gathering);
    pthread_join(w->thread, NULL);
    writer_free(w);
}
