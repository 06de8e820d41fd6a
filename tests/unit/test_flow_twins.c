#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/flow_twins.h"

static struct flow_twins twins;
static uint64_t now = 1;

static int start(void **state)
{
    (void)state;
    return flow_twins_init(&twins, (struct hash_key){ 1, 2 });
}

static int stop(void **state)
{
    (void)state;
    flow_twins_fini(&twins);
    return 0;
}

static struct event flow(int32_t nsid, uint64_t id, enum flow_phase phase, const char *src, uint16_t sport, const char *dst)
{
    struct event ev;
    event_init(&ev, EVENT_FLOW, SOURCE_FLOW, now++);
    event_set(&ev, F_NSID, nsid, nsid);
    event_set(&ev, F_FLOW_ID, flow_id, id);
    event_set(&ev, F_FLOW_PHASE, flow_phase, (uint8_t)phase);
    event_set(&ev, F_PROTO, proto, 6);
    address_parse(src, &ev.src);
    address_parse(dst, &ev.dst);
    event_set(&ev, F_SPORT, sport, sport);
    event_set(&ev, F_DPORT, dport, 443);
    event_set(&ev, F_REPLY_SRC, reply_src, ev.dst);
    event_set(&ev, F_REPLY_DST, reply_dst, ev.src);
    event_set(&ev, F_REPLY_SPORT, reply_sport, ev.dport);
    event_set(&ev, F_REPLY_DPORT, reply_dport, ev.sport);
    return ev;
}

static struct event count(struct event ev, uint64_t out, uint64_t in)
{
    event_set(&ev, F_BYTES_OUT, bytes_out, out);
    event_set(&ev, F_BYTES_IN, bytes_in, in);
    return ev;
}

static bool pass(struct event *ev)
{
    return flow_twins_pass(&twins, ev);
}

#define OUT(nsid, id, phase) flow(nsid, id, phase, "172.17.0.2", 40000, "198.51.100.7")

static void outbound_is_told_once_with_the_containers_view(void **state)
{
    (void)state;
    struct event a = OUT(3, 10, FLOW_NEW), b = OUT(-1, 20, FLOW_NEW), c = OUT(3, 10, FLOW_UPDATE), d = OUT(-1, 20, FLOW_UPDATE);
    b.reply_dst = b.dst; /* masqueraded */
    assert_true(pass(&a));
    assert_false(pass(&b));
    assert_true(pass(&c));
    assert_false(pass(&d));
    struct event end = count(OUT(3, 10, FLOW_END), 5, 6), host_end = count(OUT(-1, 20, FLOW_END), 5, 6);
    assert_true(pass(&end));
    assert_int_equal(end.flow_id, 10);
    assert_false(pass(&host_end));
    assert_int_equal(twins.dropped, 3);
    struct event again = OUT(-1, 21, FLOW_NEW); /* the pair is forgotten */
    assert_true(pass(&again));
}

static void bytes_of_the_host_fill_what_the_container_does_not_count(void **state)
{
    (void)state;
    /* host's end first */
    struct event a = OUT(3, 10, FLOW_NEW), b = OUT(-1, 20, FLOW_NEW);
    assert_true(pass(&a) && !pass(&b));
    struct event host_end = count(OUT(-1, 20, FLOW_END), 5, 6), end = OUT(3, 10, FLOW_END);
    assert_false(pass(&host_end));
    assert_true(pass(&end));
    assert_true(event_knows(&end, F_BYTES_IN));
    assert_int_equal(end.bytes_out, 5);
    assert_int_equal(end.bytes_in, 6);
    /* container's end first: the bytes follow as a second end */
    a = OUT(3, 11, FLOW_NEW), b = OUT(-1, 21, FLOW_NEW);
    assert_true(pass(&a) && !pass(&b));
    end = OUT(3, 11, FLOW_END), host_end = count(OUT(-1, 21, FLOW_END), 7, 8);
    assert_true(pass(&end));
    assert_false(event_knows(&end, F_BYTES_OUT));
    assert_true(pass(&host_end));
    assert_int_equal(host_end.flow_id, 11);
    assert_int_equal(host_end.nsid, 3);
    assert_int_equal(host_end.bytes_out, 7);
}

static void host_flow_that_ends_and_begins_again_adds_up(void **state)
{
    (void)state;
    struct event a = OUT(3, 10, FLOW_NEW), b = OUT(-1, 20, FLOW_NEW), c = count(OUT(-1, 20, FLOW_END), 5, 6), d = OUT(-1, 21, FLOW_NEW);
    assert_true(pass(&a) && !pass(&b) && !pass(&c) && !pass(&d));
    struct event end = OUT(3, 10, FLOW_END), host_end = count(OUT(-1, 21, FLOW_END), 1, 1);
    assert_true(pass(&end));
    assert_false(event_knows(&end, F_BYTES_OUT));
    assert_true(pass(&host_end));
    assert_int_equal(host_end.bytes_out, 6);
}

static void inbound_behind_nat_is_one_flow(void **state)
{
    (void)state;
    struct event host = flow(-1, 20, FLOW_NEW, "198.51.100.7", 50000, "203.0.113.1");
    address_parse("172.17.0.2", &host.reply_src);
    struct event container = flow(3, 10, FLOW_NEW, "198.51.100.7", 50000, "172.17.0.2");
    struct event host_update = host, container_end = count(container, 1, 2), host_end = count(host, 1, 2);
    host_update.flow_phase = FLOW_UPDATE;
    container_end.flow_phase = host_end.flow_phase = FLOW_END;
    assert_true(pass(&host));
    assert_true(pass(&container));
    assert_int_equal(container.flow_phase, FLOW_UPDATE);
    assert_int_equal(container.flow_id, 20);
    assert_int_equal(container.nsid, 3);
    assert_false(pass(&host_update));
    assert_true(pass(&container_end));
    assert_int_equal(container_end.flow_id, 20);
    assert_false(pass(&host_end));
}

static void flows_that_only_look_alike_are_all_told(void **state)
{
    (void)state;
    /* loopback means another machine in each namespace */
    struct event a = flow(3, 10, FLOW_NEW, "127.0.0.1", 40000, "127.0.0.1"), b = flow(-1, 20, FLOW_NEW, "127.0.0.1", 40000, "127.0.0.1");
    assert_true(pass(&a) && pass(&b));
    struct event c = flow(3, 12, FLOW_NEW, "fe80::1", 1, "fe80::2"), d = flow(-1, 22, FLOW_NEW, "fe80::1", 1, "fe80::2");
    assert_true(pass(&c) && pass(&d));
    /* container to container: both ends */
    struct event e = flow(3, 13, FLOW_NEW, "172.17.0.2", 1, "172.17.0.3"), f = flow(-1, 23, FLOW_NEW, "172.17.0.2", 1, "172.17.0.3"),
                 g = flow(4, 33, FLOW_NEW, "172.17.0.2", 1, "172.17.0.3");
    assert_true(pass(&e) && !pass(&f) && pass(&g));
    assert_int_equal(g.flow_id, 33);
    e.flow_phase = g.flow_phase = FLOW_END;
    assert_true(pass(&g) && pass(&e));
    /* other port, other protocol */
    struct event h = OUT(3, 14, FLOW_NEW), i = flow(-1, 24, FLOW_NEW, "172.17.0.2", 40001, "198.51.100.7"), j = OUT(-1, 25, FLOW_NEW);
    j.proto = 17;
    assert_true(pass(&h) && pass(&i) && pass(&j));
}

static void same_ports_again_are_a_new_flow(void **state)
{
    (void)state;
    struct event a = OUT(3, 10, FLOW_NEW), b = OUT(-1, 20, FLOW_NEW), end = OUT(3, 10, FLOW_END), c = OUT(3, 11, FLOW_NEW);
    assert_true(pass(&a) && !pass(&b) && pass(&end) && pass(&c));
    assert_int_equal(c.flow_id, 11);
    assert_int_equal(c.flow_phase, FLOW_NEW);
    struct event host_alone = OUT(-1, 30, FLOW_NEW), host_next = OUT(-1, 31, FLOW_NEW);
    host_alone.sport = host_next.sport = 7;
    assert_true(pass(&host_alone) && pass(&host_next));
}

static void full_table_forgets_flows_without_twin_first(void **state)
{
    (void)state;
    struct event a = OUT(3, 10, FLOW_NEW), b = OUT(-1, 20, FLOW_NEW);
    assert_true(pass(&a) && !pass(&b));
    for (uint32_t i = 0; i < 20 * LIMIT_FLOW_TWINS; i++) {
        struct event ev = flow(-1, 1000 + i, FLOW_NEW, "198.51.100.1", (uint16_t)i, "198.51.100.2");
        ev.dport = (uint16_t)(i >> 16);
        ev.reply_sport = ev.dport;
        assert_true(pass(&ev));
    }
    struct event end = count(OUT(-1, 20, FLOW_END), 1, 1);
    assert_false(pass(&end));
    assert_int_equal(twins.evicted, 0);
    struct event last = flow(-1, 1000 + 20 * LIMIT_FLOW_TWINS - 1, FLOW_UPDATE, "198.51.100.1", 65535, "198.51.100.2");
    last.dport = last.reply_sport = (uint16_t)((20 * LIMIT_FLOW_TWINS - 1) >> 16);
    assert_true(flow_twins_knows(&twins, &last));
    last.flow_id = 1;
    assert_false(flow_twins_knows(&twins, &last));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(outbound_is_told_once_with_the_containers_view),
        TEST(bytes_of_the_host_fill_what_the_container_does_not_count),
        TEST(host_flow_that_ends_and_begins_again_adds_up),
        TEST(inbound_behind_nat_is_one_flow),
        TEST(flows_that_only_look_alike_are_all_told),
        TEST(same_ports_again_are_a_new_flow),
        TEST(full_table_forgets_flows_without_twin_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
