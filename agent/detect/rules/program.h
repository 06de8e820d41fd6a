/* All rules compiled to one program: indexed by class of event, shared parts evaluated once per event. No allocation per event. */
#ifndef ECSGUARD_RULES_PROGRAM_H
#define ECSGUARD_RULES_PROGRAM_H

#include "agent/detect/rules/eval.h"
#include "agent/detect/rules/ruleset.h"

struct rule_counters {
    uint64_t n_evaluations, n_hits, ns; /* ns: sampled, scaled up */
};

struct program;

struct program_options {
    const struct event_name_set *classes; /* names that each class of events answers to */
    uint32_t n_classes;
    enum rule_priority priority_max;      /* rules with a larger number are left out */
    bool first_match;                     /* language.md 7.7; default: all */
};

/* `set` must outlive the program. Rules without `cond` are left out, as are disabled ones. NULL on lack of memory. */
struct program *program_new(const struct ruleset *set, const struct program_options *options);
void program_free(struct program *program);

struct program_hit {
    uint32_t rule; /* index in the ruleset */
    enum verdict verdict; /* TRUE or WAIT */
};

/* Evaluates the rules of a class; returns how many hits (at most `max`; more are counted in n_dropped). */
size_t program_match(struct program *program, uint32_t class, struct eval *eval, struct program_hit *hits, size_t max);
/* Hits that did not fit into `hits`. */
uint64_t program_dropped(const struct program *program);
/* One rule again, for a rule that waited. */
enum verdict program_match_rule(struct program *program, uint32_t class, uint32_t rule, struct eval *eval);

/* n_evaluations: how often the rule's condition was asked at all; events that lack what it cannot hold without never meet it. */
const struct rule_counters *program_counters(const struct program *program, uint32_t rule);
/* Every PROGRAM_TIMED-th event is timed, rule by rule, and counts as so many. NULL = never (tests, replay). */
#define PROGRAM_TIMED 64
void program_set_clock(struct program *program, uint64_t (*now_ns)(void));

/* What it is made of, for the log and for benchmarks. */
struct program_stats {
    uint32_t n_rules;              /* of all classes, those that can hold */
    uint32_t n_atoms, n_slots, n_nodes;
    uint32_t n_unguarded;          /* met by every event of their class */
    size_t bytes;
};
void program_stats(const struct program *program, struct program_stats *out);

#endif
