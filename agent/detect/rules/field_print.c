/* Words about fields, for people. */
#include "agent/detect/rules/field.h"

#include "common/text.h"

const char *rule_field_type_name(const struct rule_field *field)
{
    switch (field->type) {
    case VALUE_TEXT:
        return field->is_list ? "texts" : "text";
    case VALUE_PATH:
        return "path";
    case VALUE_BYTES:
        return "bytes";
    case VALUE_BOOL:
        return "bool";
    case VALUE_INT:
    case VALUE_UINT:
        return "number";
    case VALUE_FLAGS:
        return "flags";
    case VALUE_DOUBLE:
        return "decimal";
    case VALUE_ABSTIME:
        return "time";
    case VALUE_RELTIME:
        return "duration";
    case VALUE_PORT:
        return "port";
    case VALUE_IPADDR:
        return "address";
    case VALUE_IPNET:
        return "network";
    case VALUE_DYNAMIC:
        return "any";
    }
    return "";
}

/* How it is written with its argument. */
const char *rule_field_argument_form(const struct rule_field *field)
{
    switch (field->argument) {
    case FIELD_ARGUMENT_NONE:
        return "";
    case FIELD_ARGUMENT_OPTIONAL_INDEX:
        return "([N])";
    case FIELD_ARGUMENT_KEY:
        return field->dotted ? ".KEY" : "[KEY]";
    case FIELD_ARGUMENT_OPTIONAL_KEY:
        return field->dotted ? "(.KEY)" : "([KEY])";
    }
    return "";
}

void rule_field_print_sources(struct text_out *out, uint16_t filled_by)
{
    static const struct {
        uint16_t bit;
        const char *name;
    } names[] = {
        { FILL_EXEC, "exec" },   { FILL_PROC, "process" },    { FILL_FILE, "file" },   { FILL_FLOW, "flow" },
        { FILL_DNS, "dns" },     { FILL_LISTEN, "listen" },   { FILL_FACTS, "facts" },
        { FILL_CGROUP, "cgroup" }, { FILL_TRACEFS, "syscall" }, { FILL_OTHER, "other" }, { FILL_ALWAYS, "all" },
    };
    const size_t start = out->length;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (filled_by & names[i].bit)
            text_out_printf(out, "%s%s", out->length > start ? "," : "", names[i].name);
    if (out->length == start)
        text_out_printf(out, "-");
}

const char *rule_field_fill_name(const struct rule_field *field)
{
    switch (field->fill) {
    case FIELD_FILLED:
        return field->can_be_missing ? "yes" : "always";
    case FIELD_PARTLY:
        return field->can_be_missing ? "partly" : "partly, always";
    case FIELD_NEVER:
        return "never";
    }
    return "";
}
