/* The rules that are shipped: they load without a word, and each says what it must. */
#include <dirent.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/rules/ruleset.h"
#include "common/text.h"

#define RULES_DIR TEST_SRCDIR "/agent/rules"
#define COMM_LETTERS 15

static struct ruleset *set;

static void load(const char *name)
{
    static char data[1 << 20];
    char path[512];
    snprintf(path, sizeof path, RULES_DIR "/%s", name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t size = fread(data, 1, sizeof data, f);
    fclose(f);
    int result = ruleset_load(set, name, data, size);
    for (uint32_t i = 0; i < set->n_errors; i++)
        print_error("%s:%u: %s\n", set->errors[i].file, set->errors[i].line, set->errors[i].text);
    assert_int_equal(result, 0);
}

static int is_rules_file(const struct dirent *entry)
{
    return text_has_suffix(entry->d_name, ".yaml");
}

static int setup(void **state)
{
    (void)state;
    struct dirent **names;
    int n = scandir(RULES_DIR, &names, is_rules_file, alphasort);
    assert_true(n > 1);
    set = ruleset_new();
    assert_non_null(set);
    for (int i = 0; i < n; i++) {
        load(names[i]->d_name);
        free(names[i]);
    }
    free(names);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ruleset_free(set);
    return 0;
}

static void test_no_warning(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < set->n_warnings; i++)
        print_error("%s:%u: %s: %s\n", set->warnings[i].file, set->warnings[i].line, set->warnings[i].item_name, set->warnings[i].text);
    assert_int_equal(set->n_warnings, 0);
    assert_true(set->n_rules >= 60);
}

static bool has_tag(const struct rule *rule, const char *prefix)
{
    for (uint32_t i = 0; i < rule->n_tags; i++)
        if (text_has_prefix(rule->tags[i], prefix))
            return true;
    return false;
}

/* "Tactic:Runtime/Name" */
static bool is_type(const char *type)
{
    static const char *const tactics[] = { "Execution:Runtime/", "Persistence:Runtime/", "PrivilegeEscalation:Runtime/", "DefenseEvasion:Runtime/",
        "CredentialAccess:Runtime/", "Discovery:Runtime/", "Impact:Runtime/", "CommandAndControl:Runtime/", "Exfiltration:Runtime/" };
    for (size_t i = 0; i < sizeof tactics / sizeof tactics[0]; i++)
        if (text_has_prefix(type, tactics[i]))
            return type[strlen(tactics[i])] != 0;
    return false;
}

static void test_rules_say_what_they_must(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < set->n_rules; i++) {
        const struct rule *rule = &set->rules[i];
        bool ok = rule->compiled && rule->finding_type && is_type(rule->finding_type) && rule->advice && rule->advice[0] && strstr(rule->desc, "Limits:") &&
                  (has_tag(rule, "container") || has_tag(rule, "host")) && has_tag(rule, "mitre_") && has_tag(rule, "T1");
        if (!ok)
            print_error("rule '%s' lacks a finding type, advice, limits or tags\n", rule->name);
        assert_true(ok);
    }
}

/* What is the administrator's to fill is empty, but for the task families that build. */
static void test_lists_of_users_are_empty(void **state)
{
    (void)state;
    int n = 0;
    for (uint32_t i = 0; i < set->n_lists; i++) {
        const struct rule_list *list = &set->lists[i];
        if (!text_has_prefix(list->name, "user_"))
            continue;
        n++;
        if (list->n_items)
            print_error("list '%s' is not empty\n", list->name);
        assert_int_equal(list->n_items, 0);
    }
    assert_true(n >= 10);
}

/* The kernel keeps 15 letters of a name: a longer one in a list of names never matches. */
static void test_names_fit_the_kernels(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < set->n_lists; i++) {
        const struct rule_list *list = &set->lists[i];
        if (!text_has_suffix(list->name, "_names") || strstr(list->name, "log_names"))
            continue;
        for (uint32_t k = 0; k < list->n_items; k++) {
            if (strlen(list->items[k]) > COMM_LETTERS)
                print_error("list '%s': '%s' is longer than a name can be\n", list->name, list->items[k]);
            assert_true(strlen(list->items[k]) <= COMM_LETTERS);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_warning),
        cmocka_unit_test(test_rules_say_what_they_must),
        cmocka_unit_test(test_lists_of_users_are_empty),
        cmocka_unit_test(test_names_fit_the_kernels),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
