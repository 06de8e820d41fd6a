/* Many prefixes or suffixes looked for in a text at once: time goes with the text, not with their number. Pure. */
#ifndef ECSGUARD_RULES_AUTOMATON_H
#define ECSGUARD_RULES_AUTOMATON_H

#include "agent/detect/rules/arena.h"

enum automaton_kind {
    AUTOMATON_PREFIXES, /* a tree, walked from the text's first byte */
    AUTOMATON_SUFFIXES, /* ... from its last one */
};

struct automaton_pattern {
    const char *data;
    size_t length;
    uint32_t target; /* number of the bit to set when it is found */
};

struct automaton {
    enum automaton_kind kind;
    uint16_t class_of[256]; /* bytes that no pattern has are of class 0 */
    uint32_t n_classes, n_states;
    uint32_t *next;         /* [state][class] */
    uint32_t *first_target; /* of each state, and one more */
    uint32_t *targets;
};

/* 0; -E2BIG if the table would be larger than LIMIT_RULE_AUTOMATON_BYTES; -ENOMEM. */
int automaton_init(struct automaton *automaton, struct arena *arena, enum automaton_kind kind, const struct automaton_pattern *patterns,
                   size_t n);

/* Sets the bits of the patterns that the text begins (ends) with. */
void automaton_scan(const struct automaton *automaton, const char *text, size_t length, uint64_t *bits);

#endif
