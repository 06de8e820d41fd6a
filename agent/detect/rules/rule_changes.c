/* Rule items: a definition, or changes of an earlier one. */
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/rule_load.h"

/* What an item says about a rule: the rule as it will be, and exceptions that are yet to be joined with those it has. */
struct change {
    struct rule rule;
    struct rule_exception *exceptions;
    uint32_t n_exceptions;
    bool has_exceptions;
};

static int change_condition(struct rule_load *load, const struct rule_node *item, struct change *c, bool append)
{
    return rule_decode_part(load, item, "condition", append ? c->rule.condition_parts : NULL, &c->rule.condition_parts);
}

static int change_output(struct rule_load *load, const struct rule_node *item, struct change *c, bool append)
{
    return rule_decode_part(load, item, "output", append ? c->rule.output_parts : NULL, &c->rule.output_parts);
}

static int change_desc(struct rule_load *load, const struct rule_node *item, struct change *c, bool append)
{
    return rule_decode_part(load, item, "desc", append ? c->rule.desc_parts : NULL, &c->rule.desc_parts);
}

static int change_exceptions(struct rule_load *load, const struct rule_node *item, struct change *c, bool append)
{
    c->has_exceptions = true;
    return rule_exceptions_read(load, item, append, &c->exceptions, &c->n_exceptions);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int change_tags(struct rule_load *load, const struct rule_node *item, struct change *c, bool append)
{
    const char **tags = NULL;
    uint32_t n = 0, kept = 0, before = append ? c->rule.n_tags : 0;
    int e = rule_decode_texts(load, item, "tags", KEY_OPTIONAL, &tags, &n);
    if (e)
        return e;
    const char **all = arena_new(load->texts, (n + before) * sizeof *all);
    if (!all)
        return -ENOMEM;
    if (n)
        memcpy(all, tags, n * sizeof *all);
    if (before)
        memcpy(all + n, c->rule.tags, before * sizeof *all);
    qsort(all, n + before, sizeof *all, compare_texts);
    for (uint32_t i = 0; i < n + before; i++)
        if (!kept || strcmp(all[kept - 1], all[i]))
            all[kept++] = all[i];
    c->rule.tags = all;
    c->rule.n_tags = kept;
    return 0;
}

static int change_priority(struct rule_load *load, const struct rule_node *item, struct change *c, bool append)
{
    const struct rule_node *value;
    (void)append;
    int e = rule_decode_scalar(load, item, "priority", KEY_REQUIRED, &value);
    if (e)
        return e;
    struct rule_spot spot = rule_spot_of(load, value);
    return rule_priority_find(value->text, &c->rule.priority) ? 0 : rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Invalid priority");
}

static int change_enabled(struct rule_load *load, const struct rule_node *item, struct change *c, bool append)
{
    (void)append;
    return rule_decode_bool(load, item, "enabled", KEY_OPTIONAL, &c->rule.enabled);
}

static int change_warn_evttypes(struct rule_load *load, const struct rule_node *item, struct change *c, bool append)
{
    (void)append;
    return rule_decode_bool(load, item, "warn_evttypes", KEY_OPTIONAL, &c->rule.warn_evttypes);
}

static int change_skip(struct rule_load *load, const struct rule_node *item, struct change *c, bool append)
{
    (void)append;
    return rule_decode_bool(load, item, "skip-if-unknown-filter", KEY_OPTIONAL, &c->rule.skip_if_unknown);
}

static int change_capture(struct rule_load *load, const struct rule_node *item, struct change *c, bool append)
{
    (void)append;
    return rule_decode_bool(load, item, "capture", KEY_OPTIONAL, &c->rule.capture);
}

static int change_capture_duration(struct rule_load *load, const struct rule_node *item, struct change *c, bool append)
{
    (void)append;
    return rule_decode_u32(load, item, "capture_duration", KEY_OPTIONAL, &c->rule.capture_duration_ms);
}

static int change_finding_type(struct rule_load *load, const struct rule_node *item, struct change *c, bool append)
{
    (void)append;
    return rule_decode_text(load, item, "finding_type", KEY_OPTIONAL, &c->rule.finding_type);
}

static int change_advice(struct rule_load *load, const struct rule_node *item, struct change *c, bool append)
{
    (void)append;
    return rule_decode_text(load, item, "advice", KEY_OPTIONAL, &c->rule.advice);
}

/* In the order in which an item's changes are made; the reference's words depend on it where two are wrong. */
static const struct {
    struct rule_change_key key;
    int (*change)(struct rule_load *load, const struct rule_node *item, struct change *c, bool append);
    bool setting; /* a definition may have it, after what it must have */
} changes[] = {
    { { "condition", true, true }, change_condition, false },
    { { "exceptions", true, true }, change_exceptions, false },
    { { "output", true, true }, change_output, false },
    { { "desc", true, true }, change_desc, false },
    { { "tags", true, true }, change_tags, true },
    { { "priority", false, true }, change_priority, false },
    { { "enabled", false, true }, change_enabled, true },
    { { "warn_evttypes", false, true }, change_warn_evttypes, true },
    { { "skip-if-unknown-filter", false, true }, change_skip, true },
    { { "capture", false, true }, change_capture, true },
    { { "capture_duration", false, true }, change_capture_duration, true },
    { { "finding_type", false, true }, change_finding_type, true },
    { { "advice", false, true }, change_advice, true },
};

#define N_CHANGES (sizeof changes / sizeof changes[0])

static struct rule *find_rule(struct rule_load *load)
{
    uint32_t number = rule_names_find(&load->index->rules, load->item_name, strlen(load->item_name));
    return number == RULE_NAME_NONE ? NULL : &load->next.rules[number];
}

/* A `source` that is not the rule's own is a mistake; none, or an empty one, fits any. */
static int check_source(struct rule_load *load, const struct rule_node *item, const struct rule *rule)
{
    const struct rule_node *source = rule_node_get(item, "source");
    if (!source || source->kind != NODE_SCALAR || !source->length || !strcmp(source->text, rule->source))
        return 0;
    struct rule_spot spot = rule_spot_of(load, source);
    return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Rule has been re-defined with a different source");
}

/* Makes those changes of `names` to the rule: all of one item's appends, or all of its replacements. */
static int change_rule(struct rule_load *load, const struct rule_node *item, const char *const *names, unsigned n_names, bool append)
{
    struct rule_spot spot = rule_spot_of(load, item);
    struct rule *rule = find_rule(load);
    struct change c = { .rule = rule ? *rule : (struct rule){ .name = load->item_name } };
    for (size_t i = 0; i < N_CHANGES; i++) {
        const char *name = changes[i].key.name;
        if (!rule_name_among(names, n_names, name))
            continue;
        if (!rule_node_get(item, name))
            return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "An %s override for '%s' was specified but '%s' is not defined",
                                  append ? "append" : "replace", name, name);
        int e = changes[i].change(load, item, &c, append);
        if (e)
            return e;
    }
    if (!rule && append)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot,
                              "Rule uses 'append' or 'override.<key>: append' but no rule by that name already exists");
    if (!rule)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot,
                              "An 'override.<key>: replace' to a rule was requested but no rule by that name already exists");
    int e = check_source(load, item, rule);
    if (!e && !n_names)
        e = rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Appended rule must have exceptions or condition property");
    if (!e && c.has_exceptions)
        e = append ? rule_exceptions_append(load, &c.rule, c.exceptions, c.n_exceptions)
                   : rule_exceptions_define(load, &c.rule, c.exceptions, c.n_exceptions);
    if (e)
        return e;
    c.rule.visibility = load->index->next++;
    *rule = c.rule;
    return 0;
}

/* A key that could be overridden stands in the item, but not under `override`. The first by name is told. */
static int check_unexpected(struct rule_load *load, const struct rule_node *item, const struct rule_override *o)
{
    const char *first = NULL;
    for (size_t i = 0; i < N_CHANGES; i++) {
        const char *name = changes[i].key.name;
        bool named = rule_name_among(o->append, o->n_append, name) || rule_name_among(o->replace, o->n_replace, name);
        if (rule_node_get(item, name) && !named && (!first || strcmp(name, first) < 0))
            first = name;
    }
    if (!first)
        return 0;
    struct rule_spot spot = rule_spot_of(load, rule_node_get(item, first));
    return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Unexpected key '%s': no corresponding entry under 'override' is defined.",
                          first);
}

static int override_rule(struct rule_load *load, const struct rule_node *item, const struct rule_override *o)
{
    int e = o->n_append ? change_rule(load, item, o->append, o->n_append, true) : 0;
    if (!e && o->n_replace)
        e = change_rule(load, item, o->replace, o->n_replace, false);
    return e ? e : check_unexpected(load, item, o);
}

/* The older way: only these two keys are read. */
static int append_rule(struct rule_load *load, const struct rule_node *item)
{
    const char *names[2];
    unsigned n = 0;
    if (rule_node_get(item, "condition"))
        names[n++] = "condition";
    if (rule_node_get(item, "exceptions"))
        names[n++] = "exceptions";
    return change_rule(load, item, names, n, true);
}

static int enable_rule(struct rule_load *load, const struct rule_node *item)
{
    struct rule_spot spot = rule_spot_of(load, item);
    bool enabled;
    int e = rule_decode_bool(load, item, "enabled", KEY_REQUIRED, &enabled);
    if (e)
        return e;
    rule_load_warn(load, LOAD_DEPRECATED_ITEM, &spot,
                   "The standalone 'enabled' key usage is deprecated. The correct approach requires also a 'replace' entry under the "
                   "'override' key (i.e. 'enabled: replace').");
    struct rule *rule = find_rule(load);
    if (!rule)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Rule has 'enabled' key but no rule by that name already exists");
    rule->enabled = enabled;
    return 0;
}

static int rule_add(struct rule_load *load, struct rule **out)
{
    struct ruleset *next = &load->next;
    if (next->n_rules == LIMIT_RULES)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &load->item, "More than %d rules", LIMIT_RULES);
    int e = rule_array_grow(load, &next->rules, next->n_rules, &load->index->max_rules, sizeof *next->rules);
    if (!e)
        e = rule_names_add(&load->index->rules, &next->arena, load->item_name, next->n_rules);
    if (!e)
        *out = &next->rules[next->n_rules++];
    return e;
}

/* White space around an output is cut where it is defined, but not where it is replaced. */
static int trim_output(struct rule_load *load, struct rule *rule)
{
    struct rule_part *part = arena_new(load->texts, sizeof *part);
    if (!part)
        return -ENOMEM;
    *part = *rule->output_parts;
    while (part->length && strchr(" \t\n\r\f\v", part->text[part->length - 1]))
        part->length--;
    while (part->length && strchr(" \t\n\r\f\v", part->text[0])) {
        part->text++;
        part->length--;
    }
    rule->output_parts = part;
    return 0;
}

static int read_definition(struct rule_load *load, const struct rule_node *item, struct change *c)
{
    struct rule *rule = &c->rule;
    int e = change_condition(load, item, c, false);
    if (!e)
        e = change_output(load, item, c, false);
    if (!e)
        e = change_desc(load, item, c, false);
    if (!e)
        e = change_priority(load, item, c, false);
    if (!e)
        e = rule_decode_text(load, item, "source", KEY_OPTIONAL, &rule->source);
    for (size_t i = 0; !e && i < N_CHANGES; i++)
        if (changes[i].setting)
            e = changes[i].change(load, item, c, false);
    if (!e)
        e = change_exceptions(load, item, c, false);
    return e ? e : trim_output(load, rule);
}

static int define_rule(struct rule_load *load, const struct rule_node *item)
{
    struct rule_spot spot = rule_spot_of(load, item);
    struct change c = { .rule = {
                            .name = load->item_name,
                            .file = load->file,
                            .line = item->line,
                            .column = item->column,
                            .source = "syscall",
                            .enabled = true,
                            .warn_evttypes = true,
                        } };
    int e = read_definition(load, item, &c);
    if (e)
        return e;
    struct rule *rule = find_rule(load);
    if (rule && strcmp(rule->source, c.rule.source))
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Rule has been re-defined with a different source");
    c.rule.unknown_source = strcmp(c.rule.source, "syscall");
    if (c.rule.unknown_source)
        rule_load_warn(load, LOAD_UNKNOWN_SOURCE, &spot, "Unknown source %s, skipping", c.rule.source);
    c.rule.index = rule ? rule->index : load->index->next;
    e = rule_exceptions_define(load, &c.rule, c.exceptions, c.n_exceptions);
    if (!e && !rule)
        e = rule_add(load, &rule);
    if (e)
        return e;
    c.rule.visibility = load->index->next++;
    *rule = c.rule;
    return 0;
}

int rule_rule_read(struct rule_load *load, const struct rule_node *item)
{
    struct rule_change_key keys[N_CHANGES + 1] = { 0 };
    struct rule_override override;
    bool append;
    for (size_t i = 0; i < N_CHANGES; i++)
        keys[i] = changes[i].key;
    int e = rule_override_read(load, item, keys, &append, &override);
    if (e)
        return e;
    if (override.n_append || override.n_replace)
        return override_rule(load, item, &override);
    if (append)
        return append_rule(load, item);
    if (!rule_node_get(item, "condition") && !rule_node_get(item, "output") && !rule_node_get(item, "desc") &&
        !rule_node_get(item, "priority"))
        return enable_rule(load, item);
    return define_rule(load, item);
}
