#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/enrich/flow_bursts.h"
#include "common/clock.h"

#define MS NS_PER_MS

static struct flow_bursts bursts;
static const struct flow_kind_key out_tcp = { .container = 3, .direction = DIRECTION_OUT, .proto = 6 };

static int start(void **state)
{
    (void)state;
    return flow_bursts_init(&bursts);
}

static int stop(void **state)
{
    (void)state;
    flow_bursts_fini(&bursts);
    return 0;
}

static uint64_t id_of(uint64_t n)
{
    n = (n + 1) * 0x9e3779b97f4a7c15u;
    return n ^ n >> 29;
}

static struct event flow(uint64_t n, enum flow_phase phase, uint64_t time_ns, uint16_t dport)
{
    struct event ev;
    event_init(&ev, EVENT_FLOW, SOURCE_FLOW, time_ns);
    event_set(&ev, F_FLOW_PHASE, flow_phase, (uint8_t)phase);
    event_set(&ev, F_FLOW_ID, flow_id, id_of(n));
    event_set(&ev, F_NSID, nsid, 4);
    event_set(&ev, F_PROTO, proto, 6);
    event_set(&ev, F_SRC, src, ((struct address){ 4, { 172, 17, 0, 2 } }));
    event_set(&ev, F_DST, dst, ((struct address){ 4, { 198, 51, 100, 7 } }));
    event_set(&ev, F_DPORT, dport, dport);
    return ev;
}

static bool take(struct event ev)
{
    return flow_bursts_take(&bursts, &ev, &out_tcp, false);
}

static bool answered(uint64_t n, uint64_t time_ns)
{
    struct event ev = flow(n, FLOW_UPDATE, time_ns, 80);
    event_set(&ev, F_TCP_STATE, tcp_state, 1);
    return take(ev);
}

static bool ended_with(uint64_t begin_id, uint64_t n, uint64_t time_ns, uint64_t packets_in)
{
    struct event ev = flow(n, FLOW_END, time_ns, 80);
    if (begin_id)
        event_set(&ev, F_BEGIN_ID, begin_id, begin_id);
    event_set(&ev, F_BYTES_OUT, bytes_out, 60);
    event_set(&ev, F_PACKETS_OUT, packets_out, 1);
    event_set(&ev, F_BYTES_IN, bytes_in, 40 * packets_in);
    event_set(&ev, F_PACKETS_IN, packets_in, packets_in);
    return take(ev);
}

static bool ended(uint64_t n, uint64_t time_ns, uint64_t packets_in)
{
    return ended_with(0, n, time_ns, packets_in);
}

static bool next(uint64_t now_ns, struct event *row)
{
    struct flow_kind_key key;
    uint64_t start_ns;
    event_init(row, EVENT_FLOW, SOURCE_PIPELINE, now_ns);
    if (!flow_bursts_next(&bursts, now_ns, row, &key, &start_ns))
        return false;
    assert_int_equal(key.container, 3);
    return true;
}

static void a_scan_is_a_handful_of_rows(void **state)
{
    (void)state;
    struct event row;
    int stored = 0;
    for (uint16_t i = 0; i < 1000; i++)
        stored += take(flow(i, FLOW_NEW, MS + i * MS, (uint16_t)(1 + i)));
    assert_int_equal(stored, LIMIT_FLOW_UNANSWERED_AT_ONCE + LIMIT_FLOW_UNANSWERED_PER_SECOND - 1);
    assert_false(next(1500 * MS, &row));
    assert_true(next(3000 * MS, &row));
    assert_int_equal(row.flow_phase, FLOW_BURST);
    assert_int_equal(row.flows, 1000 - stored);
    assert_int_equal(row.ports, 1000 - stored);
    assert_int_equal(row.addresses, 1);
    assert_int_equal(row.direction, DIRECTION_OUT);
    assert_true(event_knows(&row, F_DST) && !event_knows(&row, F_DPORT));
    assert_int_equal(row.time_ns, (LIMIT_FLOW_UNANSWERED_AT_ONCE + 1) * MS);
    assert_false(next(3000 * MS, &row));
    assert_true(flow_bursts_due(&bursts) == UINT64_MAX);
    /* a minute later they end: those with rows get their end, the others' bytes go into one more row */
    int ends = 0;
    for (uint16_t i = 0; i < 1000; i++)
        ends += ended(i, 60000 * MS + i * MS, 0);
    assert_int_equal(ends, stored);
    assert_true(next(100000 * MS, &row));
    assert_int_equal(row.flows, 0);
    assert_int_equal(row.packets_out, 1000 - stored);
    assert_int_equal(row.bytes_out, 60 * (1000 - stored));
    assert_false(event_knows(&row, F_PORTS));
    assert_false(next(200000 * MS, &row));
    assert_int_equal(bursts.n_folded, 1000 - stored);
}

static void a_busy_client_keeps_its_rows(void **state)
{
    (void)state;
    struct event row;
    for (uint64_t i = 0; i < 2000; i++) { /* 200 a second, each answered in 20 ms and ended in 300 */
        uint64_t now = MS + i * 5 * MS;
        take(flow(i, FLOW_NEW, now, 80));
        if (i >= 4)
            assert_true(answered(i - 4, now));
        if (i >= 60)
            assert_true(ended(i - 60, now, 5));
        assert_false(next(now, &row));
    }
    for (uint64_t i = 1940; i < 2000; i++) {
        if (i >= 1996)
            assert_true(answered(i, 10010 * MS));
        assert_true(ended(i, 10300 * MS, 5));
    }
    assert_false(next(60000 * MS, &row));
    assert_int_equal(bursts.n_folded, 0);
}

static void beyond_what_a_database_can_hold_answered_flows_are_folded_too(void **state)
{
    (void)state;
    struct event row;
    uint64_t begun = 0, stored = 0, told = 0, bytes = 0;
    for (uint64_t i = 0; i < 20000; i++) { /* 4,000 a second */
        uint64_t now = MS + i * MS / 4;
        bool begin = take(flow(i, FLOW_NEW, now, 80));
        bool answer = answered(i, now + 1000);
        stored += begin || answer;
        begun++;
        assert_int_equal(ended_with(begin || answer, i, now + 2000, 1), begin || answer);
        while (next(now, &row))
            told += row.flows, bytes += row.bytes_out;
    }
    while (next(100000 * MS, &row))
        told += row.flows, bytes += row.bytes_out;
    assert_in_range(stored, LIMIT_FLOW_ANSWERED_AT_ONCE + 4 * LIMIT_FLOW_ANSWERED_PER_SECOND, LIMIT_FLOW_ANSWERED_AT_ONCE + 6 * LIMIT_FLOW_ANSWERED_PER_SECOND);
    assert_int_equal(stored + told, begun);
    assert_int_equal(bytes, 60 * told);
}

static void a_late_answer_makes_a_row(void **state)
{
    (void)state;
    struct event row;
    for (uint64_t i = 0; i < 20; i++)
        take(flow(i, FLOW_NEW, MS, 80));
    assert_true(next(3000 * MS, &row));
    assert_int_equal(row.flows, 20 - LIMIT_FLOW_UNANSWERED_AT_ONCE);
    assert_true(flow_bursts_is_folded(&bursts, id_of(15)));
    assert_true(answered(15, 4000 * MS));
    assert_false(flow_bursts_is_folded(&bursts, id_of(15)));
    assert_true(ended(15, 5000 * MS, 3));
    assert_false(ended(16, 5000 * MS, 0));
}

/* In a flood the kernel tells of most flows only when they end. */
static void flows_of_which_only_the_end_is_told(void **state)
{
    (void)state;
    struct event row;
    int rows = 0;
    for (uint64_t i = 0; i < 5000; i++)
        rows += ended(i, MS + i * MS / 100, 0);
    assert_int_equal(rows, LIMIT_FLOW_UNANSWERED_AT_ONCE);
    assert_true(next(3000 * MS, &row));
    assert_int_equal(row.flows, 5000 - rows);
    assert_int_equal(row.packets_out, 5000 - rows);
    assert_true(event_knows(&row, F_DPORT) && row.dport == 80);
    rows = 0;
    for (uint64_t i = 5000; i < 10000; i++)
        rows += ended(i, 10000 * MS, 7);
    assert_int_equal(rows, LIMIT_FLOW_ANSWERED_AT_ONCE);
    assert_true(next(13000 * MS, &row));
    assert_int_equal(row.flows, 5000 - rows);
}

/* When connections are looked through, an unanswered one is not an answer. */
static void a_look_at_an_unanswered_flow_is_no_answer(void **state)
{
    (void)state;
    struct flow_kind_key udp = out_tcp;
    struct event row;
    udp.proto = 17;
    for (uint64_t i = 0; i < 50; i++) {
        struct event ev = flow(i, FLOW_NEW, MS, 80);
        ev.proto = 17;
        flow_bursts_take(&bursts, &ev, &udp, false);
        ev = flow(i, FLOW_UPDATE, 2 * MS, 80);
        ev.proto = 17;
        event_set(&ev, F_PACKETS_IN, packets_in, i == 49);
        assert_int_equal(flow_bursts_take(&bursts, &ev, &udp, false), i == 49);
    }
    assert_true(next(3000 * MS, &row));
    assert_int_equal(row.flows, 49 - LIMIT_FLOW_UNANSWERED_AT_ONCE);
}

static void what_detectors_want_is_kept(void **state)
{
    (void)state;
    int kept = 0;
    for (uint64_t i = 0; i < 200; i++) {
        struct event ev = flow(i, FLOW_NEW, MS, 80);
        kept += flow_bursts_take(&bursts, &ev, &out_tcp, true);
    }
    assert_int_equal(kept, LIMIT_FLOW_UNANSWERED_AT_ONCE + LIMIT_FLOW_KEPT_AT_ONCE);
}

static void owners_are_named_when_they_agree(void **state)
{
    (void)state;
    struct event row;
    int asked = 0;
    for (uint64_t i = 0; i < 50; i++) {
        take(flow(i, FLOW_NEW, MS, (uint16_t)i));
        asked += flow_bursts_asks(&bursts, &out_tcp, MS);
    }
    assert_int_equal(asked, LIMIT_FLOW_BURST_ASKS_AT_ONCE);
    flow_bursts_set_owner(&bursts, &out_tcp, 70, 5, 2 * MS);
    flow_bursts_set_owner(&bursts, &out_tcp, 70, 5, 3 * MS);
    assert_true(next(3000 * MS, &row));
    assert_int_equal(row.pid, 70);
    assert_int_equal(row.owner, OWNER_RECENT);
    for (uint64_t i = 50; i < 100; i++)
        take(flow(i, FLOW_NEW, 10000 * MS, (uint16_t)i));
    flow_bursts_set_owner(&bursts, &out_tcp, 70, 5, 10001 * MS);
    flow_bursts_set_owner(&bursts, &out_tcp, 71, 6, 10002 * MS);
    assert_true(next(13000 * MS, &row));
    assert_false(event_knows(&row, F_PID));
}

static void every_flow_is_in_a_row_or_counted(void **state)
{
    (void)state;
    struct event row;
    struct flow_kind_key key;
    uint64_t start_ns, told = 0, stored = 0, n = 0;
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    for (uint64_t i = 0; i < 300000; i++) { /* more kinds, bursts and marks at once than there is room for */
        uint64_t now = MS + i * MS / 20;
        struct flow_kind_key k = { .container = rand() % 400, .direction = (uint8_t)(rand() % 4), .proto = 17 };
        struct event ev = flow(i, FLOW_NEW, now, (uint16_t)rand());
        stored += flow_bursts_take(&bursts, &ev, &k, false);
        n++;
        event_init(&row, EVENT_FLOW, SOURCE_PIPELINE, now);
        while (i % 100 == 0 && flow_bursts_next(&bursts, now, &row, &key, &start_ns)) {
            told += row.flows;
            event_init(&row, EVENT_FLOW, SOURCE_PIPELINE, now);
        }
    }
    event_init(&row, EVENT_FLOW, SOURCE_PIPELINE, 1);
    while (flow_bursts_next(&bursts, UINT64_MAX / 2, &row, &key, &start_ns))
        told += row.flows;
    assert_int_equal(told + bursts.n_unsummed, bursts.n_folded);
    assert_int_equal(stored + bursts.n_folded, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_scan_is_a_handful_of_rows, start, stop),
        cmocka_unit_test_setup_teardown(a_busy_client_keeps_its_rows, start, stop),
        cmocka_unit_test_setup_teardown(beyond_what_a_database_can_hold_answered_flows_are_folded_too, start, stop),
        cmocka_unit_test_setup_teardown(a_late_answer_makes_a_row, start, stop),
        cmocka_unit_test_setup_teardown(flows_of_which_only_the_end_is_told, start, stop),
        cmocka_unit_test_setup_teardown(a_look_at_an_unanswered_flow_is_no_answer, start, stop),
        cmocka_unit_test_setup_teardown(what_detectors_want_is_kept, start, stop),
        cmocka_unit_test_setup_teardown(owners_are_named_when_they_agree, start, stop),
        cmocka_unit_test_setup_teardown(every_flow_is_in_a_row_or_counted, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
