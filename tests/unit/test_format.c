/* Outputs of rules: fields and transformers in texts, widths, what is missing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/rules/format.h"

static const struct value list[] = {
    { .type = VALUE_TEXT, .text = { "file", 4 } },
    { .type = VALUE_TEXT, .text = { "ipv4", 4 } },
};

static enum value_answer get(struct value_source *source, const struct field_ref *ref, struct value *out)
{
    const char *name = ref->field->name;
    (void)source;
    if (!strcmp(name, "proc.name"))
        *out = (struct value){ .type = VALUE_TEXT, .text = { "init", 4 } };
    else if (!strcmp(name, "proc.aname") && ref->argument)
        *out = (struct value){ .type = VALUE_TEXT, .text = { "parent", 6 } };
    else if (!strcmp(name, "proc.aname") || !strcmp(name, "fd.types"))
        *out = (struct value){ .type = VALUE_TEXT, .is_list = true, .list = { list, 2 } };
    else if (!strcmp(name, "proc.vpid"))
        *out = (struct value){ .type = VALUE_INT, .i64 = -7 };
    else if (!strcmp(name, "user.uid"))
        *out = (struct value){ .type = VALUE_UINT, .u64 = 4294967295 };
    else if (!strcmp(name, "fd.sip"))
        *out = (struct value){ .type = VALUE_IPADDR, .address = { 4, { 10, 0, 0, 1 } } };
    else if (!strcmp(name, "evt.is_open_write"))
        *out = (struct value){ .type = VALUE_BOOL, .boolean = true };
    else
        return strcmp(name, "container.image") ? VALUE_MISSING : VALUE_WAIT;
    return VALUE_GOT;
}

/* Prints `format` to `out`; false when something is missing. */
static bool print_to(const char *format, char *out, size_t size)
{
    struct value_source source = { .get = get };
    struct arena arena;
    struct eval eval;
    struct format *compiled;
    struct cond_error error;
    struct text_out text;
    bool unknown;
    arena_init(&arena, 0);
    assert_int_equal(eval_init(&eval), 0);
    eval_begin(&eval, &source);
    if (format_compile(&arena, format, strlen(format), &compiled, &unknown, &error))
        fail_msg("%s: %s", format, error.message);
    text_out_init(&text, out, size);
    bool complete = format_print(compiled, &eval, &text);
    eval_fini(&eval);
    arena_fini(&arena);
    return complete;
}

static void test_print(void **state)
{
    (void)state;
    static const struct {
        const char *format, *output;
    } cases[] = {
        { "", "" },
        { "plain", "plain" },
        { "%proc.name", "init" },
        { "a %proc.name. b", "a init. b" },
        { "%proc.nameand%proc.vpidend", "initand-7end" },
        { "%proc.name[x]", "init[x]" },
        { "%2proc.name|%8proc.name|", "in|init    |" },
        { "%proc.aname[2] %proc.aname", "parent file ipv4" },
        { "%fd.types %user.uid %fd.sip %evt.is_open_write", "(file,ipv4) 4294967295 10.0.0.1 true" },
        { "%toupper(proc.name)!", "INIT!" },
        { "%concat(proc.name, \"-\", proc.aname[1])", "init-parent" },
        { "*%container.image %fd.name.", "<NA> <NA>." },
        { "*%6fd.name|", "<NA>  |" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[256];
        assert_true(print_to(cases[i].format, out, sizeof out));
        assert_string_equal(out, cases[i].output);
    }
}

static void test_missing(void **state)
{
    (void)state;
    char out[64];
    assert_false(print_to("%proc.name %fd.name x", out, sizeof out));
    assert_string_equal(out, "init ");
    char small[6];
    assert_true(print_to("%proc.name%proc.name", small, sizeof small)); /* cut */
    assert_string_equal(small, "initi");
    assert_true(print_to("%4000proc.name", small, sizeof small));
    assert_string_equal(small, "init ");
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *format, *message;
        bool unknown;
    } cases[] = {
        { "x %", "invalid formatting syntax: formatting cannot end with a %", false },
        { "x % y", "unknown filter: unexpected token after '%'", true },
        { "%some.field end", "unknown filter: unexpected token after '%some.field'", true },
        { "%12", "unknown filter: unexpected token after '%12'", true },
        { "%toupper(proc.vpid)", "unknown filter: unexpected token after '%toupper(proc.vpid)'", true },
        { "%val(proc.name)", "unknown filter: unexpected token after '%val(proc.name)'", true },
        { "100%", "invalid formatting syntax: formatting cannot end with a %", false },
    };
    struct arena arena;
    arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct format *format;
        struct cond_error error;
        bool unknown;
        assert_int_equal(format_compile(&arena, cases[i].format, strlen(cases[i].format), &format, &unknown, &error), -EINVAL);
        assert_string_equal(error.message, cases[i].message);
        assert_int_equal(unknown, cases[i].unknown);
    }
    arena_fini(&arena);
}

static void test_tokens(void **state)
{
    (void)state;
    static const char text[] = "*a %proc.aname[2]b%toupper( proc.name )";
    struct arena arena;
    struct format *format;
    struct cond_error error;
    bool unknown;
    arena_init(&arena, 0);
    assert_int_equal(format_compile(&arena, text, strlen(text), &format, &unknown, &error), 0);
    assert_true(format->keep_missing);
    assert_int_equal(format->n_parts, 4);
    assert_string_equal(format->parts[1].token, "proc.aname[2]");
    assert_non_null(expression_ref(format->parts[1].expression));
    assert_string_equal(format->parts[3].token, "toupper(proc.name)");
    assert_null(expression_ref(format->parts[3].expression));
    arena_fini(&arena);
    arena_init(&arena, 4096); /* no memory is told, not taken for a wrong format */
    assert_int_equal(format_compile(&arena, text, strlen(text), &format, &unknown, &error), -ENOMEM);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
