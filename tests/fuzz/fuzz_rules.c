/* Any bytes as a rules file, on top of a set that holds something: refused with a message and without a change, or taken; then what it
 * became is read, armed, and loaded over. */
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/rule_arm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char base[] = "- list: shells\n  items: [sh, bash]\n"
                           "- macro: started\n  condition: evt.type = execve and proc.name in (shells)\n"
                           "- rule: r\n  desc: d\n  condition: started\n  output: o %proc.name\n  priority: INFO\n";

/* Everything that is shown is one or more lines that a terminal takes harmlessly. */
static void check_message(const struct rule_message *m)
{
    if (!m->text || !m->snippet || !m->file || !m->item_type || !m->item_name)
        abort();
    for (const char *p = m->snippet; *p; p++)
        if ((unsigned char)*p < ' ' && *p != '\n')
            abort();
    for (const char *p = m->text; *p; p++)
        if ((unsigned char)*p < ' ')
            abort();
}

static void check_set(const struct ruleset *set)
{
    struct rule_arming arming;
    struct arena arena;
    arena_init(&arena, 0);
    for (uint32_t i = 0; i < set->n_rules; i++) {
        const struct rule *rule = &set->rules[i];
        if (ruleset_find(set, rule->name) != rule || rule->compiled != (rule->cond && rule->format))
            abort();
        rule_arm(rule, FILL_EXEC | FILL_FILE, &arming);
        if ((arming.state == ARM_ARMED) != !arming.reason[0])
            abort();
        if (rule->compiled)
            cond_print(&arena, rule->cond);
    }
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ruleset *set = ruleset_new();
    if (!set || ruleset_load(set, "base", base, strlen(base)))
        abort();
    int r = ruleset_load(set, "fuzz", (const char *)data, size);
    for (uint32_t i = 0; i < set->n_warnings; i++)
        check_message(&set->warnings[i]);
    if (r) {
        if (set->n_errors != 1 || set->n_rules != 1 || set->n_lists != 1 || set->n_macros != 1 || !set->rules[0].compiled)
            abort();
        check_message(&set->errors[0]);
    }
    check_set(set);
    if (ruleset_load(set, "base", base, strlen(base)) && !set->n_errors)
        abort();
    check_set(set);
    ruleset_free(set);
    return 0;
}
