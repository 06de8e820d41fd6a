#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/event_fields.h"
#include "common/event_json.h"
#include "common/text.h"

#define WALL_OFFSET_NS 1763855982000000000ll

static union event_buffer written, back;
static char line[LIMIT_EVENT_JSON_BYTES];
static char error[256];

/* A value that is different for each field and uses the type's whole width. */
static void set_field(struct event *ev, enum event_field field)
{
    const struct event_field_info *f = &event_fields[field];
    char *at = (char *)ev + f->offset;
    uint64_t u64 = 0xfedcba9876543210ull + (uint64_t)field;
    uint32_t u32 = 0xfffffff0u - (uint32_t)field;
    uint16_t u16 = (uint16_t)(0xfff0 - field);
    int32_t i32 = -7 - (int32_t)field;
    struct address address;
    switch (f->type) {
    case FIELD_I32:
        memcpy(at, &i32, sizeof i32);
        break;
    case FIELD_U8:
        *at = (char)(255 - field);
        break;
    case FIELD_U16:
        memcpy(at, &u16, sizeof u16);
        break;
    case FIELD_U32:
    case FIELD_MODE:
        memcpy(at, &u32, sizeof u32);
        break;
    case FIELD_U64:
        memcpy(at, &u64, sizeof u64);
        break;
    case FIELD_BOOL:
    case FIELD_ENUM:
        *at = 1;
        break;
    case FIELD_TIME:
    case FIELD_WALL:
        u64 = 123456789123456789ull + (uint64_t)field;
        memcpy(at, &u64, sizeof u64);
        break;
    case FIELD_TEXT:
        event_set_text(ev, field, "a\"b\\c\n\x00\xff \xc3\xbc \xe2\x80\xae", f->text_max < 16 ? f->text_max : 16);
        break;
    case FIELD_ARGV:
        event_set_text(ev, field, "sh\0-c\0\0echo \"\\ \x1b[0m\"\0", 22);
        break;
    case FIELD_ADDRESS:
        address_parse(field & 1 ? "10.1.2.3" : "2001:db8::7", &address);
        memcpy(at, &address, sizeof address);
        break;
    }
    event_know(ev, field);
}

static void assert_same_field(const struct event *a, const struct event *b, const struct event_field_info *f)
{
    static const size_t sizes[] = { [FIELD_I32] = 4,  [FIELD_U8] = 1,   [FIELD_U16] = 2,  [FIELD_U32] = 4,  [FIELD_U64] = 8,
                                    [FIELD_BOOL] = 1, [FIELD_MODE] = 4, [FIELD_ENUM] = 1, [FIELD_TIME] = 8, [FIELD_WALL] = 8,
                                    [FIELD_ADDRESS] = sizeof(struct address) };
    if (f->type == FIELD_TEXT || f->type == FIELD_ARGV) {
        struct text x, y;
        memcpy(&x, (const char *)a + f->offset, sizeof x);
        memcpy(&y, (const char *)b + f->offset, sizeof y);
        assert_int_equal(x.len, y.len);
        assert_memory_equal(event_text(a, x), event_text(b, y), x.len);
    } else {
        assert_memory_equal((const char *)a + f->offset, (const char *)b + f->offset, sizes[f->type]);
    }
}

static void every_kind_and_field_round_trips(void **state)
{
    (void)state;
    for (int kind = 1; kind < EVENT_KIND_MAX; kind++) {
        struct event *ev = &written.event;
        event_init(ev, (enum event_kind)kind, SOURCE_FLOW, 987654321);
        for (int i = 0; i < F_MAX; i++)
            if (i != F_SOURCE && event_fields[i].kinds >> kind & 1)
                set_field(ev, (enum event_field)i);
        int n = event_to_json(ev, NULL, WALL_OFFSET_NS, line, sizeof line);
        assert_true(n > 0 && !memchr(line, '\n', (size_t)n));
        if (event_from_json(line, (size_t)n, &back, WALL_OFFSET_NS, error, sizeof error))
            fail_msg("%s in %s", error, line);
        assert_int_equal(back.event.kind, kind);
        assert_int_equal(back.event.time_ns, 987654321);
        assert_memory_equal(back.event.known, ev->known, sizeof ev->known);
        assert_int_equal(event_check(&back.event, back.event.size), 0);
        for (int i = 0; i < F_MAX; i++)
            if (event_knows(ev, (enum event_field)i))
                assert_same_field(ev, &back.event, &event_fields[i]);
    }
}

static void the_form_is_as_documented(void **state)
{
    (void)state;
    struct event *ev = &written.event;
    struct stamp stamp = { .id = 12, .exec_id = 11, .container = 3 };
    event_init(ev, EVENT_EXEC, SOURCE_EXEC, 123456789);
    event_set(ev, F_PID, pid, 7);
    event_set_text(ev, F_CMDLINE, "ls\0a b\0", 7);
    event_set(ev, F_MODE, mode, 0100755);
    event_set(ev, F_INO, ino, 1ull << 60);
    assert_true(event_to_json(ev, &stamp, WALL_OFFSET_NS, line, sizeof line) > 0);
    assert_string_equal(line, "{\"time\":\"2025-11-22T23:59:42.123456789Z\",\"kind\":\"exec\",\"source\":\"exec\",\"pid\":7,"
                              "\"cmdline\":[\"ls\",\"a b\"],\"ino\":\"1152921504606846976\",\"mode\":\"0100755\","
                              "\"id\":12,\"exec_id\":11,\"parent_id\":0,\"container\":3}");
    assert_int_equal(event_from_json(line, strlen(line), &back, WALL_OFFSET_NS, error, sizeof error), 0);
    assert_int_equal(event_to_json(ev, NULL, 0, line, 40), -ENOSPC);
}

static void the_worst_event_fits_a_line(void **state)
{
    (void)state;
    static char bytes[LIMIT_PATH_BYTES];
    struct event *ev = &written.event;
    memset(bytes, 0xff, sizeof bytes);
    event_init(ev, EVENT_EXEC, SOURCE_EXEC, 1);
    for (int i = 0; i < F_MAX; i++)
        if (event_fields[i].type == FIELD_TEXT)
            event_set_text(ev, (enum event_field)i, bytes, sizeof bytes);
        else if (event_fields[i].type != FIELD_ARGV && i != F_SOURCE)
            set_field(ev, (enum event_field)i);
    assert_int_equal(ev->text_len, LIMIT_EVENT_TEXT_BYTES);
    int n = event_to_json(ev, NULL, 0, line, sizeof line);
    assert_true(n > 4 * LIMIT_EVENT_TEXT_BYTES);
    assert_int_equal(event_from_json(line, (size_t)n, &back, 0, error, sizeof error), 0);
}

#define HEAD "{\"time\":\"2025-11-22T23:59:42Z\",\"kind\":\"exec\",\"source\":\"exec\""

static void bad_lines_are_refused_by_key(void **state)
{
    (void)state;
    static const struct {
        const char *line, *says;
    } cases[] = {
        { "", "not JSON" },
        { "[]", "needs a JSON object" },
        { HEAD, "not JSON" },
        { HEAD "} x", "not JSON" },
        { HEAD ",\"pid\":1,\"pid\":2}", "duplicate object key" },
        { HEAD ",\"color\":1}", "\"color\": unknown key" },
        { HEAD ",\"\\u001b[2J\":1}", "\"\\x1b[2J\": unknown key" },
        { HEAD ",\"pid\":\"1\"}", "\"pid\": needs a whole number" },
        { HEAD ",\"pid\":1.0}", "\"pid\": needs a whole number" },
        { HEAD ",\"pid\":2147483648}", "from -2147483648 to 2147483647" },
        { HEAD ",\"uid\":-1}", "\"uid\": needs a whole number" },
        { HEAD ",\"sport\":65536}", "from 0 to 65535" },
        { HEAD ",\"ino\":-1}", "\"ino\": needs" },
        { HEAD ",\"ino\":\"18446744073709551616\"}", "\"ino\": needs" },
        { HEAD ",\"mode\":755}", "octal" },
        { HEAD ",\"mode\":\"0789\"}", "octal" },
        { HEAD ",\"mode\":\"40000000000\"}", "octal" },
        { HEAD ",\"comm\":\"0123456789abcdefg\"}", "\"comm\": is longer than 16 bytes" },
        { HEAD ",\"comm\":\"a\\\\q\"}", "\"comm\": has a backslash" },
        { HEAD ",\"comm\":null}", "\"comm\": needs a text" },
        { HEAD ",\"comm\":\"a\\u0000\"}", "not JSON" },
        { HEAD ",\"cmdline\":\"ls -l\"}", "\"cmdline\": needs an array" },
        { HEAD ",\"cmdline\":[1]}", "\"cmdline\": needs an array of texts" },
        { HEAD ",\"cmdline\":[\"a\\\\x00b\"]}", "NUL" },
        { HEAD ",\"op\":\"destroy\"}", "\"op\": needs one of: create, delete" },
        { HEAD ",\"op\":\"\"}", "\"op\": needs one of" },
        { HEAD ",\"privileged\":1}", "true or false" },
        { HEAD ",\"src\":\"10.0.0\"}", "\"src\": needs an IPv4 or IPv6 address" },
        { HEAD ",\"start\":5}", "\"start\": needs a time" },
        { HEAD ",\"container\":\"web\"}", "\"container\": needs a whole number" },
        { "{\"kind\":\"exec\",\"source\":\"exec\"}", "\"time\": needs a time" },
        { "{\"time\":\"9999-01-01T00:00:00Z\",\"kind\":\"exec\",\"source\":\"exec\"}", "\"time\": needs a time" },
        { "{\"time\":\"2025-11-22T23:59:42Z\",\"source\":\"exec\"}", "\"kind\": is missing" },
        { "{\"time\":\"2025-11-22T23:59:42Z\",\"kind\":\"none\",\"source\":\"exec\"}", "\"kind\": is no kind" },
        { "{\"time\":\"2025-11-22T23:59:42Z\",\"kind\":\"exec\"}", "\"source\": is missing" },
        { "{\"time\":\"2025-11-22T23:59:42Z\",\"kind\":\"exec\",\"source\":\"ebpf\"}", "\"source\": needs one of" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(event_from_json(cases[i].line, strlen(cases[i].line), &back, 0, error, sizeof error), -EINVAL);
        if (!strstr(error, cases[i].says))
            fail_msg("%s: got \"%s\", not \"%s\"", cases[i].line, error, cases[i].says);
    }
    assert_int_equal(event_from_json(HEAD "}", strlen(HEAD "}"), &back, 0, error, sizeof error), 0);
    assert_int_equal(event_from_json(HEAD "}", strlen(HEAD "}"), &back, INT64_MAX, error, sizeof error), -EINVAL);
}

static void argv_may_fill_its_limit(void **state)
{
    (void)state;
    struct event *ev = &written.event;
    char argument[LIMIT_CMDLINE_BYTES];
    memset(argument, 'x', sizeof argument);
    event_init(ev, EVENT_EXEC, SOURCE_EXEC, 1);
    event_set_text(ev, F_CMDLINE, argument, sizeof argument);
    int n = event_to_json(ev, NULL, 0, line, sizeof line);
    assert_int_equal(event_from_json(line, (size_t)n, &back, 0, error, sizeof error), 0);
    assert_int_equal(back.event.cmdline.len, LIMIT_CMDLINE_BYTES);
    snprintf(line, sizeof line, HEAD ",\"cmdline\":[\"%.4095s\",\"y\"]}", argument);
    assert_int_equal(event_from_json(line, strlen(line), &back, 0, error, sizeof error), -EINVAL);
    assert_string_equal(error, "\"cmdline\": is longer than 4096 bytes");
}

static void long_text_keeps_its_utf8(void **state)
{
    (void)state;
    char path[600];
    for (int shift = 0; shift < 4; shift++) {
        struct event *ev = &written.event;
        memset(path, 'a', (size_t)shift);
        for (int i = 0; i < 190; i++)
            memcpy(path + shift + 3 * i, "\xe2\x82\xac", 3);
        event_init(ev, EVENT_EXEC, SOURCE_EXEC, 1);
        event_set_text(ev, F_EXE, path, (size_t)shift + 570);
        int n = event_to_json(ev, NULL, 0, line, sizeof line);
        assert_null(strstr(line, "\\x"));
        assert_int_equal(event_from_json(line, (size_t)n, &back, 0, error, sizeof error), 0);
        assert_memory_equal(event_text(&back.event, back.event.exe), path, (size_t)shift + 570);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_and_field_round_trips), cmocka_unit_test(the_form_is_as_documented),
        cmocka_unit_test(the_worst_event_fits_a_line),      cmocka_unit_test(bad_lines_are_refused_by_key),
        cmocka_unit_test(argv_may_fill_its_limit),          cmocka_unit_test(long_text_keeps_its_utf8),
    };
    return cmocka_run_group_tests_name("event_json", tests, NULL, NULL);
}
