/* Asks the ECS agent's introspection API which task a container belongs to. Only for containers whose cgroup path or labels name an ECS task,
 * one request at a time and at most two a second. Lives on the loop; its events (EVENT_CONTAINER facts, SOURCE_ECS) are in a ring like
 * every sensor's. What the cgroup path says about the task wins over what the API says: the API has no authentication. */
#ifndef ECSGUARD_ECS_CLIENT_H
#define ECSGUARD_ECS_CLIENT_H

#include <uv.h>

#include "agent/sensors/ecs_decode.h"
#include "agent/sensors/http_client.h"
#include "agent/sensors/sensor.h"

struct ecs_client_options {
    const char *url; /* NULL: http://127.0.0.1:51678 */
};

struct ecs_wanted {
    char container_id[65]; /* "" = free */
    char task_id[65];      /* of the cgroup path, "" when only labels speak of ECS */
    bool pause;            /* a pause container, which the API does not list: its task's facts are all there is */
    bool task_told, finished;
    bool seen;             /* in the answer under way */
    int tries;
    uint64_t until_ns, next_ns, pause_ns;
};

struct ecs_client {
    struct sensor sensor;
    struct http_client http;
    struct http_service service;
    uv_timer_t timer;
    char url[256];
    char what[192];
    struct ecs_metadata metadata;
    bool metadata_known, asking, closing;
    char asked_id[65]; /* of ?dockerid=, "" for all tasks */
    uint64_t last_request_ns, metadata_next_ns;
    struct ecs_wanted *wanted; /* LIMIT_CONTAINERS */
    int n_wanted; /* used length of the table */
};

/* 0 or -errno. Asks nothing before there is a container to ask for. */
int ecs_client_open(struct ecs_client *e, const struct ecs_client_options *options, uv_loop_t *loop, struct sensor_stats *stats,
                    struct waker *waker);
/* The loop must run once more before ecs_client_fini(). */
void ecs_client_close(struct ecs_client *e);
void ecs_client_fini(struct ecs_client *e);

/* Feed it every EVENT_CONTAINER of the container sensor and of the Docker client. */
void ecs_client_event(struct ecs_client *e, const struct event *ev);

#endif
