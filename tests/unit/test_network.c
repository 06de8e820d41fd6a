/* What detectors of network behaviour share: estimates of how many, places of containers, growth of totals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/network.h"
#include "agent/detect/sketch.h"

static struct address address_of(const char *text)
{
    struct address a;
    assert_int_equal(address_parse(text, &a), 0);
    return a;
}

/* Error of the estimate in per cent, root of the mean square over many keys. */
static double sketch_error(uint32_t n)
{
    double sum = 0;
    int rounds = 200;
    for (int round = 0; round < rounds; round++) {
        struct sketch s = { .n = 0 };
        for (uint32_t i = 0; i < n; i++) {
            uint64_t hash = sketch_mix(i, 0x1234567 + (uint64_t)round * 0x9e3779b97f4a7c15ull);
            sketch_add(&s, hash);
            assert_false(sketch_add(&s, hash));
        }
        double error = (s.n - n) / n * 100;
        sum += error * error;
    }
    return sum / rounds;
}

static void sketches_estimate(void **state)
{
    (void)state;
    struct sketch one = { .n = 0 };
    sketch_add(&one, sketch_mix(1, 7));
    assert_int_equal(sketch_count(&one), 1);
    assert_true(sketch_error(10) < 6 * 6);
    assert_true(sketch_error(50) < 8 * 8);
    assert_true(sketch_error(1000) < 9 * 9);
    assert_true(sketch_error(50000) < 9 * 9);
}

static void a_full_sketch_goes_on(void **state)
{
    (void)state;
    struct sketch s = { .n = 0 };
    for (uint64_t at = 0; at < SKETCH_REGISTERS; at++)
        sketch_add(&s, at); /* nothing but zeros behind the register: the highest rank */
    assert_true(s.n > 128);
    assert_false(sketch_add(&s, UINT64_MAX));
}

static void public_addresses(void **state)
{
    (void)state;
    static const char *const publics[] = { "8.8.8.8", "198.51.100.1", "172.32.0.1", "11.0.0.1", "223.255.255.255", "100.128.0.1", "2001:db8::1", "3fff::1" };
    static const char *const others[] = { "0.0.0.0",   "10.255.0.1", "100.64.0.1",      "127.0.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.168.1.1",
                                          "224.0.0.1", "240.0.0.1",  "255.255.255.255", "::1",       "fe80::1",         "fd00::1",    "ff02::1" };
    for (size_t i = 0; i < sizeof publics / sizeof publics[0]; i++) {
        struct address a = address_of(publics[i]);
        assert_true(address_is_public(&a));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct address a = address_of(others[i]);
        assert_false(address_is_public(&a));
    }
}

static void places_of_containers(void **state)
{
    (void)state;
    static struct detection d;
    static struct net_slots slots;
    bool fresh;
    assert_int_equal(net_slots_find(&slots, 0), -1);
    int host = net_slots_take(&d, &slots, 0, 1, &fresh);
    assert_true(fresh);
    for (int32_t id = 1; id < LIMIT_NET_CONTAINERS; id++)
        net_slots_take(&d, &slots, id, (uint64_t)id + 10, &fresh);
    assert_int_equal(net_slots_find(&slots, 0), host);
    assert_int_equal(d.n_forgotten, 0);
    net_slots_take(&d, &slots, 0, 1000, &fresh);
    assert_false(fresh);
    net_slots_take(&d, &slots, 100000, 1001, &fresh); /* that of 1, not of the host */
    assert_true(fresh);
    assert_int_equal(d.n_forgotten, 1);
    assert_int_equal(net_slots_find(&slots, 1), -1);
    assert_int_equal(net_slots_find(&slots, 0), host);
}

static struct event *totals(union event_buffer *b, uint64_t id, enum flow_phase phase, uint64_t bytes, uint64_t packets, uint64_t time_ns)
{
    event_init(&b->event, EVENT_FLOW, SOURCE_FLOW, time_ns);
    event_set(&b->event, F_FLOW_ID, flow_id, id);
    event_set(&b->event, F_FLOW_PHASE, flow_phase, (uint8_t)phase);
    event_set(&b->event, F_BYTES_OUT, bytes_out, bytes);
    event_set(&b->event, F_PACKETS_OUT, packets_out, packets);
    return &b->event;
}

static void growth_of_totals(void **state)
{
    (void)state;
    static struct detection d;
    static struct flow_totals t;
    union event_buffer b;
    struct flow_growth g;
    assert_true(flow_totals_take(&d, &t, totals(&b, 7, FLOW_UPDATE, 100, 10, 5), &g));
    assert_int_equal(g.bytes_out, 100);
    assert_int_equal(g.since_ns, 0);
    assert_true(flow_totals_take(&d, &t, totals(&b, 7, FLOW_UPDATE, 150, 12, 6), &g));
    assert_int_equal(g.bytes_out, 50);
    assert_int_equal(g.packets_out, 2);
    assert_int_equal(g.since_ns, 5);
    assert_true(flow_totals_take(&d, &t, totals(&b, 7, FLOW_END, 151, 13, 7), &g));
    assert_int_equal(g.bytes_out, 1);
    assert_true(flow_totals_take(&d, &t, totals(&b, 7, FLOW_END, 80, 3, 8), &g)); /* forgotten at its end: another one */
    assert_int_equal(g.bytes_out, 80);
    event_init(&b.event, EVENT_FLOW, SOURCE_FLOW, 9);
    assert_false(flow_totals_take(&d, &t, &b.event, &g));
    for (uint64_t id = 1; id <= 3 * LIMIT_NET_TOTALS; id++)
        flow_totals_take(&d, &t, totals(&b, id, FLOW_UPDATE, 1, 1, 10 + id), &g);
    assert_int_equal(d.n_forgotten, 2 * LIMIT_NET_TOTALS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sketches_estimate),    cmocka_unit_test(a_full_sketch_goes_on),
        cmocka_unit_test(public_addresses),     cmocka_unit_test(places_of_containers),  cmocka_unit_test(growth_of_totals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
