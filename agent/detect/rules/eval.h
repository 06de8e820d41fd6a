/* Evaluates one condition or expression over one event. Fields come from a source: the agent's events, or a test's table. No allocation. */
#ifndef ECSGUARD_RULES_EVAL_H
#define ECSGUARD_RULES_EVAL_H

#include "agent/detect/rules/arena.h"
#include "agent/detect/rules/cond.h"
#include "agent/detect/rules/field.h"

/* Where values come from. */
struct value_source {
    enum value_answer (*get)(struct value_source *source, const struct field_ref *ref, struct value *out);
};

/* false and wait = false; true and wait = wait: a rule whose other parts do not hold is not held for facts. */
enum verdict { VERDICT_FALSE, VERDICT_TRUE, VERDICT_WAIT };

#define EVAL_SCRATCH_BYTES (64u << 10) /* texts that transformers make, for one event; when it is full a value is missing, counted */

struct regex_room;

struct eval {
    struct value_source *source;
    char *scratch; /* EVAL_SCRATCH_BYTES */
    size_t scratch_used;
    struct regex_room *regex;
    uint64_t n_scratch_full, n_regex_limit; /* evaluations given up; the check was false */
};

int eval_init(struct eval *eval); /* 0 or -ENOMEM */
void eval_fini(struct eval *eval);
static inline void eval_begin(struct eval *eval, struct value_source *source)
{
    eval->source = source;
    eval->scratch_used = 0;
}

/* Room in the scratch until the next eval_begin(), aligned for any type. NULL, and counted, when it is full. */
void *eval_room(struct eval *eval, size_t size);

/* A typed field or transformer. -ENOENT: an unknown field, which skip-if-unknown-filter forgives; else -EINVAL, both with *error; -ENOMEM. */
struct expression;
int expression_compile(struct arena *arena, const struct cond_operand *operand, struct expression **out, struct cond_error *error);
enum value_answer expression_get(const struct expression *expression, struct eval *eval, struct value *out);
const struct field_ref *expression_ref(const struct expression *expression); /* NULL for transformers */

/* One condition, for tests and `rules test`; rules by the hundred are evaluated by program.h. Errors as above; no COND_NAME may be left. */
struct predicate;
int predicate_compile(struct arena *arena, const struct cond *cond, struct predicate **out, struct cond_error *error);
enum verdict predicate_eval(const struct predicate *predicate, struct eval *eval);

/* Path-prefix match, language.md 7.3. */
bool path_matches(const char *path, size_t length, const char *const *prefixes, size_t n);

#endif
