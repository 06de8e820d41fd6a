#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/sequences.h"
#include "common/clock.h"

#define TWO_STAGES "  stages:\n  - {name: x, tactics: [execution]}\n  - {name: y, tactics: impact, types: ['Impact:*', 'CryptoCurrency:?*']}\n"

static struct sequences sequences;
static char error[1400];

static int parse(const char *yaml)
{
    struct text_out out;
    text_out_init(&out, error, sizeof error);
    return sequences_parse(&sequences, "s.yaml", yaml, strlen(yaml), &out);
}

static int start(void **state)
{
    (void)state;
    memset(&sequences, 0, sizeof sequences);
    return 0;
}

static struct signal signal_of(const char *type, int64_t act)
{
    struct signal g = { .exec_id = act, .severity = SEVERITY_MEDIUM, .tactics = tactics_of(type, "") };
    snprintf(g.type, sizeof g.type, "%s", type);
    snprintf(g.id, sizeof g.id, "%s%d", type, (int)act);
    return g;
}

static bool complete(const struct signal *list, int n)
{
    const struct signal *pointers[16];
    for (int i = 0; i < n; i++)
        pointers[i] = &list[i];
    return sequence_complete(&sequences, &sequences.list[0], pointers, n);
}

static void a_file_is_read_with_its_defaults(void **state)
{
    (void)state;
    assert_int_equal(parse("- sequence: a\n  window: 90m\n" TWO_STAGES), 0);
    const struct sequence *q = &sequences.list[0];
    assert_true(q->enabled);
    assert_int_equal(q->window_ns, 5400 * NS_PER_SECOND);
    assert_int_equal(q->scope, SEQUENCE_TASK);
    assert_int_equal(q->severity, SEVERITY_CRITICAL);
    assert_int_equal(q->acts, 2);
    assert_int_equal(q->n_stages, 2);
    assert_int_equal(sequences.stages[1].n_types, 2);
    assert_int_equal(sequences.stages[1].min_severity, SEVERITY_MEDIUM);
    struct signal miner = signal_of("Impact:Runtime/CryptoMinerExecuted", 1), coin = signal_of("CryptoCurrency:Runtime/B", 2);
    struct signal other = signal_of("Discovery:X", 3), low = signal_of("Execution:X", 4);
    low.severity = SEVERITY_LOW;
    assert_int_equal(sequence_fits(&sequences, q, &miner), 2);
    assert_int_equal(sequence_fits(&sequences, q, &coin), 2);
    assert_int_equal(sequence_fits(&sequences, q, &other), 0);
    assert_int_equal(sequence_fits(&sequences, q, &low), 0);
}

static void one_act_is_no_sequence(void **state)
{
    (void)state;
    assert_int_equal(parse("- sequence: a\n  window: 1h\n" TWO_STAGES), 0);
    struct signal same[] = { signal_of("Execution:X", 7), signal_of("Impact:Y", 7) };
    assert_false(complete(same, 2));
    same[1].exec_id = 8;
    assert_true(complete(same, 2));
    same[0].exec_id = same[1].exec_id = 0; /* unknown processes: told apart by their events */
    assert_false(complete(same, 2));
    same[0].event_id = 1;
    assert_true(complete(same, 2));
}

static void what_a_shell_starts_at_once_is_the_same_act(void **state)
{
    (void)state;
    assert_int_equal(parse("- sequence: a\n  window: 1h\n" TWO_STAGES), 0);
    struct signal list[] = { signal_of("Execution:X", 7), signal_of("Impact:Y", 8), signal_of("Execution:Z", 8) };
    list[1].parent_exec_id = list[2].parent_exec_id = 7;
    assert_false(complete(list, 2));
    assert_false(complete(list, 3)); /* a third type, but of no third process */
    list[2].exec_id = 9;
    assert_true(complete(list, 3));
    list[1].last_ns = 6 * NS_PER_SECOND;
    assert_true(complete(list, 2));
    list[1].exec_id = 7; /* the same program, but later */
    assert_true(complete(list, 2));
}

/* nc -e sh: the shell takes the place of nc. */
static void what_a_process_executes_at_once_is_the_same_act(void **state)
{
    (void)state;
    assert_int_equal(parse("- sequence: a\n  window: 1h\n" TWO_STAGES), 0);
    struct signal list[] = { signal_of("Execution:X", 7), signal_of("Impact:Y", 8), signal_of("Execution:Z", 9) };
    list[0].pid = list[1].pid = list[2].pid = 70;
    assert_false(complete(list, 2));
    assert_false(complete(list, 3)); /* however many types */
    list[1].container = 1;           /* another one, which came to the same pid */
    assert_true(complete(list, 2));
    list[1].container = 0;
    list[1].last_ns = 6 * NS_PER_SECOND;
    assert_true(complete(list, 2));
    list[0].pid = list[1].pid = 0; /* unknown */
    list[1].last_ns = 0;
    assert_true(complete(list, 2));
}

/* A type with two tactics serves one stage only, and gives way to others. */
static void each_stage_needs_a_type_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(parse("- sequence: a\n  window: 1h\n  stages:\n  - {name: x, tactics: [execution]}\n"
                           "  - {name: y, tactics: [command_and_control]}\n"), 0);
    struct signal both = signal_of("Execution:Shell", 1), again = both, control = signal_of("Backdoor:C", 2), run = signal_of("Execution:New", 3);
    both.tactics |= 1u << TACTIC_COMMAND_AND_CONTROL;
    again = both;
    again.exec_id = 9;
    assert_false(complete((struct signal[]){ both, again }, 2));
    assert_true(complete((struct signal[]){ both, control }, 2));
    assert_true(complete((struct signal[]){ both, run }, 2)); /* the shell serves the second stage then */
    assert_true(complete((struct signal[]){ run, both }, 2));
    assert_false(complete((struct signal[]){ run, run }, 2));
}

static void counts_and_acts_can_be_asked_for(void **state)
{
    (void)state;
    assert_int_equal(parse("- sequence: a\n  window: 1h\n  acts: 3\n  stages:\n  - {name: x, tactics: [discovery], count: 2, min_severity: low}\n"
                           "  - {name: y, tactics: [execution]}\n"), 0);
    struct signal list[] = { signal_of("Discovery:A", 1), signal_of("Execution:B", 2), signal_of("Discovery:A", 3) };
    assert_false(complete(list, 2));
    assert_true(complete(list, 3));
    list[2].exec_id = 1;
    assert_false(complete(list, 3));
}

static void a_later_sequence_takes_the_place_of_one_of_its_name(void **state)
{
    (void)state;
    assert_int_equal(parse("- sequence: a\n  window: 1h\n" TWO_STAGES "- sequence: b\n  window: 1h\n" TWO_STAGES), 0);
    assert_int_equal(parse("- {sequence: a, enabled: false}\n- sequence: b\n  window: 2h\n" TWO_STAGES), 0);
    assert_false(sequences.list[0].enabled);
    assert_false(sequences.list[1].enabled);
    assert_false(sequences.list[2].enabled);
    assert_true(sequences.list[3].enabled);
}

static void bad_files_are_named_with_their_place_and_change_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *begin;
    } bad[] = {
        { "a: b", "s.yaml:1:1: a list of sequences is allowed here" },
        { "- a", "s.yaml:1:3: a sequence has \"key: value\" lines" },
        { "- sequence: a\n  window: 1h\n", "s.yaml:1:3: the sequence needs at least 2 stages" },
        { "- window: 1h\n" TWO_STAGES, "s.yaml:1:3: the sequence needs a name" },
        { "- sequence: a\n" TWO_STAGES, "s.yaml:1:3: the sequence needs a window" },
        { "- sequence: a\n  window: 8d\n" TWO_STAGES, "s.yaml:2:11: window: a duration from 1s to 7d" },
        { "- sequence: a\n  window: 0s\n" TWO_STAGES, "s.yaml:2:11: window: a duration from 1s to 7d" },
        { "- sequence: a\n  window: 99999999999999999999s\n" TWO_STAGES, "s.yaml:2:11: window: a duration" },
        { "- sequence: a\n  scope: pod\n", "s.yaml:2:10: scope: task, container or host" },
        { "- sequence: a\n  severity: bad\n", "s.yaml:2:13: severity: info, low, medium, high or critical" },
        { "- sequence: a\n  acts: 0\n", "s.yaml:2:9: acts: a number from 1 to 64" },
        { "- sequence: a\n  enabled: maybe\n", "s.yaml:2:12: enabled: true or false" },
        { "- sequence: a\n  stages: 7\n", "s.yaml:2:3: stages: a list is allowed" },
        { "- sequence: a\n  stages: [{name: x}]\n", "s.yaml:2:12: a stage needs tactics, types or both" },
        { "- sequence: a\n  stages: [{tactics: impact}]\n", "s.yaml:2:12: a stage needs a name" },
        { "- sequence: a\n  stages: [{name: x, tactics: [hacking]}]\n", "s.yaml:2:32: \"hacking\" is no tactic; tactics are initial_access," },
        { "- sequence: a\n  stages: [{name: x, types: ['']}]\n", "s.yaml:2:30: types: a finding type is allowed" },
        { "- sequence: a\n  stages: [{name: x, count: 65}]\n", "s.yaml:2:29: count: a number from 1 to 64" },
        { "- sequence: a\n  when: x\n", "s.yaml:2:3: unknown key \"when\"; a sequence has sequence, description" },
        { "- sequence: a\n  stages: [{nam: x}]\n", "s.yaml:2:13: unknown key \"nam\"; a stage has name" },
        { "- sequence: \"a\\nb\"\n", "s.yaml:1:13: sequence: a text of 1 to 79 bytes" },
        { "- sequence: a\n  window: 1h\n" TWO_STAGES "- sequence: b", "s.yaml:6:3: the sequence needs a window" },
    };
    assert_int_equal(parse("- sequence: a\n  window: 1h\n" TWO_STAGES), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(parse(bad[i].yaml), -EINVAL);
        if (strncmp(error, bad[i].begin, strlen(bad[i].begin)))
            fail_msg("%s\nbut expected %s", error, bad[i].begin);
        assert_int_equal(sequences.n, 1);
        assert_int_equal(sequences.n_stages, 2);
        assert_int_equal(sequences.n_types, 2);
        assert_true(sequences.list[0].enabled);
    }
}

static void the_shipped_file_is_good(void **state)
{
    (void)state;
    static char data[64 << 10];
    FILE *f = fopen(TEST_SRCDIR "/agent/rules/sequences/sequences.yaml", "r");
    assert_non_null(f);
    data[fread(data, 1, sizeof data - 1, f)] = 0;
    fclose(f);
    if (parse(data))
        fail_msg("%s", error);
    assert_in_range(sequences.n, 3, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_file_is_read_with_its_defaults, start),
        cmocka_unit_test_setup(one_act_is_no_sequence, start),
        cmocka_unit_test_setup(what_a_shell_starts_at_once_is_the_same_act, start),
        cmocka_unit_test_setup(what_a_process_executes_at_once_is_the_same_act, start),
        cmocka_unit_test_setup(each_stage_needs_a_type_of_its_own, start),
        cmocka_unit_test_setup(counts_and_acts_can_be_asked_for, start),
        cmocka_unit_test_setup(a_later_sequence_takes_the_place_of_one_of_its_name, start),
        cmocka_unit_test_setup(bad_files_are_named_with_their_place_and_change_nothing, start),
        cmocka_unit_test_setup(the_shipped_file_is_good, start),
    };
    return cmocka_run_group_tests_name("sequences", tests, NULL, NULL);
}
