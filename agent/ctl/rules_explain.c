/* ecsguardctl rules explain, fields: what rules mean, in words. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/ctl/rules.h"

/* ---- fields -------------------------------------------------------------------------------------------------------- */

static void fills_print(const struct rule_field *field, char *buffer, size_t size)
{
    struct text_out text;
    text_out_init(&text, buffer, size);
    rule_field_print_sources(&text, field->filled_by);
}

static json_t *field_row(const struct rule_field *field)
{
    char fills[64];
    json_t *row = json_object();
    fills_print(field, fills, sizeof fills);
    json_object_set_new(row, "name", json_string(field->name));
    json_object_set_new(row, "argument", json_string(rule_field_argument_form(field)));
    json_object_set_new(row, "type", json_string(rule_field_type_name(field)));
    json_object_set_new(row, "filled", json_string(rule_field_fill_name(field)));
    json_object_set_new(row, "filled_by", json_string(fills));
    json_object_set_new(row, "doc", json_string(field->doc));
    return row;
}

static enum style fill_style(enum field_fill fill)
{
    return fill == FIELD_FILLED ? STYLE_GREEN : fill == FIELD_PARTLY ? STYLE_YELLOW : STYLE_DIM;
}

#define FIELDS_WIDE 124 /* from here on there is room for the words beside the rest */
#define FIELDS_WORDS 78

/* Name, type, whether and by whom it is filled, and what it is. */
static void print_field_cells(const struct terminal *t, enum style name, enum style fill, const char *const texts[5])
{
    bool wide = !t->width || t->width >= FIELDS_WIDE;
    terminal_cell(t, name, 35, texts[0]);
    terminal_cell(t, STYLE_PLAIN, 10, texts[1]);
    terminal_cell(t, fill, 15, texts[2]);
    if (wide) {
        terminal_cell(t, STYLE_PLAIN, 17, texts[3]);
        terminal_cell(t, STYLE_PLAIN, 1, "");
        terminal_last(t, STYLE_PLAIN, FIELDS_WORDS, texts[4]);
        return;
    }
    terminal_last(t, STYLE_PLAIN, 60, texts[3]);
    if (name != STYLE_BOLD || fill != STYLE_BOLD)
        terminal_wrap(t, 4, texts[4]);
}

static void print_fields_head(const struct terminal *t)
{
    print_field_cells(t, STYLE_BOLD, STYLE_BOLD, (const char *const[]){ "FIELD", "TYPE", "FILLED", "BY", "WHAT IT IS" });
}

static void print_field(const struct terminal *t, const struct rule_field *field)
{
    char name[96], fills[64];
    snprintf(name, sizeof name, "%s%s", field->name, rule_field_argument_form(field));
    fills_print(field, fills, sizeof fills);
    print_field_cells(t, STYLE_BOLD, fill_style(field->fill),
                      (const char *const[]){ name, rule_field_type_name(field), rule_field_fill_name(field), fills, field->doc });
}

int rules_fields(struct ctl *ctl, const struct rules_request *request)
{
    (void)request;
    if (!ctl->json)
        print_fields_head(&ctl->term);
    for (size_t i = 0; i < n_rule_fields; i++) {
        if (ctl->json) {
            json_t *row = field_row(&rule_fields[i]);
            ctl_print_json(ctl, row, false);
            json_decref(row);
        } else {
            print_field(&ctl->term, &rule_fields[i]);
        }
    }
    return CTL_OK;
}

/* ---- explain ------------------------------------------------------------------------------------------------------- */

static void print_status(const struct terminal *t, const json_t *row)
{
    char number[24], place[600];
    terminal_pair(t, "type", row_string(row, "type"));
    terminal_pair(t, "severity", row_string(row, "severity"));
    terminal_pair(t, "state", row_string(row, "state"));
    terminal_pair(t, "because", row_string(row, "reason"));
    terminal_pair(t, "tags", row_string(row, "tags"));
    if (*row_string(row, "file")) {
        snprintf(place, sizeof place, "%s:%s", row_string(row, "file"), row_text(row, "line", number));
        terminal_pair(t, "file", place);
    }
    if (json_is_integer(json_object_get(row, "hits")) && strcmp(row_string(row, "kind"), "rule")) {
        snprintf(place, sizeof place, "%lld since %s", (long long)row_number(row, "hits"), row_string(row, "loaded"));
        terminal_pair(t, "findings", place);
    } else if (json_is_integer(json_object_get(row, "evaluations"))) {
        int64_t evaluations = row_number(row, "evaluations");
        snprintf(place, sizeof place, "%lld of %lld evaluations, %lld ns each, since %s", (long long)row_number(row, "hits"),
                 (long long)evaluations, (long long)(evaluations ? row_number(row, "cost_ns") / evaluations : 0), row_string(row, "loaded"));
        terminal_pair(t, "hits", place);
    }
}

/* The tree as indented lines: one check a line. */
static void print_tree(const struct terminal *t, struct arena *arena, const struct cond *cond, int depth)
{
    static const char *const words[] = { [COND_AND] = "all of", [COND_OR] = "any of", [COND_NOT] = "not" };
    bool is_group = cond->kind == COND_AND || cond->kind == COND_OR;
    if (depth < 24 && (is_group || (cond->kind == COND_NOT && cond->children[0]->n_children))) {
        fprintf(t->out, "%*s%s\n", 2 + 2 * depth, "", words[cond->kind]);
        for (uint32_t i = 0; i < cond->n_children; i++)
            print_tree(t, arena, cond->children[i], depth + 1);
        return;
    }
    const char *text = cond_print(arena, cond);
    terminal_wrap(t, 2 + 2 * depth, text ? text : "(too long to show)");
}

static void print_classes(const struct terminal *t, const struct rule *rule)
{
    char text[2048];
    struct text_out out;
    text_out_init(&out, text, sizeof text);
    for (int c = 0; c < CLASS_MAX; c++) {
        struct event_name_set names;
        bool meets = false;
        event_class_names((enum event_class)c, &names);
        for (size_t i = 0; i < sizeof names.bits / sizeof names.bits[0]; i++)
            meets |= (names.bits[i] & rule->events.bits[i]) != 0;
        if (meets)
            text_out_printf(&out, "%s%s", out.length ? ", " : "", event_classes[c].name);
    }
    terminal_pair(t, "events", out.length ? text : "none that the sensors can tell");
}

static void print_fields(const struct terminal *t, struct arena *arena, const struct cond *cond)
{
    const struct rule_field *last = NULL;
    const char **names;
    uint32_t n = cond_fields(arena, cond, &names);
    for (uint32_t i = 0; i < n; i++) { /* sorted: proc.aname[2] stands behind proc.aname */
        const struct rule_field *field = rule_field_find(names[i], strcspn(names[i], "["));
        if (field && field != last)
            print_field(t, field);
        last = field;
    }
}

static void explain_rule(struct ctl *ctl, struct ruleset *set, const struct rule *rule, json_t *row)
{
    const struct terminal *t = &ctl->term;
    terminal_heading(t, rule->name);
    terminal_wrap(t, 2, row_string(row, "description"));
    terminal_pair(t, "limits", row_string(row, "limits"));
    print_status(t, row);
    if (rule->cond)
        print_classes(t, rule);
    terminal_heading(t, "Condition, as written");
    terminal_wrap(t, 2, row_string(row, "condition"));
    if (rule->cond) {
        terminal_heading(t, "Condition, lists and macros put in");
        print_tree(t, &set->arena, rule->cond, 0);
        terminal_heading(t, "Fields");
        print_fields_head(t);
        print_fields(t, &set->arena, rule->cond);
    }
    terminal_heading(t, "Output");
    char *output = rules_one_line(rule->output);
    terminal_wrap(t, 2, output ? output : "");
    free(output);
    if (rule->advice) {
        terminal_heading(t, "What to check");
        terminal_wrap(t, 2, row_string(row, "advice"));
    }
}

static void explain_rule_json(struct ctl *ctl, struct ruleset *set, const struct rule *rule, json_t *row)
{
    const char **names;
    json_t *fields = json_array();
    uint32_t n = rule->cond ? cond_fields(&set->arena, rule->cond, &names) : 0;
    for (uint32_t i = 0; i < n; i++)
        json_array_append_new(fields, json_string(names[i]));
    json_object_set_new(row, "condition_expanded", rule->cond ? json_string(cond_print(&set->arena, rule->cond)) : json_null());
    json_object_set_new(row, "fields", fields);
    json_object_set_new(row, "output", json_string(rule->output));
    ctl_print_json(ctl, row, true);
}

static void explain_detector(struct ctl *ctl, const struct detector *detector, json_t *row)
{
    const struct terminal *t = &ctl->term;
    if (ctl->json) {
        ctl_print_json(ctl, row, true);
        return;
    }
    terminal_heading(t, detector->rule);
    terminal_wrap(t, 2, detector->title);
    print_status(t, row);
    terminal_heading(t, "Condition");
    terminal_wrap(t, 2, detector->condition);
    terminal_heading(t, "Limits");
    terminal_wrap(t, 2, detector->limits);
    terminal_heading(t, "What to check");
    terminal_wrap(t, 2, detector->advice);
}

/* ---- by name ---- */

static const struct detector *detector_find(const char *name)
{
    for (int i = 0; detectors[i]; i++)
        if (!strcasecmp(detectors[i]->rule, name))
            return detectors[i];
    return NULL;
}

static const struct rule *rule_find(const struct ruleset *set, const char *name)
{
    const struct rule *rule = ruleset_find(set, name);
    for (uint32_t i = 0; !rule && i < set->n_rules; i++)
        if (!strcasecmp(set->rules[i].name, name))
            rule = &set->rules[i];
    return rule;
}

#define SUGGESTIONS 5

/* Names that hold the words that were given. */
static void complain_unknown(const struct ruleset *set, const char *name)
{
    int n = 0;
    ctl_complain("there is no rule or detector named '%s': ecsguardctl rules list", name);
    for (int i = 0; detectors[i]; i++)
        if (strcasestr(detectors[i]->rule, name) && n++ < SUGGESTIONS)
            fprintf(stderr, "  %s\n", detectors[i]->rule);
    for (uint32_t i = 0; i < set->n_rules; i++)
        if (strcasestr(set->rules[i].name, name) && n++ < SUGGESTIONS) {
            char safe[4 * LIMIT_RULE_NAME_BYTES + 1];
            terminal_safe(safe, sizeof safe, set->rules[i].name);
            fprintf(stderr, "  %s\n", safe);
        }
    if (n > SUGGESTIONS)
        fprintf(stderr, "  and %d more\n", n - SUGGESTIONS);
}

static void explain(struct ctl *ctl, struct ruleset *set, const struct rule *rule, const struct rules_host *host)
{
    json_t *row = rules_row(ctl, rule, host);
    rules_describe(row, rule);
    if (ctl->json)
        explain_rule_json(ctl, set, rule, row);
    else
        explain_rule(ctl, set, rule, row);
    json_decref(row);
}

int rules_explain(struct ctl *ctl, const struct rules_request *request)
{
    struct rule_files_result result;
    struct rules_host host;
    struct ruleset *set;
    const struct detector *detector = detector_find(request->name);
    int status = rules_host_read(ctl, request, &host);
    if (!status)
        status = ctl_ruleset_load(ctl, &request->paths, false, NULL, &set, &result);
    if (status)
        return status;
    const struct rule *rule = rule_find(set, request->name);
    if (detector) {
        json_t *row = rules_detector_row(ctl, detector, &host);
        detectors_describe(row, detector);
        explain_detector(ctl, detector, row);
        json_decref(row);
    } else if (rule) {
        explain(ctl, set, rule, &host);
    } else {
        complain_unknown(set, request->name);
    }
    ruleset_free(set);
    return detector || rule ? CTL_OK : CTL_FAILED;
}
