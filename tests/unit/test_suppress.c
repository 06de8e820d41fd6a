#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/suppress.h"

static struct suppress suppress, before;
static struct finding finding;
static struct container_facts container;
static struct suppress_facts facts;
static char error[1400];

static int parse(const char *yaml)
{
    struct text_out out;
    text_out_init(&out, error, sizeof error);
    return suppress_parse(&suppress, "f.yaml", yaml, strlen(yaml), &out);
}

static void set(enum finding_text which, const char *text)
{
    finding_set(&finding, which, text, strlen(text));
}

static int start(void **state)
{
    (void)state;
    finding_init(&finding);
    set(FT_TYPE, "Execution:Runtime/SuspiciousTool");
    set(FT_EXE, "/usr/bin/nmap");
    set(FT_CMDLINE, "nmap -sS 'a b'");
    finding.severity = SEVERITY_MEDIUM;
    finding.pid = 4711;
    finding.uid = 1000;
    finding.wall_ns = 1763855980000000000; /* 2025-11-22T23:59:40Z */
    container = (struct container_facts){ .id = 3, .family = "scanner", .image = "shop/scan:8", .container_id = "c0ffee" };
    facts = (struct suppress_facts){ .container = &container, .host = "ip-10-0-0-1", .cluster = "prod" };
    return 0;
}

static bool matches(const char *condition)
{
    char yaml[512];
    snprintf(yaml, sizeof yaml, "suppress:\n- name: n\n  when: ['%s']\n", condition);
    if (parse(yaml))
        fail_msg("%s", error);
    return suppress_match(&suppress, &finding, &facts) != NULL;
}

static void every_operator_says_what_it_says(void **state)
{
    (void)state;
    static const char *const yes[] = {
        "type = Execution:Runtime/SuspiciousTool", "type matches Execution:*", "type matches *Tool", "type matches *:Runtime/*",
        "exe matches /usr/bin/nma?", "cmdline matches nmap -s?*a b*", "exe != /usr/bin/nc", "severity = medium", "severity <= medium",
        "severity < high", "severity > low", "severity >= low", "severity != high", "pid = 4711", "pid > 4710", "pid <= 4711", "uid >= 1000",
        "user = 1000", "task_family = scanner", "image matches shop/*", "container_id = c0ffee", "service =", "task_id != x", "host matches ip-*",
        "cluster = prod", "last_seen >= 2025-11-22T00:00:00Z", "first_seen < 2025-11-23T00:00:00Z", "severity matches *", "exe > /usr/bin/nc",
    };
    static const char *const no[] = {
        "type = Execution:Runtime", "type matches Execution", "exe matches /usr/bin/nmap?", "severity > medium", "severity matches high",
        "pid < 4711", "uid != 1000", "task_family = Scanner", "service != ", "last_seen < 2025-11-22T00:00:00Z", "cluster = ", "user = root",
    };
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (!matches(yes[i]))
            fail_msg("does not match: %s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (matches(no[i]))
            fail_msg("matches: %s", no[i]);
}

static void on_the_host_the_columns_of_containers_are_empty(void **state)
{
    (void)state;
    facts.container = NULL;
    finding.uid = 0;
    assert_true(matches("container_id ="));
    assert_true(matches("cluster = prod"));
    assert_true(matches("user = root"));
    assert_false(matches("task_family matches ?*"));
}

static void all_conditions_of_one_filter_must_hold(void **state)
{
    (void)state;
    assert_int_equal(parse("log: {level: info}\nsuppress:\n"
                           "- name: other\n  when: [pid = 1]\n"
                           "- name: scan\n  reason: nightly\n  when:\n  - task_family = scanner\n  - exe matches *nmap\n"
                           "- {name: late, when: severity <= high}\ndelivery: {enabled: false}\n"), 0);
    assert_string_equal(suppress_match(&suppress, &finding, &facts)->name, "scan"); /* the first */
    strcpy(container.family, "web");
    assert_string_equal(suppress_match(&suppress, &finding, &facts)->name, "late");
    finding.severity = SEVERITY_CRITICAL;
    assert_null(suppress_match(&suppress, &finding, &facts));
    assert_int_equal(suppress.filters[0].n_matched, 0);
    assert_int_equal(suppress.filters[1].n_matched, 1);
    assert_int_equal(suppress.filters[2].n_matched, 1);
    before = suppress;
    assert_int_equal(parse("suppress:\n- {name: late, when: [pid = 2]}\n- {name: new, when: [pid = 3]}"), 0);
    suppress_keep_counts(&suppress, &before);
    assert_int_equal(suppress.filters[0].n_matched, 1);
    assert_int_equal(suppress.filters[1].n_matched, 0);
}

static void files_without_filters_have_none(void **state)
{
    (void)state;
    static const char *const none[] = { "", "# only a comment\n", "~", "log: {level: info}", "suppress:\n", "suppress: []\n", "suppress: ~" };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_int_equal(parse(none[i]), 0);
        assert_int_equal(suppress.n_filters, 0);
    }
    assert_null(suppress_match(&suppress, &finding, &facts));
    assert_null(suppress_match(NULL, &finding, &facts));
}

static void bad_filters_are_named_with_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *begin;
    } bad[] = {
        { "suppress: 7", "f.yaml:1:11: suppress: a list of filters is allowed here" },
        { "suppress:\n- 7", "f.yaml:2:3: a filter has the keys name and when" },
        { "suppress:\n- name: a", "f.yaml:2:3: a filter needs at least one condition in when" },
        { "suppress:\n- when: [pid = 1]", "f.yaml:2:3: a filter needs a name" },
        { "suppress:\n- name: a\n  when: []", "f.yaml:2:3: a filter needs at least one condition" },
        { "suppress:\n- name: a\n  when: [familie = x]", "f.yaml:3:10: \"familie\" is no column of findings; columns are id, type, rule," },
        { "suppress:\n- name: a\n  when: [count > 3]", "f.yaml:3:10: \"count\" is known only after a finding was stored; columns to filter by are id," },
        { "suppress:\n- name: a\n  when: [type is x]", "f.yaml:3:10: no operator after \"type\"; operators are = != > >= < <= matches" },
        { "suppress:\n- name: a\n  when: [type]", "f.yaml:3:10: no operator after \"type\"" },
        { "suppress:\n- name: a\n  when: [pid = x]", "f.yaml:3:10: pid compares with a number" },
        { "suppress:\n- name: a\n  when: [severity > bad]", "f.yaml:3:10: severity compares with info, low, medium, high or critical" },
        { "suppress:\n- name: a\n  when: [last_seen > now]", "f.yaml:3:10: last_seen compares with a time like" },
        { "suppress:\n- name: a\n  when: [[pid = 1]]", "f.yaml:3:10: a condition is one line" },
        { "suppress:\n- {name: a, when: [pid = 1]}\n- {name: a, when: [pid = 2]}", "f.yaml:3:10: there are two filters named \"a\"" },
        { "suppress:\n- {name: a, if: b}", "f.yaml:2:13: unknown key \"if\"; a filter has name, when" },
        { "suppress:\n- {name: a, name: b}", "f.yaml:2:13: name stands twice in one filter" },
        { "suppress:\n- name: \"a\\\"b\"\n  when: [pid = 1]", "f.yaml:2:9: name: 1 to 63 printable characters" },
        { "suppress: &a []", "f.yaml:1:11: anchors and aliases are not supported" },
        { "suppress: [", "f.yaml:2:1: not valid YAML" },
        { "[a]", "f.yaml:1:1: only \"key: value\" lines" },
        { "suppress: []\n---\na: 1", "f.yaml:2:1: a second YAML document" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(parse(bad[i].yaml), -EINVAL);
        assert_int_equal(suppress.n_filters, 0);
        if (strncmp(error, bad[i].begin, strlen(bad[i].begin)))
            fail_msg("%s\nbut expected %s", error, bad[i].begin);
    }
}

static void sizes_are_bounded(void **state)
{
    (void)state;
    static char yaml[256 << 10];
    size_t n = (size_t)sprintf(yaml, "suppress:\n");
    for (int i = 0; i <= LIMIT_SUPPRESS_FILTERS; i++)
        n += (size_t)sprintf(yaml + n, "- {name: n%d, when: [pid = 1]}\n", i);
    assert_int_equal(parse(yaml), -EINVAL);
    assert_non_null(strstr(error, "more than 128 filters"));
    n = (size_t)sprintf(yaml, "suppress:\n- name: a\n  when:\n");
    for (int i = 0; i <= LIMIT_SUPPRESS_CONDITIONS; i++)
        n += (size_t)sprintf(yaml + n, "  - pid != %d\n", i);
    assert_int_equal(parse(yaml), -EINVAL);
    assert_non_null(strstr(error, "larger than 1024 conditions"));
}

static void globs(void **state)
{
    (void)state;
    assert_true(suppress_glob("", ""));
    assert_true(suppress_glob("*", ""));
    assert_true(suppress_glob("**a*?*", "xaby"));
    assert_true(suppress_glob("a*b*c", "aXbYbZc"));
    assert_false(suppress_glob("a*b*c", "aXbYbZ"));
    assert_false(suppress_glob("?", ""));
    assert_false(suppress_glob("", "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_operator_says_what_it_says, start),
        cmocka_unit_test_setup(on_the_host_the_columns_of_containers_are_empty, start),
        cmocka_unit_test_setup(all_conditions_of_one_filter_must_hold, start),
        cmocka_unit_test_setup(files_without_filters_have_none, start),
        cmocka_unit_test_setup(bad_filters_are_named_with_their_place, start),
        cmocka_unit_test_setup(sizes_are_bounded, start),
        cmocka_unit_test(globs),
    };
    return cmocka_run_group_tests_name("suppress", tests, NULL, NULL);
}
