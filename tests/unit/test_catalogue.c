/* What is shipped is described: every detector and rule says its condition, limits and what to check, and each of the well-known types is
 * made by one of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/ctl/finding_types.h"
#include "agent/detect/detector.h"
#include "agent/rule_files.h"

static struct ruleset *shipped;

static void message(struct rule_files_listener *listener, const struct rule_message *m)
{
    char text[2048];
    struct text_out out;
    (void)listener;
    text_out_init(&out, text, sizeof text);
    rule_message_print(&out, m);
    fail_msg("%s", text);
}

static int load_shipped(void **state)
{
    struct rule_files_listener listener = { message };
    struct rule_files_result result = { 0 };
    (void)state;
    shipped = ruleset_new();
    return rule_files_load(shipped, TEST_SRCDIR "/agent/rules", &listener, &result) || !shipped->n_rules;
}

static int free_shipped(void **state)
{
    (void)state;
    ruleset_free(shipped);
    return 0;
}

static void every_detector_is_described(void **state)
{
    (void)state;
    for (int i = 0; detectors[i]; i++) {
        const struct detector *d = detectors[i];
        const char *const texts[] = { d->type, d->title, d->advice, d->condition, d->limits, d->mitre };
        assert_non_null(d->rule);
        for (size_t j = 0; j < sizeof texts / sizeof texts[0]; j++)
            if (!texts[j] || (!*texts[j] && texts[j] != d->mitre))
                fail_msg("%s lacks text %zu", d->rule, j);
        if (!d->needs && !d->helps && !d->signal)
            fail_msg("%s does not say which sensors it needs", d->rule);
        if (d->needs & d->helps)
            fail_msg("%s names a sensor twice", d->rule);
    }
}

static void every_rule_is_described(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < shipped->n_rules; i++) {
        const struct rule *r = &shipped->rules[i];
        if (!r->finding_type || !r->advice || !strstr(r->desc, "Limits: ") || !r->n_tags)
            fail_msg("%s:%u: %s lacks finding_type, advice, tags or 'Limits: ' in its description", r->file, r->line, r->name);
    }
}

static bool is_made(const char *type)
{
    for (int i = 0; detectors[i]; i++)
        if (!strcmp(detectors[i]->type, type))
            return true;
    for (uint32_t i = 0; i < shipped->n_rules; i++)
        if (shipped->rules[i].enabled && shipped->rules[i].finding_type && !strcmp(shipped->rules[i].finding_type, type))
            return true;
    return false;
}

static void every_well_known_type_is_made(void **state)
{
    (void)state;
    for (int i = 0; i < N_FINDING_TYPES; i++) {
        if (!finding_types[i].name || !finding_types[i].why || !is_made(finding_types[i].name))
            fail_msg("no rule or detector makes %s", finding_types[i].name);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(finding_types[i].name, finding_types[j].name);
    }
}

static bool is_yaml(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && !strcmp(name + n - 5, ".yaml");
}

static void every_rules_file_is_installed(void **state)
{
    static char makefile[256 << 10];
    FILE *file = fopen(TEST_SRCDIR "/Makefile.am", "r");
    DIR *dir = opendir(TEST_SRCDIR "/agent/rules");
    struct dirent *entry;
    char path[512];
    (void)state;
    assert_true(file && dir);
    makefile[fread(makefile, 1, sizeof makefile - 1, file)] = 0;
    while ((entry = readdir(dir))) {
        snprintf(path, sizeof path, "agent/rules/%s", entry->d_name);
        if (is_yaml(entry->d_name) && !strstr(makefile, path))
            fail_msg("Makefile.am does not install %s", path);
    }
    closedir(dir);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_detector_is_described),
        cmocka_unit_test(every_rule_is_described),
        cmocka_unit_test(every_well_known_type_is_made),
        cmocka_unit_test(every_rules_file_is_installed),
    };
    return cmocka_run_group_tests_name("catalogue", tests, load_shipped, free_shipped);
}
