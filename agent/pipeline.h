/* The pipeline: every event passes it, in order of kernel time, and every decision is made in it. Pure: no descriptor, no clock;
 * `now_ns` is the time of the event or tick. */
#ifndef ECSGUARD_PIPELINE_H
#define ECSGUARD_PIPELINE_H

#include "agent/outcome.h"

struct pipeline;
struct intel;
struct rules;
struct sequences;
struct suppress;
struct detect_options;

struct pipeline_options {
    int64_t next_event_id;    /* first row id to give to events */
    int32_t next_container_id;
    const struct intel *intel; /* threat lists, NULL = none; borrowed */
    bool rules_only; /* no other detector: to try rules */
    const struct sequences *sequences; /* attack sequences, NULL = none; borrowed */
    struct suppress *suppress;         /* filters, NULL = none; borrowed, their matches are counted */
    const struct detect_options *detect; /* NULL = the defaults */
    const char *host;                    /* name of this host, NULL = unknown; borrowed */
};

/* NULL on lack of memory. */
struct pipeline *pipeline_new(const struct pipeline_options *options);
void pipeline_free(struct pipeline *p);

/* What the host itself is, for rules; borrowed, NULL = unknown. */
struct host_facts;
struct user_names;
void pipeline_set_host(struct pipeline *p, const struct host_facts *host, const struct user_names *users, const char *host_name);

/* Puts other rules in force (NULL = none) and gives back the former ones, for rules_free(). What waits for facts is decided by the new
 * rules of the same names. */
struct rules *pipeline_set_rules(struct pipeline *p, struct rules *rules);
const struct rules *pipeline_rules(const struct pipeline *p);

/* Wall time = monotonic + offset, for stamps and findings; the shell renews it. */
void pipeline_set_wall_offset(struct pipeline *p, int64_t offset_ns);

/* Other threat lists, NULL = none; borrowed. The former ones may be freed when this returns: detectors copy what a match tells. */
void pipeline_set_intel(struct pipeline *p, const struct intel *intel);

/* Other sequences and filters, after a reload; NULL = none; borrowed. */
void pipeline_set_sequences(struct pipeline *p, const struct sequences *sequences);
void pipeline_set_suppress(struct pipeline *p, struct suppress *suppress);

/* One event. `out` is overwritten. */
void pipeline_event(struct pipeline *p, const struct event *ev, struct outcome *out);

/* Decisions whose waiting time is over at `now_ns`. Call until it returns false (nothing more is due). */
bool pipeline_tick(struct pipeline *p, uint64_t now_ns, struct outcome *out);

/* Sizes and losses of the core's tables, for `health`. */
struct pipeline_counters {
    uint64_t n_processes, n_containers; /* alive */
    uint64_t n_processes_evicted, n_containers_evicted, n_origins_evicted, n_images_cut, n_images_lost;
    uint64_t n_forced;      /* decisions made without the fact they waited for, because too many waited */
    uint64_t n_forgotten;   /* what detectors of network behaviour had to give up for something else */
    uint64_t n_not_compared; /* new executables that were not compared with tools, because there were too many */
    uint64_t n_rules_held, n_rules_forced; /* rules that waited for facts; decided without them because too many waited */
    uint64_t n_rule_hits_dropped;          /* more rules matched one event than can be told */
    uint64_t n_rule_values_dropped;        /* values missing because the texts of one event were too long together */
    uint64_t n_regex_given_up;             /* regular expressions that would have taken too long: they did not match */
    uint64_t n_late_execs, n_execs_unknown; /* execs read too late: those whose file the file sensor told, and the others */
    uint64_t n_bad_cgroups; /* control group texts that no kernel writes */
    uint64_t n_dns_names, n_dns_names_evicted; /* addresses whose name is known */
    uint64_t n_dns_unasked; /* answers whose question was not seen: nothing is learnt from them */
    uint64_t n_dns_folded, n_dns_bursts;       /* DNS messages without rows of their own, and the rows that stand for them */
    uint64_t n_dns_unsummed;                   /* ... that are in no row */
    uint64_t n_flows_folded, n_flow_bursts; /* flows without rows of their own, and the rows that stand for them */
    uint64_t n_flows_unsummed;              /* ... that are in no row */
    uint64_t n_flows_evicted;               /* flows forgotten before their end: it stands as a flow of its own */
    uint64_t n_owners_asked, n_owners_found; /* questions for the process of a flow, and those answered with one */
    uint64_t n_conflicts;   /* sources that named another task than the control group does */
};

void pipeline_count(const struct pipeline *p, struct pipeline_counters *out);

/* The living processes of a container (0 = the host), the newest first: at most `max` pids. Returns how many. */
size_t pipeline_processes(const struct pipeline *p, int32_t container, int32_t *pids, size_t max);

/* The i-th container that is known, NULL after the last one. */
const struct container_facts *pipeline_container(const struct pipeline *p, uint32_t i);

/* When the next waiting decision is due (CLOCK_MONOTONIC), UINT64_MAX = none waits. */
uint64_t pipeline_next_due(const struct pipeline *p);

#endif
