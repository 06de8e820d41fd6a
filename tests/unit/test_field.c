/* The table of fields, the names of events, and how field references are read. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/rules/event_arguments.h"
#include "agent/detect/rules/field.h"
#include "common/text.h"

static int refer(struct field_ref *ref, const char *name, const char *argument, char *error, size_t size)
{
    return field_ref_init(ref, name, strlen(name), argument, argument ? strlen(argument) : 0, error, size);
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_rule_fields; i++) {
        const struct rule_field *f = &rule_fields[i];
        if (i)
            assert_true(strcmp(rule_fields[i - 1].name, f->name) < 0);
        assert_ptr_equal(rule_field_find(f->name, strlen(f->name)), f);
        assert_true(f->doc[0]);
        assert_true(f->fill != FIELD_NEVER || (f->can_be_missing && !f->filled_by));
        assert_true(f->fill == FIELD_NEVER || f->filled_by);
        assert_int_equal(f->fill == FIELD_NEVER, f->get == NULL);
        assert_true(!f->dotted || f->argument == FIELD_ARGUMENT_KEY || f->argument == FIELD_ARGUMENT_OPTIONAL_KEY);
    }
    assert_null(rule_field_find("proc.nam", 8));
    assert_null(rule_field_find("proc.namex", 10));
    assert_null(rule_field_find("", 0));
    assert_null(rule_field_find("a", 1));
    assert_null(rule_field_find("zzz", 3));
}

static void test_ref(void **state)
{
    (void)state;
    char error[128];
    struct field_ref ref;
    assert_int_equal(refer(&ref, "proc.aname", "2", error, sizeof error), 0);
    assert_string_equal(ref.field->name, "proc.aname");
    assert_int_equal(ref.index, 2);
    assert_int_equal(refer(&ref, "proc.aname", NULL, error, sizeof error), 0);
    assert_int_equal(ref.index, -1);
    assert_int_equal(refer(&ref, "evt.arg.flags", NULL, error, sizeof error), 0);
    assert_string_equal(ref.field->name, "evt.arg");
    assert_int_equal(ref.argument_length, 5);
    assert_memory_equal(ref.argument, "flags", 5);
    assert_int_equal(refer(&ref, "evt.arg", "1", error, sizeof error), 0);
    assert_int_equal(ref.index, 1);
    assert_int_equal(refer(&ref, "proc.env", "LD_PRELOAD", error, sizeof error), 0);
    assert_int_equal(refer(&ref, "k8s.pod.label.app.kubernetes.io/name", NULL, error, sizeof error), 0);
    assert_string_equal(ref.field->name, "k8s.pod.label");
    assert_int_equal(refer(&ref, "container.mount.dest", "/proc*", error, sizeof error), 0);
    assert_int_equal(refer(&ref, "evt.abspath.src", NULL, error, sizeof error), 0);
    assert_int_equal(refer(&ref, "evt.abspath", NULL, error, sizeof error), 0);
    assert_int_equal(refer(&ref, "evt.type.is.openat", NULL, error, sizeof error), 0);
}

static void test_ref_errors(void **state)
{
    (void)state;
    char error[128];
    struct field_ref ref;
    static const struct {
        const char *name, *argument;
        int result;
        const char *error;
    } cases[] = {
        { "proc.nobody", NULL, -ENOENT, "filter_check called with nonexistent field proc.nobody" },
        { "proc.aname", "x", -ENOENT, "filter_check called with nonexistent field proc.aname[x]" },
        { "proc.aname", "99999999999999999999", -ENOENT, "filter_check called with nonexistent field proc.aname[99999999999999999999]" },
        { "proc.name", "1", -ENOENT, "filter_check called with nonexistent field proc.name[1]" },
        { "evt.arg", NULL, -ENOENT, "filter_check called with nonexistent field evt.arg" },
        { "evt.arg.", NULL, -ENOENT, "filter_check called with nonexistent field evt.arg." },
        { "evt.arg.flags", "1", -ENOENT, "filter_check called with nonexistent field evt.arg.flags[1]" },
        { "evt.arg.nobody", NULL, -EINVAL, "unknown event argument nobody" },
        { "evt.rawarg.nobody", NULL, -EINVAL, "unknown event argument nobody" },
        { "evt.type.is.nobody", NULL, -ENOENT, "unknown event type nobody" },
        { "evt.abspath.nobody", NULL, -ENOENT, "filter_check called with nonexistent field evt.abspath.nobody" },
        { "proc.name.more", NULL, -ENOENT, "filter_check called with nonexistent field proc.name.more" },
        { "", NULL, -ENOENT, "filter_check called with nonexistent field " },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(refer(&ref, cases[i].name, cases[i].argument, error, sizeof error), cases[i].result);
        assert_string_equal(error, cases[i].error);
    }
    char small[20];
    assert_int_equal(refer(&ref, "proc.nobody", NULL, small, sizeof small), -ENOENT);
    assert_int_equal(strlen(small), sizeof small - 1);
}

static void test_event_names(void **state)
{
    (void)state;
    const int n = event_names_count();
    for (int i = 0; i < n; i++) {
        assert_int_equal(event_name_find(event_name(i), strlen(event_name(i))), i);
        if (i)
            assert_true(strcmp(event_name(i - 1), event_name(i)) < 0);
    }
    assert_int_equal(event_name_find("some_invalid_event", 18), -1);
    assert_int_equal(event_name_find("ope", 3), -1);
    assert_null(event_name(-1));
    assert_null(event_name(n));
}

static void test_event_classes(void **state)
{
    (void)state;
    for (int class = 0; class < CLASS_MAX; class++) {
        struct event_name_set set;
        size_t n = 0, bits = 0;
        assert_non_null(event_classes[class].name);
        for (const char *const *name = event_classes[class].events; *name; name++, n++)
            assert_true(event_name_find(*name, strlen(*name)) >= 0);
        event_class_names(class, &set);
        for (int i = 0; i < event_names_count(); i++)
            bits += event_name_set_has(&set, i);
        assert_int_equal(bits, n);
    }
    struct event_name_set open;
    event_class_names(CLASS_OPEN, &open);
    assert_true(event_name_set_has(&open, event_name_find("openat2", 7)));
    assert_false(event_name_set_has(&open, event_name_find("creat", 5)));
}

static void test_arguments(void **state)
{
    (void)state;
    enum value_type type;
    assert_true(event_argument_find("flags", 5, &type) && type == VALUE_FLAGS);
    assert_true(event_argument_find("trusted_exepath", 15, &type) && type == VALUE_PATH);
    assert_true(event_argument_find("backlog", 7, &type) && type == VALUE_UINT);
    assert_int_equal(event_argument_number("backlog", 7), ARG_NONE);
    assert_false(event_argument_find("flag", 4, &type));
    assert_false(event_argument_find("", 0, &type));
    for (int a = ARG_NONE + 1; a < ARG_MAX; a++) {
        const char *name = event_argument_name(a);
        assert_true(event_argument_find(name, strlen(name), &type));
        assert_int_equal(event_argument_number(name, strlen(name)), a);
    }
}

static void test_print(void **state)
{
    (void)state;
    char text[64];
    struct text_out out;
    const struct rule_field *field = rule_field_find("proc.aname", 10);
    assert_string_equal(rule_field_argument_form(field), "([N])");
    assert_string_equal(rule_field_argument_form(rule_field_find("evt.arg", 7)), ".KEY");
    assert_string_equal(rule_field_type_name(field), "text");
    assert_string_equal(rule_field_fill_name(rule_field_find("k8s.ns.name", 11)), "never");
    text_out_init(&out, text, sizeof text);
    rule_field_print_sources(&out, FILL_EXEC | FILL_TRACEFS);
    assert_string_equal(text, "exec,syscall");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),       cmocka_unit_test(test_ref),           cmocka_unit_test(test_ref_errors),
        cmocka_unit_test(test_event_names), cmocka_unit_test(test_event_classes), cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
