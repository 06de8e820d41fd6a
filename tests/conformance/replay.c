/* Rules over recorded events: how often each rule fires. Each condition is also evaluated by itself, which must say the same. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/program.h"
#include "agent/detect/rules/value_parse.h"
#include "tests/conformance/conformance.h"
#include "tests/conformance/values.h"

struct replay {
    struct conformance *c;
    struct ruleset *set;
    struct program *program;
    struct predicate **predicates; /* of each rule that takes part; else NULL */
    uint64_t *hits;
    struct arena arena;
    struct eval eval;
};

/* ---- which rules take part ------------------------------------------------------------------------------------------------ */

static bool texts_have(const json_t *texts, const char *text)
{
    size_t i;
    json_t *each;
    json_array_foreach(texts, i, each)
        if (!strcmp(json_string_value(each), text))
            return true;
    return false;
}

static bool has_tag_of(const struct rule *rule, const json_t *tags)
{
    for (uint32_t i = 0; i < rule->n_tags; i++)
        if (texts_have(tags, rule->tags[i]))
            return true;
    return false;
}

static bool is_chosen(const struct conformance *c, const struct rule *rule)
{
    const json_t *parts = conformance_get(c, "options.disable_rules_containing"), *only = conformance_get(c, "options.only_tags");
    size_t i;
    json_t *part;
    json_array_foreach(parts, i, part)
        if (strstr(rule->name, json_string_value(part)))
            return false;
    return !has_tag_of(rule, conformance_get(c, "options.disable_tags")) && (!only || has_tag_of(rule, only));
}

static enum rule_priority priority_max(const struct conformance *c)
{
    const char *name = json_string_value(json_array_get(conformance_get(c, "options.min_priority"), 0));
    for (int i = 0; name && i <= PRIORITY_DEBUG; i++)
        if (!strcasecmp(name, rule_priority_name((enum rule_priority)i)))
            return (enum rule_priority)i;
    return PRIORITY_DEBUG;
}

/* ---- events --------------------------------------------------------------------------------------------------------------- */

struct event_source_json {
    struct named_source named;
    const json_t *event;
};

static enum value_answer event_get(struct named_source *source, const char *name, const struct rule_field *field, struct value *out)
{
    const json_t *json = json_object_get(((struct event_source_json *)source)->event, name);
    char number[32], error[256];
    const char *text = json_is_string(json)  ? json_string_value(json)
                       : json_is_true(json)  ? "true"
                       : json_is_false(json) ? "false"
                                             : number;
    if (!json || json_is_null(json))
        return VALUE_MISSING;
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(json));
    if (value_type_is_text(field->type))
        *out = (struct value){ .type = VALUE_TEXT, .text = { text, strlen(text) } };
    else if (value_parse(field->type == VALUE_IPNET ? VALUE_IPADDR : field->type, text, strlen(text), out, error, sizeof error))
        return VALUE_MISSING;
    return VALUE_GOT;
}

static void compare_with_predicates(struct replay *r, const struct program_hit *hits, size_t n_hits)
{
    for (uint32_t i = 0; i < r->set->n_rules; i++) {
        enum verdict by_program = VERDICT_FALSE, alone;
        bool is_hit = false;
        for (size_t n = 0; n < n_hits; n++)
            if (hits[n].rule == i) {
                by_program = hits[n].verdict;
                is_hit = true;
            }
        if (!r->predicates[i] || (n_hits && !is_hit)) /* the first rule that holds ends the search */
            continue;
        alone = predicate_eval(r->predicates[i], &r->eval);
        if (alone != by_program)
            conformance_differ_say(r->c, "%s: %d in the program, %d by itself", r->set->rules[i].name, by_program, alone);
    }
}

static void event_run(struct replay *r, const json_t *event)
{
    struct event_source_json source = { .event = event };
    struct program_hit hits[64];
    const char *name = json_string_value(json_object_get(event, "evt.type"));
    int type = name ? event_name_find(name, strlen(name)) : -1;
    if (type < 0)
        return;
    named_source_init(&source.named, event_get, &r->arena);
    eval_begin(&r->eval, &source.named.source);
    size_t n = program_match(r->program, (uint32_t)type, &r->eval, hits, sizeof hits / sizeof *hits);
    for (size_t i = 0; i < n; i++)
        r->hits[hits[i].rule]++;
    compare_with_predicates(r, hits, n);
}

static void events_run(struct replay *r)
{
    char name[256];
    size_t size;
    snprintf(name, sizeof name, "data/%s", conformance_text(r->c, "options.events", NULL));
    char *text = conformance_file(r->c, name, &size);
    for (char *line = text, *end; line < text + size; line = end + 1) {
        end = strchr(line, '\n');
        if (!end)
            end = text + size;
        json_t *event = json_loadb(line, (size_t)(end - line), 0, NULL);
        if (event)
            event_run(r, event);
        json_decref(event);
    }
    free(text);
}

/* ---- a case --------------------------------------------------------------------------------------------------------------- */

static bool files_load(struct replay *r)
{
    const json_t *files = conformance_get(r->c, "input"), *file;
    size_t i;
    json_array_foreach(files, i, file)
    {
        const json_t *content = json_object_get(file, "content");
        if (ruleset_load(r->set, json_string_value(json_object_get(file, "name")), json_string_value(content),
                         json_string_length(content))) {
            conformance_differ(r->c, "load", "no error", r->set->n_errors ? r->set->errors[0].text : "no memory");
            return false;
        }
    }
    return true;
}

/* Every name of an event is a class of its own. The reference ends at the first rule that holds. */
static void program_make(struct replay *r)
{
    static struct event_name_set classes[EVENT_NAMES_MAX];
    struct cond_error error;
    struct program_options options = { .classes = classes, .n_classes = (uint32_t)event_names_count(), .priority_max = priority_max(r->c),
                                       .first_match = true };
    for (uint32_t i = 0; i < options.n_classes; i++)
        classes[i].bits[i / 64] = 1ull << (i % 64);
    for (uint32_t i = 0; i < r->set->n_rules; i++) {
        struct rule *rule = &r->set->rules[i];
        rule->enabled = rule->enabled && is_chosen(r->c, rule);
        if (rule->enabled && rule->compiled && rule->priority <= options.priority_max &&
            predicate_compile(&r->arena, rule->cond, &r->predicates[i], &error))
            conformance_differ_say(r->c, "%s: %s", rule->name, error.message);
    }
    r->program = program_new(r->set, &options);
    if (!r->program)
        abort();
}

static void compare_hits(struct replay *r)
{
    const json_t *expected = conformance_get(r->c, "expect.hits");
    json_t *got = json_object();
    for (uint32_t i = 0; i < r->set->n_rules; i++)
        if (r->hits[i])
            json_object_set_new(got, r->set->rules[i].name, json_integer((json_int_t)r->hits[i]));
    if (!json_equal(expected, got)) {
        char *want = json_dumps(expected, JSON_SORT_KEYS), *have = json_dumps(got, JSON_SORT_KEYS);
        conformance_differ(r->c, "hits", want, have);
        free(want);
        free(have);
    }
    json_decref(got);
}

void run_rule_replay(struct conformance *c)
{
    struct replay r = { .c = c, .set = ruleset_new() };
    arena_init(&r.arena, 0);
    if (!r.set || eval_init(&r.eval))
        abort();
    if (files_load(&r)) {
        r.predicates = calloc(r.set->n_rules + 1, sizeof *r.predicates);
        r.hits = calloc(r.set->n_rules + 1, sizeof *r.hits);
        program_make(&r);
        events_run(&r);
        compare_hits(&r);
    }
    program_free(r.program);
    free(r.predicates);
    free(r.hits);
    ruleset_free(r.set);
    eval_fini(&r.eval);
    arena_fini(&r.arena);
}
