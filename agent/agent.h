/* The agent's loop: sensors' rings -> merge -> pipeline -> writer, and the pipeline's wishes back to the sensors.
 *
 * The loop does not wake per event (a wake costs more than an event): the first event after silence wakes it, then it looks at all sources
 * every LIMIT_TICK_MS until they have nothing left. */
#ifndef ECSGUARD_AGENT_H
#define ECSGUARD_AGENT_H

#include <uv.h>

#include "agent/intel_files.h"
#include "agent/merge.h"
#include "agent/pipeline.h"
#include "agent/requests.h"
#include "agent/sources.h"
#include "agent/writer.h"
#include "common/config.h"

#define AGENT_HELD_FINDINGS 16

struct agent {
    const struct config *config;
    uv_loop_t loop;
    uv_timer_t tick, report;
    uv_poll_t proc_poll, flow_poll, waker_poll;
    uv_signal_t signals[3];
    bool has_proc_poll, has_flow_poll;
    bool ticking;
    bool containers_behind; /* a container's row could not be handed to the writer yet */
    struct waker waker;
    struct writer *writer;
    struct pipeline *pipeline;
    struct intel intel, fresh; /* in force; being read */
    struct intel_files_result fresh_result;
    int fresh_error;
    bool reading_intel;
    uv_work_t intel_work;
    int64_t wall_offset_ns;
    struct merge merge;
    struct sources sources;
    struct requests requests;
    struct finding *held[AGENT_HELD_FINDINGS]; /* findings that the writer had no room for */
    int n_held;
    uint64_t last_lost_ns;
    uint64_t n_events, n_findings, n_findings_lost;
    uint64_t started_wall_ns;
};

/* Opens everything that needs privilege. 0 or -errno (logged); agent_close() in either case. */
int agent_open(struct agent *a, const struct config *config);
/* Runs until SIGTERM or SIGINT; SIGHUP reads the threat lists again. */
void agent_run(struct agent *a);
/* In reverse order; everything that is pending is committed. */
void agent_close(struct agent *a);

#endif
