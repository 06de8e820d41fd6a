#include "agent/detect/rules/expression.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/rules/event_arguments.h"
#include "agent/detect/rules/value_parse.h"

static bool is_text(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && !memcmp(text, word, length);
}

static struct expression *expression_new(struct arena *arena, enum expression_kind kind, const struct cond_operand *operand)
{
    struct expression *e = arena_new(arena, sizeof *e);
    if (!e)
        return NULL;
    e->kind = kind;
    e->shown = cond_operand_print(arena, operand);
    return e->shown ? e : NULL;
}

static int field_compile(struct arena *arena, const struct cond_operand *operand, struct expression **out, struct cond_error *error)
{
    struct expression *e = expression_new(arena, EXPRESSION_FIELD, operand);
    if (!e)
        return -ENOMEM;
    int err = field_ref_init(&e->ref, operand->text, operand->length, operand->argument, operand->argument ? operand->argument_length : 0,
                             error->message, sizeof error->message);
    if (err)
        return err;
    const struct rule_field *field = e->ref.field;
    e->subject = (struct subject){ .type = field->type, .is_list = field->is_list,
                                   .scope = e->ref.argument ? FIELD_SCOPE_ONE : field->scope };
    if (field->type == VALUE_DYNAMIC && !event_argument_find(e->ref.argument, e->ref.argument_length, &e->subject.type)) {
        snprintf(error->message, sizeof error->message, "unknown event argument %.*s", (int)e->ref.argument_length, e->ref.argument);
        return -EINVAL;
    }
    *out = e;
    return 0;
}

static int constant_compile(struct arena *arena, const struct cond_operand *operand, struct expression **out, struct cond_error *error)
{
    struct expression *e = expression_new(arena, EXPRESSION_CONSTANT, operand);
    if (!e)
        return -ENOMEM;
    e->subject.type = VALUE_TEXT;
    *out = e;
    return value_parse(VALUE_TEXT, operand->text, operand->length, &e->constant, error->message, sizeof error->message);
}

static int items_compile(struct arena *arena, struct expression *e, const struct cond_operand *operand, struct cond_error *error)
{
    e->items = arena_new(arena, (operand->n_items ? operand->n_items : 1) * sizeof *e->items);
    if (!e->items)
        return -ENOMEM;
    for (uint32_t i = 0; i < operand->n_items; i++) {
        int err = expression_compile(arena, operand->items[i], &e->items[i], error);
        if (err)
            return err;
        e->n_items++;
    }
    return 0;
}

static int list_compile(struct arena *arena, const struct cond_operand *operand, struct expression **out, struct cond_error *error)
{
    struct expression *e = expression_new(arena, EXPRESSION_LIST, operand);
    if (!e)
        return -ENOMEM;
    e->subject = (struct subject){ .type = VALUE_TEXT, .is_list = true };
    *out = e;
    return items_compile(arena, e, operand, error);
}

/* "[c]" behind a transformer. */
static int option_set(struct expression *e, const struct cond_operand *operand, struct cond_error *error)
{
    if (!operand->argument)
        return 0;
    if (!is_text(operand->text, operand->length, "getopt")) {
        snprintf(error->message, sizeof error->message, "filter error: transformer '%s' does not support field arguments", operand->text);
        return -EINVAL;
    }
    if (operand->argument_length != 1) {
        snprintf(error->message, sizeof error->message, "getopt() field argument must be a single option character");
        return -EINVAL;
    }
    e->has_option = true;
    e->option = (unsigned char)operand->argument[0];
    return 0;
}

/* Fields that look in several places, and raw arguments of events, cannot be transformed. */
static int items_check(const struct expression *e, struct cond_error *error)
{
    for (uint32_t i = 0; i < e->n_items; i++) {
        const struct expression *item = e->items[i];
        if (item->kind == EXPRESSION_LIST) {
            int err = items_check(item, error);
            if (err)
                return err;
        } else if (item->kind == EXPRESSION_FIELD && (item->subject.scope != FIELD_SCOPE_ONE || item->ref.field->type == VALUE_DYNAMIC)) {
            snprintf(error->message, sizeof error->message, "field '%s' does not support transformers", item->ref.field->name);
            return -EINVAL;
        }
    }
    return 0;
}

static int transformer_compile(struct arena *arena, const struct cond_operand *operand, struct expression **out, struct cond_error *error)
{
    struct expression *e = expression_new(arena, EXPRESSION_TRANSFORMER, operand);
    if (!e)
        return -ENOMEM;
    e->transformer = transformer_find(operand->text, operand->length);
    if (!e->transformer || operand->n_items < e->transformer->n_least) {
        snprintf(error->message, sizeof error->message, "unknown field transfomer '%s'", operand->text);
        return -EINVAL;
    }
    int err = items_compile(arena, e, operand, error);
    if (!err)
        err = items_check(e, error);
    if (!err)
        err = option_set(e, operand, error);
    if (!err)
        err = e->transformer->type(e, error->message, sizeof error->message);
    *out = e;
    return err;
}

int expression_compile(struct arena *arena, const struct cond_operand *operand, struct expression **out, struct cond_error *error)
{
    error->position = operand->position;
    switch (operand->kind) {
    case OPERAND_FIELD:
        return field_compile(arena, operand, out, error);
    case OPERAND_TRANSFORMER:
        return transformer_compile(arena, operand, out, error);
    case OPERAND_VALUE:
        return constant_compile(arena, operand, out, error);
    case OPERAND_LIST:
        return list_compile(arena, operand, out, error);
    }
    return -EINVAL;
}

int expression_compile_val(struct arena *arena, const struct cond_operand *operand, struct expression **out, struct cond_error *error)
{
    error->position = operand->position;
    if (operand->argument) {
        snprintf(error->message, sizeof error->message, "filter error: transformer 'val' does not support field arguments");
        return -EINVAL;
    }
    int err = field_compile(arena, operand->items[0], out, error);
    if (err)
        return err;
    const struct rule_field *field = (*out)->ref.field;
    if ((*out)->subject.scope != FIELD_SCOPE_ONE || !strcmp(field->name, "evt.around")) {
        snprintf(error->message, sizeof error->message, "field '%s' can't be used as a right-hand side field", field->name);
        return -EINVAL;
    }
    return 0;
}

/* ---- values --------------------------------------------------------------------------------------------------------------- */

/* The types of a value that are compared alike. */
static int kind_of(enum value_type type)
{
    return type == VALUE_PATH ? VALUE_TEXT : type == VALUE_FLAGS || type == VALUE_PORT ? VALUE_UINT : (int)type;
}

static enum value_answer field_get(const struct expression *e, struct eval *eval, struct value *out)
{
    enum value_answer answer = eval->source->get(eval->source, &e->ref, out);
    if (answer != VALUE_GOT)
        return answer;
    if (out->is_list && !e->subject.is_list && !out->list.n)
        return VALUE_MISSING; /* no ancestor, no end */
    /* what an argument of an event is, only the event knows */
    if (e->ref.field->type == VALUE_DYNAMIC && kind_of(out->type) != kind_of(e->subject.type))
        return VALUE_MISSING;
    return VALUE_GOT;
}

static enum value_answer list_get(const struct expression *e, struct eval *eval, struct value *out)
{
    struct value *items = eval_room(eval, (e->n_items ? e->n_items : 1) * sizeof *items);
    enum value_answer all = items ? VALUE_GOT : VALUE_MISSING;
    for (uint32_t i = 0; i < e->n_items && all != VALUE_MISSING; i++) {
        enum value_answer answer = expression_get(e->items[i], eval, &items[i]);
        if (answer != VALUE_GOT)
            all = answer;
    }
    *out = (struct value){ .type = VALUE_TEXT, .is_list = true, .list = { items, e->n_items } };
    return all;
}

enum value_answer expression_get(const struct expression *e, struct eval *eval, struct value *out)
{
    switch (e->kind) {
    case EXPRESSION_FIELD:
        return field_get(e, eval, out);
    case EXPRESSION_CONSTANT:
        *out = e->constant;
        return VALUE_GOT;
    case EXPRESSION_LIST:
        return list_get(e, eval, out);
    case EXPRESSION_TRANSFORMER:
        return e->transformer->run(e, eval, out);
    }
    return VALUE_MISSING;
}

const struct field_ref *expression_ref(const struct expression *e)
{
    return e->kind == EXPRESSION_FIELD ? &e->ref : NULL;
}
