#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/intel.h"

static struct intel intel;
static struct intel_match match;
static uint32_t bad_lines[64];
static int n_bad;

static void note(void *context, uint32_t line, const char *text)
{
    (void)context;
    assert_non_null(text);
    if (n_bad < 64)
        bad_lines[n_bad] = line;
    n_bad++;
}

static int start(void **state)
{
    (void)state;
    intel_init(&intel);
    n_bad = 0;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    intel_fini(&intel);
    return 0;
}

static int load(const char *list, bool trusted, const char *text)
{
    struct intel_source source = { .list = list, .category = "c2", .trusted = trusted, .on_error = note };
    return intel_load_text(&intel, &source, text, strlen(text));
}

static bool look(const char *text)
{
    struct address a;
    assert_int_equal(address_parse(text, &a), 0);
    return intel_lookup(&intel, &a, &match);
}

static void most_specific_wins(void **state)
{
    (void)state;
    assert_int_equal(load("wide", false, "198.51.0.0/16\n2001:db8::/32,tor-relay\n"), 0);
    assert_int_equal(load("narrow", false, "198.51.100.0/24,crypto\n198.51.100.7\n2001:db8:1::/48\n2001:db8:1::9,dga\n198.51.0.0/16,late\n"), 0);
    assert_int_equal(intel_seal(&intel), 0);
    assert_int_equal(n_bad, 0);
    assert_int_equal(intel_count(&intel), 6); /* the repeat is merged */
    assert_true(look("198.51.1.1"));
    assert_string_equal(match.list, "wide");
    assert_string_equal(match.category, "c2");
    assert_int_equal(match.prefix, 16);
    assert_true(look("198.51.100.200"));
    assert_string_equal(match.category, "crypto");
    assert_true(look("198.51.100.7"));
    assert_int_equal(match.prefix, 32);
    assert_true(look("198.51.255.255"));
    assert_int_equal(match.prefix, 16);
    assert_false(look("198.52.0.0"));
    assert_false(look("198.50.255.255"));
    assert_true(look("2001:db8:1::9"));
    assert_string_equal(match.category, "dga");
    assert_true(look("2001:db8:1::a"));
    assert_int_equal(match.prefix, 48);
    assert_true(look("2001:db8:ffff::"));
    assert_string_equal(match.category, "tor-relay");
    assert_false(look("2001:db9::"));
    assert_true(look("::ffff:198.51.100.7"));
    assert_int_equal(match.prefix, 32);
}

static void trusted_wins_over_more_specific(void **state)
{
    (void)state;
    assert_int_equal(load("bad", false, "198.51.100.7\n203.0.113.1\n2001:db8::1\n"), 0);
    assert_int_equal(load("trusted", true, "198.51.100.0/24\n2001:db8::/64\n"), 0);
    assert_int_equal(intel_seal(&intel), 0);
    assert_false(look("198.51.100.7"));
    assert_true(match.trusted);
    assert_string_equal(match.list, "trusted");
    assert_false(look("2001:db8::1"));
    assert_true(look("203.0.113.1"));
    assert_false(match.trusted);
    assert_false(look("203.0.113.2"));
    assert_false(match.trusted);
    assert_string_equal(match.list, "");
}

static void bad_lines_are_told_and_skipped(void **state)
{
    (void)state;
    const char *text = "# made by hand\n"        /* 1 */
                       "#category: crypto\r\n"   /* 2 */
                       "  198.51.100.1  # one\r\n" /* 3 */
                       "198.51.100.0.2\n"        /* 4 bad */
                       "198.51.100.3/33\n"       /* 5 bad */
                       "198.51.100.3/\n"         /* 6 bad */
                       "0.0.0.0/0\n"             /* 7 bad */
                       "::/0\n"                  /* 8 bad */
                       "198.51.100.4,Bad Category\n" /* 9 bad */
                       ",crypto\n"               /* 10 bad */
                       "evil.example\n"          /* 11 bad */
                       "\n; spamhaus\n203.0.113.0/24 ; SBL1\n" /* 12 13 14 */
                       "# category: NO!\n"       /* 15 bad */
                       "2001:db8::5/129\n"       /* 16 bad */
                       "::ffff:198.51.100.9/90\n" /* 17 bad */
                       "::ffff:198.51.100.9/128\n10.9.8.7/8"; /* 18 19 */
    static const uint32_t expected[] = { 4, 5, 6, 7, 8, 9, 10, 11, 15, 16, 17 };
    assert_int_equal(load("hand", false, text), 0);
    assert_int_equal(intel_seal(&intel), 0);
    assert_int_equal(n_bad, sizeof expected / sizeof *expected);
    assert_memory_equal(bad_lines, expected, sizeof expected);
    assert_int_equal(intel_count(&intel), 4);
    assert_true(look("198.51.100.1"));
    assert_string_equal(match.category, "crypto");
    assert_true(look("203.0.113.255"));
    assert_true(look("198.51.100.9"));
    assert_true(look("10.0.0.0")); /* host bits are cleared */
    assert_false(look("198.51.100.4"));
}

static void pieces_go_on_counting(void **state)
{
    (void)state;
    struct intel_source source = { .list = "p", .category = "c2", .on_error = note };
    assert_int_equal(intel_load_text(&intel, &source, "# category: dga\n1.2.3.4\n", 24), 0);
    assert_int_equal(intel_load_text(&intel, &source, "x\n1.2.3.5\n", 10), 0);
    assert_int_equal(intel_seal(&intel), 0);
    assert_int_equal(bad_lines[0], 3);
    assert_true(look("1.2.3.5"));
    assert_string_equal(match.category, "dga");
}

static void empty_is_empty(void **state)
{
    (void)state;
    struct address none = { 0 };
    assert_false(look("1.2.3.4")); /* not even sealed */
    assert_int_equal(intel_seal(&intel), 0);
    assert_false(look("1.2.3.4"));
    assert_false(look("::1"));
    assert_false(intel_lookup(&intel, &none, &match));
}

/* Against the slow way: every entry is asked. */
static void random_networks_agree_with_a_scan(void **state)
{
    (void)state;
    enum { N = 400 };
    static struct { uint32_t start, mask; int prefix; } nets[N];
    unsigned seed = getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : 20261123;
    print_message("seed %u\n", seed);
    srand(seed);
    char line[64];
    for (int i = 0; i < N; i++) {
        nets[i].prefix = 8 + rand() % 25;
        nets[i].mask = ~0u << (32 - nets[i].prefix);
        nets[i].start = (0x0a000000u | ((uint32_t)rand() & 0x3ffff)) & nets[i].mask; /* crowded, so that they nest */
        snprintf(line, sizeof line, "%u.%u.%u.%u/%d\n", nets[i].start >> 24, nets[i].start >> 16 & 255, nets[i].start >> 8 & 255,
                 nets[i].start & 255, nets[i].prefix);
        assert_int_equal(load("r", false, line), 0);
    }
    assert_int_equal(intel_seal(&intel), 0);
    for (int i = 0; i < 20000; i++) {
        uint32_t a = 0x09fff000u + ((uint32_t)rand() & 0x4ffff);
        struct address address = { 4, { (uint8_t)(a >> 24), (uint8_t)(a >> 16), (uint8_t)(a >> 8), (uint8_t)a } };
        int best = 0;
        for (int j = 0; j < N; j++)
            if ((a & nets[j].mask) == nets[j].start && nets[j].prefix > best)
                best = nets[j].prefix;
        assert_int_equal(intel_lookup(&intel, &address, &match), best > 0);
        assert_int_equal(match.prefix, best);
    }
}

static void bound_is_kept(void **state)
{
    (void)state;
    enum { CHUNK = 4096 };
    static char text[CHUNK * 18];
    struct intel_source source = { .list = "big", .category = "c2", .on_error = note };
    int r = 0;
    for (uint32_t i = 0; i < LIMIT_INTEL_ENTRIES + CHUNK; i += CHUNK) {
        size_t n = 0;
        for (uint32_t j = i; j < i + CHUNK; j++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%u.%u.%u.%u\n", 1 + (j >> 16), j >> 8 & 255, j & 255, 1u);
        r = intel_load_text(&intel, &source, text, n);
    }
    assert_int_equal(r, -ENOSPC);
    assert_true(intel.n_refused > 0);
    assert_int_equal(intel_seal(&intel), 0);
    assert_int_equal(intel_count(&intel), LIMIT_INTEL_ENTRIES);
    assert_true(look("1.0.0.1"));
    assert_false(look("1.0.0.2"));
    assert_int_equal(intel.threats.room_v4, LIMIT_INTEL_ENTRIES);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(most_specific_wins),
        TEST(trusted_wins_over_more_specific),
        TEST(bad_lines_are_told_and_skipped),
        TEST(pieces_go_on_counting),
        TEST(empty_is_empty),
        TEST(random_networks_agree_with_a_scan),
        TEST(bound_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
