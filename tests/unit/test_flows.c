#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/pipeline.h"
#include "common/clock.h"

#define TASK "/ecs/0123456789abcdef0123456789abcdef/"
#define ID(c) c c c c c c c c c c c c c c c c
#define BRIDGE ID("b001")
#define PAUSE ID("a000")
#define APP ID("a001")
#define SIDECAR ID("a002")
#define HOSTNET ID("c001")
#define JOINED ID("b002")

static struct pipeline *pipeline;
static struct outcome out;
static union event_buffer buffer;
static uint64_t now = 1000000000, flow_number;

static struct event *make(enum event_kind kind)
{
    event_init(&buffer.event, kind, SOURCE_EXEC, now += 1000000);
    return &buffer.event;
}

static struct address address(const char *text)
{
    struct address a = { 0 };
    if (text && address_parse(text, &a))
        fail();
    return a;
}

static void step(void)
{
    pipeline_event(pipeline, &buffer.event, &out);
}

/* A container with its first process; ids of containers follow the order of these calls, from 1. */
static void add_container(const char *id, int32_t pid, int32_t nsid, enum container_role role, const char *at)
{
    char cgroup[200];
    snprintf(cgroup, sizeof cgroup, TASK "%s", id);
    struct event *ev = make(EVENT_CONTAINER);
    event_set(ev, F_CONTAINER_PHASE, container_phase, CONTAINER_START);
    event_set_text(ev, F_CONTAINER_ID, id, strlen(id));
    event_set(ev, F_CONTAINER_ROLE, container_role, (uint8_t)role);
    event_set(ev, F_PID, pid, pid);
    event_set(ev, F_NSID, nsid, nsid);
    if (at)
        event_set(ev, F_SRC, src, address(at));
    step();
    ev = make(EVENT_EXEC);
    event_set(ev, F_PID, pid, pid);
    event_set(ev, F_START_NS, start_ns, (uint64_t)pid);
    event_set_text(ev, F_EXE, "/app", 4);
    event_set_text(ev, F_CGROUP, cgroup, strlen(cgroup));
    step();
}

static void add_address(int32_t nsid, const char *text)
{
    struct event *ev = make(EVENT_NETNS);
    event_set(ev, F_NSID, nsid, nsid);
    event_set(ev, F_NETNS_OP, netns_op, NETNS_ADDRESS);
    event_set(ev, F_SRC, src, address(text));
    step();
    assert_false(out.store);
}

enum { BRIDGE_ID = 1, PAUSE_ID, APP_ID, SIDECAR_ID, HOSTNET_ID, JOINED_ID };

static int start(void **state)
{
    (void)state;
    struct pipeline_options options = { .next_event_id = 100, .next_container_id = 1 };
    pipeline = pipeline_new(&options);
    if (!pipeline)
        return -1;
    add_container(BRIDGE, 10, 3, CONTAINER_ROLE_WORKLOAD, "172.17.0.2");
    add_container(PAUSE, 20, 5, CONTAINER_ROLE_PAUSE, NULL);
    add_container(APP, 21, 5, CONTAINER_ROLE_WORKLOAD, NULL);
    add_address(-1, "203.0.113.1"); /* the host */
    add_address(-1, "172.17.0.1");
    add_address(5, "198.51.100.20"); /* the task's own interface */
    add_address(5, "2001:db8::20");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    pipeline_free(pipeline);
    return 0;
}

struct ends {
    const char *src;
    uint16_t sport;
    const char *dst;
    uint16_t dport;
    const char *reply_src; /* NULL = dst */
    uint16_t reply_sport;
};

static struct event *flow(int32_t nsid, enum flow_phase phase, uint8_t proto, struct ends e)
{
    struct event *ev = make(EVENT_FLOW);
    event_set(ev, F_FLOW_PHASE, flow_phase, (uint8_t)phase);
    event_set(ev, F_FLOW_ID, flow_id, ++flow_number << 32);
    event_set(ev, F_NSID, nsid, nsid);
    event_set(ev, F_PROTO, proto, proto);
    event_set(ev, F_SRC, src, address(e.src));
    event_set(ev, F_SPORT, sport, e.sport);
    event_set(ev, F_DST, dst, address(e.dst));
    event_set(ev, F_DPORT, dport, e.dport);
    event_set(ev, F_REPLY_SRC, reply_src, address(e.reply_src ? e.reply_src : e.dst));
    event_set(ev, F_REPLY_SPORT, reply_sport, e.reply_src ? e.reply_sport : e.dport);
    event_set(ev, F_REPLY_DST, reply_dst, address(e.src));
    event_set(ev, F_REPLY_DPORT, reply_dport, e.sport);
    return ev;
}

/* What the owner sensor tells of a flow before the flow itself is merged. */
static void told_before(uint64_t id, int32_t pid, const char *group)
{
    char cgroup[200];
    struct event *ev = make(EVENT_SOCKETS);
    event_set(ev, F_FLOW_ID, flow_id, id);
    if (pid) {
        event_set(ev, F_PID, pid, pid);
        event_set(ev, F_START_NS, start_ns, (uint64_t)pid);
    }
    if (group) {
        snprintf(cgroup, sizeof cgroup, TASK "%s", group);
        event_set_text(ev, F_CGROUP, cgroup, strlen(cgroup));
    }
    step();
    assert_false(out.store);
}

static void assert_flow(int32_t nsid, struct ends e, int32_t container, int direction)
{
    struct event *ev = flow(nsid, FLOW_NEW, 6, e);
    event_set(ev, F_TCP_STATE, tcp_state, 2);
    step();
    assert_int_equal(out.stamp.container, container);
    assert_int_equal(out.event->direction, direction);
    assert_true(event_knows(out.event, F_DIRECTION) == (direction != 0));
}

static void directions_are_seen_from_the_container(void **state)
{
    (void)state;
    /* forwarded by the host for a bridged container: out, published port, from the host itself (a proxy), to another container */
    assert_flow(-1, (struct ends){ "172.17.0.2", 40000, "198.51.100.7", 443, NULL, 0 }, BRIDGE_ID, DIRECTION_OUT);
    assert_flow(-1, (struct ends){ "203.0.113.9", 40001, "203.0.113.1", 8080, "172.17.0.2", 80 }, BRIDGE_ID, DIRECTION_IN);
    assert_flow(-1, (struct ends){ "172.17.0.1", 40002, "172.17.0.2", 80, NULL, 0 }, BRIDGE_ID, DIRECTION_IN);
    assert_flow(-1, (struct ends){ "172.17.0.2", 40003, "172.17.0.1", 53, NULL, 0 }, BRIDGE_ID, DIRECTION_OUT);
    /* seen inside of its namespace */
    assert_flow(3, (struct ends){ "127.0.0.1", 40004, "127.0.0.11", 53, "127.0.0.11", 34567 }, BRIDGE_ID, DIRECTION_LOCAL);
    assert_flow(3, (struct ends){ "203.0.113.9", 40005, "172.17.0.2", 80, NULL, 0 }, BRIDGE_ID, DIRECTION_IN);
    /* a task with its own interface */
    assert_flow(5, (struct ends){ "198.51.100.20", 40006, "198.51.100.7", 443, NULL, 0 }, APP_ID, DIRECTION_OUT);
    assert_flow(5, (struct ends){ "2001:db8::7", 40007, "2001:db8::20", 443, NULL, 0 }, APP_ID, DIRECTION_IN);
    assert_flow(5, (struct ends){ "198.51.100.20", 40008, "198.51.100.20", 80, NULL, 0 }, APP_ID, DIRECTION_LOCAL);
    /* the host */
    assert_flow(-1, (struct ends){ "203.0.113.1", 40009, "198.51.100.7", 443, NULL, 0 }, 0, DIRECTION_OUT);
    assert_flow(-1, (struct ends){ "198.51.100.7", 40010, "203.0.113.1", 22, NULL, 0 }, 0, DIRECTION_IN);
    assert_flow(-1, (struct ends){ "127.0.0.1", 40011, "127.0.0.1", 22, NULL, 0 }, 0, DIRECTION_LOCAL);
    /* forwarded for somebody unknown, and in a namespace that we know nothing of */
    assert_flow(-1, (struct ends){ "198.51.100.7", 40012, "198.51.100.8", 22, NULL, 0 }, 0, 0);
    assert_flow(9, (struct ends){ "198.51.100.7", 40013, "198.51.100.8", 22, NULL, 0 }, 0, 0);
}

static void addresses_leave(void **state)
{
    (void)state;
    struct event *ev = make(EVENT_NETNS);
    event_set(ev, F_NSID, nsid, 5);
    event_set(ev, F_NETNS_OP, netns_op, NETNS_ADDRESS_GONE);
    event_set(ev, F_SRC, src, address("198.51.100.20"));
    step();
    assert_flow(5, (struct ends){ "198.51.100.20", 40006, "198.51.100.7", 443, NULL, 0 }, APP_ID, 0);
    assert_flow(5, (struct ends){ "2001:db8::7", 40007, "2001:db8::20", 443, NULL, 0 }, APP_ID, DIRECTION_IN);
    ev = make(EVENT_NETNS);
    event_set(ev, F_NSID, nsid, 5);
    event_set(ev, F_NETNS_OP, netns_op, NETNS_ADDRESS_GONE);
    step();
    assert_flow(5, (struct ends){ "2001:db8::7", 40007, "2001:db8::20", 443, NULL, 0 }, APP_ID, 0);
    assert_flow(-1, (struct ends){ "198.51.100.7", 40010, "203.0.113.1", 22, NULL, 0 }, 0, DIRECTION_IN);
}

static void assert_middle(uint16_t sport, uint16_t dport, int direction)
{
    struct event *ev = flow(5, FLOW_NEW, 6, (struct ends){ "198.51.100.20", sport, "198.51.100.7", dport, NULL, 0 });
    event_set(ev, F_TCP_STATE, tcp_state, 1);
    step();
    assert_int_equal(out.event->direction, direction);
}

static void what_was_met_in_the_middle_is_judged_by_ports(void **state)
{
    (void)state;
    assert_middle(40000, 443, DIRECTION_OUT);
    assert_middle(443, 40000, DIRECTION_IN); /* our answer came first */
    assert_middle(443, 22, 0);
    assert_middle(40000, 40001, 0);
}

/* The answer to the last question. */
static void answer(int32_t pid)
{
    assert_int_equal(out.n_requests, 1);
    uint64_t id = out.requests[0].flow_id;
    struct event *ev = make(EVENT_SOCKETS);
    event_set(ev, F_FLOW_ID, flow_id, id);
    if (pid)
        event_set(ev, F_PID, pid, pid);
    step();
}

static void a_shared_namespace_is_told_apart_by_the_process(void **state)
{
    (void)state;
    struct ends e = { "198.51.100.20", 41000, "198.51.100.7", 443, NULL, 0 };
    add_container(SIDECAR, 30, 5, CONTAINER_ROLE_WORKLOAD, NULL);
    assert_flow(5, e, PAUSE_ID, DIRECTION_OUT); /* one of the task: the container that holds the namespace stands for it */
    uint64_t id = out.event->flow_id;
    answer(30);
    assert_true(out.store);
    assert_int_equal(out.event->kind, EVENT_FLOW);
    assert_int_equal(out.event->flow_id, id);
    assert_int_equal(out.event->pid, 30);
    assert_int_equal(out.event->owner, OWNER_SOCKET);
    assert_int_equal(out.stamp.container, SIDECAR_ID);
    assert_true(out.stamp.exec_id > 0);
    struct event *ev = flow(5, FLOW_END, 6, e);
    ev->flow_id = id;
    step();
    assert_int_equal(out.event->pid, 30);
    assert_int_equal(out.stamp.container, SIDECAR_ID);
    assert_true(out.store);
}

static void a_container_in_the_hosts_namespace_is_known_by_its_process(void **state)
{
    (void)state;
    add_container(SIDECAR, 30, 5, CONTAINER_ROLE_WORKLOAD, NULL);
    add_container(HOSTNET, 40, -1, CONTAINER_ROLE_WORKLOAD, NULL);
    assert_flow(-1, (struct ends){ "203.0.113.1", 42000, "198.51.100.7", 443, NULL, 0 }, 0, DIRECTION_OUT);
    answer(40);
    assert_int_equal(out.stamp.container, HOSTNET_ID);
    /* one that shares a bridged container's: the address is the other's */
    add_container(JOINED, 50, 3, CONTAINER_ROLE_WORKLOAD, NULL);
    told_before((flow_number + 1) << 32, 50, NULL);
    assert_flow(-1, (struct ends){ "172.17.0.2", 42002, "198.51.100.7", 443, NULL, 0 }, JOINED_ID, DIRECTION_OUT);
    /* a process cannot take a flow of a namespace in which its container is not */
    assert_flow(-1, (struct ends){ "203.0.113.1", 42001, "198.51.100.7", 444, NULL, 0 }, 0, DIRECTION_OUT);
    answer(30);
    assert_int_equal(out.stamp.container, 0);
}

static void the_first_flow_to_each_destination_is_asked_for(void **state)
{
    (void)state;
    struct ends e = { "172.17.0.2", 43000, "198.51.100.7", 443, NULL, 0 };
    flow(-1, FLOW_NEW, 17, e), step();
    assert_int_equal(out.n_requests, 1);
    assert_int_equal(out.requests[0].kind, REQUEST_OWNER);
    assert_int_equal(out.requests[0].pid, 10);
    assert_int_equal(out.requests[0].container, BRIDGE_ID);
    assert_int_equal(out.requests[0].sport, 43000);
    answer(0);
    assert_false(out.store); /* not found */
    e.sport++;
    flow(-1, FLOW_NEW, 17, e), step();
    assert_int_equal(out.n_requests, 0);
    e.dport++;
    flow(-1, FLOW_NEW, 17, e), step();
    assert_int_equal(out.n_requests, 1);
    now += LIMIT_FLOW_FIRST_NS;
    e.dport--;
    flow(-1, FLOW_NEW, 17, e), step();
    assert_int_equal(out.n_requests, 1);
}

static void a_process_told_before_its_flow_is_in_the_first_row(void **state)
{
    (void)state;
    add_container(SIDECAR, 30, 5, CONTAINER_ROLE_WORKLOAD, NULL);
    told_before((flow_number + 1) << 32, 30, NULL);
    flow(5, FLOW_NEW, 6, (struct ends){ "198.51.100.20", 46000, "198.51.100.7", 443, NULL, 0 }), step();
    assert_int_equal(out.event->pid, 30);
    assert_int_equal(out.stamp.container, SIDECAR_ID);
    assert_int_equal(out.n_requests, 0);
    assert_true(out.store && !event_knows(out.event, F_BEGIN_ID));
    /* the same id once more: another flow */
    flow_number--;
    flow(5, FLOW_NEW, 6, (struct ends){ "198.51.100.20", 46000, "198.51.100.7", 443, NULL, 0 }), step();
    assert_false(event_knows(out.event, F_PID) || event_knows(out.event, F_BEGIN_ID));
}

static void a_group_without_process_still_tells_the_container(void **state)
{
    (void)state;
    add_container(SIDECAR, 30, 5, CONTAINER_ROLE_WORKLOAD, NULL);
    told_before((flow_number + 1) << 32, 0, SIDECAR);
    flow(5, FLOW_NEW, 6, (struct ends){ "198.51.100.20", 46000, "198.51.100.7", 443, NULL, 0 }), step();
    assert_int_equal(out.stamp.container, SIDECAR_ID);
    assert_int_equal(out.n_requests, 0); /* somebody looked already */
}

static void an_answer_nobody_asked_for_is_a_row_once(void **state)
{
    (void)state;
    struct ends e = { "172.17.0.2", 47000, "198.51.100.7", 443, NULL, 0 };
    flow(-1, FLOW_NEW, 17, e), step();
    e.sport++;
    flow(-1, FLOW_NEW, 17, e), step();
    assert_int_equal(out.n_requests, 0);
    int64_t begin = out.stamp.id;
    for (int i = 0; i < 2; i++) {
        struct event *ev = make(EVENT_SOCKETS);
        event_set(ev, F_FLOW_ID, flow_id, flow_number << 32);
        event_set(ev, F_PID, pid, 10);
        step();
        assert_int_equal(out.store, i == 0);
        if (out.store)
            assert_int_equal(out.event->begin_id, begin);
    }
}

static void what_comes_in_is_asked_for_once_accepted(void **state)
{
    (void)state;
    struct ends e = { "203.0.113.9", 44000, "203.0.113.1", 8080, "172.17.0.2", 80 };
    flow(-1, FLOW_NEW, 6, e), step();
    assert_int_equal(out.n_requests, 0);
    struct event *ev = flow(-1, FLOW_UPDATE, 6, e);
    event_set(ev, F_TCP_STATE, tcp_state, 1);
    step();
    assert_int_equal(out.n_requests, 1);
    assert_int_equal(out.requests[0].sport, 80);
    assert_int_equal(out.requests[0].dport, 44000);
    assert_true(address_equal(&out.requests[0].src, &(struct address){ 4, { 172, 17, 0, 2 } }));
    assert_true(address_equal(&out.requests[0].dst, &(struct address){ 4, { 203, 0, 113, 9 } }));
}

static void a_scan_is_asked_for_a_few_times_and_named(void **state)
{
    (void)state;
    int rows = 0, asked = 0;
    bool more = true;
    for (uint16_t i = 0; i < 1000; i++) {
        flow(-1, FLOW_NEW, 6, (struct ends){ "172.17.0.2", 45000, "198.51.100.7", (uint16_t)(i + 1), NULL, 0 }), step();
        rows += out.store;
        if (!out.n_requests)
            continue;
        asked++;
        answer(10);
        rows += out.store;
    }
    assert_in_range(asked, 10, 20);
    for (uint64_t end = now + 5 * NS_PER_SECOND; more || now < end; now += 100 * NS_PER_MS) {
        more = pipeline_tick(pipeline, now, &out);
        rows += out.store;
        if (!out.store)
            continue;
        assert_int_equal(out.event->flow_phase, FLOW_BURST);
        assert_int_equal(out.event->ports, out.event->flows);
        assert_true(out.event->flows > 900);
        assert_int_equal(out.event->pid, 10);
        assert_int_equal(out.stamp.container, BRIDGE_ID);
        assert_true(out.stamp.exec_id > 0);
    }
    assert_in_range(rows, 4, 10);
}

/* What the owner sensor tells of the next flow, before it comes. */
static void tell_early(int32_t pid, uint64_t start_ns, const char *cgroup)
{
    struct event *ev = make(EVENT_SOCKETS);
    event_set(ev, F_FLOW_ID, flow_id, (flow_number + 1) << 32);
    event_set(ev, F_UID, uid, 0);
    if (pid) {
        event_set(ev, F_PID, pid, pid);
        event_set(ev, F_START_NS, start_ns, start_ns);
        event_set(ev, F_OWNER, owner, OWNER_SOCKET);
    }
    if (cgroup)
        event_set_text(ev, F_CGROUP, cgroup, strlen(cgroup));
    step();
    assert_false(out.store);
}

static void an_answer_comes_before_its_flow(void **state)
{
    (void)state;
    struct ends e = { "172.17.0.2", 46000, "198.51.100.7", 443, NULL, 0 };
    tell_early(10, 0, NULL);
    struct event *ev = flow(-1, FLOW_NEW, 6, e);
    uint64_t id = ev->flow_id;
    step();
    assert_true(out.store);
    assert_int_equal(out.n_requests, 0);
    assert_int_equal(out.event->pid, 10);
    assert_int_equal(out.event->owner, OWNER_SOCKET);
    assert_true(out.stamp.exec_id > 0);
    ev = flow(-1, FLOW_NEW, 6, e); /* the same id much later is another flow */
    ev->flow_id = id;
    ev->time_ns = now += 2 * NS_PER_SECOND;
    step();
    assert_false(event_knows(out.event, F_PID));
}

static void an_early_answer_about_another_life_of_the_pid(void **state)
{
    (void)state;
    tell_early(10, NS_PER_SECOND, NULL);
    flow(-1, FLOW_NEW, 6, (struct ends){ "172.17.0.2", 46000, "198.51.100.7", 443, NULL, 0 }), step();
    assert_false(event_knows(out.event, F_PID));
}

/* In the host's network namespace only the socket's control group tells the container, when the process has ended. */
static void a_socket_without_process_still_has_its_container(void **state)
{
    (void)state;
    add_container(HOSTNET, 40, -1, CONTAINER_ROLE_WORKLOAD, NULL);
    tell_early(0, 0, TASK HOSTNET);
    flow(-1, FLOW_NEW, 6, (struct ends){ "203.0.113.1", 47000, "198.51.100.7", 443, NULL, 0 }), step();
    assert_int_equal(out.stamp.container, 4); /* the fourth that was added */
    assert_false(event_knows(out.event, F_PID));
}

/* Nobody holds the socket any more, and one process of the namespace has its user id. */
static void an_owner_is_inferred_when_asked_for(void **state)
{
    (void)state;
    struct event *ev = make(EVENT_EXEC);
    event_set(ev, F_PID, pid, 21);
    event_set(ev, F_START_NS, start_ns, 21);
    event_set(ev, F_UID, uid, 1000);
    event_set(ev, F_EUID, euid, 1000);
    event_set_text(ev, F_EXE, "/app", 4);
    step();
    flow(5, FLOW_NEW, 6, (struct ends){ "198.51.100.20", 48000, "198.51.100.7", 443, NULL, 0 }), step();
    assert_int_equal(out.n_requests, 1);
    uint64_t id = out.requests[0].flow_id;
    ev = make(EVENT_SOCKETS);
    event_set(ev, F_FLOW_ID, flow_id, id);
    event_set(ev, F_UID, uid, 1000);
    step();
    assert_true(out.store);
    assert_int_equal(out.event->pid, 21);
    assert_int_equal(out.event->owner, OWNER_ONLY_UID);
}

static void a_scan_is_named_by_early_answers(void **state)
{
    (void)state;
    int bursts = 0;
    bool more = true;
    for (uint16_t i = 0; i < 1000; i++) {
        tell_early(10, 0, NULL);
        flow(-1, FLOW_NEW, 6, (struct ends){ "172.17.0.2", 45000, "198.51.100.7", (uint16_t)(i + 1), NULL, 0 }), step();
        assert_int_equal(out.n_requests, 0);
    }
    for (uint64_t end = now + 5 * NS_PER_SECOND; more || now < end; now += 100 * NS_PER_MS) {
        more = pipeline_tick(pipeline, now, &out);
        if (!out.store)
            continue;
        assert_int_equal(out.event->flow_phase, FLOW_BURST);
        assert_int_equal(out.event->pid, 10);
        bursts++;
    }
    assert_in_range(bursts, 1, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(directions_are_seen_from_the_container, start, stop),
        cmocka_unit_test_setup_teardown(addresses_leave, start, stop),
        cmocka_unit_test_setup_teardown(what_was_met_in_the_middle_is_judged_by_ports, start, stop),
        cmocka_unit_test_setup_teardown(a_shared_namespace_is_told_apart_by_the_process, start, stop),
        cmocka_unit_test_setup_teardown(a_container_in_the_hosts_namespace_is_known_by_its_process, start, stop),
        cmocka_unit_test_setup_teardown(the_first_flow_to_each_destination_is_asked_for, start, stop),
        cmocka_unit_test_setup_teardown(a_process_told_before_its_flow_is_in_the_first_row, start, stop),
        cmocka_unit_test_setup_teardown(a_group_without_process_still_tells_the_container, start, stop),
        cmocka_unit_test_setup_teardown(an_answer_nobody_asked_for_is_a_row_once, start, stop),
        cmocka_unit_test_setup_teardown(what_comes_in_is_asked_for_once_accepted, start, stop),
        cmocka_unit_test_setup_teardown(a_scan_is_asked_for_a_few_times_and_named, start, stop),
        cmocka_unit_test_setup_teardown(an_answer_comes_before_its_flow, start, stop),
        cmocka_unit_test_setup_teardown(an_early_answer_about_another_life_of_the_pid, start, stop),
        cmocka_unit_test_setup_teardown(a_socket_without_process_still_has_its_container, start, stop),
        cmocka_unit_test_setup_teardown(an_owner_is_inferred_when_asked_for, start, stop),
        cmocka_unit_test_setup_teardown(a_scan_is_named_by_early_answers, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
