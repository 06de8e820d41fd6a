/* The threat lists in force, and their renewal while the agent runs: at SIGHUP, and when a file changed, which is looked for at an interval. A worker
 * thread reads the new ones while the old ones go on being asked; the loop then only changes a pointer, and a worker gives the old
 * ones back. For as long as that takes both are in memory. What cannot be read leaves the old ones in force. */
#ifndef ECSGUARD_INTEL_LISTS_H
#define ECSGUARD_INTEL_LISTS_H

#include <uv.h>

#include "agent/intel_files.h"
#include "agent/pipeline.h"
#include "agent/writer.h"
#include "common/config.h"

struct intel_lists {
    const struct config *config;
    const char *config_path;
    char fetched_dir[LIMIT_CONFIG_TEXT_BYTES + 8];
    uv_loop_t *loop;
    uv_timer_t timer;
    uv_work_t work;
    bool working, again; /* again: asked for while it was working */
    struct pipeline *pipeline;
    struct intel *current, *old; /* in force, never NULL after open; to be given back */
    struct intel_files_result result;
    struct intel_sources sources;
    uint64_t checked_wall_ns[LIMIT_INTEL_SOURCES]; /* when the servers last confirmed them */
    uint64_t loaded_wall_ns, load_ns; /* when, and how long it took */
    uint64_t n_failures;
    bool refused;    /* the last try: what was in force stayed */
    char error[512]; /* of the last try; "" = it went well */

    /* of the worker thread while it works */
    bool forced;
    uint64_t state; /* of the files in force */
    struct intel *fresh;
    struct intel_files_result fresh_result;
    struct intel_sources fresh_sources;
    uint64_t fresh_checked_wall_ns[LIMIT_INTEL_SOURCES];
    bool has_changed;
    uint64_t fresh_ns;
    int fresh_error;
    char fresh_reason[512];
};

/* Loads, before the first event. What cannot be read is logged, and no list is in force. 0 or -ENOMEM. */
int intel_lists_open(struct intel_lists *l, uv_loop_t *loop, const struct config *config, const char *config_path);
/* Hands them to the pipeline, now and after each renewal, and begins to look for changes. */
void intel_lists_start(struct intel_lists *l, struct pipeline *pipeline);
/* Reads everything again, changed or not. */
void intel_lists_reload(struct intel_lists *l);
/* The row `intel` of `health`. */
void intel_lists_report(const struct intel_lists *l, struct writer *writer, uint64_t wall_ns);
/* After the loop has ended. */
void intel_lists_close(struct intel_lists *l);

#endif
