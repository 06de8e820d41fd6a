/* Rules files from directories: order, refusals, messages; and what is said about a rule's state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/rule_files.h"
#include "agent/rule_status.h"
#include "common/config.h"

#define RULE(name, condition) "- rule: " name "\n  desc: d\n  condition: " condition "\n  output: o\n  priority: WARNING\n"

static char dir[64], told[16384];
static struct ruleset *set;
static struct rule_files_result result;

static void tell(struct rule_files_listener *listener, const struct rule_message *message)
{
    char text[4096];
    struct text_out out;
    (void)listener;
    text_out_init(&out, text, sizeof text);
    rule_message_print(&out, message);
    strncat(told, text, sizeof told - strlen(told) - 2);
    strcat(told, "\n");
}

static struct rule_files_listener listener = { tell };

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/test_rule_files.XXXXXX");
    told[0] = 0;
    memset(&result, 0, sizeof result);
    set = ruleset_new();
    return !mkdtemp(dir) || !set;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    ruleset_free(set);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static void put(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void load(void)
{
    assert_int_equal(rule_files_load(set, dir, &listener, &result), 0);
}

/* "DIR/" in front of `name`. */
static const char *in_dir(const char *text)
{
    static char expected[4096];
    snprintf(expected, sizeof expected, "%s/%s", dir, text);
    return expected;
}

static void files_come_in_order_of_their_names(void **state)
{
    (void)state;
    put("20-later.yaml", "- rule: r\n  enabled: false\n  override: {enabled: replace}\n");
    put("10-first.yml", RULE("r", "evt.type = execve"));
    put("30-not.yaml.bak", "nonsense: [\n");
    put(".hidden.yaml", "nonsense: [\n");
    load();
    assert_int_equal(result.n_files, 2);
    assert_int_equal(result.n_failed, 0);
    assert_int_equal(set->n_rules, 1);
    assert_false(set->rules[0].enabled);
    assert_string_equal(told, "");
}

static void a_broken_file_is_left_out_and_told(void **state)
{
    (void)state;
    put("a.yaml", RULE("a", "evt.type = execve"));
    put("b.yaml", RULE("b", "evt.type = execve and proc.nme = x"));
    put("c.yaml", RULE("c", "evt.type = execve"));
    load();
    assert_int_equal(result.n_files, 3);
    assert_int_equal(result.n_failed, 1);
    assert_int_equal(set->n_rules, 2);
    assert_string_equal(result.first_error, in_dir("b.yaml:3:36: LOAD_ERR_COMPILE_CONDITION in rule 'b': "
                                                   "filter_check called with nonexistent field proc.nme"));
    assert_string_equal(told, in_dir("b.yaml:3:36: LOAD_ERR_COMPILE_CONDITION in rule 'b': filter_check called with nonexistent field proc.nme\n"
                                     "  condition: evt.type = execve and proc.nme = x\n"
                                     "                                   ^\n"));
}

static void warnings_are_told_once_and_by_their_file(void **state)
{
    (void)state;
    put("a.yaml", "- list: unused\n  items: [x]\n" RULE("a", "evt.type = execve and k8s.ns.name = x"));
    put("b.yaml", RULE("b", "evt.type = execve"));
    load();
    rule_files_tell_unused(set, &listener, &result);
    assert_int_equal(result.n_warnings, 2);
    assert_null(strstr(told, "b.yaml"));
    assert_non_null(strstr(told, "a.yaml:5:36: LOAD_NEVER_FILLED in rule 'a'"));
    assert_non_null(strstr(told, "a.yaml:1:3: LOAD_UNUSED_LIST in list 'unused'"));
}

static void what_is_no_file_is_refused_at_once(void **state)
{
    char path[128];
    (void)state;
    put("big.yaml", "");
    snprintf(path, sizeof path, "%s/big.yaml", dir);
    assert_int_equal(truncate(path, LIMIT_RULES_FILE_BYTES + 1), 0);
    snprintf(path, sizeof path, "%s/fifo.yaml", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof path, "%s/gone.yaml", dir);
    assert_int_equal(symlink("/nonexistent/x", path), 0);
    snprintf(path, sizeof path, "%s/sub.yaml", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    put("zz.yaml", RULE("r", "evt.type = execve"));
    load();
    assert_int_equal(result.n_failed, 4);
    assert_int_equal(set->n_rules, 1);
    assert_non_null(strstr(told, "big.yaml: LOAD_ERR_FILE_READ: the file is larger than 8 MiB: split it\n"));
    assert_non_null(strstr(told, "fifo.yaml: LOAD_ERR_FILE_READ: not a regular file\n"));
    assert_non_null(strstr(told, "gone.yaml: LOAD_ERR_FILE_READ: No such file or directory\n"));
    assert_non_null(strstr(told, "sub.yaml: LOAD_ERR_FILE_READ: not a regular file\n"));
}

static void hostile_names_are_shown_harmlessly(void **state)
{
    (void)state;
    put("x\033[2J.yaml", "- rule: \"n\\e]0;x\"\n  desc: d\n");
    put("y.yaml", RULE("r", "evt.type = execve and proc.name = \"a\\q\""));
    load();
    assert_null(strchr(told, '\033'));
    assert_non_null(strstr(told, "x\\x1b[2J.yaml:1:3: LOAD_ERR_YAML_VALIDATE in rule 'n\\x1b]0;x'"));
    assert_non_null(strstr(told, "escape sequence: \\q\n"));
}

static void no_directory_is_no_rules(void **state)
{
    (void)state;
    assert_int_equal(rule_files_load(set, "/nonexistent/rules.d", &listener, &result), 0);
    assert_int_equal(rule_files_load(set, "/dev/null", &listener, &result), -ENOTDIR);
    assert_int_equal(result.n_files, 0);
}

static void too_many_files_are_counted(void **state)
{
    char name[32];
    (void)state;
    for (int i = 0; i < LIMIT_RULES_FILES + 2; i++) {
        snprintf(name, sizeof name, "%04d.yaml", i);
        put(name, "");
    }
    load();
    assert_int_equal(result.n_failed, 2);
    assert_non_null(strstr(told, "0257.yaml: LOAD_ERR_FILE_READ: too many rules files in this directory\n"));
}

/* ---- states ---- */

static void assert_state(const char *name, unsigned filled, enum rule_priority priority_max, const char *expected, const char *reason)
{
    struct rule_status status;
    rule_status_of(ruleset_find(set, name), filled, priority_max, &status);
    assert_string_equal(status.state, expected);
    assert_string_equal(status.reason, reason);
}

static void a_rule_says_why_it_is_not_armed(void **state)
{
    struct config config;
    (void)state;
    put("a.yaml", RULE("on", "evt.type = execve") RULE("off", "evt.type = execve") "  enabled: false\n" RULE("setns", "evt.type = setns")
        RULE("skipped", "evt.type = execve and foo.bar = 1") "  skip-if-unknown-filter: true\n");
    load();
    config_defaults(&config);
    unsigned filled = config_fills(&config);
    assert_state("on", filled, PRIORITY_DEBUG, "armed", "");
    assert_state("on", filled, PRIORITY_ERROR, "disabled", "its priority is below rules.priority of the configuration");
    assert_state("off", filled, PRIORITY_DEBUG, "disabled", "enabled: false");
    assert_state("setns", filled, PRIORITY_DEBUG, "inert", "setns is told by a sensor that is off: system call (sensors.syscalls)");
    assert_state("skipped", filled, PRIORITY_DEBUG, "inert", "left out when the rules were loaded: unknown field or event");
    config.sensors.syscalls = true;
    assert_state("setns", config_fills(&config), PRIORITY_DEBUG, "armed", "");
    config.sensors.exec = false;
    assert_state("on", config_fills(&config), PRIORITY_DEBUG, "inert", "execve is told by a sensor that is off: exec");
}

static void assert_detector(unsigned needs, unsigned helps, unsigned filled, const char *expected, const char *reason)
{
    const struct detector detector = { .rule = "d", .type = "T", .mitre = "", .needs = (uint16_t)needs, .helps = (uint16_t)helps };
    struct rule_status status;
    detector_status_of(&detector, filled, &status);
    assert_string_equal(status.state, expected);
    assert_string_equal(status.reason, reason);
}

static void a_detector_says_why_it_is_not_armed(void **state)
{
    (void)state;
    assert_detector(0, 0, 0, "armed", "");
    assert_detector(FILL_EXEC, FILL_FILE, FILL_EXEC | FILL_FILE, "armed", "");
    assert_detector(FILL_EXEC, FILL_FILE, FILL_EXEC, "partly armed", "goes without what a sensor that is off would tell: file");
    assert_detector(FILL_EXEC, FILL_FILE, FILL_FILE, "inert", "needs what a sensor that is off would tell: exec");
    assert_detector(0, FILL_EXEC | FILL_PROC, FILL_PROC, "partly armed", "goes without what a sensor that is off would tell: exec");
    assert_detector(0, FILL_EXEC | FILL_PROC, 0, "inert", "needs what a sensor that is off would tell: exec or process");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_come_in_order_of_their_names, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broken_file_is_left_out_and_told, setup, teardown),
        cmocka_unit_test_setup_teardown(warnings_are_told_once_and_by_their_file, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_refused_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_names_are_shown_harmlessly, setup, teardown),
        cmocka_unit_test_setup_teardown(no_directory_is_no_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_files_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_rule_says_why_it_is_not_armed, setup, teardown),
        cmocka_unit_test(a_detector_says_why_it_is_not_armed),
    };
    return cmocka_run_group_tests_name("rule_files", tests, NULL, NULL);
}
