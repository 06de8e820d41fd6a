#include "agent/sensors/docker_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sensors/docker_decode.h"
#include "common/clock.h"
#include "common/text.h"

#define EVENT_TEXT 12288 /* names, image, ARN, upperdir at their longest */
#define ASKING_MAX (LIMIT_HTTP_PARALLEL * 4)
#define FIRST_PAUSE_NS (100 * NS_PER_MS)
#define LONGEST_PAUSE_NS (2 * NS_PER_SECOND)

/* One request under way: its container may be forgotten before the answer comes, so it is found by its id. */
struct question {
    struct docker_client *client;
    char container_id[65];
};

static void schedule(struct docker_client *d);

static struct docker_wanted *wanted_find(struct docker_client *d, const char *container_id)
{
    for (int i = 0; i < d->n_wanted; i++)
        if (!strcmp(d->wanted[i].container_id, container_id))
            return &d->wanted[i];
    return NULL;
}

static struct docker_wanted *wanted_add(struct docker_client *d, const char *container_id, uint64_t now_ns)
{
    struct docker_wanted *w = wanted_find(d, "");
    if (!w) {
        if (d->n_wanted == LIMIT_CONTAINERS) {
            sensor_lost(&d->sensor, 1, "more containers than the table holds: one has no facts from Docker");
            return NULL;
        }
        w = &d->wanted[d->n_wanted++];
    }
    memset(w, 0, sizeof *w);
    text_copy(w->container_id, sizeof w->container_id, container_id, strlen(container_id));
    w->pause_ns = FIRST_PAUSE_NS;
    w->next_ns = now_ns;
    return w;
}

/* The answer was no use yet: again a little later, while it makes sense. */
static void wanted_later(struct docker_wanted *w, uint64_t now_ns)
{
    w->next_ns = now_ns + w->pause_ns;
    w->pause_ns = w->pause_ns * 2 > LONGEST_PAUSE_NS ? LONGEST_PAUSE_NS : w->pause_ns * 2;
    if (!w->until_ns)
        w->until_ns = now_ns + LIMIT_DOCKER_RETRY_NS;
    w->finished = now_ns >= w->until_ns;
}

/* ---- answers ------------------------------------------------------------------------------------------------------- */

/* A container has more addresses than an event holds: the others follow in events of their own. */
static void emit_addresses(struct docker_client *d, const struct docker_wanted *w, const struct docker_facts *facts)
{
    for (int i = 1; i < facts->n_addresses; i++) {
        struct event *ev = sensor_event(&d->sensor, EVENT_CONTAINER, clock_monotonic_ns(), 256);
        if (!ev)
            return;
        event_set(ev, F_CONTAINER_PHASE, container_phase, CONTAINER_FACTS);
        event_set_text(ev, F_CONTAINER_ID, w->container_id, strlen(w->container_id));
        event_set(ev, F_SRC, src, facts->addresses[i]);
        sensor_commit(&d->sensor, ev);
    }
}

static void answer_decode(struct docker_client *d, struct docker_wanted *w, const char *body, size_t size, uint64_t now_ns)
{
    struct docker_facts facts = { 0 };
    struct event *ev = sensor_event(&d->sensor, EVENT_CONTAINER, now_ns, EVENT_TEXT);
    if (!ev) {
        wanted_later(w, now_ns);
        return;
    }
    int r = docker_decode_container(body, size, w->container_id, w->task_id, ev, &facts);
    if (r)
        sensor_count(&d->sensor.stats->malformed, 1);
    if (r > 0)
        d->service.lying++;
    if (!r || r == DOCKER_OTHER_TASK) {
        sensor_commit(&d->sensor, ev);
        emit_addresses(d, w, &facts);
    }
    if (facts.running)
        w->finished = true;
    else
        wanted_later(w, now_ns);
}

/* True when Docker itself failed, which has been noted. */
static bool note_failure(struct docker_client *d, long status, const char *error)
{
    char text[64];
    if (status >= 500) {
        snprintf(text, sizeof text, "HTTP status %ld", status);
        error = text;
    }
    if (d->closing)
        return true;
    if (error && error != http_error_too_large) {
        http_service_failed(&d->service, clock_monotonic_ns(), error);
        return true;
    }
    http_service_answered(&d->service);
    if (error)
        sensor_count(&d->sensor.stats->malformed, 1);
    return false;
}

static void on_container(void *user, long status, const char *body, size_t size, const char *error)
{
    struct question *q = user;
    struct docker_client *d = q->client;
    struct docker_wanted *w = wanted_find(d, q->container_id);
    uint64_t now_ns = clock_monotonic_ns();
    bool failed = note_failure(d, status, error);
    free(q);
    d->n_asking--;
    if (w)
        w->asking = false;
    if (w && failed) /* Docker can hang on one container and answer for the others */
        w->next_ns = now_ns + w->pause_ns;
    else if (w && status == 200)
        answer_decode(d, w, body, size, now_ns);
    else if (w)
        wanted_later(w, now_ns);
    schedule(d);
}

static void on_listed(void *user, const char *container_id)
{
    struct docker_client *d = user;
    if (!wanted_find(d, container_id))
        wanted_add(d, container_id, clock_monotonic_ns());
}

static void on_inventory(void *user, long status, const char *body, size_t size, const char *error)
{
    struct docker_client *d = user;
    d->inventory_asking = false;
    if (!note_failure(d, status, error)) {
        int refused = status == 200 ? docker_decode_list(body, size, on_listed, d) : -EINVAL;
        d->inventory_done = true; /* also without a list: each container that the sensor finds is asked for anyway */
        sensor_count(&d->sensor.stats->malformed, (uint64_t)(refused < 0 ? 1 : refused));
    }
    schedule(d);
}

/* ---- questions ----------------------------------------------------------------------------------------------------- */

static void ask_inventory(struct docker_client *d)
{
    const struct http_get get = { "http://docker/containers/json", d->socket_path, 0, on_inventory, d };
    if (!http_client_get(&d->http, &get)) {
        d->inventory_asking = true;
        d->service.requests++;
    }
}

static void ask(struct docker_client *d, struct docker_wanted *w)
{
    char url[160];
    struct question *q = malloc(sizeof *q);
    if (!q)
        return;
    q->client = d;
    memcpy(q->container_id, w->container_id, sizeof q->container_id);
    snprintf(url, sizeof url, "http://docker/containers/%s/json", w->container_id);
    const struct http_get get = { url, d->socket_path, LIMIT_DOCKER_BODY_BYTES, on_container, q };
    if (http_client_get(&d->http, &get)) {
        free(q);
        return;
    }
    w->asking = true;
    d->n_asking++;
    d->service.requests++;
}

static void on_timer(uv_timer_t *timer)
{
    struct docker_client *d = timer->data;
    uint64_t now_ns = clock_monotonic_ns();
    if (now_ns >= d->service.quiet_until_ns) {
        /* while Docker is away, one request finds out whether it is back */
        int asking_max = d->service.pause_ns ? 1 : ASKING_MAX;
        if (!d->inventory_done && !d->inventory_asking)
            ask_inventory(d);
        for (int i = 0; i < d->n_wanted && d->n_asking < asking_max; i++) {
            struct docker_wanted *w = &d->wanted[i];
            if (w->container_id[0] && !w->asking && !w->finished && w->next_ns <= now_ns)
                ask(d, w);
        }
    }
    schedule(d);
}

/* Sets the timer to when something is due. Nothing wanted, no timer: an idle host is not asked. */
static void schedule(struct docker_client *d)
{
    uint64_t next_ns = UINT64_MAX, now_ns = clock_monotonic_ns();
    if (d->closing)
        return;
    if (!d->inventory_done && !d->inventory_asking)
        next_ns = now_ns;
    for (int i = 0; i < d->n_wanted && d->n_asking < ASKING_MAX; i++) {
        const struct docker_wanted *w = &d->wanted[i];
        if (w->container_id[0] && !w->asking && !w->finished && w->next_ns < next_ns)
            next_ns = w->next_ns;
    }
    if (next_ns == UINT64_MAX || (d->service.pause_ns && (d->n_asking || d->inventory_asking))) {
        uv_timer_stop(&d->timer); /* the answer under way schedules again */
        return;
    }
    if (next_ns < d->service.quiet_until_ns)
        next_ns = d->service.quiet_until_ns;
    uv_update_time(d->timer.loop);
    uv_timer_start(&d->timer, on_timer, next_ns > now_ns ? (next_ns - now_ns) / NS_PER_MS + 1 : 0, 0);
}

void docker_client_event(struct docker_client *d, const struct event *ev)
{
    const char *id = event_text(ev, ev->container_id), *runtime = event_text(ev, ev->runtime);
    struct docker_wanted *w = wanted_find(d, id);
    if (ev->kind != EVENT_CONTAINER || ev->source != SOURCE_CGROUP || strlen(id) != 64)
        return;
    if (ev->container_phase == CONTAINER_END) {
        if (w)
            memset(w, 0, sizeof *w);
        return;
    }
    if (ev->container_phase != CONTAINER_START || (runtime[0] && strcmp(runtime, "docker")))
        return;
    http_service_needed(&d->service);
    if (!w)
        w = wanted_add(d, id, clock_monotonic_ns());
    if (w && ev->task_id.len) {
        if (w->finished) { /* the inventory was faster: its labels must still be held against the cgroup path */
            w->finished = false;
            w->next_ns = clock_monotonic_ns();
        }
        text_copy(w->task_id, sizeof w->task_id, event_text(ev, ev->task_id), ev->task_id.len);
    }
    schedule(d);
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

int docker_client_open(struct docker_client *d, const struct docker_client_options *options, uv_loop_t *loop, struct sensor_stats *stats,
                       struct waker *waker)
{
    const char *path = options->socket_path ? options->socket_path : "/var/run/docker.sock";
    memset(d, 0, sizeof *d);
    if (!text_copy(d->socket_path, sizeof d->socket_path, path, strlen(path)))
        return -ENAMETOOLONG;
    snprintf(d->what, sizeof d->what, "names, images and labels of containers are unknown; Docker at %s", d->socket_path);
    d->service = (struct http_service){ .stats = stats, .name = "docker", .what = d->what };
    d->wanted = calloc(LIMIT_CONTAINERS, sizeof *d->wanted);
    int r = d->wanted ? sensor_init(&d->sensor, SOURCE_DOCKER, LIMIT_MISC_RING_BYTES, stats, waker) : -ENOMEM;
    if (!r)
        r = http_client_open(&d->http, loop);
    if (r) {
        docker_client_fini(d);
        return r;
    }
    uv_timer_init(loop, &d->timer);
    d->timer.data = d;
    sensor_state(stats, SENSOR_OK, "%s", "");
    schedule(d);
    return 0;
}

void docker_client_close(struct docker_client *d)
{
    d->closing = true;
    http_client_close(&d->http);
    uv_close((uv_handle_t *)&d->timer, NULL);
}

void docker_client_fini(struct docker_client *d)
{
    sensor_fini(&d->sensor);
    free(d->wanted);
    d->wanted = NULL;
}
