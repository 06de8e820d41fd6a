#include "agent/deliver/upload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/deliver/secret.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

/* ---- libcurl's sockets and timer on the loop (libcurl: CURLMOPT_SOCKETFUNCTION(3), CURLMOPT_TIMERFUNCTION(3)) ---- */

struct watch {
    uv_poll_t poll;
    curl_socket_t socket;
    struct upload *upload;
};

static void watch_free(uv_handle_t *handle)
{
    free(handle->data);
}

static void finish_transfers(struct upload *upload);

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    struct upload *upload = watch->upload;
    int running;
    int flags = status < 0 ? CURL_CSELECT_ERR : (events & UV_READABLE ? CURL_CSELECT_IN : 0) | (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(upload->multi, watch->socket, flags, &running);
    finish_transfers(upload);
}

static void on_timer(uv_timer_t *timer)
{
    struct upload *upload = timer->data;
    int running;
    curl_multi_socket_action(upload->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    finish_transfers(upload);
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct upload *upload = arg;
    (void)multi;
    if (timeout_ms < 0)
        uv_timer_stop(&upload->timer);
    else
        uv_timer_start(&upload->timer, on_timer, (uint64_t)timeout_ms, 0); /* never from within: curl must not be called here */
    return 0;
}

static struct watch *watch_new(struct upload *upload, curl_socket_t socket)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch || uv_poll_init_socket(upload->loop, &watch->poll, socket)) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    watch->socket = socket;
    watch->upload = upload;
    curl_multi_assign(upload->multi, socket, watch);
    return watch;
}

static int set_socket(CURL *easy, curl_socket_t socket, int what, void *arg, void *assigned)
{
    struct upload *upload = arg;
    struct watch *watch = assigned;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            uv_close((uv_handle_t *)&watch->poll, watch_free); /* stops the poll at once, before curl closes the socket */
        curl_multi_assign(upload->multi, socket, NULL);
        return 0;
    }
    if (!watch && !(watch = watch_new(upload, socket)))
        return -1;
    uv_poll_start(&watch->poll, (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0), on_socket);
    return 0;
}

int upload_open(struct upload *upload, uv_loop_t *loop, const struct config *config)
{
    *upload = (struct upload){ .config = config, .loop = loop };
    if (curl_global_init(CURL_GLOBAL_DEFAULT) || !(upload->multi = curl_multi_init()))
        return -ENOMEM;
    uv_timer_init(loop, &upload->timer);
    upload->timer.data = upload;
    curl_multi_setopt(upload->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    curl_multi_setopt(upload->multi, CURLMOPT_SOCKETDATA, upload);
    curl_multi_setopt(upload->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(upload->multi, CURLMOPT_TIMERDATA, upload);
    curl_multi_setopt(upload->multi, CURLMOPT_MAXCONNECTS, 1l);
    return 0;
}

static void request_end(struct upload *upload)
{
    if (upload->easy) {
        curl_multi_remove_handle(upload->multi, upload->easy);
        curl_easy_cleanup(upload->easy);
    }
    curl_slist_free_all(upload->headers);
    upload->easy = NULL;
    upload->headers = NULL;
}

void upload_close(struct upload *upload)
{
    if (!upload->multi)
        return;
    request_end(upload);
    curl_multi_cleanup(upload->multi);
    upload->multi = NULL;
    uv_close((uv_handle_t *)&upload->timer, NULL);
    curl_global_cleanup();
}

/* ---- one request ---- */

static size_t take_answer(char *data, size_t one, size_t size, void *arg)
{
    struct upload *upload = arg;
    (void)one;
    if (upload->answer_bytes < sizeof upload->answer) {
        size_t room = sizeof upload->answer - upload->answer_bytes;
        memcpy(upload->answer + upload->answer_bytes, data, size < room ? size : room);
    }
    upload->answer_bytes += size;
    return upload->answer_bytes > LIMIT_DELIVERY_ANSWER_BYTES ? 0 : size;
}

/* "HTTP 500: the beginning of what the receiver said", or libcurl's reason. */
static void say_result(const struct upload *upload, CURLcode code, struct upload_result *result)
{
    struct text_out out;
    text_out_init(&out, result->error, sizeof result->error);
    if (result->status >= 200 && result->status < 300)
        return;
    if (!result->status) {
        const char *why = upload->curl_error[0] ? upload->curl_error : curl_easy_strerror(code);
        text_escape(&out, why, strlen(why));
        return;
    }
    text_out_printf(&out, "HTTP %ld", result->status);
    if (result->status / 100 == 3)
        text_out_printf(&out, ": redirects are not followed, set delivery.url to the final address");
    size_t n = upload->answer_bytes < sizeof upload->answer ? upload->answer_bytes : sizeof upload->answer;
    if (n) {
        text_out_printf(&out, ": ");
        text_escape(&out, upload->answer, n);
    }
}

static void finish_transfers(struct upload *upload)
{
    struct upload_result result = { 0 };
    curl_off_t retry_after = 0;
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(upload->multi, &left)) && message->msg != CURLMSG_DONE)
        continue;
    if (!message)
        return;
    CURLcode code = message->data.result;
    curl_easy_getinfo(upload->easy, CURLINFO_RESPONSE_CODE, &result.status);
    curl_easy_getinfo(upload->easy, CURLINFO_RETRY_AFTER, &retry_after);
    /* A status line counts as the answer even if the rest of it was too large; cut off in between it does not. */
    if (code != CURLE_OK && code != CURLE_WRITE_ERROR)
        result.status = 0;
    if (retry_after > 0)
        result.retry_after_ns = (retry_after < 86400 ? (uint64_t)retry_after : 86400) * NS_PER_SECOND;
    say_result(upload, code, &result);
    request_end(upload);
    upload->done(upload->arg, &result);
}

static int add_header(struct upload *upload, const char *header)
{
    struct curl_slist *list = curl_slist_append(upload->headers, header);
    if (!list)
        return -ENOMEM;
    upload->headers = list;
    return 0;
}

/* Secrets are read for each request, so that a token can be renewed without a restart. */
static int add_configured_header(struct upload *upload, const char *header, struct upload_result *result)
{
    char line[LIMIT_CONFIG_TEXT_BYTES + LIMIT_DELIVERY_SECRET_BYTES];
    const char *value = strchr(header, ':') + 2;
    if (*value != '@')
        return add_header(upload, header);
    size_t n = (size_t)(value - header);
    memcpy(line, header, n);
    int error = secret_read(value + 1, line + n, LIMIT_DELIVERY_SECRET_BYTES);
    if (error)
        snprintf(result->error, sizeof result->error, "cannot take the value of a header from %.200s: %s", value + 1,
                 secret_error(error));
    else
        error = add_header(upload, line);
    explicit_bzero(line, sizeof line);
    return error;
}

static int add_headers(struct upload *upload, const char *batch_id, struct upload_result *result)
{
    char id[64];
    const struct config_list *configured = &upload->config->delivery.headers;
    snprintf(id, sizeof id, "Idempotency-Key: %s", batch_id);
    int error = add_header(upload, "Content-Type: application/json");
    if (!error)
        error = add_header(upload, "Expect:"); /* no waiting for "100 Continue" */
    if (!error)
        error = add_header(upload, id);
    for (int i = 0; i < configured->n && !error; i++)
        error = add_configured_header(upload, configured->items[i], result);
    return error;
}

static void set_tls(CURL *easy, const struct config *config)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1l);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2l);
    if (config->delivery.ca_file[0]) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, config->delivery.ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* only these, not the system's beside them */
    }
    if (config->delivery.client_cert[0]) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, config->delivery.client_cert);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, config->delivery.client_key);
    }
#if LIBCURL_VERSION_NUM >= 0x075700
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0l); /* a renewed CA file counts at once */
#endif
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)CURLPROTO_HTTPS);
#endif
}

static void set_request(struct upload *upload, CURL *easy, const char *body, size_t size)
{
    curl_easy_setopt(easy, CURLOPT_URL, upload->config->delivery.url);
    curl_easy_setopt(easy, CURLOPT_POST, 1l);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, upload->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "ecsguard-uploader/" PACKAGE_VERSION);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0l);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1l);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)LIMIT_DELIVERY_CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)LIMIT_DELIVERY_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, upload);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, upload->curl_error);
    set_tls(easy, upload->config);
}

int upload_send(struct upload *upload, const char *body, size_t size, const char *batch_id, upload_done_fn *done, void *arg,
                struct upload_result *result)
{
    *result = (struct upload_result){ .error = "out of memory" };
    upload->done = done;
    upload->arg = arg;
    upload->answer_bytes = 0;
    upload->curl_error[0] = 0;
    int error = add_headers(upload, batch_id, result);
    CURL *easy = error ? NULL : curl_easy_init();
    if (easy) {
        upload->easy = easy;
        set_request(upload, easy, body, size);
        if (!curl_multi_add_handle(upload->multi, easy))
            return 0;
        curl_easy_cleanup(easy);
        upload->easy = NULL;
    }
    request_end(upload);
    return error ? error : -ENOMEM;
}
