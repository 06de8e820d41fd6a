/* Values, operators, transformers, wildcards, regular expressions, typing: what a single condition means. */
#include <errno.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "agent/detect/rules/check.h"
#include "agent/detect/rules/compare.h"
#include "agent/detect/rules/constant.h"
#include "agent/detect/rules/glob.h"
#include "agent/detect/rules/text_find.h"
#include "agent/detect/rules/value_parse.h"

static uint64_t seed;

static uint32_t below(uint32_t n) /* xorshift64* */
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (uint32_t)(seed * 0x2545f4914f6cdd1dull >> 32) % n;
}

static void seed_begin(void)
{
    const char *given = getenv("SEED");
    seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761u + 1;
    print_message("seed: SEED=%llu\n", (unsigned long long)seed);
}

/* ---- an event of a few fields ------------------------------------------------------------------------------------------------ */

struct fixture {
    struct value_source source;
    struct arena arena;
    struct eval eval;
};

static const struct {
    const char *field;
    struct value value;
} values[] = {
#define TEXT(field, string) { field, { .type = VALUE_TEXT, .text = { string, sizeof string - 1 } } }
    TEXT("proc.name", "bash"),
    TEXT("proc.pname", "bash"),
    TEXT("proc.exe", "/usr/bin/bash"),
    TEXT("proc.cmdline", "bash -c 'echo Hello'"),
    TEXT("proc.cwd", "/tmp/\xff/x"),
    TEXT("fd.name", "/etc/passwd"),
    TEXT("proc.args", "aGVsbG8"),
    TEXT("proc.exeline", ""),
    { "proc.vpid", { .type = VALUE_INT, .i64 = -1 } },
    { "user.uid", { .type = VALUE_UINT, .u64 = UINT32_MAX } },
    { "fd.sport", { .type = VALUE_PORT, .u64 = 443 } },
    { "proc.is_exe_upper_layer", { .type = VALUE_BOOL, .boolean = true } },
    { "thread.cpu", { .type = VALUE_DOUBLE, .real = 12.5 } },
    { "fd.sip", { .type = VALUE_IPADDR, .address = { 4, { 10, 1, 2, 3 } } } },
    { "fd.snet", { .type = VALUE_IPNET, .net = { { 4, { 10, 1, 2, 3 } }, 32 } } },
    { "evt.buffer", { .type = VALUE_BYTES, .text = { "a\0b", 3 } } },
    { "evt.rawarg.flags", { .type = VALUE_FLAGS, .u64 = 512 } },
    { "evt.rawarg.size", { .type = VALUE_TEXT, .text = { "x", 1 } } },
};

static const struct value names[] = {
    { .type = VALUE_TEXT, .text = { "sh", 2 } },
    { .type = VALUE_TEXT, .text = { "sshd", 4 } },
};
static const struct value ends[] = {
    { .type = VALUE_IPADDR, .address = { 4, { 10, 1, 2, 3 } } },
    { .type = VALUE_IPADDR, .address = { 4, { 8, 8, 8, 8 } } },
};

static enum value_answer fixture_get(struct value_source *source, const struct field_ref *ref, struct value *out)
{
    char name[128];
    (void)source;
    snprintf(name, sizeof name, "%s%s%.*s", ref->field->name, ref->argument ? "." : "", (int)ref->argument_length,
             ref->argument ? ref->argument : "");
    if (!strncmp(name, "container.image", strlen("container.image")))
        return VALUE_WAIT;
    if (!strcmp(name, "proc.aname") || !strcmp(name, "fd.types"))
        *out = (struct value){ .type = VALUE_TEXT, .is_list = true, .list = { names, 2 } };
    else if (!strcmp(name, "fd.ip"))
        *out = (struct value){ .type = VALUE_IPADDR, .is_list = true, .list = { ends, 2 } };
    else if (!strcmp(name, "proc.aexe")) /* no ancestors */
        *out = (struct value){ .type = VALUE_TEXT, .is_list = true, .list = { names, 0 } };
    else
        goto single;
    return VALUE_GOT;
single:
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (!strcmp(values[i].field, name)) {
            *out = values[i].value;
            return VALUE_GOT;
        }
    return VALUE_MISSING;
}

static void fixture_init(struct fixture *f)
{
    f->source.get = fixture_get;
    arena_init(&f->arena, 0);
    assert_int_equal(eval_init(&f->eval), 0);
    eval_begin(&f->eval, &f->source);
}

static void fixture_fini(struct fixture *f)
{
    eval_fini(&f->eval);
    arena_fini(&f->arena);
}

static struct cond *parse(struct fixture *f, const char *text)
{
    struct cond *cond;
    struct cond_error error;
    if (cond_parse(&f->arena, text, strlen(text), 100, &cond, &error))
        fail_msg("%s: %s", text, error.message);
    return cond;
}

static enum verdict verdict_of(struct fixture *f, const char *text)
{
    struct predicate *predicate;
    struct cond_error error;
    if (predicate_compile(&f->arena, parse(f, text), &predicate, &error))
        fail_msg("%s: %s", text, error.message);
    return predicate_eval(predicate, &f->eval);
}

static void check_all(const char *const *conditions, enum verdict expected)
{
    struct fixture f;
    fixture_init(&f);
    for (; *conditions; conditions++)
        if (verdict_of(&f, *conditions) != expected)
            fail_msg("%s is not %d", *conditions, expected);
    fixture_fini(&f);
}

/* ---- conditions --------------------------------------------------------------------------------------------------------------- */

static void test_true(void **state)
{
    (void)state;
    static const char *const conditions[] = {
        "proc.name = bash",
        "proc.name == bash",
        "proc.name != sh",
        "proc.name in (sh, bash)",
        "proc.name intersects (bash)",
        "proc.name in (a, b, c, d, e, f, bash)",
        "proc.name startswith ba",
        "proc.name endswith sh",
        "proc.name contains as",
        "proc.cmdline icontains hello",
        "proc.name glob b?s*",
        "proc.name iglob B*H",
        "proc.name regex b.*",
        "proc.name regex '[a-z]{4}'",
        "proc.name exists",
        "proc.exeline exists",
        "proc.exeline = ''",
        "proc.exeline startswith ''",
        "proc.exeline regex ''",
        "fd.name pmatch (/etc)",
        "fd.name pmatch (/usr, /etc/pass*)",
        "fd.name pmatch (/)",
        "fd.name pmatch (etc)",
        "proc.name startswith oneof (b, s)",
        "proc.name contains allof (b, a)",
        "proc.name != allof (x, y)",
        "proc.name = anyof (x, bash)",
        "proc.name = val(proc.pname)",
        "proc.exe endswith val(proc.name)",
        "basename(proc.exe) = bash",
        "toupper(proc.name) = BASH",
        "len(proc.name) = 4",
        "len(evt.buffer) = 3",
        "len(fd.types) = 2",
        "len(proc.exeline) = 0",
        "concat(proc.name, \"-\", proc.pname) = bash-bash",
        "join(\",\", (proc.name, proc.vpid, 7)) = \"bash,-1,7\"",
        "b64(proc.args) = hello",
        "join(\"/\", fd.types) = sh/sshd",
        "tolower(fd.types) intersects (sh)",
        "proc.vpid = -1",
        "proc.vpid < 0",
        "proc.vpid in (1, -1)",
        "user.uid = -1",
        "user.uid = 4294967295",
        "fd.sport = https",
        "fd.sport = 65979",
        "fd.sport >= 443",
        "proc.is_exe_upper_layer = true",
        "proc.is_exe_upper_layer != false",
        "thread.cpu > 12",
        "fd.sip = 10.1.2.3",
        "fd.sip != ::1",
        "fd.sip in (1.1.1.1, 10.1.2.3)",
        "fd.snet = 10.0.0.0/8",
        "fd.snet in (192.168.0.0/16, 10.1.2.0/30)",
        "fd.snet != 10.1.2.4/30",
        "fd.snet != ::/0",
        "evt.buffer = \"a\\x00b\"",
        "evt.buffer bcontains 0062",
        "evt.buffer bstartswith 61",
        "evt.rawarg.flags >= 512",
        "proc.aname = sshd",
        "proc.aname != sshd",
        "proc.aname in (sshd, x)",
        "proc.aname startswith ss",
        "fd.ip = 8.8.8.8",
        "fd.ip != 1.1.1.1",
        "fd.types in (sh, sshd, x)",
        "fd.types intersects (sshd)",
        "not fd.types in (sh)",
        "not proc.aexe = x",
        "not proc.aexe exists",
        "not proc.aexe != x", /* nothing to compare with */
        "proc.cwd regex '/tmp/./x'",
        "proc.cwd contains \"\\xff\"",
        "getopt((\"-l\", \"-p\", \"80\"), \"lp:\") intersects (80)",
        "getopt((\"-p\", \"80\"), \"p:\")[p] = 80",
        "container.image = x or proc.name = bash",
        "not (container.image = x and proc.name = sh)",
        "not not proc.name = bash",
        NULL,
    };
    check_all(conditions, VERDICT_TRUE);
}

static void test_false(void **state)
{
    (void)state;
    static const char *const conditions[] = {
        "proc.name = Bash",
        "proc.name in ()",
        "proc.name in (a, b, c, d, e, f)",
        "proc.name = oneof (bash, bash)",
        "proc.name != anyof ()",
        "proc.name glob ba",
        "proc.name regex ba",
        "proc.name regex 'b.'",
        "fd.name pmatch ()",
        "fd.name pmatch (/etc/pass)",
        "fd.name pmatch (/etc/passwd/x)",
        "proc.name contains allof (b, x)",
        "proc.loginshellid exists",
        "proc.loginshellid = 1",
        "proc.loginshellid != 1",
        "proc.ppid = val(proc.vpid)",
        "basename(proc.exe) = /bash",
        "proc.vpid > 0",
        "proc.is_exe_upper_layer = false",
        "thread.cpu = 12",
        "fd.sip = ::1",
        "fd.snet in (10.1.2.4/30, ::/0)",
        "evt.buffer = a",
        "evt.buffer = ab",
        "evt.rawarg.size > 0",
        "fd.ip != 8.8.8.8",
        "proc.aname = init",
        "fd.types in (sh)",
        "fd.types intersects (x)",
        "proc.aexe = x",
        "proc.aexe != x",
        "len(proc.loginshellid) = 0 or b64(proc.name) = x",
        "getopt((\"-p\"), \"p:\")[x] = 80",
        "container.image = x and proc.name = sh",
        "not (container.image = x or proc.name = bash)",
        "container.image = val(proc.loginshellid) and proc.name = sh",
        NULL,
    };
    struct fixture f;
    fixture_init(&f);
    for (const char *const *text = conditions; *text; text++) {
        struct predicate *predicate;
        struct cond_error error;
        if (strstr(*text, "len(proc.loginshellid)") ||
            strstr(*text, "val(proc.loginshellid)")) { /* a number has no length, and is no text */
            assert_int_equal(predicate_compile(&f.arena, parse(&f, *text), &predicate, &error), -EINVAL);
            continue;
        }
        if (verdict_of(&f, *text) != VERDICT_FALSE)
            fail_msg("%s is not false", *text);
    }
    fixture_fini(&f);
}

static void test_wait(void **state)
{
    (void)state;
    static const char *const conditions[] = {
        "container.image = x", "container.image != x", "container.image exists", "not container.image = x",
        "container.image = x and proc.name = bash", "container.image = x or proc.name = sh", "proc.name = val(container.image)",
        "concat(proc.name, container.image) = x", "join(\",\", (proc.name, container.image)) = x", "tolower(container.image) regex x", NULL,
    };
    check_all(conditions, VERDICT_WAIT);
}

/* A text that does not fit into the scratch: the check is false, and that is counted. */
static void test_scratch(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    assert_non_null(eval_room(&f.eval, EVAL_SCRATCH_BYTES - 32));
    assert_int_equal(verdict_of(&f, "toupper(proc.exe) = /USR/BIN/BASH"), VERDICT_TRUE);
    assert_int_equal(verdict_of(&f, "toupper(proc.cmdline) exists"), VERDICT_FALSE);
    assert_int_equal(f.eval.n_scratch_full, 1);
    assert_int_equal(verdict_of(&f, "concat(proc.cmdline, proc.cmdline) exists"), VERDICT_FALSE);
    assert_true(f.eval.n_scratch_full > 1);
    eval_begin(&f.eval, &f.source);
    assert_int_equal(verdict_of(&f, "toupper(proc.cmdline) exists"), VERDICT_TRUE);
    assert_null(eval_room(&f.eval, SIZE_MAX));
    fixture_fini(&f);
}

/* ---- typing ------------------------------------------------------------------------------------------------------------------- */

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *condition;
        enum check_error kind;
        const char *message;
    } cases[] = {
        { "proc.nobody = x", CHECK_UNKNOWN, "filter_check called with nonexistent field proc.nobody" },
        { "evt.type = nonsense", CHECK_UNKNOWN, "unknown event type nonsense" },
        { "evt.arg.nonsense = x", CHECK_INVALID, "unknown event argument nonsense" },
        { "proc.vpid = x", CHECK_INVALID, "x is not a valid number" },
        { "proc.vpid = 0x10", CHECK_INVALID, "0x10 is not a valid number" },
        { "proc.vpid contains 1", CHECK_INVALID, "filter error: 'contains' operator not supported for numeric filters" },
        { "evt.buffer bcontains 123", CHECK_INVALID, "filter error: bcontains and bstartswith operator support hex strings only" },
        { "proc.name = \"a\\x00\"", CHECK_INVALID, "filter error: filter value cannot contain a NUL byte (\\x00)" },
        { "proc.name regex '(a'", CHECK_INVALID, "invalid regular expression: missing ): (a" },
        { "proc.name regex '(a)\\\\1'", CHECK_INVALID, "invalid regular expression: invalid escape sequence: \\1" },
        { "proc.name regex val(proc.pname)", CHECK_INVALID, "operator 'REGEX' doesn't support right-hand side fields" },
        { "proc.name = val(proc.vpid)", CHECK_INVALID,
          "field 'proc.name' has type 'CHARBUF' while the right-hand side field 'proc.vpid' has incompatible type 'INT64'" },
        { "proc.name = val(proc.aname)", CHECK_INVALID, "field 'proc.aname' can't be used as a right-hand side field" },
        { "toupper(proc.vpid) = x", CHECK_INVALID,
          "can't add field transformer: type 'INT64' is not supported by 'toupper' transformer applied on field 'proc.vpid'" },
        { "toupper(proc.aname) = x", CHECK_INVALID, "field 'proc.aname' does not support transformers" },
        { "fd.types = x", CHECK_INVALID, "filter error: '=' operator not supported list filters" },
        { "fd.sip contains 1", CHECK_INVALID, "filter error: 'contains' operator not supported for ip address and network filters" },
    };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct check_result result;
        cond_check(&f.arena, parse(&f, cases[i].condition), &result);
        assert_string_equal(result.message, cases[i].message);
        assert_int_equal(result.error, cases[i].kind);
    }
    fixture_fini(&f);
}

static void test_value_too_long(void **state)
{
    (void)state;
    struct value value;
    char text[VALUE_TEXT_MAX + 2], error[256];
    memset(text, 'x', sizeof text);
    assert_int_equal(value_parse(VALUE_TEXT, text, VALUE_TEXT_MAX, &value, error, sizeof error), 0);
    assert_int_equal(value_parse(VALUE_TEXT, text, VALUE_TEXT_MAX + 1, &value, error, sizeof error), -EINVAL);
    assert_true(!strncmp(error, "filter parameter too long", strlen("filter parameter too long")));
}

static void test_warnings(void **state)
{
    (void)state;
    struct fixture f;
    struct check_result r;
    fixture_init(&f);
    cond_check(&f.arena, parse(&f, "proc.name in (proc.pname, x) and evt.dir = < and proc.exe regex ^abc$"), &r);
    assert_int_equal(r.error, CHECK_OK);
    assert_int_equal(r.n_warnings, 2);
    assert_string_equal(r.warnings[0], "'proc.pname' may be a valid field misused as a const string value");
    assert_true(!strncmp(r.warnings[1], "regex check with '^abc$'", strlen("regex check with '^abc$'")));
    assert_int_equal(r.n_deprecated, 1);
    assert_string_equal(r.deprecated[0], "evt.dir");
    const char **list;
    const struct cond *cond = parse(
        &f, "proc.aname[2] = a and tolower(proc.name) startswith val(proc.pname) or not proc.name exists and proc.name in (x)");
    assert_int_equal(cond_fields(&f.arena, cond, &list), 3);
    assert_string_equal(list[0], "proc.aname[2]");
    assert_string_equal(list[2], "proc.pname");
    assert_true(cond_operators(&f.arena, cond, &list) >= 4);
    fixture_fini(&f);
}

static bool has_event(const struct check_result *r, const char *name)
{
    return event_name_set_has(&r->events, event_name_find(name, strlen(name)));
}

static uint32_t n_events(const struct check_result *r)
{
    uint32_t n = 0;
    for (int i = 0; i < event_names_count(); i++)
        n += event_name_set_has(&r->events, i);
    return n;
}

static void test_events(void **state)
{
    (void)state;
    static const struct {
        const char *condition;
        int n; /* -1 = all */
    } cases[] = {
        { "proc.name = x", -1 },
        { "evt.type = open", 1 },
        { "evt.type in (open, openat) and proc.name = x", 2 },
        { "evt.type in (open, openat) and not evt.type = open", 1 },
        { "not (evt.type != open or proc.name = x)", 1 },
        { "evt.type = open and evt.type = openat", 0 },
        { "evt.type = open or proc.name = x", -1 },
        { "evt.num = 0 and evt.type = open", 0 },
        { "evt.num = 0 or evt.type = open", 1 },
        { "not evt.num = 0", -1 },
        { "evt.type in ()", 0 },
        { "not evt.type in ()", -1 },
        { "evt.type exists", -1 },
        { "evt.type = anyof (open, openat)", 2 },
        { "evt.type != allof (open, openat) and evt.type in (open, creat)", 1 },
        { "evt.num in (0)", 0 },
        { "evt.num > 0", -1 },
        { "evt.num < 1", 0 },
    };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct check_result r;
        cond_check(&f.arena, parse(&f, cases[i].condition), &r);
        if (n_events(&r) != (cases[i].n < 0 ? (uint32_t)event_names_count() : (uint32_t)cases[i].n))
            fail_msg("%s: %u events", cases[i].condition, n_events(&r));
    }
    struct check_result r;
    cond_check(&f.arena, parse(&f, "evt.type != open and evt.type in (open, openat)"), &r);
    assert_true(has_event(&r, "openat") && !has_event(&r, "open"));
    fixture_fini(&f);
}

/* ---- wildcards and parts -------------------------------------------------------------------------------------------------------- */

static void test_glob(void **state)
{
    (void)state;
    static const char letters[] = "ab*?[]!-\\/^", texts[] = "abAB/-]";
    seed_begin();
    for (int i = 0; i < 300000; i++) {
        char pattern[10] = "", text[10] = "";
        for (uint32_t n = 0, length = below(9); n < length; n++)
            pattern[n] = letters[below(sizeof letters - 1)];
        for (uint32_t n = 0, length = below(9); n < length; n++)
            text[n] = texts[below(sizeof texts - 1)];
        /* what follows a backslash inside of brackets, and ranges that end before they begin, are not agreed upon */
        if (strchr(pattern, '[') && (strchr(pattern, '\\') || strchr(pattern, '-') || strstr(pattern, "/")))
            continue;
        bool expected = !fnmatch(pattern, text, 0);
        if (glob_match(pattern, strlen(pattern), text, strlen(text), false) != expected)
            fail_msg("glob %s on %s: expected %d", pattern, text, expected);
        if (glob_match(pattern, strlen(pattern), text, strlen(text), true) != !fnmatch(pattern, text, FNM_CASEFOLD))
            fail_msg("iglob %s on %s", pattern, text);
    }
    assert_true(glob_match("[[:alpha:]-]*", 13, "x-", 2, false));
    assert_false(glob_match("[![:digit:]]", 12, "7", 1, false));
    char slow[64], many[20000];
    memset(many, 'a', sizeof many);
    for (size_t i = 0; i < sizeof slow; i++) /* what takes others years */
        slow[i] = i % 2 ? 'a' : '*';
    slow[sizeof slow - 1] = 'b';
    assert_false(glob_match(slow, sizeof slow, many, sizeof many, false));
}

static void test_find(void **state)
{
    (void)state;
    seed_begin();
    for (int i = 0; i < 200000; i++) {
        char text[300], part[8];
        size_t length = below(i % 3 ? 70 : sizeof text), n = below(5);
        for (size_t k = 0; k < length; k++) /* the longer ones have it in few places */
            text[k] = i % 3 || !below(40) ? "abAB`@/"[below(i % 2 ? 7 : 3)] : '-';
        for (size_t k = 0; k < n; k++)
            part[k] = "abAB`@/"[below(i % 2 ? 7 : 3)];
        assert_ptr_equal(text_find(text, length, part, n), memmem(text, length, part, n));
        bool folded = !n;
        for (size_t k = 0; !folded && k + n <= length; k++)
            folded = !strncasecmp(text + k, part, n);
        assert_int_equal(text_find_fold(text, length, part, n) != NULL, folded);
    }
    char nuls[40] = "";
    text_blank_nuls(nuls, sizeof nuls);
    for (size_t i = 0; i < sizeof nuls; i++)
        assert_int_equal(nuls[i], ' ');
}

/* ---- regular expressions ---------------------------------------------------------------------------------------------------------- */

static int match(const char *pattern, const char *text)
{
    struct arena arena;
    struct regex *regex;
    char error[256];
    struct regex_room *room = regex_room_new();
    arena_init(&arena, 0);
    if (regex_compile(&arena, pattern, strlen(pattern), &regex, error, sizeof error))
        fail_msg("%s: %s", pattern, error);
    int matched = regex_match(regex, room, text, strlen(text));
    assert_true(matched != 1 || regex_may_match(regex, text, strlen(text)));
    arena_fini(&arena);
    regex_room_free(room);
    return matched;
}

static void test_regex(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        int matched;
    } cases[] = {
        { "a", "a", 1 },
        { "a", "ab", 0 },
        { "", "", 1 },
        { "a|b", "b", 1 },
        { "|a", "", 1 },
        { "(a|ab)(c|bcd)", "abcd", 1 },
        { ".", "\n", 1 },
        { "[^a]", "\n", 1 },
        { "a{2,3}", "aaa", 1 },
        { "a{,2}", "a{,2}", 1 },
        { "a**", "aaa", 1 },
        { "a+?", "", 1 },
        { "a++", "aa", 1 },
        { "[[:alpha:]_]+", "ab_c", 1 },
        { "[[:^digit:]]", "7", 0 },
        { "[]a]", "]", 1 },
        { "[a-]", "-", 1 },
        { "\\x41\\.", "A.", 1 },
        { "\\x{e9}", "é", 1 },
        { ".", "é", 1 },
        { "^a$", "a", 1 },
        { "a\n^b$", "a\nb", 1 },
        { ".*b.*", "abc", 1 },
        { ".*b.*", "a\nb", 1 },
        { "(.* )?b", "a\nb", 0 },
        { "(.* )?b( .*)?", "\n b \n", 1 },
        { ".*^b.*", "a\nb", 1 },
        { "(.* )?b( .*)?", "a b c", 1 },
        { "(.* )?b( .*)?", "ab c", 0 },
        { "(.* )?b( .*)?", "b", 1 },
        { ".*(curl|wget)[^|]*[|] *sh", "curl x | sh", 1 },
        { ".*(curl|wget)[^|]*[|] *sh", "curl x > sh", 0 },
        { "[.]+", "...", 1 },
        { "[[.a.]]", "a]", 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (match(cases[i].pattern, cases[i].text) != cases[i].matched)
            fail_msg("%s on %s: not %d", cases[i].pattern, cases[i].text, cases[i].matched);
}

static void test_regex_refused(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "(a)\\1",  "(?:a)",         "(?=a)", "(?i)a", "a\\d",        "\\bword", "\\pL",    "\\Aa",      "\\Qa\\E",
        "*a",      "a|*",           "(",     "a)",    "[a",          "[z-a]",   "[a-b-c]", "[[:foo:]]", "a{2,1}",
        "a{1001}", "(a{100}){100}", "\\",    "\\x",   "\\x{110000}", "a\xff",   "[\\d]",   "{2}",
    };
    struct arena arena;
    struct regex *regex;
    arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        char error[256] = "";
        if (regex_compile(&arena, patterns[i], strlen(patterns[i]), &regex, error, sizeof error) != -EINVAL || !error[0])
            fail_msg("%s was accepted", patterns[i]);
    }
    static char deep[300], large[5000];
    char error[256];
    memset(deep, '(', sizeof deep);
    assert_int_equal(regex_compile(&arena, deep, sizeof deep, &regex, error, sizeof error), -EINVAL);
    for (size_t i = 0; i + 9 <= sizeof large; i += 9)
        memcpy(large + i, "[a-z]{99}", 9);
    assert_int_equal(regex_compile(&arena, large, sizeof large / 9 * 9, &regex, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "too large"));
    arena_fini(&arena);
}

/* Patterns that backtracking never finishes: the answer still comes, and is right. */
static void test_regex_bounded(void **state)
{
    (void)state;
    static char text[4000];
    memset(text, 'a', sizeof text - 1);
    clock_t start = clock();
    assert_int_equal(match("(a|aa)+b", text), 0);
    assert_int_equal(match("(a*)*b", text), 0);
    assert_int_equal(match("(a|aa)+", text), 1);
    assert_int_equal(match("(.*a){12}b", text), 0);
    assert_true(clock() - start < 5 * CLOCKS_PER_SEC);
}

/* The shortcuts say what the expression by itself says. */
static void test_regex_random(void **state)
{
    (void)state;
    static const char *const pieces[] = { "a",    "b", ".",   "*", "+", "?",  "|",  "(",      ")", "[ab]",
                                          "[^a]", " ", "{2}", "^", "$", "ab", ".*", "(.* )?", "\n" };
    struct regex_room *room = regex_room_new();
    uint32_t n_searched = 0, n_with_words = 0;
    seed_begin();
    for (int i = 0; i < 60000; i++) {
        struct arena arena;
        struct regex *regex;
        char pattern[128] = "", error[256];
        if (below(3) == 0)
            strcat(pattern, below(2) ? ".*" : "(.* )?");
        for (uint32_t n = 0, length = 1 + below(6); n < length; n++)
            strcat(pattern, pieces[below(sizeof pieces / sizeof *pieces)]);
        if (below(3) == 0)
            strcat(pattern, below(2) ? ".*" : "( .*)?");
        arena_init(&arena, 0);
        if (!regex_compile(&arena, pattern, strlen(pattern), &regex, error, sizeof error)) {
            struct regex plain = { .code = regex->code };
            n_searched += regex->search != NULL;
            n_with_words += regex->sets[0].n > 0;
            for (int k = 0; k < 10; k++) {
                char text[16] = "";
                for (uint32_t n = 0, length = below(8); n < length; n++)
                    text[n] = "ab \nx"[below(5)];
                int expected = regex_match(&plain, room, text, strlen(text)), got = regex_match(regex, room, text, strlen(text));
                if (expected != got || (expected == 1 && !regex_may_match(regex, text, strlen(text))))
                    fail_msg("%s on \"%s\": %d, shortened %d", pattern, text, expected, got);
            }
        }
        arena_fini(&arena);
    }
    assert_true(n_searched > 1000 && n_with_words > 1000);
    regex_room_free(room);
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text, *fixed; /* NULL = valid */
    } cases[] = {
        { "", NULL },
        { "a\xc3\xa9", NULL },
        { "\xf0\x9f\x98\x80", NULL },
        { "\xff", "\xef\xbf\xbd" },
        { "a\xc3", "a\xef\xbf\xbd" },
        { "\xe2\x82", "\xef\xbf\xbd" },
        { "\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xed\xa0\x80x", "\xef\xbf\xbdx" },
        { "\x80z", "\xef\xbf\xbdz" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64] = "";
        size_t n = utf8_fixed_length(cases[i].text, strlen(cases[i].text));
        assert_int_equal(n, cases[i].fixed ? strlen(cases[i].fixed) : 0);
        utf8_fix(out, cases[i].text, strlen(cases[i].text));
        assert_string_equal(out, cases[i].fixed ? cases[i].fixed : cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_true),          cmocka_unit_test(test_false),         cmocka_unit_test(test_wait),
        cmocka_unit_test(test_scratch),       cmocka_unit_test(test_refused),       cmocka_unit_test(test_value_too_long),
        cmocka_unit_test(test_warnings),      cmocka_unit_test(test_events),        cmocka_unit_test(test_glob),
        cmocka_unit_test(test_find),          cmocka_unit_test(test_regex),         cmocka_unit_test(test_regex_refused),
        cmocka_unit_test(test_regex_bounded), cmocka_unit_test(test_regex_random),  cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
