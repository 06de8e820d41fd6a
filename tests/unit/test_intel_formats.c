#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/intel_reader.h"
#include "tests/unit/fixture.h"

static struct intel intel;
static struct intel_match match;
static struct intel_reader reader;
static uint32_t bad_lines[64];
static char bad_text[128];
static int n_bad;

static void note(void *context, uint32_t line, const char *text)
{
    (void)context;
    snprintf(bad_text, sizeof bad_text, "%s", text);
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

/* In pieces of that size. */
static int read_text(const char *text, size_t size, size_t piece, bool chosen)
{
    struct intel_source source = { .list = "list", .category = "suspicious", .category_set = chosen, .on_error = note };
    intel_reader_init(&reader, &intel, &source);
    for (size_t at = 0; at < size; at += piece)
        intel_reader_feed(&reader, text + at, size - at < piece ? size - at : piece);
    return intel_reader_end(&reader);
}

static int read_all(const char *text)
{
    int r = read_text(text, strlen(text), 7, false);
    assert_int_equal(intel_seal(&intel), 0);
    return r;
}

static const char *category_of(const char *text)
{
    struct address a;
    bool found = address_parse(text, &a) ? intel_lookup_domain(&intel, text, strlen(text), &match) : intel_lookup(&intel, &a, &match);
    return found ? match.category : "";
}

static void otx(void **state)
{
    (void)state;
    assert_int_equal(read_all("Indicator type, Indicator, Description\n"
                              "CIDR, 192.0.2.0/24, example\n"
                              "IPv4, 198.51.100.1, \"two\nlines, and a \"\"quote\"\"\"\n"
                              "hostname,www.example.net,\n"
                              "Domain name, example.net, example\n"
                              "URL,http://example.org/x,\n"
                              "FileHash-MD5,d41d8cd98f00b204e9800998ecf8427e,\n"
                              "FileHash-SHA256,e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855,\n"
                              "IPv4,198.51.100.256,\n"
                              "IPv6,2001:db8::7,\n"),
                     0);
    assert_int_equal(reader.format, INTEL_CSV);
    assert_int_equal(reader.n_entries, 6);
    assert_int_equal(reader.n_other, 2);
    assert_int_equal(n_bad, 1);
    assert_int_equal(bad_lines[0], 10);
    assert_string_equal(category_of("192.0.2.77"), "suspicious");
    assert_string_equal(category_of("198.51.100.1"), "suspicious");
    assert_string_equal(category_of("a.example.net"), "suspicious");
    assert_string_equal(category_of("2001:db8::7"), "suspicious");
    assert_string_equal(category_of("example.org"), "");
    assert_true(intel_has_hashes(&intel));
}

static void proofpoint(void **state)
{
    (void)state;
    assert_int_equal(read_all("domain, category, score, first_seen, last_seen, ports (|)\r\n"
                              "198.51.100.1, 1, 100, 2000-01-01, 2000-01-01,\r\n"
                              "drop.example, 4, 100, 2000-01-01, 2000-01-01, 80|443\r\n"
                              "scan.example, 21, 100, 2000-01-01, 2000-01-01, 80\r\n"),
                     0);
    assert_int_equal(n_bad, 0);
    assert_string_equal(category_of("198.51.100.1"), "c2");
    assert_string_equal(category_of("drop.example"), "droppoint");
    assert_string_equal(category_of("scan.example"), "et-21");
    assert_int_equal(match.kind, INTEL_OTHER);
}

static void fireeye(void **state)
{
    (void)state;
    static const char text[] =
        "reportId, title, threatScape, audience, intelligenceType, publishDate, sourceDomain, sourceIp, md5, sha1, sha256, cidr, domain, networkIdentifier, ip, port, url, actor\n"
        "\n"
        "01-1, Example, Test, Operational, threat, 1494944400, sender.example, 203.0.113.99, , , , 192.0.2.0/24, , Related, , , , x\n"
        "01-2, Example, Test, Operational, threat, 1494944400, , , , , , , bad.example, Related, 198.51.100.1, 8080, , x\n"
        "01-3, Example, Test, Operational, threat, 1494944400, , , d41d8cd98f00b204e9800998ecf8427e, , , , , , , , ,\n";
    assert_int_equal(read_all(text), 0);
    assert_int_equal(n_bad, 0);
    assert_int_equal(reader.n_entries, 3);
    assert_int_equal(reader.n_other, 1);
    assert_string_equal(category_of("192.0.2.3"), "suspicious");
    assert_string_equal(category_of("bad.example"), "suspicious");
    assert_string_equal(category_of("198.51.100.1"), "suspicious");
    assert_string_equal(category_of("203.0.113.99"), ""); /* the sender of an e-mail is nobody to talk to */
    assert_string_equal(category_of("sender.example"), "");
}

static void csv_with_commented_header(void **state)
{
    (void)state;
    static const char text[] = "################\n# a feed, for tests\n# \"first_seen_utc\",\"ioc_id\",\"ioc_value\",\"ioc_type\",\"threat_type\",\"tags\"\n"
                               "\"2026-11-01\", \"1\", \"198.51.100.9:4444\", \"ip:port\", \"botnet_cc\", \"x,y\"\n"
                               "\"2026-11-01\", \"2\", \"bad.example\", \"domain\", \"payload_delivery\", \"\"\n"
                               "\"2026-11-01\", \"3\", \"https://bad.example/x\", \"url\", \"payload_delivery\", \"\"\n"
                               "\"2026-11-01\", \"4\", \"odd.example\", \"domain\", \"Strange Thing!\", \"\"\n# end\n";
    assert_int_equal(read_all(text), 0);
    assert_int_equal(n_bad, 0);
    assert_int_equal(reader.n_entries, 3);
    assert_string_equal(category_of("198.51.100.9"), "c2");
    assert_string_equal(category_of("bad.example"), "malicious");
    assert_string_equal(category_of("odd.example"), "strange-thing");
    intel_fini(&intel);
    intel_init(&intel);
    assert_int_equal(read_text(text, sizeof text - 1, sizeof text, true), 0); /* with a category that somebody chose */
    assert_int_equal(intel_seal(&intel), 0);
    assert_string_equal(category_of("198.51.100.9"), "c2");
    assert_string_equal(category_of("odd.example"), "suspicious");
}

static void csv_bounds(void **state)
{
    (void)state;
    static char text[400000];
    int n = snprintf(text, sizeof text, "ip,category\n198.51.100.1,c2\n\"never ends,c2\n");
    while (n < 200000)
        n += snprintf(text + n, sizeof text - (size_t)n, "198.51.100.2,c2\n");
    n += snprintf(text + n, sizeof text - (size_t)n, "198.51.100.3,c2\n");
    assert_int_equal(read_text(text, (size_t)n, 5000, false), 0);
    assert_int_equal(intel_seal(&intel), 0);
    assert_int_equal(n_bad, 1);
    assert_int_equal(bad_lines[0], 3);
    assert_string_equal(category_of("198.51.100.1"), "c2");
    assert_string_equal(category_of("198.51.100.3"), "c2"); /* it goes on behind what was refused */
}

static void csv_that_is_asked_for_but_is_none(void **state)
{
    (void)state;
    struct intel_source source = { .list = "list", .category = "c2", .format = INTEL_CSV, .on_error = note };
    intel_reader_init(&reader, &intel, &source);
    assert_int_equal(intel_reader_feed(&reader, "a,b\n1.2.3.4,5\n", 14), -EILSEQ);
    assert_int_equal(intel_reader_feed(&reader, "1.2.3.4,5\n", 10), -EILSEQ);
    assert_int_equal(intel_reader_end(&reader), -EILSEQ);
    assert_int_equal(n_bad, 1);
    assert_int_equal(intel_count(&intel), 0);
}

static void alienvault(void **state)
{
    (void)state;
    assert_int_equal(read_all("# a comment\n192.0.2.1#4#2#Malicious Host#KR##37.5111999512,126.974098206#3\n192.0.2.2#4#2#Scanning Host;Spamming#IN#Gurgaon#28.4,77.0#3\n"
                              "192.0.2.3#4#2##CN#Guangzhou#23.1,113.25#3\nwww.bad.example#4#2#C&C#CA##45.4,-73.4#3\nx y#4#2#C&C\n"),
                     0);
    assert_int_equal(reader.format, INTEL_ALIENVAULT);
    assert_int_equal(n_bad, 1);
    assert_int_equal(bad_lines[0], 6);
    assert_string_equal(category_of("192.0.2.1"), "malicious");
    assert_string_equal(category_of("192.0.2.2"), "scanning-host-spamming");
    assert_string_equal(category_of("192.0.2.3"), "suspicious");
    assert_string_equal(category_of("www.bad.example"), "c2");
}

static void hosts(void **state)
{
    (void)state;
    assert_int_equal(read_all("# category: phishing\n127.0.0.1 localhost localhost.localdomain\n::1\tip6-localhost\n255.255.255.255 broadcasthost\n"
                              "0.0.0.0 bad.example www.bad.example # two\n0.0.0.0 0.0.0.0\n10.0.0.1 printer.example\n127.0.0.1 b\xff d\n0.0.0.0 sp*ce.example\n"),
                     0);
    assert_int_equal(reader.format, INTEL_HOSTS);
    assert_int_equal(n_bad, 3);
    assert_int_equal(bad_lines[0], 4);
    assert_int_equal(bad_lines[1], 7);
    assert_int_equal(bad_lines[2], 9);
    assert_string_equal(category_of("bad.example"), "phishing");
    assert_string_equal(category_of("www.bad.example"), "phishing");
    assert_string_equal(category_of("x.bad.example"), "");
    assert_string_equal(category_of("printer.example"), "");
    assert_string_equal(category_of("0.0.0.0"), "");
}

static void ranges(void **state)
{
    (void)state;
    assert_int_equal(read_all("192.0.2.10-192.0.2.20\n198.51.100.0 - 198.51.100.255, c2\n192.0.2.5-192.0.2.4\n2001:db8::1-2001:db8::2\n1.2.3.4-x\n0.0.0.0-255.255.255.255\n"
                              "255.255.255.255-255.255.255.255\n"),
                     0);
    assert_int_equal(n_bad, 4);
    assert_string_equal(category_of("192.0.2.9"), "");
    for (int i = 10; i <= 20; i++) {
        char text[32];
        snprintf(text, sizeof text, "192.0.2.%d", i);
        assert_string_equal(category_of(text), "suspicious");
    }
    assert_string_equal(category_of("192.0.2.21"), "");
    assert_string_equal(category_of("198.51.100.255"), "c2");
    assert_int_equal(match.prefix, 24);
    assert_string_equal(category_of("198.51.101.0"), "");
    assert_string_equal(category_of("255.255.255.255"), "suspicious");
}

static void stix(void **state)
{
    (void)state;
    size_t size;
    char *text = fixture_read("intel/stix.xml", &size);
    for (size_t piece = 1; piece <= size; piece += size / 3) {
        intel_fini(&intel);
        intel_init(&intel);
        n_bad = 0;
        assert_int_equal(read_text(text, size, piece, false), 0);
        assert_int_equal(intel_seal(&intel), 0);
        assert_int_equal(reader.format, INTEL_STIX);
        assert_int_equal(n_bad, 1);
        assert_string_equal(category_of("198.51.100.1"), "suspicious");
        assert_string_equal(category_of("192.0.2.128"), "suspicious");
        assert_string_equal(category_of("203.0.113.1"), "c2");
        assert_string_equal(category_of("203.0.113.2"), "c2");
        assert_string_equal(category_of("2001:db8::1"), "suspicious");
        assert_string_equal(category_of("www.bad.example"), "suspicious");
        assert_string_equal(category_of("host.example"), "suspicious");
        assert_string_equal(category_of("uri.example"), "");
        assert_true(intel_has_hashes(&intel));
        assert_int_equal(reader.n_other, 2);
    }
    free(text);
}

static void bad_xml(void **state)
{
    (void)state;
    assert_int_equal(read_all("<!DOCTYPE a [<!ENTITY b \"bb\">]><a>&b;</a>"), -EILSEQ);
    assert_non_null(strstr(bad_text, "DOCTYPE"));
    intel_fini(&intel);
    intel_init(&intel);
    assert_int_equal(read_all("<html><body>Not found</html>"), -EILSEQ);
    intel_fini(&intel);
    intel_init(&intel);
    assert_int_equal(read_all("<a><b>"), -EILSEQ); /* ends too early */
    static char deep[2000];
    for (size_t i = 0; i < 1500; i += 3)
        memcpy(deep + i, "<a>", 3);
    intel_fini(&intel);
    intel_init(&intel);
    assert_int_equal(read_all(deep), -EILSEQ);
    assert_non_null(strstr(bad_text, "deeply"));
}

static void long_lines_and_odd_bytes(void **state)
{
    (void)state;
    static char text[300000];
    memset(text, 'a', sizeof text);
    memcpy(text, "\xef\xbb\xbf" "198.51.100.1\n", 16);
    memcpy(text + 200000, "\n198.51.100.2\n", 14);
    assert_int_equal(read_text(text, sizeof text, 65536, false), 0);
    assert_int_equal(intel_seal(&intel), 0);
    assert_int_equal(n_bad, 2);
    assert_int_equal(bad_lines[0], 2);
    assert_int_equal(bad_lines[1], 4);
    assert_string_equal(category_of("198.51.100.1"), "suspicious");
    assert_string_equal(category_of("198.51.100.2"), "suspicious");
}

static void formats_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < INTEL_FORMATS; i++)
        assert_int_equal(intel_format_find(intel_format_name((enum intel_format)i), strlen(intel_format_name((enum intel_format)i))), i);
    assert_int_equal(intel_format_find("xml", 3), INTEL_FORMATS);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(otx), TEST(proofpoint), TEST(fireeye), TEST(csv_with_commented_header), TEST(csv_bounds), TEST(csv_that_is_asked_for_but_is_none),
        TEST(alienvault), TEST(hosts), TEST(ranges), TEST(stix), TEST(bad_xml), TEST(long_lines_and_odd_bytes), TEST(formats_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
