/* The agent's loop: sensors' rings -> merge -> pipeline -> writer, and the pipeline's wishes back to the sensors.
 *
 * The loop does not wake per event (a wake costs more than an event): the first event after silence wakes it, then it looks at all sources
 * every LIMIT_TICK_MS until they have nothing left. */
#ifndef ECSGUARD_AGENT_H
#define ECSGUARD_AGENT_H

#include <uv.h>

#include "agent/detect_files.h"
#include "agent/host_facts.h"
#include "agent/intel_lists.h"
#include "agent/merge.h"
#include "agent/pipeline.h"
#include "agent/requests.h"
#include "agent/rule_files.h"
#include "agent/rule_report.h"
#include "agent/sources.h"
#include "agent/writer.h"
#include "common/config.h"

#define AGENT_HELD_FINDINGS 16

struct agent {
    const struct config *config;
    const char *config_path;
    uv_loop_t loop;
    uv_timer_t tick, report;
    uv_poll_t source_polls[SOURCES_FDS_MAX], waker_poll;
    int n_source_polls;
    uv_signal_t signals[3];
    bool ticking;
    bool containers_behind; /* a container's row could not be handed to the writer yet */
    struct waker waker;
    struct writer *writer;
    struct pipeline *pipeline;
    struct intel_lists lists;
    struct host_state host;
    uint32_t n_reports;
    struct rules *fresh_rules; /* being read; NULL = refused */
    struct rule_files_result rules_result, fresh_rules_result; /* fresh: the worker thread writes it while the loop reports the other */
    struct rule_report rule_report;
    uint64_t rules_loaded_wall_ns;
    bool stopping; /* a signal said so */
    bool reading_rules, rules_refused; /* refused: the last reload was, the former ones are in force */
    bool rules_again, files_again;     /* a reload was asked for while one ran, which may have read the files before they changed */
    uv_work_t rules_work;
    bool reading_files;
    uv_work_t files_work;
    struct sequences *sequences, *fresh_sequences; /* in force; being read */
    struct sequence_files_result sequence_result;
    struct suppress *suppress, *fresh_suppress;
    int fresh_sequences_error, fresh_suppress_error;
    char suppress_error[512], fresh_suppress_reason[512]; /* why the filters of the file are not in force; "" = they are */
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
int agent_open(struct agent *a, const struct config *config, const char *config_path);
/* Runs until SIGTERM or SIGINT; SIGHUP reads threat lists, rules, attack sequences and filters again. */
void agent_run(struct agent *a);
/* In reverse order; everything that is pending is committed. */
void agent_close(struct agent *a);

#endif
