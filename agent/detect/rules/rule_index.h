/* Which rules of a class of events can hold for an event at all: each rule is filed under a part of its condition without which it cannot
 * hold, its guard, and what an event has is looked up instead of asking rule after rule. Pure. */
#ifndef ECSGUARD_RULES_RULE_INDEX_H
#define ECSGUARD_RULES_RULE_INDEX_H

#include "agent/detect/rules/automaton.h"
#include "agent/detect/rules/program_graph.h"

enum lookup_kind {
    LOOKUP_TEXT,    /* equal to one of many texts */
    LOOKUP_NUMBER,  /* ... numbers */
    LOOKUP_PREFIX,
    LOOKUP_SUFFIX,
    LOOKUP_PART,    /* among what the scan of the value finds */
    LOOKUP_DIRECT,  /* all else: a check that is asked as it is */
};

/* One value looked up among what the guards of many rules want of it. */
struct lookup {
    uint32_t slot;
    enum lookup_kind kind;
    struct text_set keys;      /* TEXT, NUMBER */
    uint32_t *first, *targets; /* of each key, or of each bit of the scan; first has one more */
    struct automaton automaton; /* PREFIX, SUFFIX */
    uint32_t *all;             /* every target: when the value may still come */
    uint32_t n_all;
};

/* A check that guards rules as it is. */
struct direct_guard {
    graph_ref ref;
    uint32_t *targets;
    uint32_t n_targets;
};

struct rule_index {
    uint32_t n_rules, n_words;
    uint64_t *always; /* rules without a guard */
    struct lookup *lookups;
    struct direct_guard *directs;
    uint32_t n_lookups, n_directs;
};

/* Files the conditions roots[0 ... n): bit i stands for the i-th. All texts stay borrowed from the graph. 0 or -ENOMEM. */
int rule_index_init(struct rule_index *index, struct arena *arena, const struct graph *graph, const graph_ref *roots, uint32_t n);

/* Sets the bits of the rules whose guard holds, or waits for facts: `bits` has n_words. */
void rule_index_find(const struct rule_index *index, struct graph *graph, struct eval *eval, uint64_t *bits);

/* What a guard costs each event, guessed. */
struct guard_weight {
    float asking;   /* the rule, as often as the guard holds; < 0 = not computed */
    float fetching; /* the values that it looks at: */
    uint32_t slot;  /* one, or several (UINT32_MAX) */
};

/* guard.c: the part of a condition that it is filed under. Refs of checks, one of which must hold (or wait) for `root` to hold; 0 of
 * them: there is no such part. */
struct guards {
    const struct graph *graph;
    struct guard_weight *weights; /* of each ref */
    uint32_t *users; /* of each slot: how many rules are filed under it so far; what fetching it costs is shared by them */
    graph_ref *refs;
    uint32_t n_refs, refs_max;
};
int guards_init(struct guards *guards, const struct graph *graph);
void guards_fini(struct guards *guards);
/* Chooses for all roots what is best for them together. 0 or -ENOMEM. */
int guards_settle(struct guards *guards, const graph_ref *roots, uint32_t n);
int guards_find(struct guards *guards, graph_ref root);

/* How a check can be looked up, by itself or negated. */
enum lookup_kind guard_lookup_kind(const struct graph *graph, graph_ref ref);
/* Of a check that is part of a scan: the bit that is set least often. */
uint32_t guard_scan_bit(const struct graph_atom *atom);
/* Of a wildcard pattern: how many bytes in front must be there as they are. */
size_t guard_literal_prefix(const char *pattern, size_t length);

#endif
