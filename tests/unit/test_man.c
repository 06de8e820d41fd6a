/* The manual pages describe every field of an event and every option of the configuration, in the words of the tables. "test_man fields"
 * prints the fields as they have to stand in ecsguard-events.5.scd, "test_man classes" the classes of events for ecsguard-rules.5.scd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/rules/field.h"
#include "common/event_fields.h"
#include "common/text.h"

static char page[256 << 10], expected[128 << 10];

static const char *read_source(const char *name, char *to, size_t size)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/packaging/%s", TEST_SRCDIR, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    to[fread(to, 1, size - 1, file)] = 0;
    fclose(file);
    return to;
}

static void put_escaped(struct text_out *out, const char *text)
{
    for (; *text; text++)
        text_out_printf(out, strchr("*_\\", *text) ? "\\%c" : "%c", *text);
}

static const char *type_name(enum field_type type)
{
    switch (type) {
    case FIELD_I32:
    case FIELD_U8:
    case FIELD_U16:
    case FIELD_U32:
    case FIELD_U64:
        return "number";
    case FIELD_BOOL:
        return "true or false";
    case FIELD_MODE:
        return "octal digits";
    case FIELD_ENUM:
        return "one of";
    case FIELD_TIME:
    case FIELD_WALL:
        return "time";
    case FIELD_TEXT:
        return "text";
    case FIELD_ARGV:
        return "array of texts";
    case FIELD_ADDRESS:
        return "address";
    }
    return "?";
}

static void put_kinds(struct text_out *out, uint32_t kinds)
{
    const char *separator = "";
    if (kinds == ~0u)
        text_out_printf(out, "all kinds");
    for (int kind = 1; kind < EVENT_KIND_MAX && kinds != ~0u; kind++)
        if (kinds >> kind & 1) {
            text_out_printf(out, "%s%s", separator, event_kind_name((enum event_kind)kind));
            separator = ", ";
        }
}

/* *name* (type; kinds) and, below it, what it is. */
static void put_field(struct text_out *out, const struct event_field_info *f)
{
    text_out_printf(out, "*");
    put_escaped(out, f->name);
    text_out_printf(out, "* (%s", type_name(f->type));
    for (int i = 1; f->type == FIELD_ENUM && f->names[i]; i++) {
        text_out_printf(out, i > 1 ? ", " : " ");
        put_escaped(out, f->names[i]);
    }
    if (f->type == FIELD_TEXT || f->type == FIELD_ARGV)
        text_out_printf(out, ", at most %u bytes", f->text_max);
    text_out_printf(out, "; ");
    put_kinds(out, f->kinds);
    text_out_printf(out, ")\n\t");
    put_escaped(out, f->doc);
    text_out_printf(out, "\n\n");
}

static void events_page_describes_every_field(void **state)
{
    (void)state;
    const char *text = read_source("man/ecsguard-events.5.scd", page, sizeof page);
    for (int i = 0; i < F_MAX; i++) {
        struct text_out out;
        text_out_init(&out, expected, sizeof expected);
        put_field(&out, &event_fields[i]);
        if (!strstr(text, expected))
            fail_msg("ecsguard-events.5.scd lacks:\n%s", expected);
    }
    for (int kind = 1; kind < EVENT_KIND_MAX; kind++) {
        snprintf(expected, sizeof expected, "\n*%s*\n\t", event_kind_name((enum event_kind)kind));
        if (!strstr(text, expected))
            fail_msg("ecsguard-events.5.scd lacks the kind %s", event_kind_name((enum event_kind)kind));
    }
}

/* *name* (sensors): names of events, and what happened. */
static void put_class(struct text_out *out, const struct event_class_info *class)
{
    text_out_printf(out, "*");
    put_escaped(out, class->name);
    text_out_printf(out, "* (");
    rule_field_print_sources(out, class->filled_by);
    text_out_printf(out, ")\n\t");
    for (const char *const *name = class->events; *name; name++) {
        text_out_printf(out, "%s_", name == class->events ? "" : ", ");
        put_escaped(out, *name);
        text_out_printf(out, "_");
    }
    text_out_printf(out, ": ");
    put_escaped(out, class->doc);
    text_out_printf(out, ".\n\n");
}

static void rules_page_describes_every_class_of_events(void **state)
{
    (void)state;
    const char *text = read_source("man/ecsguard-rules.5.scd", page, sizeof page);
    for (int i = 0; i < CLASS_MAX; i++) {
        struct text_out out;
        text_out_init(&out, expected, sizeof expected);
        put_class(&out, &event_classes[i]);
        if (!strstr(text, expected))
            fail_msg("ecsguard-rules.5.scd lacks:\n%s", expected);
    }
}

static void rules_page_names_every_family_of_fields(void **state)
{
    (void)state;
    const char *text = read_source("man/ecsguard-rules.5.scd", page, sizeof page);
    for (size_t i = 0; i < n_rule_fields; i++) {
        snprintf(expected, sizeof expected, "*%.*s*", (int)strcspn(rule_fields[i].name, "."), rule_fields[i].name);
        if (rule_fields[i].fill != FIELD_NEVER && !strstr(text, expected))
            fail_msg("ecsguard-rules.5.scd lacks the fields %s", expected);
    }
}

/* test_config compares the shipped file with the table of options. */
static void config_page_holds_the_shipped_file(void **state)
{
    (void)state;
    const char *shipped = read_source("config/ecsguard.yaml", expected, sizeof expected);
    if (!strstr(read_source("man/ecsguard.yaml.5.scd", page, sizeof page), shipped))
        fail_msg("ecsguard.yaml.5.scd does not hold packaging/config/ecsguard.yaml");
}

static int print_fields(void)
{
    struct text_out out;
    text_out_init(&out, expected, sizeof expected);
    for (int i = 0; i < F_MAX; i++)
        put_field(&out, &event_fields[i]);
    fputs(expected, stdout);
    return 0;
}

static int print_classes(void)
{
    struct text_out out;
    text_out_init(&out, expected, sizeof expected);
    for (int i = 0; i < CLASS_MAX; i++)
        put_class(&out, &event_classes[i]);
    fputs(expected, stdout);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_page_describes_every_field),
        cmocka_unit_test(config_page_holds_the_shipped_file),
        cmocka_unit_test(rules_page_describes_every_class_of_events),
        cmocka_unit_test(rules_page_names_every_family_of_fields),
    };
    if (argc == 2 && !strcmp(argv[1], "classes"))
        return print_classes();
    return argc == 2 && !strcmp(argv[1], "fields") ? print_fields() : cmocka_run_group_tests_name("man", tests, NULL, NULL);
}
