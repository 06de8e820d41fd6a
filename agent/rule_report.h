/* Keeps the view `rules` up to date: a few rows at a time, and only those that changed, so that thousands of rules do not fill the writer's
 * ring. */
#ifndef ECSGUARD_RULE_REPORT_H
#define ECSGUARD_RULE_REPORT_H

#include "agent/writer.h"

struct rules;

struct rule_written {
    uint64_t evaluations, hits, wall_ns; /* as last written; wall_ns 0 = never */
    uint64_t made;                       /* findings, of a detector */
};

struct rule_report {
    const struct rules *rules;
    uint64_t loaded_wall_ns;
    unsigned filled; /* as last told */
    uint32_t n, next; /* detectors first, then rules */
    struct rule_written *written;
};

/* Other rules are in force: all rows are due. */
void rule_report_begin(struct rule_report *report, const struct rules *rules, uint64_t wall_ns);
void rule_report_fini(struct rule_report *report);

/* Counts a finding of a detector; those of rules are counted by the program. */
void rule_report_finding(struct rule_report *report, const struct finding *finding);

/* Hands a part of what changed to the writer, hits first: all rows when the sensors that are on changed. `filled`: FILL_* of the sensors that are on. */
void rule_report_some(struct rule_report *report, struct writer *writer, unsigned filled, uint64_t wall_ns);

#endif
