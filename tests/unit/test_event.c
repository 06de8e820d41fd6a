#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/event.h"
#include "common/event_fields.h"
#include "common/hash.h"
#include "common/ring.h"
#include "common/text.h"

static union event_buffer buffer;

static void event_texts_are_bounded_and_terminated(void **state)
{
    (void)state;
    struct event *ev = &buffer.event;
    char big[LIMIT_PATH_BYTES + 10];
    memset(big, 'a', sizeof big);
    event_init(ev, EVENT_EXEC, SOURCE_EXEC, 1);
    assert_true(event_set_text(ev, F_COMM, "sh", 2));
    assert_false(event_set_text(ev, F_EXE, big, sizeof big));
    assert_int_equal(ev->exe.len, LIMIT_PATH_BYTES);
    assert_string_equal(event_text(ev, ev->comm), "sh");
    assert_int_equal(event_text(ev, ev->exe)[LIMIT_PATH_BYTES], 0);
    for (int i = 0; i < 20; i++)
        event_set_text(ev, F_CWD, big, sizeof big);
    assert_int_equal(event_check(ev, ev->size), 0);
    assert_true(ev->size <= sizeof buffer);
}

static void event_respects_less_room(void **state)
{
    (void)state;
    struct event *ev = &buffer.event;
    event_init(ev, EVENT_EXEC, SOURCE_EXEC, 1);
    ev->text_max = 8;
    assert_false(event_set_text(ev, F_EXE, "/usr/bin/true", 13));
    assert_string_equal(event_text(ev, ev->exe), "/usr/bi");
    assert_false(event_set_text(ev, F_CWD, "/", 1));
    assert_int_equal(ev->text_len, 8);
}

static void event_check_refuses_wild_spans(void **state)
{
    (void)state;
    struct event *ev = &buffer.event;
    event_init(ev, EVENT_EXEC, SOURCE_EXEC, 1);
    event_set_text(ev, F_COMM, "sh", 2);
    ev->comm.len = 60000;
    assert_true(event_check(ev, ev->size) < 0);
    ev->comm = (struct text){ 0, 2 };
    ev->kind = 77;
    assert_true(event_check(ev, ev->size) < 0);
}

static void every_field_is_described(void **state)
{
    (void)state;
    for (int i = 0; i < F_MAX; i++) {
        assert_non_null(event_fields[i].name);
        assert_non_null(event_fields[i].doc);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(event_fields[i].name, event_fields[j].name);
    }
}

static void escape_is_harmless_and_reversible(void **state)
{
    (void)state;
    char shown[2048], back[512];
    uint8_t all[256];
    struct text_out out;
    for (int i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    text_out_init(&out, shown, sizeof shown);
    text_escape(&out, all, sizeof all);
    for (size_t i = 0; i < out.length; i++)
        assert_true(shown[i] >= 0x20 && shown[i] < 0x7f);
    assert_int_equal(text_unescape(shown, out.length, back, sizeof back), 256);
    assert_memory_equal(back, all, 256);
    text_out_init(&out, shown, sizeof shown);
    text_escape(&out, "gr\xc3\xbc\xc3\x9f \xe2\x80\xae", 10);
    assert_string_equal(shown, "gr\xc3\xbc\xc3\x9f \\xe2\\x80\\xae");
    assert_true(text_unescape("\\q", 2, back, sizeof back) < 0);
}

static void times_round_trip(void **state)
{
    (void)state;
    char text[32];
    uint64_t ns;
    text_time(text, 1763855982123456789ull);
    assert_string_equal(text, "2025-11-22T23:59:42.123Z");
    assert_int_equal(text_to_time(text, &ns), 0);
    assert_int_equal(ns, 1763855982123000000ull);
    assert_true(text_to_time("yesterday", &ns) < 0);
    assert_true(text_to_time("2025-11-22T23:59:42.123", &ns) < 0);
}

static void argv_is_one_shell_line(void **state)
{
    (void)state;
    char line[64];
    struct text_out out;
    text_out_init(&out, line, sizeof line);
    text_argv(&out, "sh\0-c\0it's me\0\0", 15);
    assert_string_equal(line, "sh -c 'it'\\''s me' ''");
}

/* The reference vector of the SipHash paper: key 00..0f, message 00..0e. */
static void siphash_matches_the_paper(void **state)
{
    (void)state;
    uint8_t message[15];
    struct hash_key key = { 0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull };
    for (int i = 0; i < 15; i++)
        message[i] = (uint8_t)i;
    assert_true(hash_bytes(&key, message, 15) == 0xa129ca6149be45e5ull);
}

static void ring_keeps_order_over_many_wraps(void **state)
{
    (void)state;
    struct ring ring;
    uint32_t in = 0, out = 0;
    assert_int_equal(ring_init(&ring, 4096), 0);
    for (int round = 0; round < 20000; round++) {
        size_t want = 4 + (size_t)(round * 37 % 500);
        uint32_t *p = ring_reserve(&ring, want + 64, 0);
        if (p) {
            *p = in++;
            ring_commit(&ring, want);
        }
        if (!p || round % 3 == 0) {
            size_t size;
            const uint32_t *q = ring_peek(&ring, &size);
            assert_non_null(q);
            assert_int_equal(*q, out++);
            ring_pop(&ring);
        }
    }
    assert_true(in > 10000);
    ring_fini(&ring);
}

static void ring_keeps_a_reserve(void **state)
{
    (void)state;
    struct ring ring;
    assert_int_equal(ring_init(&ring, 4096), 0);
    while (ring_reserve(&ring, 100, 1024))
        ring_commit(&ring, 100);
    assert_true(ring_used(&ring) <= 3072);
    assert_non_null(ring_reserve(&ring, 100, 0));
    ring_fini(&ring);
}

/* What is emptied often touches the first part of its memory only, and a burst still gets all of it. */
static void ring_begins_anew_when_empty(void **state)
{
    (void)state;
    struct ring ring;
    uint32_t in = 0, out = 0, most = 0;
    size_t size;
    assert_int_equal(ring_init(&ring, 65536), 0);
    for (int round = 0; round < 5000; round++) {
        for (int i = 0; i < 1 + round % 7; i++) {
            uint32_t *p = ring_reserve(&ring, 200, 8192);
            assert_non_null(p);
            *p = in++;
            ring_commit(&ring, 100);
        }
        for (const uint32_t *p; (p = ring_peek(&ring, &size)); ring_pop(&ring))
            assert_int_equal(*p, out++);
    }
    assert_int_equal(in, out);
    for (uint32_t i = 0; i < 65536; i++)
        if (ring.data[i])
            most = i;
    assert_in_range(most, 16384, 16384 + 8 * 208);
    while (ring_reserve(&ring, 100, 0)) {
        ring_commit(&ring, 100);
        in++;
    }
    assert_true(in - out > 16384 / 112 && ring_used(&ring) > 65536 - 2 * 112);
    for (; ring_peek(&ring, &size); ring_pop(&ring))
        out++;
    assert_int_equal(in, out);
    for (int i = 0; i < 200; i++) { /* past the quarter: what the burst touched was given back */
        assert_non_null(ring_reserve(&ring, 100, 8192));
        ring_commit(&ring, 100);
        assert_non_null(ring_peek(&ring, &size));
        ring_pop(&ring);
    }
    for (uint32_t i = 16384 + 8192; i < 65536; i++)
        assert_int_equal(ring.data[i], 0);
    ring_fini(&ring);
}

static void ring_records_stay_until_popped_to(void **state)
{
    (void)state;
    struct ring ring;
    uint32_t in = 0, out = 0;
    assert_int_equal(ring_init(&ring, 4096), 0);
    for (int round = 0; round < 2000; round++) {
        uint32_t *p;
        size_t size, used, at;
        while ((p = ring_reserve(&ring, 4 + (in * 37) % 500, 0))) {
            *p = in;
            ring_commit(&ring, 4 + (in * 37) % 500);
            in++;
        }
        used = ring_used(&ring);
        for (int twice = 0; twice < 2; twice++) {
            uint32_t expected = out;
            at = ring_start(&ring);
            for (int i = 0; i < 3; i++)
                assert_int_equal(*(const uint32_t *)ring_next(&ring, &at, &size), expected++);
            assert_int_equal(ring_used(&ring), used);
        }
        ring_pop_to(&ring, at);
        out += 3;
    }
    assert_true(in > 5000);
    ring_fini(&ring);
}

static void cleaning_twice_changes_nothing(void **state)
{
    (void)state;
    char once[256], twice[256];
    struct text_out out;
    text_out_init(&out, once, sizeof once);
    text_clean(&out, "\\x1b \x1b[2J\n\xff", 11);
    assert_string_equal(once, "\\x1b \\x1b[2J\\x0a\\xff");
    text_out_init(&out, twice, sizeof twice);
    text_clean(&out, once, strlen(once));
    assert_string_equal(twice, once);
    assert_true(text_is_plain("abc ~", 5));
    assert_false(text_is_plain("a\\", 2));
}

static void addresses_parse_and_format(void **state)
{
    (void)state;
    struct address a;
    char text[46];
    assert_int_equal(address_parse("::ffff:10.1.2.3", &a), 0);
    address_format(&a, text);
    assert_string_equal(text, "10.1.2.3");
    assert_int_equal(address_parse("2001:db8::1", &a), 0);
    assert_int_equal(a.family, 6);
    assert_true(address_parse("10.1.2", &a) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_texts_are_bounded_and_terminated),
        cmocka_unit_test(event_respects_less_room),
        cmocka_unit_test(event_check_refuses_wild_spans),
        cmocka_unit_test(every_field_is_described),
        cmocka_unit_test(escape_is_harmless_and_reversible),
        cmocka_unit_test(times_round_trip),
        cmocka_unit_test(argv_is_one_shell_line),
        cmocka_unit_test(siphash_matches_the_paper),
        cmocka_unit_test(ring_keeps_order_over_many_wraps),
        cmocka_unit_test(ring_keeps_a_reserve),
        cmocka_unit_test(ring_begins_anew_when_empty),
        cmocka_unit_test(ring_records_stay_until_popped_to),
        cmocka_unit_test(cleaning_twice_changes_nothing),
        cmocka_unit_test(addresses_parse_and_format),
    };
    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
