#include "agent/sensors/ecs_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/text.h"

#define EVENT_TEXT 4096
#define FIRST_PAUSE_NS NS_PER_SECOND
#define LONGEST_PAUSE_NS (30 * NS_PER_SECOND)
#define METADATA_PAUSE_NS (30 * NS_PER_SECOND) /* while the instance has not registered */
#define TRIES_AFTER_TASK 6 /* the task is known, its container is not listed: a pause container, or one not yet recorded */

static void schedule(struct ecs_client *e);

static struct ecs_wanted *wanted_find(struct ecs_client *e, const char *container_id)
{
    for (int i = 0; i < e->n_wanted; i++)
        if (!strcmp(e->wanted[i].container_id, container_id))
            return &e->wanted[i];
    return NULL;
}

static struct ecs_wanted *wanted_add(struct ecs_client *e, const char *container_id, uint64_t now_ns)
{
    struct ecs_wanted *w = wanted_find(e, "");
    if (!w) {
        if (e->n_wanted == LIMIT_CONTAINERS) {
            sensor_lost(&e->sensor, 1, "more containers than the table holds: one has no facts from the ECS agent");
            return NULL;
        }
        w = &e->wanted[e->n_wanted++];
    }
    memset(w, 0, sizeof *w);
    text_copy(w->container_id, sizeof w->container_id, container_id, strlen(container_id));
    w->pause_ns = FIRST_PAUSE_NS;
    w->next_ns = now_ns;
    return w;
}

static void wanted_later(struct ecs_wanted *w, uint64_t now_ns)
{
    w->tries++;
    w->next_ns = now_ns + w->pause_ns;
    w->pause_ns = w->pause_ns * 2 > LONGEST_PAUSE_NS ? LONGEST_PAUSE_NS : w->pause_ns * 2;
    if (!w->until_ns)
        w->until_ns = now_ns + LIMIT_ECS_RETRY_NS;
    w->finished = now_ns >= w->until_ns || (w->task_told && (w->pause || w->tries >= TRIES_AFTER_TASK));
}

static bool is_due(const struct ecs_wanted *w, uint64_t now_ns)
{
    return w->container_id[0] && !w->finished && w->next_ns <= now_ns;
}

/* ---- answers ------------------------------------------------------------------------------------------------------- */

static void count_lying(struct ecs_client *e)
{
    e->service.lying++;
    sensor_count(&e->sensor.stats->malformed, 1);
}

static struct event *facts_event(struct ecs_client *e, const struct ecs_wanted *w)
{
    struct event *ev = sensor_event(&e->sensor, EVENT_CONTAINER, clock_monotonic_ns(), EVENT_TEXT);
    if (ev) {
        event_set(ev, F_CONTAINER_PHASE, container_phase, CONTAINER_FACTS);
        event_set_text(ev, F_CONTAINER_ID, w->container_id, strlen(w->container_id));
    }
    return ev;
}

static void emit_facts(struct ecs_client *e, const struct ecs_wanted *w, const struct ecs_container *c, bool own)
{
    struct event *ev = facts_event(e, w);
    if (!ev)
        return;
    ecs_container_event(ev, c, e->metadata.cluster, own);
    sensor_commit(&e->sensor, ev);
    for (int i = 1; (own || c->awsvpc) && i < c->n_addresses && (ev = facts_event(e, w)); i++) { /* an event holds one address */
        event_set(ev, F_SRC, src, c->addresses[i]);
        sensor_commit(&e->sensor, ev);
    }
}

/* The container itself is in the answer. */
static void container_answered(struct ecs_client *e, struct ecs_wanted *w, const struct ecs_container *c)
{
    w->seen = true;
    if (w->task_id[0] && c->task_id[0] && strcmp(w->task_id, c->task_id)) {
        count_lying(e); /* the kernel shows it in another task */
        return;
    }
    emit_facts(e, w, c, true);
    w->finished = true;
}

/* Only another container of its task is: what it says about the task holds for this one too. */
static void on_neighbour(void *user, const struct ecs_container *c)
{
    struct ecs_client *e = user;
    for (int i = 0; i < e->n_wanted && c->task_id[0]; i++) {
        struct ecs_wanted *w = &e->wanted[i];
        if (w->container_id[0] && !w->finished && !w->seen && !w->task_told && !strcmp(w->task_id, c->task_id)) {
            emit_facts(e, w, c, false);
            w->task_told = true;
        }
    }
}

static void on_listed(void *user, const struct ecs_container *c)
{
    struct ecs_client *e = user;
    struct ecs_wanted *w = wanted_find(e, c->docker_id);
    if (w && !w->finished && !w->seen)
        container_answered(e, w, c);
}

static bool any_unseen(const struct ecs_client *e)
{
    for (int i = 0; i < e->n_wanted; i++) {
        const struct ecs_wanted *w = &e->wanted[i];
        if (w->task_id[0] && !w->finished && !w->seen && !w->task_told)
            return true;
    }
    return false;
}

static void answer_tasks(struct ecs_client *e, const char *body, size_t size, uint64_t now_ns)
{
    for (int i = 0; i < e->n_wanted; i++)
        e->wanted[i].seen = false;
    int refused = ecs_decode_tasks(body, size, on_listed, e);
    if (refused >= 0 && any_unseen(e))
        ecs_decode_tasks(body, size, on_neighbour, e);
    sensor_count(&e->sensor.stats->malformed, (uint64_t)(refused < 0 ? 1 : refused));
    const struct ecs_wanted *asked = e->asked_id[0] ? wanted_find(e, e->asked_id) : NULL;
    if (asked && !asked->seen && refused == 0)
        count_lying(e); /* 200 for a container that the answer does not hold */
    for (int i = 0; i < e->n_wanted; i++)
        if (is_due(&e->wanted[i], now_ns))
            wanted_later(&e->wanted[i], now_ns);
}

/* True when the service itself failed, which has been noted. */
static bool note_failure(struct ecs_client *e, long status, const char *error, uint64_t now_ns)
{
    char text[64];
    e->asking = false;
    if (status >= 500) {
        snprintf(text, sizeof text, "HTTP status %ld", status);
        error = text;
    }
    if (error && error != http_error_too_large) {
        if (!e->closing)
            http_service_failed(&e->service, now_ns, error);
        return true;
    }
    http_service_answered(&e->service);
    if (error)
        sensor_count(&e->sensor.stats->malformed, 1);
    return false;
}

static void on_tasks(void *user, long status, const char *body, size_t size, const char *error)
{
    struct ecs_client *e = user;
    uint64_t now_ns = clock_monotonic_ns();
    if (!note_failure(e, status, error, now_ns)) {
        if (status == 200)
            answer_tasks(e, body, size, now_ns);
        else
            for (int i = 0; i < e->n_wanted; i++) /* 404: not known yet; too large: no use */
                if (is_due(&e->wanted[i], now_ns) && (!e->asked_id[0] || !strcmp(e->asked_id, e->wanted[i].container_id)))
                    wanted_later(&e->wanted[i], now_ns);
    }
    schedule(e);
}

static void on_metadata(void *user, long status, const char *body, size_t size, const char *error)
{
    struct ecs_client *e = user;
    uint64_t now_ns = clock_monotonic_ns();
    if (!note_failure(e, status, error, now_ns)) {
        e->metadata_next_ns = now_ns + METADATA_PAUSE_NS;
        if (status != 200 || ecs_decode_metadata(body, size, &e->metadata))
            sensor_count(&e->sensor.stats->malformed, 1);
        else
            e->metadata_known = e->metadata.cluster[0] && e->metadata.container_instance_arn[0];
    }
    schedule(e);
}

/* ---- questions ----------------------------------------------------------------------------------------------------- */

static void ask(struct ecs_client *e, const char *path, http_done *done, uint64_t now_ns)
{
    char url[HTTP_URL_BYTES];
    snprintf(url, sizeof url, "%s%s", e->url, path);
    const struct http_get get = { url, NULL, 0, done, e };
    if (http_client_get(&e->http, &get))
        return;
    e->asking = true;
    e->last_request_ns = now_ns;
    e->service.requests++;
}

/* One container is asked for by its id, the first time; several, and those not found so, by the list of all tasks. */
static void ask_tasks(struct ecs_client *e, uint64_t now_ns)
{
    char path[128] = "/v1/tasks";
    const struct ecs_wanted *only = NULL;
    int n_due = 0;
    for (int i = 0; i < e->n_wanted; i++)
        if (is_due(&e->wanted[i], now_ns)) {
            only = &e->wanted[i];
            n_due++;
        }
    if (!n_due)
        return;
    e->asked_id[0] = 0;
    if (n_due == 1 && !only->tries && !only->pause) {
        memcpy(e->asked_id, only->container_id, sizeof e->asked_id);
        snprintf(path, sizeof path, "/v1/tasks?dockerid=%s", only->container_id);
    }
    ask(e, path, on_tasks, now_ns);
}

static void on_timer(uv_timer_t *timer)
{
    struct ecs_client *e = timer->data;
    uint64_t now_ns = clock_monotonic_ns();
    if (!e->metadata_known && now_ns >= e->metadata_next_ns)
        ask(e, "/v1/metadata", on_metadata, now_ns);
    else
        ask_tasks(e, now_ns);
    schedule(e);
}

/* Sets the timer to when something is due. No container of ECS, no timer: other hosts are never asked. */
static void schedule(struct ecs_client *e)
{
    uint64_t next_ns = UINT64_MAX, now_ns = clock_monotonic_ns();
    if (e->closing)
        return;
    for (int i = 0; i < e->n_wanted && !e->asking; i++) {
        const struct ecs_wanted *w = &e->wanted[i];
        if (w->container_id[0] && !w->finished && w->next_ns < next_ns)
            next_ns = w->next_ns;
    }
    if (next_ns == UINT64_MAX) {
        uv_timer_stop(&e->timer);
        return;
    }
    if (next_ns < e->last_request_ns + LIMIT_ECS_INTERVAL_NS)
        next_ns = e->last_request_ns + LIMIT_ECS_INTERVAL_NS;
    if (next_ns < e->service.quiet_until_ns)
        next_ns = e->service.quiet_until_ns;
    uv_update_time(e->timer.loop);
    uv_timer_start(&e->timer, on_timer, next_ns > now_ns ? (next_ns - now_ns) / NS_PER_MS + 1 : 0, 0);
}

void ecs_client_event(struct ecs_client *e, const struct event *ev)
{
    const char *id = event_text(ev, ev->container_id);
    struct ecs_wanted *w = wanted_find(e, id);
    bool from_cgroup = ev->source == SOURCE_CGROUP, from_docker = ev->source == SOURCE_DOCKER;
    if (ev->kind != EVENT_CONTAINER || strlen(id) != 64 || (!from_cgroup && !from_docker))
        return;
    if (from_cgroup && ev->container_phase == CONTAINER_END) {
        if (w)
            memset(w, 0, sizeof *w);
        return;
    }
    if (!w && (from_cgroup ? ev->task_id.len : ev->task_arn.len)) {
        http_service_needed(&e->service);
        w = wanted_add(e, id, clock_monotonic_ns());
    }
    if (w && from_cgroup)
        text_copy(w->task_id, sizeof w->task_id, event_text(ev, ev->task_id), ev->task_id.len);
    if (w && from_docker && event_knows(ev, F_CONTAINER_ROLE))
        w->pause = ev->container_role == CONTAINER_ROLE_PAUSE;
    schedule(e);
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

int ecs_client_open(struct ecs_client *e, const struct ecs_client_options *options, uv_loop_t *loop, struct sensor_stats *stats,
                    struct waker *waker)
{
    const char *url = options->url ? options->url : "http://127.0.0.1:51678";
    memset(e, 0, sizeof *e);
    if (!text_copy(e->url, sizeof e->url, url, strlen(url)))
        return -ENAMETOOLONG;
    snprintf(e->what, sizeof e->what, "tasks and families of containers are unknown; ECS agent at %.96s", e->url);
    e->service = (struct http_service){ .stats = stats, .name = "ecs", .what = e->what };
    e->wanted = calloc(LIMIT_CONTAINERS, sizeof *e->wanted);
    int r = e->wanted ? sensor_init(&e->sensor, SOURCE_ECS, LIMIT_MISC_RING_BYTES, stats, waker) : -ENOMEM;
    if (!r)
        r = http_client_open(&e->http, loop);
    if (r) {
        ecs_client_fini(e);
        return r;
    }
    uv_timer_init(loop, &e->timer);
    e->timer.data = e;
    sensor_state(stats, SENSOR_OK, "%s", "");
    return 0;
}

void ecs_client_close(struct ecs_client *e)
{
    e->closing = true;
    http_client_close(&e->http);
    uv_close((uv_handle_t *)&e->timer, NULL);
}

void ecs_client_fini(struct ecs_client *e)
{
    sensor_fini(&e->sensor);
    free(e->wanted);
    e->wanted = NULL;
}
