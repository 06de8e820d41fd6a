/* Rules at work in the pipeline: what waits for facts and how long, and that what one rule says does not take anything from the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/rules_detector.h"
#include "agent/pipeline.h"
#include "common/clock.h"

#define CONTAINER "c0ffee0000000000000000000000000000000000000000000000000000000000"
#define CGROUP "/ecs/0123456789abcdef0123456789abcdef/" CONTAINER
#define WAIT_NS (5 * NS_PER_SECOND)
#define OUTPUT "  desc: d\n  output: \"%proc.cmdline %proc.exeline %proc.args\"\n  priority: ERROR\n"
#define RULE(name, condition) "- rule: " name "\n" OUTPUT "  condition: " condition "\n"

static struct pipeline *pipeline;
static struct outcome out;
static union event_buffer buffer;
static uint64_t now;

/* `n` rules of one condition, but for a number at its end. */
static void add_rules(char *yaml, size_t size, int n, const char *condition)
{
    for (int i = 0; i < n; i++) {
        size_t used = strlen(yaml);
        snprintf(yaml + used, size - used, "- rule: r%d\n%s  condition: %s%d\n", i, OUTPUT, condition, i + 1000);
    }
}

static struct rules *rules_of(const char *yaml)
{
    const struct rules_options options = { .priority_max = PRIORITY_DEBUG, .wait_ns = WAIT_NS };
    struct ruleset *set = ruleset_new();
    assert_non_null(set);
    int result = ruleset_load(set, "test.yaml", yaml, strlen(yaml));
    if (result)
        fail_msg("%s", set->errors[0].text);
    struct rules *rules = rules_new(set, &options);
    assert_non_null(rules);
    return rules;
}

static int setup(void **state)
{
    struct pipeline_options options = { .next_event_id = 1, .next_container_id = 1, .rules_only = true };
    (void)state;
    now = 1000000000;
    pipeline = pipeline_new(&options);
    return pipeline ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    pipeline_free(pipeline);
    return 0;
}

static struct event *make(enum event_kind kind, enum event_source source)
{
    event_init(&buffer.event, kind, source, now += NS_PER_MS);
    return &buffer.event;
}

static void put_facts(const char *image)
{
    struct event *ev = make(EVENT_CONTAINER, image ? SOURCE_DOCKER : SOURCE_CGROUP);
    event_set(ev, F_CONTAINER_PHASE, container_phase, image ? CONTAINER_FACTS : CONTAINER_START);
    event_set_text(ev, F_CONTAINER_ID, CONTAINER, strlen(CONTAINER));
    if (image)
        event_set_text(ev, F_IMAGE, image, strlen(image));
    pipeline_event(pipeline, ev, &out);
}

static struct event *make_exec(int32_t pid, const char *exe, const char *argv, size_t size)
{
    struct event *ev = make(EVENT_EXEC, SOURCE_EXEC);
    event_set(ev, F_PID, pid, pid);
    event_set_text(ev, F_EXE, exe, strlen(exe));
    event_set_text(ev, F_COMM, strrchr(exe, '/') + 1, strlen(strrchr(exe, '/') + 1));
    event_set_text(ev, F_CMDLINE, argv, size);
    return ev;
}

static void fork_of(int32_t parent, int32_t child)
{
    struct event *ev = make(EVENT_FORK, SOURCE_PROC);
    event_set(ev, F_PID, pid, child);
    event_set(ev, F_PPID, ppid, parent);
    pipeline_event(pipeline, ev, &out);
}

/* In the container. Returns how many rules say something at once. */
static int run(int32_t pid, const char *argv, size_t size)
{
    struct event *ev = make_exec(pid, "/usr/bin/tool", argv, size);
    event_set_text(ev, F_CGROUP, CGROUP, strlen(CGROUP));
    pipeline_event(pipeline, ev, &out);
    return out.n_findings;
}

static int tick(uint64_t ns)
{
    int n = 0;
    bool more;
    now += ns;
    do {
        more = pipeline_tick(pipeline, now, &out);
        n += out.n_findings;
    } while (more);
    return n;
}

static struct pipeline_counters counters(void)
{
    struct pipeline_counters c;
    pipeline_count(pipeline, &c);
    return c;
}

static void put_rules(const char *yaml)
{
    rules_free(pipeline_set_rules(pipeline, rules_of(yaml)));
}

/* Every shipped rule ends with "not in the list of trusted images", which is empty. */
static void an_empty_list_is_not_waited_for(void **state)
{
    (void)state;
    put_rules(RULE("r", "evt.type = execve and proc.name = tool and not container.image.repository in ()"));
    assert_int_equal(run(10, "tool", 5), 1);
    assert_int_equal(counters().n_rules_held, 0);
}

static void facts_are_waited_for(void **state)
{
    (void)state;
    put_rules(RULE("r", "evt.type = execve and proc.name = tool and not container.image.repository in (good)"));
    assert_int_equal(run(10, "tool", 5), 0);
    assert_int_equal(counters().n_rules_held, 1);
    put_facts("bad");
    assert_int_equal(out.n_findings, 1);
    assert_int_equal(tick(2 * WAIT_NS), 0);
}

/* No Docker, no ECS agent: the first event waits, those after it are decided at once. */
static void facts_that_never_come_are_waited_for_once(void **state)
{
    (void)state;
    put_rules(RULE("r", "evt.type = execve and proc.name = tool and not container.image.repository in (good)"));
    assert_int_equal(run(10, "tool", 5), 0);
    assert_int_equal(tick(2 * WAIT_NS), 1);
    assert_int_equal(run(11, "tool", 5), 1);
    assert_int_equal(counters().n_rules_held, 1);
    put_facts("good");
    assert_int_equal(run(12, "tool", 5), 0);
    assert_int_equal(tick(2 * WAIT_NS), 0);
}

/* While a rule waits, the parent becomes another program: a start script the service that it starts. */
static void a_rule_that_waited_is_about_its_time(void **state)
{
    (void)state;
    put_rules(RULE("r", "evt.type = execve and proc.name = tool and proc.pname = script and proc.aexepath[1] endswith /script and "
                        "not container.image.repository in (good)"));
    struct event *ev = make_exec(9, "/bin/script", "script", 7);
    event_set_text(ev, F_CGROUP, CGROUP, strlen(CGROUP));
    pipeline_event(pipeline, ev, &out);
    fork_of(9, 10);
    assert_int_equal(run(10, "tool", 5), 0);
    assert_int_equal(counters().n_rules_held, 1);
    pipeline_event(pipeline, make_exec(9, "/bin/server", "server", 7), &out);
    put_facts("bad");
    assert_int_equal(out.n_findings, 1);
    assert_int_equal(out.findings[0]->pid, 10);
    fork_of(9, 11);
    assert_int_equal(run(11, "tool", 5), 0);
    assert_int_equal(tick(2 * WAIT_NS), 0);
}

static void a_rule_that_waits_only_for_room_says_nothing_about_facts(void **state)
{
    char yaml[8192] = "";
    (void)state;
    add_rules(yaml, sizeof yaml, LIMIT_OUTCOME_FINDINGS + 2, "evt.type = execve and proc.name = tool and evt.num != ");
    strcat(yaml, RULE("facts", "evt.type = execve and proc.args = x and not container.image.repository in (good)"));
    put_rules(yaml);
    assert_int_equal(run(10, "tool", 5), LIMIT_OUTCOME_FINDINGS);
    assert_int_equal(tick(NS_PER_MS), 2);
    assert_int_equal(run(11, "tool\0x", 7), LIMIT_OUTCOME_FINDINGS);
    assert_int_equal(tick(NS_PER_MS), 2);
    put_facts("good");
    assert_int_equal(out.n_findings, 0);
    assert_int_equal(tick(2 * WAIT_NS), 0);
}

/* Each look of a regular expression at bytes that are no UTF-8 needs a copy, three times as long. */
static void bytes_that_are_no_text_do_not_hide_a_command(void **state)
{
    static char argv[4000] = "tool";
    const char find[] = " one two three four five six /etc/shadow"; /* the words make each expression worth a look */
    (void)state;
    memset(argv + 5, 0xff, sizeof argv - 5);
    memcpy(argv + sizeof argv - sizeof find, find, sizeof find);
    put_rules(RULE("r", "evt.type = execve and proc.name = tool and not proc.args regex \"one.*\" and not proc.args regex \"two.*\" and not proc.args regex "
                        "\"three.*\" and not proc.args regex \"four.*\" and not proc.args regex \"five.*\" and not proc.args regex "
                        "\"six.*\" and proc.args regex \".*/etc/shadow\""));
    assert_int_equal(run(10, argv, sizeof argv), 1);
}

/* Nor does a line break. */
static void a_line_break_does_not_hide_a_command(void **state)
{
    (void)state;
    put_rules(RULE("r", "evt.type = execve and proc.args regex \".*/etc/shadow.*\""));
    assert_int_equal(run(10, "tool\0/etc/shadow\0\n", 19), 1);
    assert_int_equal(run(11, "tool\0\n\0/etc/shadow", 18), 1);
}

static void set_socket(struct event *ev)
{
    const struct address address = { .family = 4, .bytes = { 10, 0, 0, 1 } };
    event_set(ev, F_FD, fd, 0);
    event_set(ev, F_PROTO, proto, 6);
    ev->src = ev->dst = address;
    event_know(ev, F_SRC);
    event_know(ev, F_DST);
}

/* What rules about the execution say, with long texts, takes nothing from rules about the same event as the duplication of a socket. */
static void long_findings_leave_room_for_other_rules(void **state)
{
    static char argv[4090] = "tool";
    char yaml[8192] = "";
    (void)state;
    memset(argv + 5, 'a', sizeof argv - 6);
    add_rules(yaml, sizeof yaml, LIMIT_OUTCOME_FINDINGS - 1, "evt.type = execve and proc.name = tool and evt.num != ");
    strcat(yaml, RULE("dup", "evt.type = dup and proc.exeline contains aaa"));
    put_rules(yaml);
    struct event *ev = make_exec(10, "/usr/bin/tool", argv, sizeof argv);
    set_socket(ev);
    pipeline_event(pipeline, ev, &out);
    assert_int_equal(out.n_findings, LIMIT_OUTCOME_FINDINGS);
}

/* More rules wait with one event than there is room for; those of its other class wait all the same. */
static void what_cannot_wait_does_not_hurry_others(void **state)
{
    char yaml[8192] = "";
    (void)state;
    add_rules(yaml, sizeof yaml, HELD_RULES + 1, "evt.type = execve and container.image.repository = ");
    strcat(yaml, RULE("dup", "evt.type = dup and container.image.repository = shop"));
    put_rules(yaml);
    struct event *ev = make_exec(10, "/usr/bin/tool", "tool", 5);
    event_set_text(ev, F_CGROUP, CGROUP, strlen(CGROUP));
    set_socket(ev);
    pipeline_event(pipeline, ev, &out);
    assert_int_equal(out.n_findings, 0);
    assert_int_equal(counters().n_rules_forced, 1);
    put_facts("shop");
    assert_int_equal(out.n_findings, 1);
}

/* What waits is decided by the new rules of the same name; when the rule is gone, by none. */
static void rules_are_replaced_while_some_wait(void **state)
{
    (void)state;
    put_rules(RULE("gone", "evt.type = execve and container.image.repository = shop")
              RULE("stays", "evt.type = execve and container.image.repository = shop"));
    assert_int_equal(run(10, "tool", 5), 0);
    put_rules(RULE("stays", "evt.type = execve and container.image.repository = shop"));
    put_facts("shop");
    assert_int_equal(out.n_findings, 1);
    assert_int_equal(run(11, "tool", 5), 1);
    rules_free(pipeline_set_rules(pipeline, NULL));
    assert_int_equal(run(12, "tool", 5), 0);
}

static void hits_that_cannot_be_told_are_counted(void **state)
{
    static char yaml[32768];
    (void)state;
    yaml[0] = 0;
    add_rules(yaml, sizeof yaml, LIMIT_RULE_HITS + 3, "evt.type = execve and proc.name = tool and evt.num != ");
    put_rules(yaml);
    run(10, "tool", 5);
    assert_int_equal(counters().n_rule_hits_dropped, 3 + LIMIT_RULE_HITS - LIMIT_OUTCOME_FINDINGS - HELD_RULES);
    put_rules(RULE("r", "evt.type = execve and proc.name = other"));
    assert_int_equal(counters().n_rule_hits_dropped, 3 + LIMIT_RULE_HITS - LIMIT_OUTCOME_FINDINGS - HELD_RULES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_list_is_not_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(facts_are_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(facts_that_never_come_are_waited_for_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_rule_that_waited_is_about_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_rule_that_waits_only_for_room_says_nothing_about_facts, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_that_are_no_text_do_not_hide_a_command, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_break_does_not_hide_a_command, setup, teardown),
        cmocka_unit_test_setup_teardown(long_findings_leave_room_for_other_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_wait_does_not_hurry_others, setup, teardown),
        cmocka_unit_test_setup_teardown(rules_are_replaced_while_some_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(hits_that_cannot_be_told_are_counted, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
