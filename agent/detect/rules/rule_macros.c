/* Conditions parsed, and macros put into them as trees. Trees are shared, never changed: a macro used by a hundred rules stands in memory
 * once, and who reads the rules' trees sees by the address that it is the same. */
#include <string.h>

#include "agent/detect/rules/rule_load.h"

/* ---- parsing ---- */

int rule_condition_begin(struct rule_load *load, const char *condition)
{
    load->source_start = 0;
    load->source_length = strlen(condition);
    rule_text_begin(&load->source, false);
    return rule_text_add(&load->source, condition, load->source_length, 0);
}

struct rule_spot rule_condition_spot(struct rule_load *load, const struct rule_part *parts, size_t index)
{
    struct rule_text *text;
    if (rule_lists_substitute(load, true, &text) || !text->length)
        return rule_spot_in(load, parts, 0);
    size_t last = index < text->length ? index : text->length - 1;
    uint32_t origin = text->origin[last];
    size_t offset = (origin & ~ORIGIN_INSERTED) + (index - last);
    struct rule_spot spot = rule_spot_in(load, parts, offset > load->source_start ? offset - load->source_start : 0);
    bool own = offset <= load->source_start + load->source_length;
    if (!own)
        spot = load->exceptions;
    if (!own || origin & ORIGIN_INSERTED || spot.file != load->file) {
        spot.excerpt = text->bytes;
        spot.excerpt_length = text->length;
        spot.excerpt_at = index;
    }
    return spot;
}

int rule_condition_parse(struct rule_load *load, const struct rule_part *parts, struct cond **out)
{
    struct rule_text *text;
    struct cond_error error;
    int e = rule_lists_substitute(load, false, &text);
    if (e == -E2BIG) {
        struct rule_spot spot = rule_spot_in(load, parts, 0);
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "The condition is longer than %d bytes once lists are put in",
                              LIMIT_RULE_TEXT_BYTES);
    }
    if (!e)
        e = cond_parse(&load->next.arena, text->bytes, text->length, COND_DEPTH_RULES, out, &error);
    if (e != -EINVAL)
        return e;
    struct rule_spot spot = rule_condition_spot(load, parts, error.position.index);
    return rule_load_fail(load, LOAD_ERR_COMPILE_CONDITION, &spot, "%s", error.message);
}

/* ---- putting macros in ---- */

/* A macro being put in, and what it is put into. */
struct frame {
    const struct rule_macro *macro;
    const struct frame *up;
};

struct resolver {
    struct rule_load *load;
    uint32_t visibility;       /* macros first defined before this mark are seen */
    uint64_t weight;           /* of the tree so far */
    uint32_t height;
    bool too_large, no_memory;
    const char *loop, *unknown; /* the first of each */
    uint32_t loop_at, unknown_at;
    const struct rule_macro *loop_in, *unknown_in; /* whose text that is, NULL = the one that is resolved */
};

static uint64_t operand_weight(const struct cond_operand *operand)
{
    uint64_t weight = 1;
    for (uint32_t i = 0; i < operand->n_items; i++)
        weight += operand->items[i]->n_items ? operand_weight(operand->items[i]) : 1;
    return weight;
}

static bool reach(struct resolver *r, uint64_t weight, uint64_t height)
{
    r->weight += weight;
    if (r->weight > LIMIT_RULE_NODES || height >= LIMIT_RULE_DEPTH)
        r->too_large = true;
    else if (height > r->height)
        r->height = (uint32_t)height;
    return !r->too_large;
}

static struct cond *resolve(struct resolver *r, struct cond *cond, const struct frame *frame, uint32_t depth);

static struct cond *resolve_name(struct resolver *r, struct cond *cond, const struct frame *frame, uint32_t depth)
{
    uint32_t number = rule_names_find(&r->load->index->macros, cond->name, strlen(cond->name));
    struct rule_macro *macro = number == RULE_NAME_NONE ? NULL : &r->load->next.macros[number];
    if (!macro || macro->index >= r->visibility) {
        if (!r->unknown) {
            r->unknown = cond->name;
            r->unknown_at = cond->position.index;
            r->unknown_in = frame ? frame->macro : NULL;
        }
        return cond;
    }
    for (const struct frame *f = frame; f; f = f->up) {
        if (f->macro != macro)
            continue;
        if (!r->loop) {
            r->loop = macro->name;
            r->loop_at = cond->position.index;
            r->loop_in = frame->macro;
        }
        return cond;
    }
    macro->used = true;
    if (macro->cond)
        return reach(r, macro->weight, (uint64_t)depth + macro->height) ? macro->cond : cond;
    struct frame inner = { macro, frame };
    return resolve(r, macro->parsed, &inner, depth + 1);
}

/* The node itself when nothing below it changed; NULL on lack of memory. */
static struct cond *resolve_children(struct resolver *r, struct cond *cond, const struct frame *frame, uint32_t depth)
{
    struct cond *copy = cond;
    for (uint32_t i = 0; i < cond->n_children; i++) {
        struct cond *child = resolve(r, cond->children[i], frame, depth + 1);
        if (r->too_large || r->no_memory)
            return cond;
        if (child == cond->children[i])
            continue;
        if (copy == cond) {
            copy = arena_new(&r->load->next.arena, sizeof *copy);
            struct cond **children = arena_new(&r->load->next.arena, cond->n_children * sizeof *children);
            if (!copy || !children) {
                r->no_memory = true;
                return cond;
            }
            *copy = *cond;
            memcpy(children, cond->children, cond->n_children * sizeof *children);
            copy->children = children;
        }
        copy->children[i] = child;
    }
    return copy;
}

static struct cond *resolve(struct resolver *r, struct cond *cond, const struct frame *frame, uint32_t depth)
{
    if (!reach(r, 1, depth))
        return cond;
    switch (cond->kind) {
    case COND_AND:
    case COND_OR:
    case COND_NOT:
        return resolve_children(r, cond, frame, depth);
    case COND_NAME:
        return resolve_name(r, cond, frame, depth);
    case COND_EXISTS:
    case COND_CHECK:
        reach(r, operand_weight(cond->left) + (cond->right ? operand_weight(cond->right) : 0), depth);
        return cond;
    }
    return cond;
}

/* `top`: the macro that is resolved, or NULL for `rule`. What is wrong is told where it stands. */
static int resolver_end(struct resolver *r, const struct rule_macro *top, const struct rule *rule)
{
    struct rule_load *load = r->load;
    const struct rule_part *parts = top ? top->condition_parts : rule->condition_parts;
    const struct rule_macro *in = r->loop ? r->loop_in : r->unknown_in;
    if (r->no_memory)
        return -ENOMEM;
    if (r->too_large) {
        struct rule_spot spot = rule_spot_in(load, parts, 0);
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot,
                              "The condition holds more than %d checks and values, or nests deeper than %d, once macros are put in",
                              LIMIT_RULE_NODES, LIMIT_RULE_DEPTH);
    }
    if (!r->loop && !r->unknown)
        return 0;
    if (in || top) {
        const struct rule_macro *of = in ? in : top;
        int e = rule_condition_begin(load, of->condition);
        if (e)
            return e;
        parts = of->condition_parts;
    }
    struct rule_spot spot = rule_condition_spot(load, parts, r->loop ? r->loop_at : r->unknown_at);
    if (r->loop)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "reference loop in macro '%s'", r->loop);
    return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Undefined macro '%s' used in filter.", r->unknown);
}

/* What messages are about from now on. */
static void begin_macro(struct rule_load *load, const struct rule_macro *macro)
{
    load->item_type = "macro";
    load->item_name = macro->name;
    load->item = rule_spot_at(macro->file, macro->line, macro->column);
}

static int parse_macro(struct rule_load *load, struct rule_macro *macro)
{
    macro->used = false;
    macro->cond = NULL;
    macro->condition = rule_parts_join(load, macro->condition_parts);
    if (!macro->condition)
        return -ENOMEM;
    int e = rule_condition_begin(load, macro->condition);
    return e ? e : rule_condition_parse(load, macro->condition_parts, &macro->parsed);
}

static int resolve_macro(struct rule_load *load, struct rule_macro *macro)
{
    struct resolver r = { .load = load, .visibility = macro->visibility };
    struct cond *cond = resolve(&r, macro->parsed, NULL, 0);
    int e = resolver_end(&r, macro, NULL);
    if (e)
        return e;
    macro->cond = cond;
    macro->weight = (uint32_t)r.weight;
    macro->height = r.height;
    return 0;
}

int rule_macros_compile(struct rule_load *load)
{
    int e = 0;
    for (uint32_t i = 0; !e && i < load->next.n_macros; i++) {
        begin_macro(load, &load->next.macros[i]);
        e = parse_macro(load, &load->next.macros[i]);
    }
    for (uint32_t i = 0; !e && i < load->next.n_macros; i++) {
        begin_macro(load, &load->next.macros[i]);
        e = resolve_macro(load, &load->next.macros[i]);
    }
    return e;
}

int rule_macros_apply(struct rule_load *load, const struct rule *rule, struct cond *parsed, struct cond **out)
{
    struct resolver r = { .load = load, .visibility = UINT32_MAX };
    *out = resolve(&r, parsed, NULL, 0);
    int e = resolver_end(&r, NULL, rule);
    load->n_nodes += r.weight;
    if (!e && load->n_nodes > LIMIT_RULES_NODES) {
        struct rule_spot spot = rule_spot_in(load, rule->condition_parts, 0);
        e = rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "All rules together hold more than %d checks and values", LIMIT_RULES_NODES);
    }
    return e;
}

/* ---- whose fault an error of checking is ---- */

#define BLAME_MAX 64 /* macros within macros looked into: each is checked again */

static __attribute__((noinline)) bool has_error(struct rule_load *load, const struct rule_macro *macro, const struct check_result *found)
{
    struct check_result result;
    cond_check(&load->next.arena, macro->cond, &result);
    return result.error == found->error && !strcmp(result.message, found->message);
}

/* The first macro named in `cond` that has the error by itself. */
static const struct rule_macro *blame(struct rule_load *load, const struct cond *cond, const struct check_result *found)
{
    for (uint32_t i = 0; i < cond->n_children; i++) {
        const struct rule_macro *macro = blame(load, cond->children[i], found);
        if (macro)
            return macro;
    }
    if (cond->kind != COND_NAME)
        return NULL;
    uint32_t number = rule_names_find(&load->index->macros, cond->name, strlen(cond->name));
    return number != RULE_NAME_NONE && has_error(load, &load->next.macros[number], found) ? &load->next.macros[number] : NULL;
}

const struct rule_macro *rule_macros_blame(struct rule_load *load, const struct cond *parsed, const struct check_result *found)
{
    const struct rule_macro *macro = NULL, *inner = blame(load, parsed, found);
    for (int i = 0; inner && i < BLAME_MAX; i++) {
        macro = inner;
        inner = blame(load, macro->parsed, found);
    }
    return macro && !rule_condition_begin(load, macro->condition) ? macro : NULL;
}
