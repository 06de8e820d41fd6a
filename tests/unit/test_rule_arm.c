/* Whether rules are armed, by what runs on the host. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/rules/rule_arm.h"

#define ALL (FILL_EXEC | FILL_PROC | FILL_FILE | FILL_FLOW | FILL_FACTS | FILL_CGROUP | FILL_TRACEFS | FILL_OTHER)

static void assert_arming(const char *condition, uint16_t on, enum arm_state state, const char *reason)
{
    char text[2048];
    struct rule_arming arming;
    struct ruleset *set = ruleset_new();
    int n = snprintf(text, sizeof text,
                     "- rule: r\n  desc: d\n  condition: %s\n  output: o\n  priority: INFO\n  skip-if-unknown-filter: true\n",
                     condition);
    if (ruleset_load(set, "test.yaml", text, (size_t)n))
        fail_msg("%s", set->errors[0].text);
    rule_arm(ruleset_find(set, "r"), on, &arming);
    if (arming.state != state)
        fail_msg("%s: %s: %s", condition, arm_state_name(arming.state), arming.reason);
    assert_string_equal(arming.reason, reason);
    ruleset_free(set);
}

static void test_armed(void **state)
{
    (void)state;
    assert_arming("evt.type = execve and proc.name = x", ALL, ARM_ARMED, "");
    assert_arming("evt.type in (open, openat, openat2)", FILL_FILE, ARM_ARMED, "");
    assert_arming("proc.name = x", ALL, ARM_ARMED, "");
    assert_arming("evt.type != execve", ALL, ARM_ARMED, "");
    assert_arming("evt.type = execve and not k8s.ns.name = x", ALL, ARM_ARMED, "");
    assert_arming("evt.type = execve and not k8s.ns.name exists", ALL, ARM_ARMED, "");
}

static void test_events(void **state)
{
    (void)state;
    assert_arming("evt.type = execve", FILL_FILE, ARM_INERT, "execve is told by a sensor that is off: exec");
    assert_arming("evt.type = splice", ALL, ARM_INERT, "no sensor tells splice");
    assert_arming("evt.type in (execve, splice)", ALL, ARM_PARTLY, "evt.type = cannot hold: splice (no sensor tells splice)");
    assert_arming("evt.type in (execve, unshare)", ALL & ~FILL_TRACEFS, ARM_PARTLY,
                  "evt.type = cannot hold: unshare (unshare is told by a sensor that is off: system call (sensors.syscalls))");
    assert_arming("not evt.type in (connect, accept, flow_end) and evt.type != listen", FILL_FLOW, ARM_INERT,
                  "no sensor that is on tells an event for which all of it can hold");
    assert_arming("not evt.type = splice", FILL_EXEC, ARM_ARMED, "");
}

static void test_fields(void **state)
{
    (void)state;
    assert_arming("evt.type = execve and k8s.ns.name = x", ALL, ARM_INERT, "no sensor fills k8s.ns.name");
    assert_arming("evt.type = execve and not k8s.ns.name != x", ALL, ARM_ARMED, "");
    assert_arming("evt.type = execve and tolower(k8s.ns.name) = x", ALL, ARM_INERT, "no sensor fills k8s.ns.name");
    assert_arming("evt.type = execve and proc.name = val(k8s.ns.name)", ALL, ARM_INERT, "no sensor fills k8s.ns.name");
    assert_arming("evt.type = execve and proc.pname = x", FILL_EXEC, ARM_INERT, "proc.pname is filled by a sensor that is off: process");
}

static void test_alternatives(void **state)
{
    (void)state;
    assert_arming("evt.type = execve and (proc.name = x or k8s.ns.name = y)", ALL, ARM_PARTLY,
                  "the alternative cannot hold: k8s.ns.name = y (no sensor fills k8s.ns.name)");
    assert_arming("evt.type = execve and not (proc.name = x and not k8s.ns.name = y)", ALL, ARM_PARTLY,
                  "the alternative cannot hold: not not k8s.ns.name = y (no sensor fills k8s.ns.name)");
    assert_arming("(evt.type = execve and proc.name = x) or (evt.type = bpf and proc.name = y)", ALL & ~FILL_TRACEFS, ARM_PARTLY,
                  "the alternative cannot hold: (evt.type = bpf and proc.name = y) (bpf is told by a sensor that is off: system call (sensors.syscalls))");
    /* what the rest of the condition rules out anyway is no loss */
    assert_arming("evt.type = execve and (evt.type = execve or evt.type = bpf)", FILL_EXEC, ARM_ARMED, "");
    assert_arming("(k8s.ns.name = a or k8s.pod.name = b) and evt.type = execve", ALL, ARM_INERT, "no sensor fills k8s.ns.name");
}

static void test_placeholders(void **state)
{
    (void)state;
    assert_arming("evt.type = execve and not evt.num = 0", ALL, ARM_ARMED, "");
    assert_arming("evt.type = execve and (proc.name = x or evt.num = 0)", ALL, ARM_ARMED, "");
    assert_arming("evt.num = 0", ALL, ARM_INERT, "the condition holds for no event; a placeholder may be meant to be changed");
    assert_arming("evt.type = execve and evt.dir = <", ALL, ARM_ARMED, "");
}

static void test_failures(void **state)
{
    (void)state;
    assert_arming("evt.type = openat and (fd.num >= 0 or (fd.num = -1 and evt.res startswith E))", ALL, ARM_PARTLY,
                  "the alternative cannot hold: (fd.num = -1 and evt.res startswith E) (only what succeeded is seen)");
    assert_arming("evt.type = connect and (evt.rawres >= 0 or evt.res = EINPROGRESS)", ALL, ARM_ARMED, "");
    assert_arming("evt.type = openat and not evt.res = SUCCESS", ALL, ARM_INERT, "only what succeeded is seen");
}

static void test_left_out(void **state)
{
    (void)state;
    assert_arming("a.b = c", ALL, ARM_INERT, "left out when the rules were loaded: unknown field or event");
}

/* As deep as macros can make it. */
static void test_deep(void **state)
{
    (void)state;
    char *text;
    size_t size;
    struct rule_arming arming;
    struct ruleset *set = ruleset_new();
    FILE *f = open_memstream(&text, &size);
    fprintf(f, "- {macro: m0, condition: k8s.ns.name = x}\n");
    for (int i = 1; i <= 4000; i++)
        fprintf(f, "- {macro: m%d, condition: not (not m%d and proc.name = y)}\n", i, i - 1);
    fprintf(f, "- {rule: r, desc: d, condition: evt.type = execve and m1300, output: o, priority: INFO}\n");
    fclose(f);
    assert_int_equal(ruleset_load(set, "test.yaml", text, size), -EINVAL);
    assert_non_null(strstr(set->errors[0].text, "nests deeper"));
    size = (size_t)(strstr(text, "- {macro: m1301") - text);
    char *rule = strstr(text, "- {rule");
    memmove(text + size, rule, strlen(rule) + 1);
    assert_int_equal(ruleset_load(set, "test.yaml", text, strlen(text)), 0);
    rule_arm(&set->rules[0], ALL, &arming);
    assert_int_equal(arming.state, ARM_PARTLY);
    free(text);
    ruleset_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_armed),        cmocka_unit_test(test_events),       cmocka_unit_test(test_fields),
        cmocka_unit_test(test_alternatives), cmocka_unit_test(test_placeholders), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_left_out),     cmocka_unit_test(test_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
