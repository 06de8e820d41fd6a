/* Finds fields by name and reads their arguments: "proc.aname[2]", "evt.arg.flags". */
#include "agent/detect/rules/field.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/rules/event_arguments.h"
#include "common/text.h"

const struct rule_field *rule_field_find(const char *name, size_t length)
{
    size_t low = 0, high = n_rule_fields;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const char *known = rule_fields[middle].name;
        int order = strncmp(name, known, length);
        if (order == 0)
            order = -(known[length] != 0);
        if (order == 0)
            return &rule_fields[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* "evt.arg.flags": the field "evt.arg" and what follows its dot. */
static const struct rule_field *find_dotted(const char *name, size_t length, size_t *known_length)
{
    for (size_t at = length; at-- > 0;) {
        if (name[at] != '.' || at + 1 == length)
            continue;
        const struct rule_field *field = rule_field_find(name, at);
        if (field && field->dotted) {
            *known_length = at;
            return field;
        }
    }
    return NULL;
}

static int unknown(char *error, size_t size, const char *name, size_t length, const char *argument, size_t argument_length)
{
    struct text_out out;
    text_out_init(&out, error, size);
    text_out_printf(&out, "filter_check called with nonexistent field %.*s", (int)length, name);
    if (argument)
        text_out_printf(&out, "[%.*s]", (int)argument_length, argument);
    return -ENOENT;
}

static bool names(const struct field_ref *ref, const char *argument)
{
    return ref->argument_length == strlen(argument) && memcmp(ref->argument, argument, ref->argument_length) == 0;
}

/* A number, or a name that the field knows. */
static int check_key(struct field_ref *ref, char *error, size_t size)
{
    enum value_type type;
    const char *name = ref->field->name;
    const int length = (int)ref->argument_length;
    if (strcmp(name, "evt.type.is") == 0 && event_name_find(ref->argument, ref->argument_length) < 0) {
        snprintf(error, size, "unknown event type %.*s", length, ref->argument);
        return -ENOENT;
    }
    if ((strcmp(name, "evt.arg") == 0 || strcmp(name, "evt.rawarg") == 0) && ref->index < 0) {
        if (!event_argument_find(ref->argument, ref->argument_length, &type)) {
            snprintf(error, size, "unknown event argument %.*s", length, ref->argument);
            return -EINVAL;
        }
        ref->key = (uint16_t)event_argument_number(ref->argument, ref->argument_length);
    }
    return strcmp(name, "evt.abspath") != 0 || names(ref, "src") || names(ref, "dst") ? 0 : -ENOENT;
}

static int check_argument(struct field_ref *ref, char *error, size_t size)
{
    uint64_t index = 0;
    const bool given = ref->argument != NULL;
    const bool number = given && text_to_u64(ref->argument, ref->argument_length, &index) == 0 && index <= INT32_MAX;
    if (number)
        ref->index = (int64_t)index;
    switch (ref->field->argument) {
    case FIELD_ARGUMENT_NONE:
        return given ? -ENOENT : 0;
    case FIELD_ARGUMENT_OPTIONAL_INDEX:
        return !given || number ? 0 : -ENOENT;
    case FIELD_ARGUMENT_KEY:
        return given ? check_key(ref, error, size) : -ENOENT;
    case FIELD_ARGUMENT_OPTIONAL_KEY:
        return given ? check_key(ref, error, size) : 0;
    }
    return -ENOENT;
}

int field_ref_init(struct field_ref *ref, const char *name, size_t length, const char *argument, size_t argument_length, char *error,
                   size_t error_size)
{
    size_t known = length;
    *ref = (struct field_ref){ .argument = argument, .argument_length = argument_length, .index = -1 };
    ref->field = rule_field_find(name, length);
    error[0] = 0;
    if (!ref->field && !argument && (ref->field = find_dotted(name, length, &known))) {
        ref->argument = name + known + 1;
        ref->argument_length = length - known - 1;
    }
    const int r = ref->field ? check_argument(ref, error, error_size) : -ENOENT;
    return r && !error[0] ? unknown(error, error_size, name, length, argument, argument_length) : r;
}
