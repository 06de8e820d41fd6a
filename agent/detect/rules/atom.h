/* One check of a condition, typed and ready to be asked: "FIELD OP VALUES", "FIELD OP val(FIELD)", "FIELD exists". Pure. */
#ifndef ECSGUARD_RULES_ATOM_H
#define ECSGUARD_RULES_ATOM_H

#include "agent/detect/rules/expression.h"

struct atom {
    bool exists; /* only asks whether there is a value */
    struct expression *left, *right; /* right: NULL = constants */
    struct comparison comparison;
};

/* `cond` is COND_CHECK or COND_EXISTS. 0, or as expression_compile(). */
int atom_compile(struct arena *arena, const struct cond *cond, struct atom *out, struct cond_error *error);

/* What the check says once its left side is known. `hash` as in comparison_holds(). */
enum verdict atom_verdict(const struct atom *atom, struct eval *eval, enum value_answer answer, const struct value *left, uint64_t *hash);

/* Compares with no value at all, as lists that users may fill are shipped: false for every event, also for one whose value is awaited. */
bool atom_is_empty(const struct atom *atom);

static inline enum verdict atom_eval(const struct atom *atom, struct eval *eval)
{
    struct value left;
    return atom_verdict(atom, eval, expression_get(atom->left, eval, &left), &left, NULL);
}

#endif
