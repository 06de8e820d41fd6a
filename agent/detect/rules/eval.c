#include "agent/detect/rules/eval.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/atom.h"

#define ALIGNMENT 16

int eval_init(struct eval *eval)
{
    *eval = (struct eval){ .scratch = malloc(EVAL_SCRATCH_BYTES), .regex = regex_room_new() };
    if (eval->scratch && eval->regex)
        return 0;
    eval_fini(eval);
    return -ENOMEM;
}

void eval_fini(struct eval *eval)
{
    free(eval->scratch);
    regex_room_free(eval->regex);
    *eval = (struct eval){ 0 };
}

void *eval_room(struct eval *eval, size_t size)
{
    size_t left = EVAL_SCRATCH_BYTES - eval->scratch_used;
    if (size > left || (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT > left) {
        eval->n_scratch_full++;
        return NULL;
    }
    void *at = eval->scratch + eval->scratch_used;
    eval->scratch_used += (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return at;
}

/* ---- one condition -------------------------------------------------------------------------------------------------------- */

struct predicate {
    enum cond_kind kind;
    struct atom atom;
    struct predicate *children;
    uint32_t n_children;
};

static int compile(struct arena *arena, const struct cond *cond, struct predicate *out, struct cond_error *error, unsigned depth)
{
    int err = 0;
    out->kind = cond->kind;
    switch (cond->kind) {
    case COND_EXISTS:
    case COND_CHECK:
        return atom_compile(arena, cond, &out->atom, error);
    case COND_NAME:
        error->position = cond->position;
        snprintf(error->message, sizeof error->message, "Undefined macro '%s' used in filter.", cond->name);
        return -EINVAL;
    case COND_AND:
    case COND_OR:
    case COND_NOT:
        break;
    }
    if (depth == LIMIT_RULE_DEPTH) {
        error->position = cond->position;
        snprintf(error->message, sizeof error->message, "exceeded max depth limit of %u", LIMIT_RULE_DEPTH);
        return -EINVAL;
    }
    out->children = arena_new(arena, cond->n_children * sizeof *out->children);
    if (!out->children)
        return -ENOMEM;
    for (out->n_children = 0; out->n_children < cond->n_children && !err; out->n_children++)
        err = compile(arena, cond->children[out->n_children], &out->children[out->n_children], error, depth + 1);
    return err;
}

int predicate_compile(struct arena *arena, const struct cond *cond, struct predicate **out, struct cond_error *error)
{
    *out = arena_new(arena, sizeof **out);
    return *out ? compile(arena, cond, *out, error, 0) : -ENOMEM;
}

enum verdict predicate_eval(const struct predicate *predicate, struct eval *eval)
{
    enum verdict decisive = predicate->kind == COND_OR ? VERDICT_TRUE : VERDICT_FALSE;
    bool waits = false;
    switch (predicate->kind) {
    case COND_EXISTS:
    case COND_CHECK:
        return atom_eval(&predicate->atom, eval);
    case COND_NOT: {
        enum verdict inner = predicate_eval(&predicate->children[0], eval);
        return inner == VERDICT_WAIT ? inner : inner == VERDICT_TRUE ? VERDICT_FALSE : VERDICT_TRUE;
    }
    case COND_AND:
    case COND_OR:
        for (uint32_t i = 0; i < predicate->n_children; i++) {
            enum verdict each = predicate_eval(&predicate->children[i], eval);
            if (each == decisive)
                return each;
            waits |= each == VERDICT_WAIT;
        }
        return waits ? VERDICT_WAIT : decisive == VERDICT_TRUE ? VERDICT_FALSE : VERDICT_TRUE;
    case COND_NAME: /* refused when it was compiled */
        break;
    }
    return VERDICT_FALSE;
}

bool path_matches(const char *path, size_t length, const char *const *prefixes, size_t n)
{
    struct arena arena;
    struct path_set set;
    arena_init(&arena, 0);
    struct path *paths = arena_new(&arena, (n ? n : 1) * sizeof *paths);
    for (size_t i = 0; paths && i < n; i++)
        paths[i] = (struct path){ prefixes[i], strlen(prefixes[i]) };
    bool matches = paths && !path_set_init(&set, &arena, paths, n) && path_set_match(&set, path, length);
    arena_fini(&arena);
    return matches;
}
