#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/enrich/dns_bursts.h"
#include "common/clock.h"

#define MS NS_PER_MS
#define SLOTS 4
#define FLOOD 5000

static struct dns_bursts bursts;
static const struct dns_speaker someone = { .slot = 1, .container = 7 };
static union event_buffer buffer;

static int start(void **state)
{
    (void)state;
    return dns_bursts_init(&bursts, SLOTS);
}

static int stop(void **state)
{
    (void)state;
    dns_bursts_fini(&bursts);
    return 0;
}

static struct event *message(enum dns_op op, const char *name, uint64_t time_ns)
{
    struct event *ev = &buffer.event;
    event_init(ev, EVENT_DNS, SOURCE_DNS, time_ns);
    event_set(ev, F_DNS_OP, dns_op, (uint8_t)op);
    event_set(ev, F_NSID, nsid, 4);
    event_set(ev, F_PROTO, proto, 17);
    event_set(ev, F_SRC, src, ((struct address){ 4, { 172, 17, 0, 2 } }));
    event_set(ev, F_DST, dst, ((struct address){ 4, { 198, 51, 100, 53 } }));
    event_set(ev, F_DNS_TYPE, dns_type, 16);
    event_set(ev, F_DNS_SIZE, dns_size, 40);
    event_set(ev, F_PID, pid, 70);
    event_set_text(ev, F_DNS_NAME, name, strlen(name));
    return ev;
}

static bool ask(const char *name, uint64_t time_ns)
{
    return dns_bursts_take(&bursts, message(DNS_QUERY, name, time_ns), someone, false);
}

static bool next(uint64_t now_ns, struct event *row, int32_t *container)
{
    event_init(row, EVENT_DNS, SOURCE_PIPELINE, now_ns);
    row->text_max = LIMIT_EVENT_TEXT_BYTES;
    return dns_bursts_next(&bursts, now_ns, row, container);
}

/* Rows that 5,000 messages in one millisecond get; %d in `format` is their number. */
static int flood(const char *format, uint64_t time_ns)
{
    int stored = 0;
    char name[64];
    for (int i = 0; i < FLOOD; i++) {
        snprintf(name, sizeof name, format, i);
        stored += ask(name, time_ns + (uint64_t)i * 200);
    }
    return stored;
}

static void is_named(const struct event *row, const char *name)
{
    char text[300];
    snprintf(text, sizeof text, "%.*s", (int)row->dns_name.len, event_text(row, row->dns_name));
    assert_string_equal(text, name);
}

static void a_tunnel_is_a_thousand_rows_and_one(void **state)
{
    (void)state;
    static union event_buffer told;
    struct event *row = &told.event;
    int32_t container = 0;
    assert_int_equal(flood("x%d.t.Example.com", MS), LIMIT_DNS_OWN_AT_ONCE);
    assert_false(next(1000 * MS, row, &container));
    assert_true(dns_bursts_due(&bursts) > 2000 * MS && dns_bursts_due(&bursts) < 2002 * MS);
    assert_true(next(2002 * MS, row, &container));
    assert_int_equal(container, 7);
    assert_int_equal(row->messages, FLOOD - LIMIT_DNS_OWN_AT_ONCE);
    assert_int_equal(row->dns_size, 40 * (FLOOD - LIMIT_DNS_OWN_AT_ONCE));
    assert_in_range(row->names, 3200, 4000); /* of 4,000: some share a bit */
    is_named(row, "*.t.Example.com");
    assert_true(event_knows(row, F_DNS_TYPE) && row->dns_type == 16);
    assert_true(event_knows(row, F_SRC) && event_knows(row, F_DST) && event_knows(row, F_PID));
    assert_false(event_knows(row, F_DNS_RCODE) || event_knows(row, F_DNS_ID));
    assert_false(next(9000 * MS, row, &container));
    assert_true(dns_bursts_due(&bursts) == UINT64_MAX);
    assert_true(bursts.n_folded == FLOOD - LIMIT_DNS_OWN_AT_ONCE && bursts.n_bursts == 1);
}

static void ordinary_work_keeps_its_rows(void **state)
{
    (void)state;
    for (int i = 0; i < 2000; i++)
        assert_true(ask("db.internal", (uint64_t)i * (2 * MS + 1)));
}

static void one_name_many_times(void **state)
{
    (void)state;
    static union event_buffer told;
    int32_t container;
    assert_int_equal(flood("api.example.com", MS), LIMIT_DNS_OWN_AT_ONCE);
    assert_true(next(3000 * MS, &told.event, &container));
    is_named(&told.event, "api.example.com");
    assert_int_equal(told.event.names, 1);
}

static void what_names_have_in_common(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b, *common;
    } cases[] = {
        { "a.example.com", "b.example.com", "*.example.com" },
        { "xa.example.com", "a.example.com", "*.example.com" },
        { "a.example.com", "example.com", "*.example.com" },
        { "example.com", "www.EXAMPLE.com", "*.example.com" },
        { "myexample.com", "example.com", "*.com" },
        { "a.example.com", "a.example.net", "*" },
        { "a", "b", "*" },
        { "a", "xa", "*" },
        { "", "a.b", "*" },
        { "a.b.c", "A.B.C", "a.b.c" },
    };
    static union event_buffer told;
    int32_t container;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t now = (100 * i + 1) * NS_PER_SECOND;
        flood("filler", now);
        assert_true(next(now + 90 * NS_PER_SECOND, &told.event, &container));
        assert_false(next(now + 90 * NS_PER_SECOND, &told.event, &container));
        for (int j = 0; j < LIMIT_DNS_OWN_AT_ONCE; j++)
            ask(cases[i].a, now + 50 * NS_PER_SECOND);
        assert_false(ask(cases[i].a, now + 50 * NS_PER_SECOND));
        assert_false(ask(cases[i].b, now + 50 * NS_PER_SECOND));
        assert_true(next(now + 60 * NS_PER_SECOND, &told.event, &container));
        is_named(&told.event, cases[i].common);
    }
}

static void findings_keep_their_rows(void **state)
{
    (void)state;
    int kept = 0;
    flood("a.example.com", MS);
    for (int i = 0; i < 100; i++)
        kept += dns_bursts_take(&bursts, message(DNS_QUERY, "c2.example.net", 3 * MS), someone, true);
    assert_in_range(kept, LIMIT_DNS_KEPT_AT_ONCE, LIMIT_DNS_KEPT_AT_ONCE + 2);
}

static void others_are_not_concerned(void **state)
{
    (void)state;
    flood("a.example.com", MS);
    assert_false(ask("a.example.com", 2 * MS));
    assert_true(dns_bursts_take(&bursts, message(DNS_ANSWER, "a.example.com", 2 * MS), someone, false));
    assert_true(dns_bursts_take(&bursts, message(DNS_QUERY, "a.example.com", 2 * MS), (struct dns_speaker){ 2, 8 }, false));
    assert_true(dns_bursts_take(&bursts, message(DNS_QUERY, "a.example.com", 2 * MS), (struct dns_speaker){ SLOTS, 0 }, false));
    /* the slot is another container's by now */
    assert_true(dns_bursts_take(&bursts, message(DNS_QUERY, "a.example.com", 2 * MS), (struct dns_speaker){ 1, 9 }, false));
}

static void each_message_is_in_a_row_or_counted(void **state)
{
    (void)state;
    static union event_buffer told;
    uint64_t rows = 0, folded = 0;
    int32_t container;
    for (int c = 0; c < 4 * LIMIT_DNS_BURSTS; c++)
        for (int i = 0; i < 2 * LIMIT_DNS_OWN_AT_ONCE; i++)
            rows += dns_bursts_take(&bursts, message(DNS_QUERY, "a.example.com", MS), (struct dns_speaker){ 1, c + 1 }, false);
    while (next(UINT64_MAX / 2, &told.event, &container))
        folded += told.event.messages;
    assert_true(rows == 4 * LIMIT_DNS_BURSTS * LIMIT_DNS_OWN_AT_ONCE);
    assert_true(bursts.n_folded == rows && folded + bursts.n_unsummed == rows);
}

static void a_recorded_burst_stays_a_row(void **state)
{
    (void)state;
    flood("a.example.com", MS);
    struct event *ev = message(DNS_QUERY, "*.example.com", 2 * MS);
    event_set(ev, F_MESSAGES, messages, 500);
    assert_true(dns_bursts_take(&bursts, ev, someone, false));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tunnel_is_a_thousand_rows_and_one),
        TEST(ordinary_work_keeps_its_rows),
        TEST(one_name_many_times),
        TEST(what_names_have_in_common),
        TEST(findings_keep_their_rows),
        TEST(others_are_not_concerned),
        TEST(each_message_is_in_a_row_or_counted),
        TEST(a_recorded_burst_stays_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
