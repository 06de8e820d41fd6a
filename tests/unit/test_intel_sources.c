#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/intel_sources.h"
#include "common/clock.h"

static struct intel_sources sources;
static char why[1024];

static int parse(const char *text)
{
    struct text_out error;
    text_out_init(&error, why, sizeof why);
    return intel_sources_parse(&sources, "f", text, strlen(text), &error);
}

static void all_keys(void **state)
{
    (void)state;
    assert_int_equal(parse("suppress:\n  - name: x\n    when: [a = b]\nintel:\n  dir: /x\n  sources:\n    - name: botnets\n      url: https://lists.example/b.csv?a=1\n"
                           "      category: c2\n      format: csv\n      trusted: false\n      interval: 15m\n      max_size: 10MiB\n"
                           "      public_key: /etc/k.pem\n      ca_file: /etc/ca.pem\n      header: \"Authorization: @/etc/token\"\n"
                           "    - {name: good-ones, url: 'https://x.example/', trusted: true}\n  check_interval: 5s\nlog: {level: info}\n"),
                     0);
    assert_int_equal(sources.n, 2);
    assert_string_equal(sources.list[0].name, "botnets");
    assert_string_equal(sources.list[0].url, "https://lists.example/b.csv?a=1");
    assert_string_equal(sources.list[0].category, "c2");
    assert_int_equal(sources.list[0].format, INTEL_CSV);
    assert_int_equal(sources.list[0].interval_ns, 900 * NS_PER_SECOND);
    assert_int_equal(sources.list[0].max_bytes, 10 << 20);
    assert_string_equal(sources.list[0].public_key, "/etc/k.pem");
    assert_string_equal(sources.list[0].header, "Authorization: @/etc/token");
    assert_true(sources.list[1].trusted);
    assert_int_equal(sources.list[1].interval_ns, 6 * 3600 * NS_PER_SECOND);
    assert_int_equal(sources.list[1].max_bytes, LIMIT_INTEL_FETCH_BYTES);
    assert_string_equal(sources.list[1].category, "");
}

static void nothing_to_read(void **state)
{
    (void)state;
    static const char *const texts[] = { "", "~\n", "log:\n  level: info\n", "intel:\n", "intel:\n  dir: /x\n", "intel:\n  sources:\n", "intel: {sources: []}\n" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(parse(texts[i]), 0);
        assert_int_equal(sources.n, 0);
    }
}

static void refused(void **state)
{
    (void)state;
#define SOURCE "intel:\n  sources:\n    - name: a\n      url: https://x.example/\n"
    static const struct {
        const char *text, *part;
    } cases[] = {
        { "intel:\n  sources: x\n", "a list of sources" },
        { "intel:\n  sources:\n    - x\n", "has the keys" },
        { "intel:\n  sources:\n    - name: a\n", "needs a url" },
        { "intel:\n  sources:\n    - url: https://x.example/\n", "needs a name" },
        { "intel:\n  sources:\n    - name: a\n      url: http://x.example/\n", "https" },
        { "intel:\n  sources:\n    - name: ../a\n", "letters" },
        { SOURCE "      category: No\n", "category" },
        { SOURCE "      format: xls\n", "format" },
        { SOURCE "      interval: 1s\n", "duration" },
        { SOURCE "      interval: 10y\n", "duration" },
        { SOURCE "      max_size: 2GiB\n", "size" },
        { SOURCE "      public_key: k.pem\n", "absolute" },
        { SOURCE "      header: nonsense\n", "Name: value" },
        { SOURCE "      colour: red\n", "unknown key" },
        { SOURCE "      name: b\n", "twice" },
        { SOURCE "    - name: a\n      url: https://x.example/\n", "two sources" },
        { SOURCE "  sources:\n    - name: b\n      url: https://x.example/\n", "twice" },
        { SOURCE "      trusted: maybe\n", "true or false" },
        { "intel: x\n", "key: value" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(parse(cases[i].text) < 0);
        if (!strstr(why, cases[i].part))
            fail_msg("%s: %s", cases[i].text, why);
        assert_int_equal(sources.n, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(all_keys), cmocka_unit_test(nothing_to_read), cmocka_unit_test(refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
