/* Types a syntax tree: fields, operators, values, transformers; warns; tells for which events a condition can be true. Pure. */
#ifndef ECSGUARD_RULES_CHECK_H
#define ECSGUARD_RULES_CHECK_H

#include "agent/detect/rules/cond.h"
#include "agent/detect/rules/field.h"

#define CHECK_WARNINGS_MAX 64

enum check_error {
    CHECK_OK,
    CHECK_UNKNOWN, /* unknown field, unknown event type: forgiven by skip-if-unknown-filter */
    CHECK_INVALID, /* all others */
    CHECK_NOMEM,
};

struct check_result {
    enum check_error error;
    struct cond_position position;
    char message[512];               /* the reference's words */
    const char *warnings[CHECK_WARNINGS_MAX]; /* LOAD_COMPILE_CONDITION texts, in the arena */
    uint32_t n_warnings;
    bool unsafe_na;                  /* LOAD_UNSAFE_NA_CHECK */
    const char *deprecated[8];       /* fields: LOAD_DEPRECATED_ITEM */
    uint32_t n_deprecated;
    struct event_name_set events;    /* language.md 7.6 */
};

/* `cond` has no COND_NAME left. */
void cond_check(struct arena *arena, const struct cond *cond, struct check_result *result);

/* Sorted names of the fields (with arguments as written) and of the operators in a condition; for `rules explain` and tests. */
uint32_t cond_fields(struct arena *arena, const struct cond *cond, const char ***names);
uint32_t cond_operators(struct arena *arena, const struct cond *cond, const char ***names);

#endif
