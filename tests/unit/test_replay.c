/* The replay's own work: order, ticks, bad lines, repeats. A small pipeline of this file's stands in for the real one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/replay.h"
#include "common/clock.h"

/* Remembers what it was given; 20 ms after an exec it finds something; reports a container for every container event. */
struct pipeline {
    uint64_t last_ns, due_ns;
    int n_events, n_ticks;
    bool went_back;
    int32_t order[16];
    struct finding finding;
    struct container_facts facts;
};

static void pipeline_at(struct pipeline *p, uint64_t now_ns)
{
    p->went_back |= now_ns < p->last_ns;
    p->last_ns = now_ns;
}

struct pipeline *pipeline_new(const struct pipeline_options *options)
{
    (void)options;
    return calloc(1, sizeof(struct pipeline));
}

void pipeline_free(struct pipeline *p)
{
    free(p);
}

void pipeline_set_wall_offset(struct pipeline *p, int64_t offset_ns)
{
    (void)p;
    assert_int_equal(offset_ns, 0);
}

void pipeline_set_host(struct pipeline *p, const struct host_facts *host, const struct user_names *users, const char *host_name)
{
    (void)p, (void)host, (void)users, (void)host_name;
}

void pipeline_event(struct pipeline *p, const struct event *ev, struct outcome *out)
{
    memset(out, 0, sizeof *out);
    pipeline_at(p, ev->time_ns);
    p->order[p->n_events++ % 16] = ev->pid;
    if (ev->kind == EVENT_EXEC)
        p->due_ns = ev->time_ns + 20 * NS_PER_MS;
    if (ev->kind == EVENT_CONTAINER) {
        p->facts.id = 3;
        snprintf(p->facts.name, sizeof p->facts.name, "web-%d", ev->pid);
        out->containers[out->n_containers++] = &p->facts;
    }
}

bool pipeline_tick(struct pipeline *p, uint64_t now_ns, struct outcome *out)
{
    memset(out, 0, sizeof *out);
    pipeline_at(p, now_ns);
    p->n_ticks++;
    if (!p->due_ns || now_ns < p->due_ns)
        return false;
    assert_true(now_ns - p->due_ns < LIMIT_TICK_MS * NS_PER_MS);
    p->due_ns = 0;
    finding_init(&p->finding);
    strcpy(p->finding.id, "one");
    p->finding.container = 3;
    p->finding.wall_ns = now_ns;
    out->findings[out->n_findings++] = &p->finding;
    return false; /* the last step has an outcome, too */
}

uint64_t pipeline_next_due(const struct pipeline *p)
{
    return p->due_ns ? p->due_ns : UINT64_MAX;
}

static int load(struct replay *r, const char *text, char *errors, size_t size)
{
    FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r"), *err = fmemopen(errors, size, "w");
    assert_true(in && err);
    replay_init(r);
    int result = replay_load(r, in, "events", err);
    fclose(in);
    fclose(err);
    return result;
}

#define LINE(time, kind, pid) "{\"time\":\"2025-11-22T" time "Z\",\"kind\":\"" kind "\",\"source\":\"exec\",\"pid\":" pid "}\n"

static void events_pass_in_order_of_time(void **state)
{
    (void)state;
    struct replay r;
    char errors[200] = "";
    struct pipeline *p = pipeline_new(NULL);
    assert_int_equal(load(&r, LINE("10:00:01", "exit", "3") LINE("10:00:00", "container", "1") LINE("10:00:00", "exec", "2"), errors, 200), 0);
    assert_int_equal(replay_run(&r, p), 0);
    assert_string_equal(errors, "");
    assert_int_equal(p->n_events, 3);
    assert_false(p->went_back);
    assert_int_equal(p->order[0], 1);
    assert_int_equal(p->order[1], 2);
    assert_int_equal(p->order[2], 3);
    assert_int_equal(r.n_findings, 1);
    assert_string_equal(r.findings[0].container.name, "web-1");
    pipeline_free(p);
    replay_fini(&r);
}

static void decisions_at_the_end_are_waited_for_and_repeats_add_up(void **state)
{
    (void)state;
    struct replay r;
    char errors[200] = "";
    struct pipeline *p = pipeline_new(NULL);
    assert_int_equal(load(&r, LINE("10:00:00", "exec", "1") LINE("11:00:00", "exec", "2"), errors, 200), 0);
    assert_int_equal(replay_run(&r, p), 0);
    assert_int_equal(r.n_findings, 1);
    assert_int_equal(r.findings[0].count, 2);
    assert_true(r.findings[0].last_wall_ns - r.findings[0].first_wall_ns >= 3600 * NS_PER_SECOND);
    assert_true(p->n_ticks < 10); /* an hour of silence is not ticked through */
    pipeline_free(p);
    replay_fini(&r);
}

static void bad_lines_are_named_and_cost_nothing_beside_them(void **state)
{
    (void)state;
    struct replay r;
    char errors[400] = "";
    assert_int_equal(load(&r, LINE("10:00:00", "exec", "1") "\nrubbish\n" LINE("10:00:00", "exec", "\"x\"") "  \r\n" LINE("10:00:00", "exec", "2"),
                          errors, sizeof errors),
                     0);
    assert_int_equal(r.n_events, 2);
    assert_int_equal(r.n_bad, 2);
    assert_non_null(strstr(errors, "events:3: not JSON"));
    assert_non_null(strstr(errors, "events:4: \"pid\": needs a whole number"));
    replay_fini(&r);
}

static void a_line_without_end_is_refused_once(void **state)
{
    (void)state;
    struct replay r;
    char errors[400] = "";
    size_t size = 2 * LIMIT_EVENT_JSON_BYTES;
    char *text = malloc(size + 200);
    memset(text, 'x', size);
    strcpy(text + size, "\n" LINE("10:00:00", "exec", "2"));
    assert_int_equal(load(&r, text, errors, sizeof errors), 0);
    assert_int_equal(r.n_events, 1);
    assert_int_equal(r.n_bad, 1);
    assert_non_null(strstr(errors, "events:1: is longer than"));
    free(text);
    replay_fini(&r);
}

static void nothing_is_no_error(void **state)
{
    (void)state;
    struct replay r;
    char errors[100] = "";
    struct pipeline *p = pipeline_new(NULL);
    assert_int_equal(load(&r, "\n", errors, sizeof errors), 0);
    assert_int_equal(replay_run(&r, p), 0);
    assert_int_equal(p->n_ticks, 0);
    pipeline_free(p);
    replay_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_pass_in_order_of_time),
        cmocka_unit_test(decisions_at_the_end_are_waited_for_and_repeats_add_up),
        cmocka_unit_test(bad_lines_are_named_and_cost_nothing_beside_them),
        cmocka_unit_test(a_line_without_end_is_refused_once),
        cmocka_unit_test(nothing_is_no_error),
    };
    return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
