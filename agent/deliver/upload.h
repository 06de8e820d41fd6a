/* One HTTPS request at a time: libcurl's multi interface on the libuv loop. The server's certificate and name are always verified, TLS 1.2 is
 * the least, redirects are not followed, the answer is bounded. */
#ifndef ECSGUARD_UPLOAD_H
#define ECSGUARD_UPLOAD_H

#include <curl/curl.h>
#include <uv.h>

#include "common/config.h"

struct upload_result {
    long status;             /* HTTP status; 0 = no answer */
    uint64_t retry_after_ns; /* what the receiver asks for; 0 = nothing */
    char error[512];         /* one line, escaped; "" when accepted */
};

typedef void upload_done_fn(void *arg, const struct upload_result *result);

struct upload {
    const struct config *config;
    uv_loop_t *loop;
    uv_timer_t timer;
    CURLM *multi;
    CURL *easy; /* of the request under way, or NULL */
    struct curl_slist *headers;
    size_t answer_bytes; /* received; the first of them are kept for the log */
    char answer[256];
    char curl_error[CURL_ERROR_SIZE];
    upload_done_fn *done;
    void *arg;
};

/* 0 or -ENOMEM. `config` and `loop` stay the caller's. */
int upload_open(struct upload *upload, uv_loop_t *loop, const struct config *config);
/* Abandons what is under way. The loop must run once more before it is closed. */
void upload_close(struct upload *upload);

/* Starts a POST of `body`, which must stay as it is until `done`. 0, or -errno with result->error (nothing was sent, `done` is not called). */
int upload_send(struct upload *upload, const char *body, size_t size, const char *batch_id, upload_done_fn *done, void *arg,
                struct upload_result *result);

#endif
