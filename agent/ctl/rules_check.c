/* ecsguardctl rules check: what is wrong with rules files. The exit status is 1 when one is refused. */
#include <string.h>

#include "agent/ctl/rules.h"

struct checker {
    struct rule_files_listener listener;
    struct ctl *ctl;
};

static void print_json(struct ctl *ctl, const struct rule_message *m)
{
    json_t *o = json_object();
    json_object_set_new(o, "level", json_string(rule_code_is_error(m->code) ? "error" : "warning"));
    json_object_set_new(o, "code", json_string(rule_code_name(m->code)));
    json_object_set_new(o, "file", json_string(m->file ? m->file : ""));
    json_object_set_new(o, "line", json_integer(m->line));
    json_object_set_new(o, "column", json_integer(m->column));
    json_object_set_new(o, "item_type", json_string(m->item_type ? m->item_type : ""));
    json_object_set_new(o, "item_name", json_string(m->item_name ? m->item_name : ""));
    json_object_set_new(o, "message", json_string(m->text ? m->text : ""));
    ctl_print_json(ctl, o, false);
    json_decref(o);
}

static void print_text(struct ctl *ctl, const struct rule_message *m)
{
    const struct terminal *t = &ctl->term;
    char text[4096];
    struct text_out out;
    text_out_init(&out, text, sizeof text);
    rule_message_print(&out, m);
    terminal_cell(t, rule_code_is_error(m->code) ? STYLE_RED : STYLE_YELLOW, 0, rule_code_is_error(m->code) ? "error: " : "warning: ");
    fprintf(t->out, "%s\n", text);
}

static void on_message(struct rule_files_listener *listener, const struct rule_message *message)
{
    struct checker *c = (struct checker *)listener;
    if (c->ctl->json)
        print_json(c->ctl, message);
    else
        print_text(c->ctl, message);
}

static uint32_t count_enabled(const struct ruleset *set)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < set->n_rules; i++)
        n += set->rules[i].enabled && set->rules[i].compiled;
    return n;
}

static const char *plural(uint32_t n)
{
    return n == 1 ? "" : "s";
}

/* "2 of 3 files refused; ..." or "ok: ..." */
static void print_summary(const struct terminal *t, const struct ruleset *set, const struct rule_files_result *result)
{
    char verdict[64] = "ok";
    if (result->n_failed)
        snprintf(verdict, sizeof verdict, "%u of %u file%s refused", result->n_failed, result->n_files, plural(result->n_files));
    terminal_cell(t, result->n_failed ? STYLE_RED : STYLE_GREEN, 0, verdict);
    fprintf(t->out, ": %u rule%s (%u enabled), %u macro%s, %u list%s", set->n_rules, plural(set->n_rules), count_enabled(set), set->n_macros,
            plural(set->n_macros), set->n_lists, plural(set->n_lists));
    if (!result->n_failed)
        fprintf(t->out, " in %u file%s", result->n_files, plural(result->n_files));
    fprintf(t->out, "; %u warning%s\n", result->n_warnings, plural(result->n_warnings));
}

int rules_check(struct ctl *ctl, const struct rules_request *request)
{
    struct checker checker = { { on_message }, ctl };
    struct rule_files_result result;
    struct ruleset *set;
    int status = ctl_ruleset_load(ctl, &request->paths, request->installed, &checker.listener, &set, &result);
    if (status)
        return status;
    rule_files_tell_unused(set, &checker.listener, &result);
    if (!ctl->json)
        print_summary(&ctl->term, set, &result);
    ruleset_free(set);
    return result.n_failed ? CTL_FAILED : CTL_OK;
}
