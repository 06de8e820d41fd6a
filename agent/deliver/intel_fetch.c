#include "agent/deliver/intel_fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/deliver/schedule.h"
#include "agent/deliver/secret.h"
#include "agent/deliver/signature.h"
#include "common/clock.h"
#include "common/log.h"

#define REDIRECTS_MAX 5l

struct name {
    char text[INTEL_LIST_MAX + 8];
};

static struct name file_name(const struct intel_fetched_source *source, const char *suffix)
{
    struct name name;
    snprintf(name.text, sizeof name.text, "%s%s", source->name, suffix);
    return name;
}

__attribute__((format(printf, 2, 3))) static void fail(struct intel_fetch_state *state, const char *format, ...)
{
    va_list args;
    struct text_out out;
    char text[INTEL_FETCH_ERROR_MAX];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text_out_init(&out, state->error, sizeof state->error);
    text_clean(&out, text, strlen(text)); /* some of it comes from the network */
}

/* ---- keys --------------------------------------------------------------------------------------------------------- */

/* The key of a source, and its hex digits, "" without one. False: it cannot be used. */
static bool key_of(const struct intel_fetched_source *source, uint8_t key[SIGNATURE_KEY_BYTES], char hex[65], struct intel_fetch_state *state)
{
    hex[0] = 0;
    if (!source->public_key[0])
        return true;
    const char *why = signature_key_load(source->public_key, key);
    if (why) {
        fail(state, "public_key %.200s: %s", source->public_key, why);
        return false;
    }
    for (int i = 0; i < SIGNATURE_KEY_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", key[i]);
    return true;
}

/* A list that was never checked with the key that is configured now must not stay in use. */
static void discard_unchecked(struct intel_fetch *f, const struct intel_fetched_source *source, const char *hex, struct intel_fetch_state *state)
{
    if (!hex[0] || !strcmp(state->meta.key, hex))
        return;
    if (!unlinkat(f->dir_fd, file_name(source, ".list").text, 0))
        log_warn("intel", "the list %s was not checked with the key that is configured now: removed", source->name);
    unlinkat(f->dir_fd, file_name(source, ".meta").text, 0);
    memset(&state->meta, 0, sizeof state->meta);
    state->bytes = state->changed_wall_ns = 0;
}

/* ---- one transfer ------------------------------------------------------------------------------------------------- */

struct transfer {
    struct intel_fetch *fetch;
    int fd;           /* takes the body, or -1: `data` does */
    char data[1024];
    uint64_t size, max;
    CURL *easy;
    bool too_large, other_status; /* other_status: an answer that is no list, whose text nobody needs */
    int write_error;
    char etag[256], modified[64];
    char curl_error[CURL_ERROR_SIZE];
    long status;
    uint64_t retry_after_ns;
};

static size_t take_body(char *data, size_t one, size_t size, void *arg)
{
    struct transfer *t = arg;
    (void)one;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
    t->other_status = t->status != 200;
    if (t->other_status)
        return 0;
    if (size > t->max - t->size) { /* counted unpacked */
        t->too_large = true;
        return 0;
    }
    if (t->fd < 0) {
        memcpy(t->data + t->size, data, size);
    } else {
        for (size_t done = 0; done < size;) {
            ssize_t n = write(t->fd, data + done, size - done);
            if (n < 0) {
                t->write_error = errno;
                return 0;
            }
            done += (size_t)n;
        }
    }
    t->size += size;
    return size;
}

/* "Name: value" of that name: the value without blanks around it. */
static void take_value(const char *line, size_t size, const char *name, char *value, size_t value_size)
{
    size_t n = strlen(name);
    if (size <= n || strncasecmp(line, name, n) || line[n] != ':')
        return;
    line += n + 1;
    size -= n + 1;
    while (size && (*line == ' ' || *line == '\t'))
        line++, size--;
    while (size && strchr(" \t\r\n", line[size - 1]))
        size--;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)line[i] < 0x20)
            return;
    if (!text_copy(value, value_size, line, size))
        value[0] = 0;
}

static size_t take_header(char *line, size_t one, size_t size, void *arg)
{
    struct transfer *t = arg;
    (void)one;
    if (size > 5 && !memcmp(line, "HTTP/", 5)) /* of a redirect before this answer */
        t->etag[0] = t->modified[0] = 0;
    take_value(line, size, "etag", t->etag, sizeof t->etag);
    take_value(line, size, "last-modified", t->modified, sizeof t->modified);
    return size;
}

static int go_on(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct transfer *t = arg;
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(&t->fetch->cancelled);
}

static void set_https(CURL *easy, const struct intel_fetched_source *source)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1l);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2l);
    if (source->ca_file[0]) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, source->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* only these, not the system's beside them */
    }
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)CURLPROTO_HTTPS);
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS, (long)CURLPROTO_HTTPS);
#endif
    /* a header of ours may be a secret: libcurl would hand it on to where it is sent */
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, source->header[0] ? 0l : 1l);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
}

static void set_transfer(CURL *easy, struct transfer *t)
{
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "ecsguard-uploader/" PACKAGE_VERSION);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1l);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)LIMIT_DELIVERY_CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)LIMIT_INTEL_FETCH_MS);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)LIMIT_INTEL_FETCH_SLOW_BYTES);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)LIMIT_INTEL_FETCH_SLOW_SECONDS);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0l);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, go_on);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->curl_error);
}

static bool add_header(struct curl_slist **headers, const char *header)
{
    struct curl_slist *list = curl_slist_append(*headers, header);
    *headers = list ? list : *headers;
    return list != NULL;
}

/* The configured header, read for each request, so that a token can be renewed. */
static bool add_own_header(struct curl_slist **headers, const struct intel_fetched_source *source, struct intel_fetch_state *state)
{
    char line[LIMIT_CONFIG_TEXT_BYTES + LIMIT_DELIVERY_SECRET_BYTES];
    if (!source->header[0])
        return true;
    const char *value = strchr(source->header, ':') + 2;
    if (*value != '@')
        return add_header(headers, source->header);
    size_t n = (size_t)(value - source->header);
    memcpy(line, source->header, n);
    int error = secret_read(value + 1, line + n, LIMIT_DELIVERY_SECRET_BYTES);
    if (error)
        fail(state, "cannot take the value of a header from %.200s: %s", value + 1, secret_error(error));
    bool ok = !error && add_header(headers, line);
    explicit_bzero(line, sizeof line);
    return ok;
}

/* Only when the list is there, and came from this place. */
static bool add_conditions(struct curl_slist **headers, const struct intel_fetched_source *source, const struct intel_fetch_state *state)
{
    char line[512];
    if (!state->changed_wall_ns || strcmp(state->meta.url, source->url))
        return true;
    snprintf(line, sizeof line, "If-None-Match: %s", state->meta.etag);
    if (state->meta.etag[0])
        return add_header(headers, line);
    snprintf(line, sizeof line, "If-Modified-Since: %s", state->meta.modified);
    return !state->meta.modified[0] || add_header(headers, line);
}

static void transfer_failed(struct intel_fetch_state *state, const struct transfer *t, CURLcode code)
{
    if (t->too_large)
        fail(state, "larger than %llu bytes (max_size)", (unsigned long long)t->max);
    else if (t->write_error)
        fail(state, "cannot write it: %s", strerror(t->write_error));
    else
        fail(state, "%s", t->curl_error[0] ? t->curl_error : curl_easy_strerror(code));
}

/* GET. True when there was an answer of whatever status. */
static bool transfer_run(struct transfer *t, const char *url, const struct intel_fetched_source *source, bool conditional,
                         struct intel_fetch_state *state)
{
    struct curl_slist *headers = NULL;
    CURL *easy = curl_easy_init();
    curl_off_t retry_after = 0;
    CURLcode code = CURLE_OUT_OF_MEMORY;
    bool ok = easy && add_own_header(&headers, source, state) && (!conditional || add_conditions(&headers, source, state));
    if (ok) {
        t->easy = easy;
        set_https(easy, source);
        set_transfer(easy, t);
        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
        code = curl_easy_perform(easy);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &t->status);
        curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
        t->retry_after_ns = retry_after > 0 && retry_after < 86400 ? (uint64_t)retry_after * NS_PER_SECOND : 0;
        ok = code == CURLE_OK || t->other_status;
    }
    if (!ok && !state->error[0])
        transfer_failed(state, t, code);
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    return ok;
}

/* ---- checking what came ------------------------------------------------------------------------------------------- */

/* Where the signature is: ".sig" behind the path, before a query. */
static void signature_url(const char *url, char *out, size_t size)
{
    size_t n = strcspn(url, "?");
    snprintf(out, size, "%.*s.sig%s", (int)n, url, url + n);
}

static bool check_signature(struct intel_fetch *f, const struct intel_fetched_source *source, const uint8_t *key, int fd, uint64_t size,
                            struct intel_fetch_state *state)
{
    struct transfer t = { .fetch = f, .fd = -1, .max = SIGNATURE_TEXT_MAX };
    uint8_t signature[SIGNATURE_BYTES];
    char url[LIMIT_CONFIG_TEXT_BYTES + 8];
    signature_url(source->url, url, sizeof url);
    if (!transfer_run(&t, url, source, false, state))
        return false;
    if (t.status != 200) {
        fail(state, "no signature: HTTP %ld", t.status);
        return false;
    }
    const char *why = signature_parse(t.data, t.size, signature);
    void *data = why ? NULL : mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        why = strerror(errno);
    else if (data) {
        why = signature_check(key, signature, data, size);
        munmap(data, size);
    }
    if (why)
        fail(state, "refused: %s", why);
    return !why;
}

/* Reads it as the agent will, without keeping much: an error page must not take the place of a list. This is also where bytes of the network are parsed
 * first, by a process that can do nothing. */
static bool check_content(const struct intel_fetched_source *source, int fd, struct intel_fetch_state *state)
{
    struct intel intel;
    struct intel_reader reader;
    struct intel_source as = { .list = source->name, .category = "c2", .format = source->format };
    char *buffer = malloc(LIMIT_INTEL_PIECE_BYTES);
    ssize_t n = 0;
    int error = buffer ? 0 : -ENOMEM;
    intel_init(&intel);
    intel.bytes_max = LIMIT_INTEL_PIECE_BYTES;
    intel_reader_init(&reader, &intel, &as);
    for (off_t at = 0; (!error || error == -ENOSPC) && (n = pread(fd, buffer, LIMIT_INTEL_PIECE_BYTES, at)) > 0; at += n)
        error = intel_reader_feed(&reader, buffer, (size_t)n);
    int end = intel_reader_end(&reader);
    error = error && error != -ENOSPC ? error : end == -ENOSPC ? 0 : end;
    if (error || n < 0 || !reader.n_entries)
        fail(state, "refused: %s", error == -EILSEQ ? "not a list" : error ? strerror(-error) : "nothing in it that we understand");
    free(buffer);
    intel_fini(&intel);
    return !error && n >= 0 && reader.n_entries;
}

/* ---- one list ----------------------------------------------------------------------------------------------------- */

static bool install(struct intel_fetch *f, const struct intel_fetched_source *source, const struct transfer *t, const char *hex,
                    struct intel_fetch_state *state)
{
    if (fsync(t->fd) || renameat(f->dir_fd, file_name(source, ".part").text, f->dir_fd, file_name(source, ".list").text)) {
        fail(state, "cannot put it into place: %s", strerror(errno));
        return false;
    }
    struct intel_meta *meta = &state->meta;
    memcpy(meta->url, source->url, sizeof meta->url);
    memcpy(meta->etag, t->etag, sizeof meta->etag);
    memcpy(meta->modified, t->modified, sizeof meta->modified);
    memcpy(meta->key, hex, sizeof meta->key);
    state->bytes = t->size;
    state->changed_wall_ns = clock_ns(CLOCK_REALTIME);
    return true;
}

/* 304, or 200 with all that belongs to it. */
static enum intel_fetch_outcome take_answer(struct intel_fetch *f, const struct intel_fetched_source *source, const struct transfer *t,
                                            const uint8_t *key,
                                            const char *hex, struct intel_fetch_state *state)
{
    if (t->status == 304 && state->changed_wall_ns)
        return FETCH_SAME;
    if (t->status != 200)
        fail(state, "HTTP %ld%s", t->status, t->status / 100 == 3 ? ": redirects are not followed where a header is configured" : "");
    else if (!t->size)
        fail(state, "refused: an empty answer");
    else if ((!hex[0] || check_signature(f, source, key, t->fd, t->size, state)) && check_content(source, t->fd, state) &&
             install(f, source, t, hex, state))
        return FETCH_NEW;
    return FETCH_FAILED;
}

static enum intel_fetch_outcome fetch(struct intel_fetch *f, const struct intel_fetched_source *source, struct intel_fetch_state *state,
                                      uint64_t *retry_ns)
{
    struct transfer t = { .fetch = f, .max = source->max_bytes };
    uint8_t key[SIGNATURE_KEY_BYTES];
    char hex[65] = "";
    struct name part = file_name(source, ".part");
    if (!key_of(source, key, hex, state))
        return FETCH_FAILED;
    discard_unchecked(f, source, hex, state);
    t.fd = openat(f->dir_fd, part.text, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (t.fd < 0) {
        fail(state, "cannot write %.300s/%s: %s", f->dir, part.text, strerror(errno));
        return FETCH_FAILED;
    }
    enum intel_fetch_outcome outcome = FETCH_FAILED;
    if (transfer_run(&t, source->url, source, true, state))
        outcome = take_answer(f, source, &t, key, hex, state);
    *retry_ns = t.retry_after_ns;
    close(t.fd);
    if (outcome != FETCH_NEW)
        unlinkat(f->dir_fd, part.text, 0);
    return outcome;
}

static void work(uv_work_t *request)
{
    struct intel_fetch *f = request->data;
    const struct intel_fetched_source *source = &f->sources->list[f->current];
    uint64_t retry_ns = 0;
    f->fresh = f->states[f->current];
    f->fresh.error[0] = 0;
    f->fresh.tried_wall_ns = clock_ns(CLOCK_REALTIME);
    f->outcome = fetch(f, source, &f->fresh, &retry_ns);
    f->fresh.next_ns = retry_ns; /* from now on */
    if (f->outcome == FETCH_FAILED)
        return;
    f->fresh.meta.checked_wall_ns = f->fresh.tried_wall_ns;
    int error = intel_meta_store(&f->fresh.meta, f->dir, source->name);
    if (error)
        log_warn("intel", "cannot write %s/%s.meta: %s", f->dir, source->name, strerror(-error));
}

/* ---- when --------------------------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void arm(struct intel_fetch *f)
{
    uint64_t next = UINT64_MAX, now = clock_monotonic_ns();
    for (uint32_t i = 0; i < f->sources->n; i++)
        next = f->states[i].next_ns < next ? f->states[i].next_ns : next;
    if (f->stopping || f->working || next == UINT64_MAX)
        return;
    uv_update_time(f->loop);
    uv_timer_start(&f->timer, on_timer, next > now ? (next - now) / NS_PER_MS + 1 : 0, 0);
}

/* A tenth more or less, so that the hosts of a fleet do not come at once. */
static uint64_t next_regular(const struct intel_fetched_source *source, uint64_t random)
{
    return source->interval_ns - source->interval_ns / 10 + random % (source->interval_ns / 5);
}

static uint64_t next_retry(const struct intel_fetched_source *source, unsigned failures, uint64_t random)
{
    const struct schedule_policy policy = { .backoff_min_ns = LIMIT_INTEL_RETRY_MIN_NS,
                                            .backoff_max_ns = source->interval_ns < LIMIT_INTEL_RETRY_MAX_NS ? source->interval_ns : LIMIT_INTEL_RETRY_MAX_NS };
    return schedule_backoff(&policy, failures, random);
}

static void tell(const struct intel_fetched_source *source, const struct intel_fetch_state *state, enum intel_fetch_outcome outcome,
                 const char *before)
{
    if (outcome == FETCH_NEW)
        log_info("intel", "fetched the list %s: %llu bytes%s", source->name, (unsigned long long)state->bytes,
                 state->meta.key[0] ? ", signature checked" : "");
    else if (outcome == FETCH_FAILED && strcmp(before, state->error))
        log_warn("intel", "cannot fetch the list %s: %s; %s", source->name, state->error,
                 state->changed_wall_ns ? "the one before it stays" : "there is none yet");
    else if (outcome == FETCH_SAME && before[0])
        log_info("intel", "the list %s is reached again and has not changed", source->name);
}

static void after_work(uv_work_t *request, int status)
{
    struct intel_fetch *f = request->data;
    const struct intel_fetched_source *source = &f->sources->list[f->current];
    struct intel_fetch_state *state = &f->states[f->current];
    uint64_t now = clock_monotonic_ns();
    f->working = false;
    if (f->stopping || status)
        return;
    tell(source, &f->fresh, f->outcome, state->error);
    *state = f->fresh;
    state->failures = f->outcome == FETCH_FAILED ? state->failures + 1 : 0;
    uint64_t wait = f->outcome == FETCH_FAILED ? next_retry(source, state->failures, f->random()) : next_regular(source, f->random());
    state->next_ns = now + (state->next_ns > wait ? state->next_ns : wait);
    f->on_change(f->context);
    arm(f);
}

static void on_timer(uv_timer_t *timer)
{
    struct intel_fetch *f = timer->data;
    uint64_t now = clock_monotonic_ns();
    for (uint32_t i = 0; i < f->sources->n && !f->working && !f->stopping; i++) {
        if (f->states[i].next_ns > now)
            continue;
        f->current = i;
        f->working = uv_queue_work(f->loop, &f->work, work, after_work) == 0;
    }
    if (!f->working)
        arm(f);
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

static void find_state(struct intel_fetch *f, const struct intel_fetched_source *source, struct intel_fetch_state *state)
{
    uint8_t key[SIGNATURE_KEY_BYTES];
    char hex[65];
    struct stat st;
    uint64_t wall = clock_ns(CLOCK_REALTIME);
    intel_meta_load(&state->meta, f->dir_fd, source->name);
    if (!fstatat(f->dir_fd, file_name(source, ".list").text, &st, AT_SYMLINK_NOFOLLOW)) {
        state->bytes = (uint64_t)st.st_size;
        state->changed_wall_ns = (uint64_t)st.st_mtim.tv_sec * NS_PER_SECOND;
    }
    if (key_of(source, key, hex, state))
        discard_unchecked(f, source, hex, state);
    uint64_t due = state->changed_wall_ns && !strcmp(state->meta.url, source->url) ? state->meta.checked_wall_ns + source->interval_ns : 0;
    uint64_t wait = due > wall ? due - wall : 0;
    state->next_ns = clock_monotonic_ns() + (wait < source->interval_ns ? wait : source->interval_ns); /* a clock may have gone back */
}

int intel_fetch_open(struct intel_fetch *f, uv_loop_t *loop, const char *state_dir, const struct intel_sources *sources)
{
    f->sources = sources;
    f->loop = loop;
    f->work.data = f->timer.data = f;
    snprintf(f->dir, sizeof f->dir, "%s/intel", state_dir);
    if (mkdir(f->dir, 0700) && errno != EEXIST) {
        log_error("intel", "cannot make %s: %s", f->dir, strerror(errno));
        return -errno;
    }
    f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (f->dir_fd < 0) {
        log_error("intel", "cannot use %s: %s", f->dir, strerror(errno));
        return -errno;
    }
    uv_timer_init(loop, &f->timer);
    for (uint32_t i = 0; i < sources->n; i++)
        find_state(f, &sources->list[i], &f->states[i]);
    arm(f);
    return 0;
}

void intel_fetch_now(struct intel_fetch *f)
{
    for (uint32_t i = 0; i < f->sources->n; i++)
        f->states[i].next_ns = 0;
    arm(f);
}

void intel_fetch_stop(struct intel_fetch *f)
{
    f->stopping = true;
    atomic_store(&f->cancelled, true);
    uv_timer_stop(&f->timer);
}

void intel_fetch_close(struct intel_fetch *f)
{
    close(f->dir_fd);
}

static json_t *time_json(uint64_t wall_ns)
{
    char text[32];
    if (!wall_ns)
        return json_null();
    text_time(text, wall_ns);
    return json_string(text);
}

json_t *intel_fetch_status(const struct intel_fetch *f)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < f->sources->n; i++) {
        const struct intel_fetch_state *s = &f->states[i];
        json_array_append_new(array, json_pack("{s:s,s:s,s:o,s:o,s:o,s:I,s:b,s:i}", "name", f->sources->list[i].name, "error", s->error,
                                               "checked",
                                               time_json(s->meta.checked_wall_ns), "changed", time_json(s->changed_wall_ns), "tried",
                                               time_json(s->tried_wall_ns), "bytes", (json_int_t)s->bytes, "signed", s->meta.key[0] != 0,
                                                   "failures",
                                               (int)s->failures));
    }
    return array;
}
