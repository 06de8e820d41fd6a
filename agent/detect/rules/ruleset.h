/* Rules files, loaded: lists, macros and rules with everything applied (override, append, exceptions). The files' bytes come from the
 * caller; nothing is read here. A load that fails leaves the set as it was. Pure. */
#ifndef ECSGUARD_RULES_RULESET_H
#define ECSGUARD_RULES_RULESET_H

#include "agent/detect/rules/check.h"
#include "agent/detect/rules/format.h"
#include "common/finding.h"

#define RULES_ENGINE_VERSION "0.63.0"

enum rule_priority {
    PRIORITY_EMERGENCY, PRIORITY_ALERT, PRIORITY_CRITICAL, PRIORITY_ERROR, PRIORITY_WARNING, PRIORITY_NOTICE, PRIORITY_INFORMATIONAL,
    PRIORITY_DEBUG,
};

/* Names as the reference prints them ("LOAD_ERR_YAML_VALIDATE"): rule_code_name(). */
enum rule_code {
    LOAD_ERR_FILE_READ, LOAD_ERR_YAML_PARSE, LOAD_ERR_YAML_VALIDATE, LOAD_ERR_COMPILE_CONDITION, LOAD_ERR_COMPILE_OUTPUT, LOAD_ERR_VALIDATE,
    LOAD_ERR_EXTENSION,
    LOAD_UNKNOWN_SOURCE, LOAD_UNSAFE_NA_CHECK, LOAD_NO_EVTTYPE, LOAD_UNKNOWN_FILTER, LOAD_UNUSED_MACRO, LOAD_UNUSED_LIST, LOAD_UNKNOWN_ITEM,
    LOAD_DEPRECATED_ITEM, LOAD_WARNING_EXTENSION, LOAD_APPEND_NO_VALUES, LOAD_EXCEPTION_NAME_NOT_UNIQUE, LOAD_INVALID_MACRO_NAME,
    LOAD_INVALID_LIST_NAME, LOAD_COMPILE_CONDITION, LOAD_UNKNOWN_KEY,
    LOAD_NEVER_FILLED, /* ours: the rule names a field or event that cannot be had on this kind of host */
};

/* One error or warning. */
struct rule_message {
    enum rule_code code;
    const char *file;
    uint32_t line, column; /* of the file, from 1; 0 = unknown */
    const char *item_type; /* "rule", "macro", "list", ... "" */
    const char *item_name;
    const char *text;
    const char *snippet;   /* the line(s) of the file, escaped, with a caret line below; "" */
};

/* A text or items as one item of a file gave them; an append adds a part in front of the earlier ones, a replacement starts anew. */
struct rule_part {
    const struct rule_part *before;
    const char *file;
    uint32_t line, column; /* of the value */
    const char *text;      /* a condition, output or description, */
    size_t length;
    const char **items;    /* or the items of a list */
    uint32_t n_items;
};

struct rule_list {
    const char *name;
    const char *file;
    uint32_t line, column;
    uint32_t index, visibility; /* language.md 3.1: when first defined, when last changed */
    const struct rule_part *parts;
    /* compiled */
    const char **items; /* as written */
    uint32_t n_items;
    const char **compiled; /* names of lists replaced by their items */
    uint32_t n_compiled;
    bool used;
};

struct rule_macro {
    const char *name;
    const char *file;
    uint32_t line, column;
    uint32_t index, visibility;
    const struct rule_part *condition_parts;
    /* compiled */
    const char *condition; /* as written, appends joined */
    struct cond *parsed;   /* lists put in */
    struct cond *cond;     /* macros put in; shares nodes with other conditions */
    uint32_t weight, height; /* of `cond`: nodes and list items, nesting */
    bool used;
};

/* One entry of `values`: a tuple of fields' values, or one value of the single form. */
struct rule_exception_value {
    bool is_tuple;
    const char ***items; /* items[i] = texts, the last one NULL */
    bool *is_list;       /* items[i] was written as a list */
    uint32_t n;
};

/* Values as one item of a file gave them. */
struct rule_value_part {
    const struct rule_value_part *before;
    const struct rule_exception_value *values;
    uint32_t n_values;
};

struct rule_exception {
    const char *name;
    const char *file;
    uint32_t line, column;
    bool single; /* `fields` is one text */
    const char **fields, **comps;
    uint32_t n_fields, n_comps;
    bool has_comps, comps_list;
    const struct rule_value_part *parts;
    uint32_t n_values; /* of all parts */
};

struct rule {
    const char *name;
    const char *file;
    uint32_t line, column;
    uint32_t index, visibility;
    const struct rule_part *condition_parts, *output_parts, *desc_parts;
    const char *source;
    enum rule_priority priority;
    bool enabled, warn_evttypes, skip_if_unknown, capture;
    bool unknown_source;
    uint32_t capture_duration_ms;
    const char **tags; /* sorted */
    uint32_t n_tags;
    struct rule_exception *exceptions;
    uint32_t n_exceptions;
    const char *finding_type; /* ours: key finding_type; NULL = none */
    const char *advice;       /* ours: key advice, what to check next; NULL */
    /* compiled */
    const char *condition, *output, *desc; /* as written, appends joined */
    bool compiled;            /* false: unknown source, or skipped */
    struct cond *cond;        /* everything put in, exceptions too; shares nodes with other conditions */
    struct event_name_set events;
    struct format *format;
};

struct ruleset_private;

struct ruleset {
    struct arena arena; /* what is compiled, of the last load that succeeded */
    struct rule_list *lists;
    struct rule_macro *macros;
    struct rule *rules; /* in order of definition */
    uint32_t n_lists, n_macros, n_rules;
    struct rule_message *errors, *warnings; /* of the last load */
    uint32_t n_errors, n_warnings;
    uint32_t n_dropped; /* warnings beyond LIMIT_RULE_MESSAGES */
    struct ruleset_private *private;
};

/* An empty set. NULL on lack of memory. */
struct ruleset *ruleset_new(void);
void ruleset_free(struct ruleset *set);

/* Adds one file and compiles everything collected so far. 0 or -EINVAL (errors[0] says it), -ENOMEM; then the set is as before this call,
 * but for `errors` and `warnings`. Warnings are about all of the set: those whose `file` is another's were told at its load as well.
 * A successful load moves lists, macros and rules: programs made from the set must be made again. */
int ruleset_load(struct ruleset *set, const char *name, const char *data, size_t size);

struct rule *ruleset_find(const struct ruleset *set, const char *name);
const struct rule_macro *ruleset_find_macro(const struct ruleset *set, const char *name);

const char *rule_code_name(enum rule_code code);
bool rule_code_is_error(enum rule_code code);
/* By name, case ignored. */
bool rule_priority_find(const char *name, enum rule_priority *priority);
const char *rule_priority_name(enum rule_priority priority); /* "Warning" */
enum severity rule_priority_severity(enum rule_priority priority);

#endif
