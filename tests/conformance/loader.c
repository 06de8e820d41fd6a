/* Rules files: what is accepted, what is said about it, and what the rules become. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/ruleset.h"
#include "common/text.h"
#include "tests/conformance/conformance.h"

#define TEXT_MAX 65536

/* ---- sets of texts, shown as one line ---- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted: "a, b, c". */
static void tell_set(struct text_out *out, const char **texts, size_t n)
{
    if (n)
        qsort(texts, n, sizeof *texts, compare_texts);
    for (size_t i = 0; i < n; i++)
        text_out_printf(out, "%s%s", i ? ", " : "", texts[i]);
}

static void tell_array(struct text_out *out, const json_t *array)
{
    size_t i;
    json_t *text;
    json_array_foreach(array, i, text)
        text_out_printf(out, "%s%s", i ? ", " : "", json_string_value(text));
}

static void compare_set(struct conformance *c, const char *rule, const char *what, const json_t *expected, const char **texts, size_t n)
{
    static char a[TEXT_MAX], b[TEXT_MAX];
    char name[256];
    struct text_out want, got;
    text_out_init(&want, a, sizeof a);
    text_out_init(&got, b, sizeof b);
    tell_array(&want, expected);
    tell_set(&got, texts, n);
    snprintf(name, sizeof name, "%s of %s", what, rule);
    conformance_compare(c, name, a, b);
}

static void compare_text(struct conformance *c, const char *item, const char *what, const json_t *expected, const char *got)
{
    char name[256];
    snprintf(name, sizeof name, "%s of %s", what, item);
    conformance_compare(c, name, json_string_value(expected), got);
}

/* ---- what rules become ---- */

/* Names of events that the reference has not. */
static bool is_our_own(const char *name)
{
    return !strcmp(name, "dns") || !strcmp(name, "flow_end");
}

static void compare_events(struct conformance *c, const struct rule *rule, const json_t *expected)
{
    const char *names[EVENT_NAMES_MAX];
    size_t n = 0;
    for (int i = 0; i < event_names_count(); i++)
        if (event_name_set_has(&rule->events, i) && !is_our_own(event_name(i)))
            names[n++] = event_name(i);
    compare_set(c, rule->name, "events", expected, names, n);
}

static void compare_output_fields(struct conformance *c, const struct rule *rule, const json_t *expected)
{
    const char *names[256];
    size_t n = 0;
    for (uint32_t i = 0; i < rule->format->n_parts && n < 256; i++)
        if (rule->format->parts[i].token)
            names[n++] = rule->format->parts[i].token;
    compare_set(c, rule->name, "output fields", expected, names, n);
}

static void compare_compiled(struct conformance *c, const struct rule *rule, const json_t *expected, const char *operators)
{
    struct arena arena;
    const char **names;
    arena_init(&arena, 0);
    compare_text(c, rule->name, "condition", json_object_get(expected, "condition_compiled"), cond_print(&arena, rule->cond));
    uint32_t n = cond_fields(&arena, rule->cond, &names);
    compare_set(c, rule->name, "fields", json_object_get(expected, "condition_fields"), names, n);
    n = cond_operators(&arena, rule->cond, &names);
    compare_set(c, rule->name, "operators", json_object_get(expected, operators), names, n);
    arena_fini(&arena);
    compare_events(c, rule, json_object_get(expected, "events"));
    compare_output_fields(c, rule, json_object_get(expected, "output_fields"));
    compare_text(c, rule->name, "priority", json_object_get(expected, "priority"), rule_priority_name(rule->priority));
    if (rule->enabled != json_is_true(json_object_get(expected, "enabled")))
        conformance_differ_say(c, "%s: enabled differs\n", rule->name);
}

static bool is_among(const char **names, size_t n, const char *name)
{
    while (n && strcmp(names[n - 1], name))
        n--;
    return n;
}

static void compare_exception_fields(struct conformance *c, const struct rule *rule, const json_t *expected)
{
    const char *names[256];
    size_t n = 0;
    for (uint32_t i = 0; i < rule->n_exceptions; i++)
        for (uint32_t k = 0; rule->exceptions[i].n_values && k < rule->exceptions[i].n_fields && n < 256; k++)
            if (!is_among(names, n, rule->exceptions[i].fields[k]))
                names[n++] = rule->exceptions[i].fields[k];
    compare_set(c, rule->name, "exception fields", expected, names, n);
}

static void compare_rules(struct conformance *c, const struct ruleset *set)
{
    size_t i, n_compiled = 0, n_enabled = 0;
    json_t *expected;
    json_array_foreach(conformance_get(c, "expect.rules"), i, expected) {
        const char *name = json_string_value(json_object_get(expected, "name"));
        const struct rule *rule = ruleset_find(set, name);
        if (!rule || !rule->compiled) {
            conformance_differ(c, "rule", name, NULL);
            continue;
        }
        compare_compiled(c, rule, expected, "condition_operators");
        compare_exception_fields(c, rule, json_object_get(expected, "exception_fields"));
        compare_text(c, name, "text of the condition", json_object_get(expected, "condition"), rule->condition);
        compare_text(c, name, "output", json_object_get(expected, "output"), rule->output);
        compare_text(c, name, "desc", json_object_get(expected, "desc"), rule->desc);
        compare_text(c, name, "source", json_object_get(expected, "source"), rule->source);
        compare_set(c, name, "tags", json_object_get(expected, "tags"), rule->tags, rule->n_tags);
    }
    for (uint32_t k = 0; k < set->n_rules; k++) {
        n_compiled += set->rules[k].compiled;
        n_enabled += set->rules[k].compiled && set->rules[k].enabled;
    }
    if (n_compiled != json_array_size(conformance_get(c, "expect.rules")))
        conformance_differ_say(c, "%zu rules are compiled\n", n_compiled);
    if (n_enabled != (size_t)json_integer_value(conformance_get(c, "expect.enabled_rules")))
        conformance_differ_say(c, "%zu rules are enabled\n", n_enabled);
}

static void compare_macros(struct conformance *c, const struct ruleset *set)
{
    size_t i;
    json_t *expected;
    json_array_foreach(conformance_get(c, "expect.macros"), i, expected) {
        const char *name = json_string_value(json_object_get(expected, "name"));
        const struct rule_macro *macro = ruleset_find_macro(set, name);
        struct arena arena;
        arena_init(&arena, 0);
        compare_text(c, name, "macro", json_object_get(expected, "condition_compiled"), macro ? cond_print(&arena, macro->cond) : NULL);
        if (macro && macro->used != json_is_true(json_object_get(expected, "used")))
            conformance_differ_say(c, "macro %s: used differs\n", name);
        arena_fini(&arena);
    }
}

static void compare_items(struct conformance *c, const char *name, const json_t *expected, const char **items, uint32_t n)
{
    static char a[TEXT_MAX], b[TEXT_MAX];
    struct text_out want, got;
    text_out_init(&want, a, sizeof a);
    text_out_init(&got, b, sizeof b);
    tell_array(&want, expected);
    for (uint32_t i = 0; i < n; i++)
        text_out_printf(&got, "%s%s", i ? ", " : "", items[i]);
    conformance_compare(c, name, a, b);
}

static void compare_lists(struct conformance *c, const struct ruleset *set)
{
    size_t i;
    json_t *expected;
    json_array_foreach(conformance_get(c, "expect.lists"), i, expected) {
        const char *name = json_string_value(json_object_get(expected, "name"));
        const struct rule_list *list = set->lists;
        while (list < set->lists + set->n_lists && strcmp(list->name, name))
            list++;
        if (list == set->lists + set->n_lists) {
            conformance_differ(c, "list", name, NULL);
            continue;
        }
        compare_items(c, name, json_object_get(expected, "items"), list->items, list->n_items);
        compare_items(c, name, json_object_get(expected, "items_compiled"), list->compiled, list->n_compiled);
        if (list->used != json_is_true(json_object_get(expected, "used")))
            conformance_differ_say(c, "list %s: used differs\n", name);
    }
}

/* ---- what is said ---- */

/* One line each: "CODE item 'name': text". The words of the YAML library are its own, and what is wrong in an output only we say. */
static void tell_message(struct text_out *out, const char *code, const char *type, const char *name, const char *text)
{
    static const char output[] = "unknown filter: unexpected token after '";
    size_t length = text_has_prefix(text, output) ? strlen(output) : strlen(text);
    if (!strcmp(code, "LOAD_ERR_YAML_PARSE")) {
        type = name = "";
        length = 0;
    }
    text_out_printf(out, "%s %s '%s': %.*s\n", code, type ? type : "", name ? name : "", (int)length, text);
}

static void tell_messages(struct text_out *out, const struct rule_message *messages, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (messages[i].code != LOAD_NEVER_FILLED) /* ours */
            tell_message(out, rule_code_name(messages[i].code), messages[i].item_type, messages[i].item_name, messages[i].text);
}

static void compare_messages(struct conformance *c, const char *path, const char *got)
{
    static char text[TEXT_MAX];
    struct text_out want;
    size_t i;
    json_t *m;
    text_out_init(&want, text, sizeof text);
    json_array_foreach(conformance_get(c, path), i, m)
        tell_message(&want, json_string_value(json_object_get(m, "code")), json_string_value(json_object_get(m, "item_type")),
                     json_string_value(json_object_get(m, "item_name")), json_string_value(json_object_get(m, "message")));
    conformance_compare(c, path, text, got);
}

/* ---- kinds ---- */

void run_rule_load(struct conformance *c)
{
    static char errors[TEXT_MAX], warnings[TEXT_MAX];
    struct ruleset *set = ruleset_new();
    struct text_out e, w;
    size_t i;
    json_t *file;
    int r = 0;
    if (!set)
        abort();
    text_out_init(&e, errors, sizeof errors);
    text_out_init(&w, warnings, sizeof warnings);
    json_array_foreach(conformance_get(c, "input"), i, file) {
        const json_t *content = json_object_get(file, "content");
        r = ruleset_load(set, json_string_value(json_object_get(file, "name")), json_string_value(content), json_string_length(content));
        tell_messages(&e, set->errors, set->n_errors);
        tell_messages(&w, set->warnings, set->n_warnings);
        if (r)
            break;
    }
    compare_messages(c, "expect.errors", errors);
    compare_messages(c, "expect.warnings", warnings);
    if (!r != conformance_bool(c, "expect.ok", false))
        conformance_differ_say(c, "%s\n", r ? "refused" : "taken");
    if (!r && conformance_get(c, "expect.rules")) {
        compare_rules(c, set);
        compare_lists(c, set);
        compare_macros(c, set);
    }
    ruleset_free(set);
}

/* The stock files are loaded once, each on its own. */
static const struct ruleset *stock_set(const struct conformance *c, const char *file)
{
    static struct stock {
        struct ruleset *set;
        char file[128];
    } stock[8];
    struct stock *s = stock;
    char path[256];
    size_t size;
    while (s->set && strcmp(s->file, file))
        s++;
    if (s->set)
        return s->set;
    snprintf(s->file, sizeof s->file, "%s", file);
    snprintf(path, sizeof path, "data/%s", file);
    char *data = conformance_file(c, path, &size);
    s->set = ruleset_new();
    if (!s->set || ruleset_load(s->set, file, data, size))
        printf("%s: %s\n", file, s->set ? s->set->errors[0].text : "no memory");
    free(data);
    return s->set;
}

void run_stock_compile(struct conformance *c)
{
    const struct ruleset *set = stock_set(c, conformance_text(c, "input.file", NULL));
    const char *name = conformance_text(c, "input.rule", NULL);
    const struct rule *rule = set ? ruleset_find(set, name) : NULL;
    if (!rule || !rule->compiled)
        conformance_differ(c, "rule", name, NULL);
    else
        compare_compiled(c, rule, conformance_get(c, "expect"), "operators");
}
