/* Small GET requests on the loop, for the two local services we ask: Docker (unix socket) and the ECS agent (loopback). libcurl's multi
 * interface driven by libuv; nothing blocks. Bounded: LIMIT_HTTP_PARALLEL under way, LIMIT_HTTP_QUEUE waiting, LIMIT_HTTP_TIMEOUT_MS each,
 * and a size for each answer. No name is resolved, no proxy used, no redirect followed. */
#ifndef ECSGUARD_HTTP_CLIENT_H
#define ECSGUARD_HTTP_CLIENT_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "common/limits.h"
#include "common/sensor_stats.h"

#define HTTP_URL_BYTES 384
#define HTTP_SOCKET_BYTES 108 /* sun_path */

/* The `error` of an answer that was too large: the service is there, but not to be believed. Compare the pointer. */
extern const char http_error_too_large[];

/* `error` is NULL when a whole answer came, with whatever `status`; else it says what happened and status and body are 0. `body` is valid
 * during the call only. */
typedef void http_done(void *user, long status, const char *body, size_t size, const char *error);

struct http_get {
    const char *url;         /* http://, the host a numeric address, or anything with `unix_socket` */
    const char *unix_socket; /* path, or NULL */
    size_t body_max;         /* 0: LIMIT_HTTP_BODY_BYTES */
    http_done *done;
    void *user;
};

struct http_request {
    struct http_client *client;
    CURL *easy; /* NULL: free */
    char url[HTTP_URL_BYTES], unix_socket[HTTP_SOCKET_BYTES];
    size_t body_max;
    http_done *done;
    void *user;
    char *body;
    size_t size, room;
    bool too_large;
    char error[CURL_ERROR_SIZE];
};

struct http_client {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    bool closing;
    int n_active;
    struct http_request active[LIMIT_HTTP_PARALLEL];
    struct http_request *queue; /* LIMIT_HTTP_QUEUE, a circle */
    int queue_first, n_queued;
    int timeout_ms; /* LIMIT_HTTP_TIMEOUT_MS; tests shorten it */
};

/* 0 or -errno. The process must have called curl_global_init(3). */
int http_client_open(struct http_client *h, uv_loop_t *loop);
/* Ends all requests (their `done` is called with an error). The loop must run once more before `h` goes away. */
void http_client_close(struct http_client *h);

/* 0; -EAGAIN when the queue is full, -EINVAL for a url that would need a name to be resolved or is no http. `done` is never called before
 * this returns. */
int http_client_get(struct http_client *h, const struct http_get *get);

/* How one service behaves: what was counted, and how long to leave it alone. */
struct http_service {
    struct sensor_stats *stats;
    const char *name; /* for the log: "docker" */
    const char *what; /* "Docker at /var/run/docker.sock" with what is missing without it: for `health` */
    uint64_t requests, failed, lying; /* lying: answers that contradict what the kernel shows or what was asked */
    uint64_t quiet_until_ns, pause_ns;
};

/* It answered: back to normal. */
void http_service_answered(struct http_service *service);
/* It did not answer, or with a server error: counts, says so in `stats`, and doubles the pause up to LIMIT_ABSENT_BACKOFF_NS. */
void http_service_failed(struct http_service *service, uint64_t now_ns, const char *error);
/* There is a new reason to ask: the pause ends LIMIT_ABSENT_NEEDED_NS after the last failure, and grows from there. */
void http_service_needed(struct http_service *service);

#endif
