#include "agent/sensors/http_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sensors/sensor.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

#define FIRST_PAUSE_NS (250 * NS_PER_MS)

/* One descriptor of libcurl in the loop. */
struct http_socket {
    struct http_client *client;
    curl_socket_t fd;
    uv_poll_t poll;
};

const char http_error_too_large[] = "the answer is larger than allowed";

static void start_queued(struct http_client *h);

static size_t on_body(char *data, size_t unit, size_t n, void *user)
{
    struct http_request *r = user;
    size_t size = unit * n;
    if (size > r->body_max - r->size) {
        r->too_large = true;
        return 0;
    }
    if (r->size + size > r->room) {
        size_t room = r->room ? r->room : 16384;
        while (room < r->size + size)
            room *= 2;
        char *grown = realloc(r->body, room);
        if (!grown)
            return 0;
        r->body = grown;
        r->room = room;
    }
    memcpy(r->body + r->size, data, size);
    r->size += size;
    return size;
}

static void request_end(struct http_request *r, CURLcode code, const char *error)
{
    struct http_client *h = r->client;
    CURL *easy = r->easy;
    long status = 0, os_error = 0;
    char *body = r->body;
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_error);
    if (r->too_large)
        error = http_error_too_large;
    else if (!error && code == CURLE_COULDNT_CONNECT && os_error) /* libcurl names a host and port even for a unix socket */
        error = strerror((int)os_error);
    else if (!error && code != CURLE_OK)
        error = r->error[0] ? r->error : curl_easy_strerror(code);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(h->multi, easy);
    curl_easy_cleanup(easy);
    r->easy = NULL;
    r->body = NULL;
    h->n_active--;
    r->done(r->user, error ? 0 : status, error ? "" : body ? body : "", error ? 0 : r->size, error);
    free(body);
}

/* Takes what has ended, and gives the free places to those that wait. */
static void reap(struct http_client *h)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(h->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        char *private = NULL;
        CURLcode code = message->data.result; /* `message` is gone once the handle is removed */
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        request_end((struct http_request *)(void *)private, code, NULL);
    }
    if (!h->closing)
        start_queued(h);
}

static void on_timer(uv_timer_t *timer)
{
    struct http_client *h = timer->data;
    int running;
    curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    reap(h);
}

static int on_set_timer(CURLM *multi, long timeout_ms, void *user)
{
    struct http_client *h = user;
    (void)multi;
    if (timeout_ms < 0 || h->closing)
        uv_timer_stop(&h->timer);
    else /* 0 would be in this very turn of the loop; libcurl must not be called from its own callback, which a timer never does */
        uv_timer_start(&h->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct http_socket *socket = poll->data;
    struct http_client *h = socket->client;
    int running, flags = 0;
    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(h->multi, socket->fd, flags, &running); /* may free `socket` */
    reap(h);
}

static void on_socket_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static struct http_socket *socket_new(struct http_client *h, curl_socket_t fd)
{
    struct http_socket *socket = calloc(1, sizeof *socket);
    if (!socket || uv_poll_init_socket(h->loop, &socket->poll, fd)) {
        free(socket);
        return NULL;
    }
    socket->client = h;
    socket->fd = fd;
    socket->poll.data = socket;
    curl_multi_assign(h->multi, fd, socket);
    return socket;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user)
{
    struct http_client *h = user;
    struct http_socket *socket = socket_user;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (socket) {
            curl_multi_assign(h->multi, fd, NULL);
            uv_poll_stop(&socket->poll);
            uv_close((uv_handle_t *)&socket->poll, on_socket_closed);
        }
        return 0;
    }
    if (!socket && !(socket = socket_new(h, fd)))
        return -1;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&socket->poll, events, on_ready) ? -1 : 0;
}

static void set_options(struct http_request *r)
{
    CURL *easy = r->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, (void *)r);
    curl_easy_setopt(easy, CURLOPT_URL, r->url);
    if (r->unix_socket[0])
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, r->unix_socket);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)CURLPROTO_HTTP);
#endif
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)r->client->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L); /* an idle connection would be one more thing to find dead */
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 16384L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, r->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, (void *)r);
}

/* `waiting` is copied into a free place. */
static void start(struct http_client *h, const struct http_request *waiting)
{
    struct http_request *r = h->active;
    while (r->easy)
        r++;
    *r = *waiting;
    h->n_active++;
    r->easy = curl_easy_init();
    if (r->easy)
        set_options(r);
    if (!r->easy || curl_multi_add_handle(h->multi, r->easy) != CURLM_OK) {
        curl_easy_cleanup(r->easy);
        r->easy = NULL;
        h->n_active--;
        r->done(r->user, 0, "", 0, "out of memory");
    }
}

static void start_queued(struct http_client *h)
{
    while (h->n_queued && h->n_active < LIMIT_HTTP_PARALLEL) {
        struct http_request *waiting = &h->queue[h->queue_first];
        h->queue_first = (h->queue_first + 1) % LIMIT_HTTP_QUEUE;
        h->n_queued--;
        start(h, waiting);
    }
}

static bool url_is_numeric(const char *url, const char *unix_socket)
{
    CURLU *u = curl_url();
    char *host = NULL, *scheme = NULL;
    struct address address;
    bool ok = u && !curl_url_set(u, CURLUPART_URL, url, 0) && !curl_url_get(u, CURLUPART_HOST, &host, 0) &&
              !curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) && !strcmp(scheme, "http");
    if (ok && !unix_socket) {
        size_t n = strlen(host);
        if (host[0] == '[' && host[n - 1] == ']') {
            host[n - 1] = 0;
            ok = !address_parse(host + 1, &address);
        } else {
            ok = !address_parse(host, &address);
        }
    }
    curl_free(host);
    curl_free(scheme);
    curl_url_cleanup(u);
    return ok;
}

int http_client_get(struct http_client *h, const struct http_get *get)
{
    struct http_request r = { .client = h, .done = get->done, .user = get->user };
    r.body_max = get->body_max ? get->body_max : LIMIT_HTTP_BODY_BYTES;
    if (h->closing || h->n_queued == LIMIT_HTTP_QUEUE)
        return -EAGAIN;
    if (!text_copy(r.url, sizeof r.url, get->url, strlen(get->url)) || !url_is_numeric(get->url, get->unix_socket) ||
        (get->unix_socket && !text_copy(r.unix_socket, sizeof r.unix_socket, get->unix_socket, strlen(get->unix_socket))))
        return -EINVAL;
    h->queue[(h->queue_first + h->n_queued++) % LIMIT_HTTP_QUEUE] = r;
    if (h->n_active < LIMIT_HTTP_PARALLEL)
        uv_timer_start(&h->timer, on_timer, 0, 0); /* starts it in the next turn of the loop */
    return 0;
}

int http_client_open(struct http_client *h, uv_loop_t *loop)
{
    memset(h, 0, sizeof *h);
    h->loop = loop;
    h->timeout_ms = LIMIT_HTTP_TIMEOUT_MS;
    h->multi = curl_multi_init();
    h->queue = calloc(LIMIT_HTTP_QUEUE, sizeof *h->queue);
    if (!h->multi || !h->queue) {
        free(h->queue);
        curl_multi_cleanup(h->multi);
        return -ENOMEM;
    }
    uv_timer_init(loop, &h->timer);
    h->timer.data = h;
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, (void *)h);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_set_timer);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, (void *)h);
    return 0;
}

void http_client_close(struct http_client *h)
{
    h->closing = true;
    for (int i = 0; i < LIMIT_HTTP_PARALLEL; i++)
        if (h->active[i].easy)
            request_end(&h->active[i], CURLE_OK, "stopped");
    for (; h->n_queued; h->n_queued--) {
        const struct http_request *waiting = &h->queue[h->queue_first];
        h->queue_first = (h->queue_first + 1) % LIMIT_HTTP_QUEUE;
        waiting->done(waiting->user, 0, "", 0, "stopped");
    }
    curl_multi_cleanup(h->multi);
    uv_close((uv_handle_t *)&h->timer, NULL);
    free(h->queue);
}

void http_service_answered(struct http_service *service)
{
    if (service->pause_ns)
        log_info(service->name, "answers again");
    service->pause_ns = service->quiet_until_ns = 0;
    if (atomic_load_explicit(&service->stats->state, memory_order_relaxed) != SENSOR_OK)
        sensor_state(service->stats, SENSOR_OK, "%s", "");
}

void http_service_failed(struct http_service *service, uint64_t now_ns, const char *error)
{
    service->failed++;
    if (now_ns < service->quiet_until_ns)
        return; /* of the same time as the failure before */
    if (!service->pause_ns)
        log_warn(service->name, "%s: %s", service->what, error);
    service->pause_ns = service->pause_ns ? service->pause_ns * 2 : FIRST_PAUSE_NS;
    if (service->pause_ns > LIMIT_ABSENT_BACKOFF_NS)
        service->pause_ns = LIMIT_ABSENT_BACKOFF_NS;
    service->quiet_until_ns = now_ns + service->pause_ns;
    sensor_state(service->stats, SENSOR_DEGRADED, "%s: %s", service->what, error);
}

void http_service_needed(struct http_service *service)
{
    if (service->pause_ns > LIMIT_ABSENT_NEEDED_NS) {
        service->quiet_until_ns -= service->pause_ns - LIMIT_ABSENT_NEEDED_NS;
        service->pause_ns = LIMIT_ABSENT_NEEDED_NS;
    }
}
