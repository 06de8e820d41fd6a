/* Rules compiled: output, condition with exceptions, lists and macros put in, types checked, warnings. */
#include <string.h>

#include "agent/detect/rules/rule_load.h"

/* ---- outputs ---- */

/* The fields that lost their meaning when enter events went away. */
static const char *const deprecated_fields[] = { "evt.dir", "evt.latency", "evt.latency.s", "evt.latency.ns", "evt.latency.human",
                                                 "evt.wait_latency" };

static void warn_deprecated_output(struct rule_load *load, const struct rule *rule)
{
    struct rule_spot spot = rule_spot_in(load, rule->output_parts, 0);
    for (size_t i = 0; i < sizeof deprecated_fields / sizeof deprecated_fields[0]; i++)
        if (strstr(rule->output, deprecated_fields[i]))
            rule_load_warn(load, LOAD_DEPRECATED_ITEM, &spot, "usage of deprecated field '%s' has been detected in the rule output",
                           deprecated_fields[i]);
}

/* The output as it is compiled: without %container.info, and so that missing values are shown. */
static char *output_text(struct rule_load *load, const struct rule *rule)
{
    static const char info[] = "%container.info";
    char *text = arena_printf(&load->next.arena, "%s%s", rule->output[0] == '*' ? "" : "*", rule->output);
    for (char *at = text ? strstr(text, info) : NULL; at; at = strstr(at, info))
        memmove(at, at + strlen(info), strlen(at + strlen(info)) + 1);
    return text;
}

/* 1: the rule is left out, told as a warning. */
static int compile_output(struct rule_load *load, struct rule *rule)
{
    struct cond_error error;
    bool unknown = false;
    const char *text = output_text(load, rule);
    if (!text)
        return -ENOMEM;
    if (strlen(text) < strlen(rule->output))
        rule_load_warn(load, LOAD_DEPRECATED_ITEM, &load->item,
                       "%%container.info is deprecated and no more useful, and will be dropped by Falco 1.0.0. The container plugin will "
                       "automatically add required fields to the output message.");
    int e = format_compile(&load->next.arena, text, strlen(text), &rule->format, &unknown, &error);
    if (e == -EINVAL) {
        struct rule_spot spot = rule_spot_in(load, rule->output_parts, error.position.index ? error.position.index - 1 : 0);
        if (!unknown || !rule->skip_if_unknown)
            return rule_load_fail(load, LOAD_ERR_COMPILE_OUTPUT, &spot, "%s", error.message);
        rule_load_warn(load, LOAD_UNKNOWN_FILTER, &spot, "%s", error.message);
        return 1;
    }
    if (!e)
        warn_deprecated_output(load, rule);
    return e;
}

/* ---- fields and events that never come ---- */

#define NEVER_MAX 8 /* named in one warning */

struct never {
    struct rule_load *load;
    char text[512];
    struct text_out out;
    const char *names[NEVER_MAX];
    unsigned n;
    uint32_t at; /* of the first, in its text */
};

static void never_add(struct never *never, const char *what, const struct cond_operand *operand)
{
    const char *name = operand->text;
    if (!never->n)
        never->at = operand->position.index;
    for (unsigned i = 0; i < never->n; i++)
        if (!strcmp(never->names[i], name))
            return;
    if (never->n == NEVER_MAX)
        return;
    text_out_printf(&never->out, "%s%s '%s'", never->n ? ", " : "", what, name);
    never->names[never->n++] = name;
}

static void never_operand(struct never *never, const struct cond_operand *operand)
{
    struct field_ref ref;
    char error[256];
    if (operand->kind == OPERAND_FIELD &&
        !field_ref_init(&ref, operand->text, operand->length, operand->argument, operand->argument_length, error, sizeof error) &&
        ref.field->fill == FIELD_NEVER)
        never_add(never, "field", operand);
    if (operand->kind == OPERAND_TRANSFORMER)
        for (uint32_t i = 0; i < operand->n_items; i++)
            never_operand(never, operand->items[i]);
}

static void never_event(struct never *never, const struct cond_operand *value)
{
    int number = value->kind == OPERAND_VALUE ? event_name_find(value->text, value->length) : -1;
    if (number >= 0 && !event_name_set_has(&never->load->told, number))
        never_add(never, "event", value);
}

static bool is_event_test(const struct cond *cond)
{
    bool of_type = cond->left->kind == OPERAND_FIELD && !strcmp(cond->left->text, "evt.type");
    return of_type && (cond->op == OP_EQ || cond->op == OP_EQ2 || cond->op == OP_IN || cond->op == OP_INTERSECTS);
}

static void never_walk(struct never *never, const struct cond *cond, bool negated)
{
    for (uint32_t i = 0; i < cond->n_children; i++)
        never_walk(never, cond->children[i], negated != (cond->kind == COND_NOT));
    if (cond->kind != COND_CHECK && cond->kind != COND_EXISTS)
        return;
    never_operand(never, cond->left);
    if (cond->kind == COND_CHECK && cond->right->kind == OPERAND_TRANSFORMER)
        never_operand(never, cond->right);
    if (negated || cond->kind != COND_CHECK || !is_event_test(cond))
        return;
    if (cond->right->kind == OPERAND_LIST)
        for (uint32_t i = 0; i < cond->right->n_items; i++)
            never_event(never, cond->right->items[i]);
    else
        never_event(never, cond->right);
}

static void never_find(struct never *never, struct rule_load *load, const struct cond *cond)
{
    *never = (struct never){ .load = load };
    text_out_init(&never->out, never->text, sizeof never->text);
    never_walk(never, cond, false);
}

/* Points to the first of them that stands in the rule's own condition. */
static void warn_never(struct rule_load *load, const struct rule *rule, const struct cond *parsed)
{
    struct never own, all;
    never_find(&all, load, rule->cond);
    if (!all.n)
        return;
    never_find(&own, load, parsed);
    struct rule_spot spot =
        own.n ? rule_condition_spot(load, rule->condition_parts, own.at) : rule_spot_in(load, rule->condition_parts, 0);
    rule_load_warn(load, LOAD_NEVER_FILLED, &spot, "The condition of '%s' uses what no sensor tells: %s", rule->name, all.text);
}

/* ---- conditions ---- */

static unsigned count_events(const struct event_name_set *set)
{
    unsigned n = 0;
    for (size_t i = 0; i < EVENT_NAMES_MAX / 64; i++)
        n += (unsigned)__builtin_popcountll(set->bits[i]);
    return n;
}

static void warn_condition(struct rule_load *load, const struct rule *rule, const struct cond *parsed, const struct check_result *result)
{
    struct rule_spot spot = rule_spot_in(load, rule->condition_parts, 0);
    if (result->unsafe_na)
        rule_load_warn(load, LOAD_UNSAFE_NA_CHECK, &spot,
                       "comparing a field value with <NA> is unsafe and can lead to unpredictable behavior of the rule condition. If you "
                       "need to  check for the existence of a field, consider using the 'exists' operator instead.");
    for (uint32_t i = 0; i < result->n_deprecated; i++) {
        if (!strcmp(result->deprecated[i], "evt.dir"))
            rule_load_warn(load, LOAD_DEPRECATED_ITEM, &spot,
                           "due to the drop of enter events, 'evt.dir = <' always evaluates to true, and 'evt.dir = >' always evaluates to "
                           "false. The rule expression can be simplified by removing the condition on 'evt.dir'");
        else
            rule_load_warn(load, LOAD_DEPRECATED_ITEM, &spot, "usage of deprecated field '%s' has been detected in the rule condition",
                           result->deprecated[i]);
    }
    for (uint32_t i = 0; i < result->n_warnings; i++)
        rule_load_warn(load, LOAD_COMPILE_CONDITION, &spot, "%s", result->warnings[i]);
    if (rule->warn_evttypes && count_events(&result->events) > LIMIT_RULE_EVENTS)
        rule_load_warn(load, LOAD_NO_EVTTYPE, &load->item,
                       "Rule matches too many evt.type values. This has a significant performance penalty.");
    warn_never(load, rule, parsed);
}

/* Where a check is wrong: in the rule's own condition, or in that of a macro it uses. */
static int check_failed(struct rule_load *load, const struct rule *rule, const struct cond *parsed, const struct check_result *result)
{
    const struct rule_macro *macro = rule_macros_blame(load, parsed, result);
    struct rule_spot spot =
        rule_condition_spot(load, macro ? macro->condition_parts : rule->condition_parts, result->position.index);
    if (result->error != CHECK_UNKNOWN || !rule->skip_if_unknown)
        return rule_load_fail(load, LOAD_ERR_COMPILE_CONDITION, &spot, "%s", result->message);
    rule_load_warn(load, LOAD_UNKNOWN_FILTER, &spot, "%s", result->message);
    return 1;
}

/* 1: the rule is left out. */
static int compile_condition(struct rule_load *load, struct rule *rule)
{
    struct check_result result;
    struct cond *parsed;
    int e = rule_exceptions_apply(load, rule);
    if (e == -E2BIG) {
        struct rule_spot spot = rule_spot_in(load, rule->condition_parts, 0);
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "The condition is longer than %d bytes with its exceptions",
                              LIMIT_RULE_TEXT_BYTES);
    }
    if (!e)
        e = rule_condition_parse(load, rule->condition_parts, &parsed);
    if (!e)
        e = rule_macros_apply(load, rule, parsed, &rule->cond);
    if (e)
        return e;
    cond_check(&load->next.arena, rule->cond, &result);
    if (result.error == CHECK_NOMEM)
        return -ENOMEM;
    if (result.error != CHECK_OK)
        return check_failed(load, rule, parsed, &result);
    rule->events = result.events;
    warn_condition(load, rule, parsed, &result);
    return 0;
}

/* ---- all rules ---- */

static int compile_rule(struct rule_load *load, struct rule *rule)
{
    rule->compiled = false;
    rule->cond = NULL;
    rule->format = NULL;
    rule->condition = rule_parts_join(load, rule->condition_parts);
    rule->output = rule_parts_join(load, rule->output_parts);
    rule->desc = rule_parts_join(load, rule->desc_parts);
    if (!rule->condition || !rule->output || !rule->desc)
        return -ENOMEM;
    if (rule->unknown_source)
        return 0;
    int e = compile_output(load, rule);
    if (!e)
        e = compile_condition(load, rule);
    rule->compiled = !e;
    if (!rule->compiled) {
        rule->cond = NULL;
        rule->format = NULL;
    }
    return e < 0 ? e : 0;
}

int rule_rules_compile(struct rule_load *load)
{
    for (int c = 0; c < CLASS_MAX; c++) {
        struct event_name_set names = { 0 };
        event_class_names((enum event_class)c, &names);
        for (size_t i = 0; i < EVENT_NAMES_MAX / 64; i++)
            load->told.bits[i] |= names.bits[i];
    }
    load->item_type = "rule";
    for (uint32_t i = 0; i < load->next.n_rules; i++) {
        struct rule *rule = &load->next.rules[i];
        load->item_name = rule->name;
        load->item = rule_spot_at(rule->file, rule->line, rule->column);
        int e = compile_rule(load, rule);
        if (e)
            return e;
    }
    return 0;
}
