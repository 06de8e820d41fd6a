#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/signals.h"

static struct signals signals;
static struct finding finding;
static struct container_facts facts;

static void note(const char *id, const char *type, int32_t container, const char *task, uint64_t time_ns)
{
    finding_init(&finding);
    snprintf(finding.id, sizeof finding.id, "%s", id);
    finding.container = container;
    finding.severity = SEVERITY_MEDIUM;
    finding_set(&finding, FT_TYPE, type, strlen(type));
    facts = (struct container_facts){ .id = container };
    snprintf(facts.task_id, sizeof facts.task_id, "%s", task);
    signals_note(&signals, &finding, container ? &facts : NULL, 0, time_ns);
}

static int start(void **state)
{
    (void)state;
    memset(&signals, 0, sizeof signals);
    return 0;
}

static void tactics_come_from_type_and_mitre(void **state)
{
    (void)state;
    assert_int_equal(tactics_of("Execution:Runtime/ReverseShell", ""), 1 << TACTIC_EXECUTION);
    assert_int_equal(tactics_of("Backdoor:Runtime/C&CActivity.B", "T1071"), 1 << TACTIC_COMMAND_AND_CONTROL);
    assert_int_equal(tactics_of("Own/Type", "TA0003 T1053.003 TA0005"), 1 << TACTIC_PERSISTENCE | 1 << TACTIC_DEFENSE_EVASION);
    assert_int_equal(tactics_of("ExecutionX:y", ""), 0);
    assert_int_equal(tactic_parse("privilege-escalation"), TACTIC_PRIVILEGE_ESCALATION);
    assert_int_equal(tactic_parse("TA0040"), TACTIC_IMPACT);
    assert_int_equal(tactic_parse("TA004"), -1);
    assert_int_equal(tactic_parse(""), -1);
    for (int i = 0; i < TACTIC_MAX; i++)
        assert_int_equal(tactic_parse(tactic_name((enum tactic)i)), i);
}

static void each_is_told_once_in_order(void **state)
{
    (void)state;
    assert_null(signals_untold(&signals));
    note("a", "Execution:X", 0, "", 10);
    note("b", "Impact:X", 0, "", 20);
    assert_string_equal(signals_untold(&signals)->id, "a");
    signals_tell(&signals, signals_untold(&signals));
    assert_string_equal(signals_untold(&signals)->id, "b");
    note("a", "Execution:X", 0, "", 30); /* again */
    signals_tell(&signals, signals_untold(&signals));
    const struct signal *a = signals_untold(&signals);
    assert_string_equal(a->id, "a");
    assert_int_equal(a->count, 2);
    assert_int_equal(a->first_ns, 10);
    assert_int_equal(a->last_ns, 30);
    signals_tell(&signals, a);
    assert_null(signals_untold(&signals));
    note("s", "AttackSequence:ECS/CompromisedTask", 0, "", 40);
    assert_null(signals_untold(&signals));
}

static int count_of(int32_t container)
{
    int n = 0;
    for (int i = 0; i < LIMIT_SIGNALS; i++)
        n += signals.numbers[i] && signals.slots[i].container == container;
    return n;
}

static void a_noisy_container_takes_its_share_only(void **state)
{
    (void)state;
    char id[33];
    note("quiet", "Execution:X", 1, "t", 1);
    for (int i = 0; i < 3 * LIMIT_SIGNALS; i++) {
        snprintf(id, sizeof id, "n%d", i);
        note(id, "Execution:X", 2, "u", (uint64_t)i + 2);
    }
    assert_int_equal(count_of(2), LIMIT_SIGNALS_EACH);
    assert_int_equal(count_of(1), 1);
    for (int i = 0; i < 2 * LIMIT_SIGNALS; i++) { /* many containers: the oldest leave */
        snprintf(id, sizeof id, "m%d", i);
        note(id, "Execution:X", 100 + i, "", 100000 + (uint64_t)i);
    }
    assert_int_equal(count_of(1), 0);
    assert_int_equal(count_of(99 + 2 * LIMIT_SIGNALS), 1);
}

static void tasks_hold_together(void **state)
{
    (void)state;
    assert_true(signals_share_task(1, "", 1, ""));
    assert_true(signals_share_task(1, "t", 2, "t"));
    assert_false(signals_share_task(1, "", 2, ""));
    assert_false(signals_share_task(0, "", 2, "t"));
    assert_true(signals_share_task(0, "", 0, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(tactics_come_from_type_and_mitre, start),
        cmocka_unit_test_setup(each_is_told_once_in_order, start),
        cmocka_unit_test_setup(a_noisy_container_takes_its_share_only, start),
        cmocka_unit_test_setup(tasks_hold_together, start),
    };
    return cmocka_run_group_tests_name("signals", tests, NULL, NULL);
}
