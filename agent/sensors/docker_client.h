/* Asks Docker's Engine API about each container that the container sensor finds, and once at the start for all that run. Lives on the loop;
 * its events (EVENT_CONTAINER facts, SOURCE_DOCKER) are in a ring like every sensor's. Docker being absent, slow, broken or lying costs facts,
 * never more: what the kernel shows is known without it. */
#ifndef ECSGUARD_DOCKER_CLIENT_H
#define ECSGUARD_DOCKER_CLIENT_H

#include <uv.h>

#include "agent/sensors/http_client.h"
#include "agent/sensors/sensor.h"

struct docker_client_options {
    const char *socket_path; /* NULL: /var/run/docker.sock */
};

struct docker_wanted {
    char container_id[65]; /* "" = free */
    char task_id[65];      /* of the cgroup path */
    bool asking, finished;
    uint64_t until_ns; /* answers that are no use are asked for again until then; 0 before the first one */
    uint64_t next_ns, pause_ns;
};

struct docker_client {
    struct sensor sensor;
    struct http_client http;
    struct http_service service;
    uv_timer_t timer;
    char socket_path[HTTP_SOCKET_BYTES];
    char what[192];
    struct docker_wanted *wanted; /* LIMIT_CONTAINERS */
    int n_wanted;  /* used length of the table */
    int n_asking;
    bool inventory_done, inventory_asking, closing;
};

/* 0 or -errno. Starts with the inventory in the next turn of the loop. */
int docker_client_open(struct docker_client *d, const struct docker_client_options *options, uv_loop_t *loop, struct sensor_stats *stats,
                       struct waker *waker);
/* The loop must run once more before docker_client_fini(). */
void docker_client_close(struct docker_client *d);
void docker_client_fini(struct docker_client *d);

/* Feed it every EVENT_CONTAINER of the container sensor: start means ask, end means forget. */
void docker_client_event(struct docker_client *d, const struct event *ev);

#endif
