#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/intel_load.h"

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

static bool look_name(const char *name)
{
    return intel_lookup_domain(&intel, name, strlen(name), &match);
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
                       "evil_com\n"              /* 11 bad */
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
    static const char text[] = "# category: dga\n1.2.3.4\nx\n1.2.3.5\nlong.example";
    struct intel_source source = { .list = "p", .category = "c2", .on_error = note };
    struct intel_reader reader;
    intel_reader_init(&reader, &intel, &source);
    for (size_t i = 0; i < sizeof text - 1; i++)
        assert_int_equal(intel_reader_feed(&reader, text + i, 1), 0);
    assert_int_equal(intel_reader_end(&reader), 0);
    assert_int_equal(reader.n_entries, 3);
    assert_int_equal(reader.n_bad, 1);
    assert_int_equal(reader.format, INTEL_PLAIN);
    assert_int_equal(intel_seal(&intel), 0);
    assert_int_equal(bad_lines[0], 3);
    assert_true(look("1.2.3.5"));
    assert_string_equal(match.category, "dga");
    assert_true(look_name("long.example"));
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
    struct intel_source source = { .list = "big", .category = "c2", .on_error = note };
    char line[64];
    int r = 0;
    intel.bytes_max = 7000; /* IPv4 addresses take 7 bytes each */
    for (unsigned i = 0; i < 1010; i++)
        r = intel_load_text(&intel, &source, line, (size_t)snprintf(line, sizeof line, "10.0.%u.%u\n", i >> 8, i & 255));
    assert_int_equal(r, -ENOSPC);
    assert_int_equal(intel.n_refused, 10);
    assert_int_equal(n_bad, 10); /* once for each reader */
    assert_int_equal(intel_seal(&intel), 0);
    assert_int_equal(intel_count(&intel), 1000);
    assert_true(look("10.0.0.0"));
    assert_true(look("10.0.3.231"));
    assert_false(look("10.0.3.232"));
    assert_int_equal(intel.threats.hosts4.room, 1000);
}

static void domains_and_their_subdomains(void **state)
{
    (void)state;
    assert_false(look_name("bad.example")); /* not even sealed */
    assert_int_equal(load("names", false, "Bad.Example\n*.wild.example, crypto\n.dot.example.\ndeep.bad.example,dga\n*.tk,abused\nbad.example,late\n"
                                          "xn--bcher-kva.example\nb\xc3\xbc" "cher.example\n_dmarc.under_score.example\n"), 0);
    assert_int_equal(intel_seal(&intel), 0);
    assert_int_equal(n_bad, 0);
    assert_int_equal(intel_count(&intel), 8);
    assert_true(look_name("bad.example"));
    assert_string_equal(match.category, "c2");
    assert_int_equal(match.kind, INTEL_C2);
    assert_int_equal(match.skipped, 0);
    assert_true(look_name("BAD.example."));
    assert_true(look_name("a.b.bad.example"));
    assert_int_equal(match.skipped, 4);
    assert_true(look_name("x.deep.bad.example"));
    assert_string_equal(match.category, "dga");
    assert_int_equal(match.skipped, 2);
    assert_false(look_name("notbad.example"));
    assert_false(look_name("example"));
    assert_false(look_name("bad.example.org"));
    assert_false(look_name("wild.example"));
    assert_true(look_name("x.wild.example"));
    assert_int_equal(match.kind, INTEL_CRYPTO);
    assert_true(look_name("dot.example"));
    assert_true(look_name("x.dot.example"));
    assert_false(look_name("tk"));
    assert_true(look_name("any.tk"));
    assert_true(look_name("xn--bcher-kva.example"));
    assert_true(look_name("www.b\xc3\xbc" "cher.example"));
    assert_true(look_name("_dmarc.under_score.example"));
    assert_false(look_name(""));
    assert_string_equal(match.list, "");
    assert_false(look_name("."));
    assert_false(look_name(".."));
    assert_true(look_name("..bad.example")); /* whatever stands before */
    char longer[1024];
    memset(longer, 'a', sizeof longer);
    for (size_t i = 50; i < 1000; i += 50)
        longer[i] = '.';
    memcpy(longer + sizeof longer - 12, ".bad.example", 12);
    assert_true(intel_lookup_domain(&intel, longer, sizeof longer, &match));
    assert_int_equal(match.skipped, sizeof longer - 11);
    memset(longer, '.', sizeof longer);
    assert_false(intel_lookup_domain(&intel, longer, sizeof longer, &match));
    memset(longer, 'a', sizeof longer);
    assert_false(intel_lookup_domain(&intel, longer, sizeof longer, &match));
}

static void bad_domains_are_told(void **state)
{
    (void)state;
    const char *text = "localhost\n*.\n.\n*\na..b\n-\nexample.1\nsp ace.example\nhttp://bad.example/x\na.*.example\n"
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example\nx\x01.example\n*.1\n";
    assert_int_equal(load("names", false, text), 0);
    assert_int_equal(n_bad, 13);
    assert_int_equal(intel_count(&intel), 0);
}

/* A plain name on a trusted list is only that name. */
static void trusted_domains(void **state)
{
    (void)state;
    assert_int_equal(load("bad", false, "*.example.com\nshared.example\n"), 0);
    assert_int_equal(load("trusted", true, "www.example.com\n*.cdn.example.com\nshared.example\n"), 0);
    assert_int_equal(intel_seal(&intel), 0);
    assert_false(look_name("www.example.com"));
    assert_true(match.trusted);
    assert_string_equal(match.list, "trusted");
    assert_true(look_name("x.www.example.com"));
    assert_true(look_name("cdn.example.com"));
    assert_false(look_name("a.cdn.example.com"));
    assert_false(look_name("shared.example"));
    assert_true(look_name("x.shared.example"));
    assert_true(look_name("other.example.com"));
    assert_false(match.trusted);
}

/* Two lists cover parts of one name: each keeps what it was first to cover. */
static void first_list_wins_for_each_part(void **state)
{
    (void)state;
    uint16_t hosts, plain;
    assert_int_equal(intel_tag(&intel, "hosts", "phishing", &hosts), 0);
    assert_int_equal(intel_tag(&intel, "plain", "c2", &plain), 0);
    assert_int_equal(intel_add_domain(&intel, false, hosts, "both.example", 12, INTEL_COVERS_SELF), 0);
    assert_int_equal(intel_add_domain(&intel, false, plain, "both.example", 12, INTEL_COVERS_SELF | INTEL_COVERS_BELOW), 0);
    assert_int_equal(intel_add_domain(&intel, false, hosts, "both.example", 12, INTEL_COVERS_BELOW), 0);
    assert_int_equal(intel_add_domain(&intel, false, hosts, "no name", 7, INTEL_COVERS_BELOW), -EINVAL);
    assert_int_equal(intel_seal(&intel), 0);
    assert_int_equal(intel_count(&intel), 2);
    assert_true(look_name("both.example"));
    assert_string_equal(match.list, "hosts");
    assert_true(look_name("x.both.example"));
    assert_string_equal(match.list, "plain");
}

/* Against the slow way, with many names below each other, IPv6 addresses and digests, each twice. */
static void many_entries_are_all_found(void **state)
{
    (void)state;
    enum { N = 30000 };
    char text[160];
    unsigned seed = getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : 20261123;
    print_message("seed %u\n", seed);
    for (int turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; i < N; i++) {
            unsigned x = (i + seed) * 2654435761u;
            snprintf(text, sizeof text, "h%x.n%u.example,phishing\n2001:db8::%x:%x\n%064x\n10.%u.%u.%u\n", x, i % 100, x >> 16, x & 0xffff, x, x >> 24,
                     x >> 16 & 255, x >> 8 & 255);
            assert_int_equal(load(turn ? "again" : "first", false, text), 0);
        }
    }
    assert_int_equal(intel_seal(&intel), 0);
    struct intel_counts counts;
    intel_count_kinds(&intel, &counts);
    assert_int_equal(counts.domains, N);
    assert_int_equal(counts.addresses6, N);
    assert_int_equal(counts.hashes, N);
    for (unsigned i = 0; i < N; i++) {
        unsigned x = (i + seed) * 2654435761u;
        snprintf(text, sizeof text, "h%x.n%u.example", x, i % 100);
        assert_true(look_name(text));
        assert_string_equal(match.list, "first");
        snprintf(text, sizeof text, "g%x.n%u.example", x, i % 100);
        assert_false(look_name(text));
        snprintf(text, sizeof text, "2001:db8::%x:%x", x >> 16, x & 0xffff);
        assert_true(look(text));
        snprintf(text, sizeof text, "2001:db9::%x:%x", x >> 16, x & 0xffff);
        assert_false(look(text));
        snprintf(text, sizeof text, "10.%u.%u.%u", x >> 24, x >> 16 & 255, x >> 8 & 255);
        assert_true(look(text));
    }
}

static void categories_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < INTEL_CATEGORIES; i++)
        assert_int_equal(intel_category_find(intel_category_name((enum intel_category)i), strlen(intel_category_name((enum intel_category)i))), i);
    assert_int_equal(intel_category_find("c", 1), INTEL_OTHER);
    assert_int_equal(intel_category_find("c2x", 2), INTEL_C2);
    assert_int_equal(load("own", false, "198.51.100.1,something-else\n"), 0);
    assert_int_equal(intel_seal(&intel), 0);
    assert_true(look("198.51.100.1"));
    assert_int_equal(match.kind, INTEL_OTHER);
    assert_string_equal(match.category, "something-else");
}

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "BbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBb"
#define C64 "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

static bool look_hash(const char *hex)
{
    uint8_t digest[INTEL_DIGEST_BYTES];
    assert_int_equal(intel_digest_parse(hex, strlen(hex), digest), 0);
    return intel_lookup_hash(&intel, digest, &match);
}

static void files_are_found_by_their_hash(void **state)
{
    (void)state;
    assert_false(intel_has_hashes(&intel));
    assert_int_equal(load("own", false, A64 "\n" B64 ", malware # a comment\n192.0.2.1\n" A64 "\nabcd\n" A64 "a\n"), 0);
    assert_int_equal(load("feed", false, "# category: malware\n" A64 "\n" C64 "\n"), 0);
    assert_int_equal(load("trusted", true, C64 "\n"), 0);
    assert_int_equal(n_bad, 2);
    assert_int_equal(bad_lines[0], 5);
    assert_int_equal(intel_seal(&intel), 0);
    assert_true(intel_has_hashes(&intel));
    assert_int_equal(intel_count(&intel), 5); /* repeats are one */
    assert_true(look_hash(A64));
    assert_string_equal(match.list, "own");
    assert_string_equal(match.category, "custom");
    assert_true(look_hash(B64));
    assert_string_equal(match.category, "malware");
    assert_false(look_hash(C64));
    assert_true(match.trusted);
    assert_false(look_hash("0000000000000000000000000000000000000000000000000000000000000000"));
    assert_true(look("192.0.2.1"));
    assert_string_equal(match.category, "c2");
    uint8_t digest[INTEL_DIGEST_BYTES];
    assert_int_equal(intel_digest_parse(A64, 63, digest), -EINVAL);
    assert_int_equal(intel_digest_parse(A64 "a", 65, digest), -EINVAL);
    assert_int_equal(intel_digest_parse("g" A64, 64, digest), -EINVAL);
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
        TEST(domains_and_their_subdomains),
        TEST(bad_domains_are_told),
        TEST(trusted_domains),
        TEST(first_list_wins_for_each_part),
        TEST(many_entries_are_all_found),
        TEST(categories_have_names),
        cmocka_unit_test_setup_teardown(files_are_found_by_their_hash, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
