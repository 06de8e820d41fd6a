/* Texts of rules files, for people: YAML's line breaks and indents are nobody's business. */
#include <stdlib.h>
#include <string.h>

#include "agent/ctl/rules.h"

#define LIMITS "Limits: "

char *rules_one_line(const char *text)
{
    char *line = malloc(strlen(text) + 1), *to = line, quote = 0;
    for (char last = 0; line && *text; last = *text++) {
        bool blank = !quote && strchr(" \t\r\n", *text);
        if (quote ? *text == quote && last != '\\' : *text == '"' || *text == '\'')
            quote = quote ? 0 : *text;
        if (!blank)
            *to++ = *text;
        else if (to > line && to[-1] != ' ')
            *to++ = ' ';
    }
    if (!line)
        return NULL;
    while (to > line && (to[-1] == ' ' || to[-1] == '\n'))
        to--;
    *to = 0;
    return line;
}

/* An apostrophe in words begins no quotation. */
static json_t *words(const char *text, size_t length)
{
    char *line = strndup(text, length), *to = line;
    for (const char *from = line; from && *from; from++) {
        bool blank = strchr(" \t\r\n", *from);
        if (!blank)
            *to++ = *from;
        else if (to > line && to[-1] != ' ')
            *to++ = ' ';
    }
    if (line)
        *(to > line && to[-1] == ' ' ? to - 1 : to) = 0;
    json_t *result = line ? json_string(line) : json_null();
    free(line);
    return result;
}

void rules_describe(json_t *row, const struct rule *rule)
{
    const char *limits = strstr(rule->desc, LIMITS);
    char *condition = rules_one_line(rule->condition);
    json_object_set_new(row, "description", words(rule->desc, limits ? (size_t)(limits - rule->desc) : strlen(rule->desc)));
    json_object_set_new(row, "condition", condition ? json_string(condition) : json_null());
    json_object_set_new(row, "limits", limits ? words(limits + strlen(LIMITS), strlen(limits) - strlen(LIMITS)) : json_null());
    json_object_set_new(row, "advice", rule->advice ? words(rule->advice, strlen(rule->advice)) : json_null());
    free(condition);
}

void detectors_describe(json_t *row, const struct detector *detector)
{
    json_object_set_new(row, "description", json_string(detector->title));
    json_object_set_new(row, "condition", json_string(detector->condition));
    json_object_set_new(row, "limits", json_string(detector->limits));
    json_object_set_new(row, "advice", json_string(detector->advice));
}
