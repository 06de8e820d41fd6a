#include "agent/detect/rules/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/constant.h"

#define N(array) (sizeof(array) / sizeof(array)[0])
#define SCRATCH_BYTES (1u << 20)

/* ---- what can be said without knowing the fields -------------------------------------------------------------------------- */

static const char *const deprecated_fields[] = {
    "evt.dir", "evt.latency", "evt.latency.s", "evt.latency.ns", "evt.latency.human", "evt.wait_latency",
};

static bool is_text(const struct cond_operand *operand, const char *text)
{
    return operand->text && strlen(text) == operand->length && !memcmp(operand->text, text, operand->length);
}

static void note_deprecated(struct check_result *result, const struct cond_operand *operand)
{
    for (size_t i = 0; i < N(deprecated_fields) && operand->kind == OPERAND_FIELD; i++) {
        if (!is_text(operand, deprecated_fields[i]))
            continue;
        for (uint32_t n = 0; n < result->n_deprecated; n++)
            if (result->deprecated[n] == deprecated_fields[i])
                return;
        if (result->n_deprecated < N(result->deprecated))
            result->deprecated[result->n_deprecated++] = deprecated_fields[i];
    }
    for (uint32_t i = 0; i < operand->n_items; i++)
        note_deprecated(result, operand->items[i]);
}

/* The values of a check: a list's, or the one. */
static uint32_t values_of(const struct cond *cond, struct cond_operand *const **items)
{
    *items = cond->right->kind == OPERAND_LIST ? cond->right->items : &cond->right;
    return cond->right->kind == OPERAND_LIST ? cond->right->n_items : 1;
}

/* Fields of the Kubernetes audit log print "<NA>" where others have no value. */
static bool is_unsafe_na(const struct cond *cond)
{
    struct cond_operand *const *items;
    bool is_equality = cond->op == OP_EQ || cond->op == OP_EQ2 || cond->op == OP_NE || cond->op == OP_IN || cond->op == OP_INTERSECTS ||
                       cond->op == OP_PMATCH;
    if (!is_equality || cond->left->kind != OPERAND_FIELD || (strncmp(cond->left->text, "ka.", 3) && strncmp(cond->left->text, "jevt.", 5)))
        return false;
    for (uint32_t i = 0, n = values_of(cond, &items); i < n; i++)
        if (items[i]->kind == OPERAND_VALUE && is_text(items[i], "<NA>"))
            return true;
    return false;
}

/* Nothing but what `=`, startswith, endswith or contains could say: no special characters but ^ in front, $ at the end, "any" at both. */
static bool regex_is_plain(const char *text, size_t length)
{
    const char *p = text, *end = text + length;
    if (p < end && *p == '^')
        p++;
    if (end > p && end[-1] == '$')
        end--;
    if (end - p >= 2 && p[0] == '.' && strchr("*+?", p[1]))
        p += 2;
    if (end - p >= 2 && end[-2] == '.' && strchr("*+?", end[-1]))
        end -= 2;
    for (; p < end; p++)
        if (strchr("\\^$.|?*+()[]{}", *p))
            return false;
    return true;
}

/* ---- one check ------------------------------------------------------------------------------------------------------------ */

struct checking {
    struct arena *arena; /* of the caller: warnings */
    struct arena scratch; /* of atoms, which are only typed here */
    struct eval *eval;
    struct check_result *result;
};

static void fail(struct checking *c, enum check_error kind, const struct cond_error *error)
{
    c->result->error = kind;
    c->result->position = error->position;
    snprintf(c->result->message, sizeof c->result->message, "%s", error->message);
}

static void warn(struct checking *c, const char *text)
{
    if (c->result->n_warnings < CHECK_WARNINGS_MAX && text)
        c->result->warnings[c->result->n_warnings++] = text;
}

/* "proc.pname" as a value is a text, and hardly what was meant. */
static void warn_misused(struct checking *c, const struct cond_operand *value)
{
    struct cond_operand *operand;
    struct expression *expression;
    struct cond_error error;
    size_t n = value->length;
    while (n && (value->text[n - 1] == ' ' || value->text[n - 1] == '\t'))
        n--;
    if (!n || (!memchr(value->text, '.', n) && !memchr(value->text, '(', n)) || memchr(value->text, 0, n) ||
        cond_parse_field(&c->scratch, value->text, n, &operand, &error) != n ||
        expression_compile(&c->scratch, operand, &expression, &error))
        return;
    warn(c, arena_printf(c->arena, "'%s' may be a valid field%s misused as a const string value", value->text,
                         operand->kind == OPERAND_TRANSFORMER ? " transformer" : ""));
}

static void warn_values(struct checking *c, const struct cond *cond)
{
    struct cond_operand *const *items;
    for (uint32_t i = 0, n = values_of(cond, &items); i < n; i++) {
        if (items[i]->kind != OPERAND_VALUE)
            continue;
        warn_misused(c, items[i]);
        if (cond->op == OP_REGEX && regex_is_plain(items[i]->text, items[i]->length))
            warn(c, arena_printf(
                        c->arena,
                        "regex check with '%s' may be optimized with simpler operators such as '=', 'contains', 'startswith', 'endswith'",
                        items[i]->text));
    }
}

/* The values of evt.type must be names that the reference knows. */
static bool names_are_known(struct checking *c, const struct cond *cond)
{
    struct cond_operand *const *items;
    bool is_equality = cond->op == OP_EQ || cond->op == OP_EQ2 || cond->op == OP_NE || cond->op == OP_IN || cond->op == OP_INTERSECTS;
    if (cond->left->kind != OPERAND_FIELD || !is_text(cond->left, "evt.type") || !is_equality)
        return true;
    for (uint32_t i = 0, n = values_of(cond, &items); i < n; i++) {
        struct cond_error error = { .position = cond->position };
        if (items[i]->kind != OPERAND_VALUE || event_name_find(items[i]->text, items[i]->length) >= 0)
            continue;
        snprintf(error.message, sizeof error.message, "unknown event type %s", items[i]->text);
        fail(c, CHECK_UNKNOWN, &error);
        return false;
    }
    return true;
}

static void set_all(struct event_name_set *set, bool full)
{
    memset(set, 0, sizeof *set);
    for (int i = 0; full && i < event_names_count(); i++)
        set->bits[i / 64] |= 1ull << (i % 64);
}

/* For which events a check can be true, or false when it is negated: all but for evt.type and constants. */
static void atom_events(struct checking *c, const struct atom *atom, bool negated, struct event_name_set *out)
{
    int constant = atom_constant(atom);
    if (!atom_event_names(atom, c->eval, out)) {
        set_all(out, constant < 0 || constant != negated);
        return;
    }
    for (size_t i = 0; negated && i < N(out->bits); i++)
        out->bits[i] = ~out->bits[i];
    struct event_name_set full;
    set_all(&full, true);
    for (size_t i = 0; i < N(out->bits); i++)
        out->bits[i] &= full.bits[i];
}

/* Out of line, as all that needs room: check_tree() is on the stack once for each level of the tree. */
__attribute__((noinline)) static void check_atom(struct checking *c, const struct cond *cond, bool negated, struct event_name_set *out)
{
    struct atom atom;
    struct cond_error error = { .position = cond->position };
    if (cond->kind == COND_CHECK && !names_are_known(c, cond))
        return;
    int err = atom_compile(&c->scratch, cond, &atom, &error);
    if (err) {
        fail(c, err == -ENOENT ? CHECK_UNKNOWN : err == -ENOMEM ? CHECK_NOMEM : CHECK_INVALID, &error);
        return;
    }
    atom_events(c, &atom, negated, out);
    if (cond->kind == COND_CHECK)
        warn_values(c, cond);
    if (c->scratch.used_bytes > SCRATCH_BYTES) { /* none of it is needed any more */
        arena_fini(&c->scratch);
        arena_init(&c->scratch, 0);
    }
}

/* ---- the tree ------------------------------------------------------------------------------------------------------------- */

__attribute__((noinline, format(printf, 3, 4))) static void refuse(struct checking *c, const struct cond *cond, const char *format, ...)
{
    struct cond_error error = { .position = cond->position };
    va_list args;
    va_start(args, format);
    vsnprintf(error.message, sizeof error.message, format, args);
    va_end(args);
    fail(c, CHECK_INVALID, &error);
}

static void check_tree(struct checking *c, const struct cond *cond, bool negated, unsigned depth, struct event_name_set *out)
{
    set_all(out, true);
    if (c->result->error)
        return;
    switch (cond->kind) {
    case COND_EXISTS:
    case COND_CHECK:
        check_atom(c, cond, negated, out);
        return;
    case COND_NAME:
        refuse(c, cond, "Undefined macro '%s' used in filter.", cond->name);
        return;
    case COND_AND:
    case COND_OR:
    case COND_NOT:
        break;
    }
    if (depth == LIMIT_RULE_DEPTH) {
        refuse(c, cond, "exceeded max depth limit of %u", LIMIT_RULE_DEPTH);
        return;
    }
    bool flip = cond->kind == COND_NOT, all = (cond->kind == COND_AND) != negated; /* De Morgan */
    for (uint32_t i = 0; i < cond->n_children; i++) {
        struct event_name_set child;
        check_tree(c, cond->children[i], negated != flip, depth + 1, i ? &child : out);
        for (size_t n = 0; i && n < N(out->bits); n++)
            out->bits[n] = all ? out->bits[n] & child.bits[n] : out->bits[n] | child.bits[n];
    }
}

/* Deep trees end the walk here too; check_tree() says so. */
static void look_over(const struct cond *cond, struct check_result *result, unsigned depth)
{
    if (cond->left)
        note_deprecated(result, cond->left);
    if (cond->right)
        note_deprecated(result, cond->right);
    if (cond->kind == COND_CHECK && is_unsafe_na(cond))
        result->unsafe_na = true;
    for (uint32_t i = 0; i < cond->n_children && depth < LIMIT_RULE_DEPTH; i++)
        look_over(cond->children[i], result, depth + 1);
}

void cond_check(struct arena *arena, const struct cond *cond, struct check_result *result)
{
    struct eval eval;
    struct checking c = { .arena = arena, .eval = &eval, .result = result };
    *result = (struct check_result){ 0 };
    look_over(cond, result, 0);
    if (eval_init(&eval)) {
        result->error = CHECK_NOMEM;
        return;
    }
    arena_init(&c.scratch, 0);
    check_tree(&c, cond, false, 0, &result->events);
    arena_fini(&c.scratch);
    eval_fini(&eval);
    if (arena->failed && !result->error)
        result->error = CHECK_NOMEM;
}

/* ---- names ---------------------------------------------------------------------------------------------------------------- */

struct names {
    struct arena *arena;
    const char **items;
    uint32_t n, size;
};

static void names_add(struct names *names, const char *name)
{
    if (!name)
        return;
    if (names->n == names->size) {
        uint32_t size = names->size ? 2 * names->size : 16;
        const char **items = arena_new(names->arena, size * sizeof *items);
        if (!items)
            return;
        if (names->n)
            memcpy(items, names->items, names->n * sizeof *items);
        names->items = items;
        names->size = size;
    }
    names->items[names->n++] = name;
}

static int name_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static uint32_t names_finish(struct names *names, const char ***out)
{
    uint32_t n = 0;
    if (names->n)
        qsort(names->items, names->n, sizeof *names->items, name_order);
    for (uint32_t i = 0; i < names->n; i++)
        if (!n || strcmp(names->items[n - 1], names->items[i]))
            names->items[n++] = names->items[i];
    *out = names->items;
    return n;
}

static void operand_fields(struct names *names, const struct cond_operand *operand)
{
    if (operand->kind == OPERAND_FIELD)
        names_add(names, cond_operand_print(names->arena, operand));
    for (uint32_t i = 0; i < operand->n_items; i++)
        if (operand->items[i]->kind != OPERAND_VALUE)
            operand_fields(names, operand->items[i]);
}

static void tree_fields(struct names *names, const struct cond *cond, unsigned depth)
{
    if (cond->left)
        operand_fields(names, cond->left);
    if (cond->right)
        operand_fields(names, cond->right);
    for (uint32_t i = 0; i < cond->n_children && depth < LIMIT_RULE_DEPTH; i++)
        tree_fields(names, cond->children[i], depth + 1);
}

uint32_t cond_fields(struct arena *arena, const struct cond *cond, const char ***out)
{
    struct names names = { .arena = arena };
    tree_fields(&names, cond, 0);
    return names_finish(&names, out);
}

static void tree_operators(struct names *names, const struct cond *cond, unsigned depth)
{
    if (cond->kind == COND_EXISTS)
        names_add(names, "exists");
    if (cond->kind == COND_CHECK && cond->modifier == MODIFIER_NONE)
        names_add(names, cond_op_name(cond->op));
    else if (cond->kind == COND_CHECK)
        names_add(names, arena_printf(names->arena, "%s %s", cond_op_name(cond->op), cond_modifier_name(cond->modifier)));
    for (uint32_t i = 0; i < cond->n_children && depth < LIMIT_RULE_DEPTH; i++)
        tree_operators(names, cond->children[i], depth + 1);
}

uint32_t cond_operators(struct arena *arena, const struct cond *cond, const char ***out)
{
    struct names names = { .arena = arena };
    tree_operators(&names, cond, 0);
    return names_finish(&names, out);
}
