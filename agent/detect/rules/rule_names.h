/* Names of lists, macros and rules -> their number. In an arena, so never freed by itself. Pure. */
#ifndef ECSGUARD_RULES_RULE_NAMES_H
#define ECSGUARD_RULES_RULE_NAMES_H

#include "agent/detect/rules/arena.h"

struct rule_name {
    const char *name; /* NULL = free */
    uint32_t length, number;
};

struct rule_names {
    struct rule_name *slots;
    uint32_t n, size; /* size: a power of two, at least twice n */
};

#define RULE_NAME_NONE UINT32_MAX

uint32_t rule_names_find(const struct rule_names *names, const char *name, size_t length);

/* A name that is not there yet; its text must live as long as the arena. 0 or -ENOMEM. */
int rule_names_add(struct rule_names *names, struct arena *arena, const char *name, uint32_t number);

#endif
