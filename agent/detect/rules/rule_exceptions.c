/* Exceptions of rules: when a rule must not fire. They become text behind the rule's condition, then are parsed with it. */
#include <string.h>

#include "agent/detect/rules/rule_load.h"

/* ---- reading ---- */

static struct rule_spot spot_of(const struct rule_exception *e)
{
    return rule_spot_at(e->file, e->line, e->column);
}

/* One text of an exception: what is neither a text nor a sequence is an empty one, as the reference takes it. */
static int read_text(struct rule_load *load, const struct rule_node *node, const char **out)
{
    struct rule_spot spot = rule_spot_of(load, node);
    if (node->kind == NODE_SCALAR && !node->length)
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Value must be non-empty");
    *out = node->kind == NODE_SCALAR ? arena_text(load->texts, node->text, node->length) : "";
    return *out ? 0 : -ENOMEM;
}

/* A text, or a sequence of them; NULL-terminated. */
static int read_texts(struct rule_load *load, const struct rule_node *node, const char ***out, uint32_t *n)
{
    bool list = node->kind == NODE_SEQUENCE;
    *n = list ? node->n_items : 1;
    *out = arena_new(load->texts, (*n + 1) * sizeof **out);
    if (!*out)
        return -ENOMEM;
    for (uint32_t i = 0; i < *n; i++) {
        int e = read_text(load, list ? node->items[i] : node, &(*out)[i]);
        if (e)
            return e;
    }
    return 0;
}

static int read_value(struct rule_load *load, const struct rule_node *node, struct rule_exception_value *out)
{
    out->is_tuple = node->kind == NODE_SEQUENCE;
    out->n = out->is_tuple ? node->n_items : 1;
    out->items = arena_new(load->texts, out->n * sizeof *out->items);
    out->is_list = arena_new(load->texts, out->n * sizeof *out->is_list);
    if (!out->items || !out->is_list)
        return -ENOMEM;
    for (uint32_t i = 0; i < out->n; i++) {
        const struct rule_node *item = out->is_tuple ? node->items[i] : node;
        uint32_t n;
        int e = read_texts(load, item, &out->items[i], &n);
        if (e)
            return e;
        out->is_list[i] = item->kind == NODE_SEQUENCE;
    }
    return 0;
}

static int read_values(struct rule_load *load, const struct rule_node *node, struct rule_exception *out)
{
    struct rule_spot spot = rule_spot_of(load, node);
    if (node->kind != NODE_SEQUENCE)
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Rule exception values must be a sequence");
    struct rule_value_part *part = arena_new(load->texts, sizeof *part);
    struct rule_exception_value *values = arena_new(load->texts, node->n_items * sizeof *values);
    if (!part || !values)
        return -ENOMEM;
    *part = (struct rule_value_part){ .values = values, .n_values = node->n_items };
    out->parts = part;
    out->n_values = node->n_items;
    for (uint32_t i = 0; i < node->n_items; i++) {
        int e = read_value(load, node->items[i], &values[i]);
        if (e)
            return e;
    }
    return 0;
}

static int read_fields(struct rule_load *load, const struct rule_node *node, struct rule_exception *out)
{
    const struct rule_node *fields = rule_node_get(node, "fields"), *comps = rule_node_get(node, "comps");
    int e = 0;
    if (fields && (fields->kind == NODE_SCALAR || fields->kind == NODE_SEQUENCE)) {
        out->single = fields->kind == NODE_SCALAR;
        e = read_texts(load, fields, &out->fields, &out->n_fields);
    }
    if (!e && comps && (comps->kind == NODE_SCALAR || comps->kind == NODE_SEQUENCE)) {
        out->comps_list = comps->kind == NODE_SEQUENCE;
        e = read_texts(load, comps, &out->comps, &out->n_comps);
        out->has_comps = out->n_comps > 0;
    }
    return e;
}

static int read_exception(struct rule_load *load, const struct rule_node *node, bool partial, struct rule_exception *all, uint32_t n)
{
    struct rule_spot spot = rule_spot_of(load, node);
    struct rule_exception *out = &all[n];
    if (node->kind != NODE_MAP)
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Rule exception must be a mapping");
    *out = (struct rule_exception){ .file = load->file, .line = node->line, .column = node->column };
    int e = rule_decode_text(load, node, "name", KEY_REQUIRED, &out->name);
    if (e)
        return e;
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(all[i].name, out->name))
            rule_load_warn(load, LOAD_EXCEPTION_NAME_NOT_UNIQUE, &spot, "Multiple definitions of exception '%s' in the same rule",
                           out->name);
    if (!partial && !rule_node_get(node, "fields"))
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Item has no mapping for key 'fields'");
    e = read_fields(load, node, out);
    if (e)
        return e;
    const struct rule_node *values = rule_node_get(node, "values");
    if (values)
        return read_values(load, values, out);
    if (partial)
        rule_load_warn(load, LOAD_APPEND_NO_VALUES, &spot, "Overriding/appending exception with no values");
    return 0;
}

int rule_exceptions_read(struct rule_load *load, const struct rule_node *item, bool partial, struct rule_exception **out, uint32_t *n)
{
    const struct rule_node *node = rule_node_get(item, "exceptions");
    *out = NULL;
    *n = 0;
    if (!node || node->kind == NODE_NULL)
        return 0;
    struct rule_spot spot = rule_spot_of(load, node);
    if (node->kind != NODE_SEQUENCE)
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Rule exceptions must be a sequence");
    if (node->n_items > LIMIT_RULE_EXCEPTIONS)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "A rule holds more than %d exceptions", LIMIT_RULE_EXCEPTIONS);
    *out = arena_new(load->texts, node->n_items * sizeof **out);
    if (!*out)
        return -ENOMEM;
    for (; *n < node->n_items; ++*n) {
        int e = read_exception(load, node->items[*n], partial, *out, *n);
        if (e)
            return e;
    }
    return 0;
}

/* ---- is it valid? ---- */

/* "startswith anyof": the operators that take one text can be asked of several. */
static bool is_modified_operator(const char *comp)
{
    size_t length = strcspn(comp, " \t"), blanks = strspn(comp + length, " \t");
    const char *word = comp + length + blanks;
    enum cond_modifier modifier;
    enum cond_op op;
    if (!blanks || !cond_op_find(comp, length, &op) || !cond_modifier_find(word, strlen(word), &modifier))
        return false;
    switch (op) {
    case OP_EQ:
    case OP_EQ2:
    case OP_NE:
    case OP_CONTAINS:
    case OP_ICONTAINS:
    case OP_BCONTAINS:
    case OP_STARTSWITH:
    case OP_BSTARTSWITH:
    case OP_ENDSWITH:
    case OP_GLOB:
    case OP_IGLOB:
    case OP_REGEX:
        return true;
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
    case OP_IN:
    case OP_INTERSECTS:
    case OP_PMATCH:
    case OP_MAX:
        return false;
    }
    return false;
}

static bool is_list_operator(const char *comp)
{
    return !strcmp(comp, "in") || !strcmp(comp, "intersects") || !strcmp(comp, "pmatch") || is_modified_operator(comp);
}

static bool is_operator(const char *comp)
{
    enum cond_op op;
    return !strcmp(comp, "exists") || cond_op_find(comp, strlen(comp), &op) || is_modified_operator(comp);
}

/* A field with its argument, or a transformer of one. */
static bool is_field(struct rule_load *load, const char *text)
{
    struct cond_operand *operand;
    struct expression *expression;
    struct cond_error error;
    size_t length = strlen(text);
    return cond_parse_field(&load->next.arena, text, length, &operand, &error) == length && length &&
           !expression_compile(&load->next.arena, operand, &expression, &error);
}

static int trim_comps(struct rule_load *load, struct rule_exception *x)
{
    for (uint32_t i = 0; i < x->n_comps; i++) {
        const char *comp = x->comps[i] + strspn(x->comps[i], " \t\n\v\f\r");
        size_t length = strlen(comp);
        while (length && strchr(" \t\n\v\f\r", comp[length - 1]))
            length--;
        x->comps[i] = arena_text(load->texts, comp, length);
        if (!x->comps[i])
            return -ENOMEM;
    }
    return 0;
}

/* One operator for each field: "=" for tuples and "in" for the single form, unless they are given. */
static int default_comps(struct rule_load *load, struct rule_exception *x)
{
    x->n_comps = x->n_fields;
    x->comps_list = !x->single;
    x->comps = arena_new(load->texts, (x->n_comps + 1) * sizeof *x->comps);
    if (!x->comps)
        return -ENOMEM;
    for (uint32_t i = 0; i < x->n_comps; i++)
        x->comps[i] = x->single ? "in" : "=";
    return 0;
}

static int check_comps(struct rule_load *load, const struct rule_exception *x)
{
    struct rule_spot spot = spot_of(x);
    if (x->single && x->comps_list)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Fields and comps must both be strings");
    if (x->single && !is_list_operator(x->comps[0]))
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot,
                              "When fields is a single value, comps must be one of (in, pmatch, intersects) or a modifier operator (e.g. "
                              "startswith oneof)");
    if (x->comps_list == x->single || x->n_comps != x->n_fields)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Fields and comps lists must have equal length");
    for (uint32_t i = 0; i < x->n_comps; i++)
        if (!is_operator(x->comps[i]))
            return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "'%s' is not a supported comparison operator", x->comps[i]);
    return 0;
}

static int check_exception(struct rule_load *load, const struct rule *rule, struct rule_exception *x)
{
    struct rule_spot spot = spot_of(x);
    int e = x->has_comps ? trim_comps(load, x) : default_comps(load, x);
    if (!e)
        e = check_comps(load, x);
    for (uint32_t i = 0; !e && !rule->unknown_source && i < x->n_fields; i++)
        if (!is_field(load, x->fields[i]))
            e = rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "'%s' is not a supported filter field", x->fields[i]);
    return e;
}

/* ---- a rule's set of exceptions ---- */

int rule_exceptions_define(struct rule_load *load, struct rule *rule, struct rule_exception *exceptions, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct rule_spot spot = spot_of(&exceptions[i]);
        if (!exceptions[i].n_fields)
            return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Rule exception item must have fields property with a list of fields");
        int e = check_exception(load, rule, &exceptions[i]);
        if (e)
            return e;
    }
    rule->exceptions = exceptions;
    rule->n_exceptions = n;
    return 0;
}

static int add_values(struct rule_load *load, struct rule_exception *to, const struct rule_exception *from)
{
    struct rule_spot spot = spot_of(from);
    if (from->n_fields)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Can not append exception fields to existing exception, only values");
    if (from->has_comps)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Can not append exception comps to existing exception, only values");
    if (!from->n_values)
        return 0;
    struct rule_value_part *part = arena_new(load->texts, sizeof *part);
    if (!part)
        return -ENOMEM;
    *part = *from->parts;
    part->before = to->parts;
    to->parts = part;
    to->n_values += from->n_values;
    return 0;
}

static int add_exception(struct rule_load *load, const struct rule *rule, struct rule_exception *x)
{
    struct rule_spot spot = spot_of(x);
    if (!x->n_fields)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Rule exception must have fields property with a list of fields");
    if (!x->n_values)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Rule exception must have values property with a list of values");
    return check_exception(load, rule, x);
}

int rule_exceptions_append(struct rule_load *load, struct rule *rule, struct rule_exception *exceptions, uint32_t n)
{
    uint32_t n_all = rule->n_exceptions;
    struct rule_exception *all = arena_new(load->texts, (n_all + n) * sizeof *all);
    if (!all)
        return -ENOMEM;
    if (n_all)
        memcpy(all, rule->exceptions, n_all * sizeof *all);
    for (uint32_t i = 0, k; i < n; i++) {
        for (k = 0; k < n_all && strcmp(all[k].name, exceptions[i].name);)
            k++;
        int e = k < n_all ? add_values(load, &all[k], &exceptions[i]) : add_exception(load, rule, &exceptions[i]);
        if (e)
            return e;
        if (k == n_all)
            all[n_all++] = exceptions[i];
    }
    if (n_all > LIMIT_RULE_EXCEPTIONS)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &load->item, "A rule holds more than %d exceptions", LIMIT_RULE_EXCEPTIONS);
    rule->exceptions = all;
    rule->n_exceptions = n_all;
    return 0;
}

/* ---- as a condition ---- */

static int put(struct rule_load *load, const char *text)
{
    return rule_text_add(&load->source, text, strlen(text), 0);
}

/* In double quotes if it holds a blank and has no quote in front. */
static int put_quoted(struct rule_load *load, const char *text)
{
    bool quote = strchr(text, ' ') && text[0] != '"' && text[0] != '\'';
    int e = quote ? put(load, "\"") : 0;
    if (!e)
        e = put(load, text);
    return e || !quote ? e : put(load, "\"");
}

static int put_value(struct rule_load *load, const char *comp, const char *const *texts, bool is_list)
{
    bool parentheses = is_list || (is_list_operator(comp) && texts[0][0] != '(');
    int e = parentheses ? put(load, "(") : 0;
    for (uint32_t i = 0; !e && texts[i]; i++) {
        if (i)
            e = put(load, ", ");
        if (!e)
            e = is_list || !is_list_operator(comp) ? put_quoted(load, texts[i]) : put(load, texts[i]);
    }
    return e || !parentheses ? e : put(load, ")");
}

static int put_tuple(struct rule_load *load, const struct rule_exception *x, const struct rule_exception_value *value)
{
    struct rule_spot spot = spot_of(x);
    int e = 0;
    if ((value->is_tuple ? value->n : 0) != x->n_fields)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Fields and values lists must have equal length");
    for (uint32_t i = 0; !e && i < x->n_fields; i++) {
        e = put(load, i ? " and " : "(");
        if (!e)
            e = put(load, x->fields[i]);
        if (!e)
            e = put(load, " ");
        if (!e)
            e = put(load, x->comps[i]);
        if (!e)
            e = put(load, " ");
        if (!e)
            e = put_value(load, x->comps[i], value->items[i], value->is_list[i]);
    }
    return e ? e : put(load, ")");
}

static int put_single(struct rule_load *load, const struct rule_exception *x, const struct rule_exception_value *value)
{
    struct rule_spot spot = spot_of(x);
    if (value->is_tuple)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Expected values array to contain a list of strings");
    return put_quoted(load, value->items[0][0]);
}

/* Values in the order in which they were given. */
static int put_values(struct rule_load *load, const struct rule_exception *x)
{
    const struct rule_exception_value **values = arena_new(&load->next.arena, x->n_values * sizeof *values);
    uint32_t n = x->n_values;
    int e = values ? 0 : -ENOMEM;
    for (const struct rule_value_part *p = x->parts; !e && p; p = p->before)
        for (uint32_t i = p->n_values; i--;)
            values[--n] = &p->values[i];
    for (uint32_t i = 0; !e && i < x->n_values; i++) {
        if (i)
            e = put(load, x->single ? ", " : " or ");
        if (!e)
            e = x->single ? put_single(load, x, values[i]) : put_tuple(load, x, values[i]);
    }
    return e;
}

static int put_exception(struct rule_load *load, const struct rule_exception *x)
{
    int e = put(load, " and not (");
    if (!e && x->single)
        e = put(load, x->fields[0]);
    if (!e && x->single)
        e = put(load, " ");
    if (!e && x->single)
        e = put(load, x->comps[0]);
    if (!e && x->single)
        e = put(load, " (");
    if (!e)
        e = put_values(load, x);
    return e ? e : put(load, x->single ? "))" : ")");
}

int rule_exceptions_apply(struct rule_load *load, const struct rule *rule)
{
    if (!rule->n_exceptions)
        return rule_condition_begin(load, rule->condition);
    load->exceptions = spot_of(&rule->exceptions[0]);
    rule_text_begin(&load->source, false);
    load->source_start = 1;
    load->source_length = strlen(rule->condition);
    int e = put(load, "(");
    if (!e)
        e = put(load, rule->condition);
    if (!e)
        e = put(load, ")");
    for (uint32_t i = 0; !e && i < rule->n_exceptions; i++)
        if (rule->exceptions[i].n_values)
            e = put_exception(load, &rule->exceptions[i]);
    return e;
}
