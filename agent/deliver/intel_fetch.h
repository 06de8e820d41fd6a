/* Fetches threat lists over HTTPS into a directory of our own, for the agent to read. One at a time, in a thread of libuv. A list takes the place of the
 * one before it only when it came whole, is not larger than allowed and, where a key is configured, its signature is right; else the old
 * one stays. Files: NAME.list, and NAME.meta, whose time says when the server last confirmed the list. */
#ifndef ECSGUARD_INTEL_FETCH_H
#define ECSGUARD_INTEL_FETCH_H

#include <jansson.h>
#include <stdatomic.h>
#include <uv.h>

#include "agent/deliver/intel_meta.h"
#include "agent/detect/intel_sources.h"

#define INTEL_FETCH_ERROR_MAX 400

/* How one list stands. */
struct intel_fetch_state {
    struct intel_meta meta;
    uint64_t bytes;           /* of the list in use */
    uint64_t changed_wall_ns; /* 0 = there is none */
    uint64_t tried_wall_ns;
    uint64_t next_ns;         /* monotonic */
    unsigned failures;        /* in a row */
    char error[INTEL_FETCH_ERROR_MAX]; /* of the last try; "" = it went well */
};

/* What the last try came to. */
enum intel_fetch_outcome { FETCH_FAILED, FETCH_SAME, FETCH_NEW };

struct intel_fetch {
    const struct intel_sources *sources;
    char dir[LIMIT_CONFIG_TEXT_BYTES + 8];
    int dir_fd;
    uv_loop_t *loop;
    uv_timer_t timer;
    uv_work_t work;
    bool working, stopping;
    uint64_t (*random)(void);
    void (*on_change)(void *context); /* after each try: the status is another one */
    void *context;
    struct intel_fetch_state states[LIMIT_INTEL_SOURCES];

    /* of the thread while it works */
    uint32_t current;
    enum intel_fetch_outcome outcome;
    struct intel_fetch_state fresh;
    atomic_bool cancelled;
};

/* Makes DIR/intel where it is missing and finds out what is there. 0 or -errno (logged). libcurl is initialised already. */
int intel_fetch_open(struct intel_fetch *f, uv_loop_t *loop, const char *state_dir, const struct intel_sources *sources);
/* Tries all sources now. */
void intel_fetch_now(struct intel_fetch *f);
/* Nothing new begins; what is under way is abandoned within about a second. The loop must run on until then. */
void intel_fetch_stop(struct intel_fetch *f);
void intel_fetch_close(struct intel_fetch *f);
/* An array, for status.json. */
json_t *intel_fetch_status(const struct intel_fetch *f);

#endif
