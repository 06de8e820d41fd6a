#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/pipeline.h"

#define CGROUP "/ecs/0123456789abcdef0123456789abcdef/c0ffee0000000000000000000000000000000000000000000000000000000000"

static struct pipeline *pipeline;
static struct outcome out;
static union event_buffer buffer;
static uint64_t now = 1000000000;

static int open_pipeline(void **state)
{
    (void)state;
    struct pipeline_options options = { .next_event_id = 100, .next_container_id = 5 };
    pipeline = pipeline_new(&options);
    return pipeline ? 0 : -1;
}

static int close_pipeline(void **state)
{
    (void)state;
    pipeline_free(pipeline);
    return 0;
}

static struct event *make(enum event_kind kind, int32_t pid)
{
    event_init(&buffer.event, kind, SOURCE_EXEC, now += 1000000);
    event_set(&buffer.event, F_PID, pid, pid);
    return &buffer.event;
}

static void run_exec(int32_t pid, const char *exe, const char *cgroup)
{
    struct event *ev = make(EVENT_EXEC, pid);
    event_set_text(ev, F_EXE, exe, strlen(exe));
    if (cgroup)
        event_set_text(ev, F_CGROUP, cgroup, strlen(cgroup));
    pipeline_event(pipeline, ev, &out);
}

static void run_fork(int32_t parent, int32_t child)
{
    struct event *ev = make(EVENT_FORK, child);
    event_set(ev, F_PPID, ppid, parent);
    pipeline_event(pipeline, ev, &out);
}

static void rows_carry_who_acted_and_where(void **state)
{
    (void)state;
    run_exec(10, "/usr/bin/node", CGROUP);
    assert_true(out.store);
    assert_int_equal(out.stamp.id, 100);
    assert_int_equal(out.stamp.exec_id, 100);
    assert_int_equal(out.stamp.container, 5);
    assert_int_equal(out.n_containers, 1); /* first seen */
    run_fork(10, 11);
    assert_true(out.store); /* forks in containers are kept */
    run_exec(11, "/bin/sh", NULL);
    assert_int_equal(out.stamp.container, 5); /* inherited */
    assert_int_equal(out.stamp.parent_id, 100);
    assert_int_equal(out.n_containers, 0);
}

static void forks_of_the_host_have_no_row(void **state)
{
    (void)state;
    run_exec(10, "/bin/bash", "/user.slice");
    run_fork(10, 11);
    assert_false(out.store);
}

static void an_exec_behind_a_runtime_is_asked_for_its_group(void **state)
{
    (void)state;
    run_exec(10, "/usr/sbin/runc", "/system.slice/docker.service");
    run_fork(10, 11);
    run_exec(11, "/entrypoint", NULL);
    assert_int_equal(out.n_requests, 1);
    assert_int_equal(out.requests[0].kind, REQUEST_CGROUP);
    assert_int_equal(out.requests[0].pid, 11);
    struct event *ev = make(EVENT_CGROUP, 11);
    event_set_text(ev, F_CGROUP, CGROUP, strlen(CGROUP));
    pipeline_event(pipeline, ev, &out);
    assert_int_equal(out.stamp.container, 5);
    run_fork(11, 12);
    assert_int_equal(out.stamp.container, 5);
}

static void a_group_that_no_kernel_writes_is_counted(void **state)
{
    (void)state;
    struct pipeline_counters counters;
    struct event *ev = make(EVENT_CGROUP, 11);
    event_set_text(ev, F_CGROUP, "no\0path", 7);
    pipeline_event(pipeline, ev, &out);
    pipeline_count(pipeline, &counters);
    assert_int_equal(counters.n_bad_cgroups, 1);
}

static void only_an_established_connection_is_a_row_between_begin_and_end(void **state)
{
    (void)state;
    struct event *ev = make(EVENT_FLOW, 0);
    event_set(ev, F_FLOW_PHASE, flow_phase, FLOW_UPDATE);
    event_set(ev, F_PROTO, proto, 6);
    event_set(ev, F_TCP_STATE, tcp_state, 4);
    pipeline_event(pipeline, ev, &out);
    assert_false(out.store);
    event_set(ev, F_TCP_STATE, tcp_state, 1);
    pipeline_event(pipeline, ev, &out);
    assert_true(out.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_carry_who_acted_and_where, open_pipeline, close_pipeline),
        cmocka_unit_test_setup_teardown(forks_of_the_host_have_no_row, open_pipeline, close_pipeline),
        cmocka_unit_test_setup_teardown(an_exec_behind_a_runtime_is_asked_for_its_group, open_pipeline, close_pipeline),
        cmocka_unit_test_setup_teardown(a_group_that_no_kernel_writes_is_counted, open_pipeline, close_pipeline),
        cmocka_unit_test_setup_teardown(only_an_established_connection_is_a_row_between_begin_and_end, open_pipeline, close_pipeline),
    };
    return cmocka_run_group_tests_name("pipeline", tests, NULL, NULL);
}
