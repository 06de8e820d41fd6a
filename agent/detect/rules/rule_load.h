/* One load of a rules file, as the loader's files share it: what the set becomes, where texts go, how errors are told. */
#ifndef ECSGUARD_RULES_RULE_LOAD_H
#define ECSGUARD_RULES_RULE_LOAD_H

#include <errno.h>

#include "agent/detect/rules/rule_names.h"
#include "agent/detect/rules/rule_text.h"
#include "agent/detect/rules/rule_yaml.h"
#include "agent/detect/rules/ruleset.h"
#include "common/limits.h"

/* What was collected from one file: lives as long as the set. */
struct rule_file {
    struct rule_file *next;
    struct arena texts;
};

/* Names of everything in the set; made anew by each load, in its arena. */
struct rule_index {
    struct rule_names lists, macros, rules;
    uint32_t max_lists, max_macros, max_rules; /* room in the arrays */
    uint32_t next;                             /* mark of order: language.md 3.1 */
};

struct ruleset_private {
    struct rule_file *files;
    unsigned n_files;
    struct rule_index *index;
    struct arena messages; /* of the last load */
    uint32_t max_warnings;
};

/* Where a message points: into a file, and perhaps into a text that is not in it as such. */
struct rule_spot {
    const char *file;
    uint32_t line, column;
    const char *excerpt; /* NULL: the line of the file, when it is the one being loaded */
    size_t excerpt_length, excerpt_at;
};

struct rule_load {
    struct ruleset *set;   /* takes the messages; else untouched until the load has succeeded */
    struct ruleset next;   /* what it becomes */
    struct rule_index *index;
    struct arena *texts;   /* of this file */
    struct arena yaml;     /* gone when the file is read */
    const char *file, *data;
    size_t size;
    uint32_t *line_starts; /* offsets, made when first needed */
    uint32_t n_lines;
    const char *item_type, *item_name; /* which item a message is about */
    struct rule_spot item;             /* ... and where it is */
    struct rule_text source, work[2];   /* a condition before and while lists are put in */
    size_t source_start, source_length; /* what of `source` is the condition as written; behind it are exceptions, */
    struct rule_spot exceptions;        /* ... which stand there */
    uint32_t *odd_lists;                /* names with blanks or parentheses */
    uint32_t n_odd_lists;
    uint64_t n_nodes;                   /* of all rules so far */
    struct event_name_set told;         /* events that some class of ours answers to */
};

/* ---- messages ---- */

static inline struct rule_spot rule_spot_at(const char *file, uint32_t line, uint32_t column)
{
    return (struct rule_spot){ .file = file, .line = line, .column = column };
}

struct rule_spot rule_spot_of(const struct rule_load *load, const struct rule_node *node);
/* Of byte `offset` of the joined parts. */
struct rule_spot rule_spot_in(struct rule_load *load, const struct rule_part *parts, size_t offset);

/* Keeps the error; returns -EINVAL. */
__attribute__((format(printf, 4, 5))) int rule_load_fail(struct rule_load *load, enum rule_code code, const struct rule_spot *spot,
                                                         const char *format, ...);
__attribute__((format(printf, 4, 5))) void rule_load_warn(struct rule_load *load, enum rule_code code, const struct rule_spot *spot,
                                                          const char *format, ...);

/* ---- values of keys: 0, -EINVAL (told), -ENOMEM. An absent optional key leaves *out as it is. ---- */

enum rule_need { KEY_REQUIRED, KEY_OPTIONAL };

int rule_decode_scalar(struct rule_load *load, const struct rule_node *map, const char *key, enum rule_need need,
                       const struct rule_node **out);
int rule_decode_text(struct rule_load *load, const struct rule_node *map, const char *key, enum rule_need need, const char **out);
int rule_decode_bool(struct rule_load *load, const struct rule_node *map, const char *key, enum rule_need need, bool *out);
int rule_decode_u32(struct rule_load *load, const struct rule_node *map, const char *key, enum rule_need need, uint32_t *out);
int rule_decode_texts(struct rule_load *load, const struct rule_node *map, const char *key, enum rule_need need, const char ***items,
                      uint32_t *n);
/* A required text as one more part behind `before`. */
int rule_decode_part(struct rule_load *load, const struct rule_node *map, const char *key, const struct rule_part *before,
                     const struct rule_part **out);

/* Parts joined by blanks, in the arena of the load; NULL on lack of memory. */
const char *rule_parts_join(struct rule_load *load, const struct rule_part *parts);

/* ---- items ---- */

/* All of a file's documents: collected into load->next. */
int rule_items_read(struct rule_load *load);
/* Items of one kind; named ones have their name in load->item_name. */
int rule_engine_version_read(struct rule_load *load, const struct rule_node *item);
int rule_plugin_versions_read(struct rule_load *load, const struct rule_node *item);
int rule_rule_read(struct rule_load *load, const struct rule_node *item);

/* Room for one more item of `size` in an array (given by its address) of the load's arena. 0 or -ENOMEM. */
int rule_array_grow(struct rule_load *load, void *array, uint32_t n, uint32_t *max, size_t size);

#define RULE_CHANGES_MAX 16

/* Which keys of a kind of item may be appended to or replaced. A table of them ends with a name of NULL. */
struct rule_change_key {
    const char *name;
    bool append, replace;
};

/* What `override` of an item asks for. */
struct rule_override {
    const char *append[RULE_CHANGES_MAX], *replace[RULE_CHANGES_MAX];
    unsigned n_append, n_replace;
};

bool rule_name_among(const char *const *names, unsigned n, const char *name);
/* `append` and `override` of an item. */
int rule_override_read(struct rule_load *load, const struct rule_node *item, const struct rule_change_key *keys, bool *append,
                       struct rule_override *out);

/* The `exceptions` of a rule item; `partial`: for appending, `fields` may be absent. */
int rule_exceptions_read(struct rule_load *load, const struct rule_node *item, bool partial, struct rule_exception **out, uint32_t *n);
/* As a definition or a replacement: complete and valid. */
int rule_exceptions_define(struct rule_load *load, struct rule *rule, struct rule_exception *exceptions, uint32_t n);
int rule_exceptions_append(struct rule_load *load, struct rule *rule, struct rule_exception *exceptions, uint32_t n);
/* load->source: the rule's condition with its exceptions. */
int rule_exceptions_apply(struct rule_load *load, const struct rule *rule);

/* ---- compiling ---- */

int rule_lists_compile(struct rule_load *load);
/* Puts lists into load->source; *out is one of load->work. `track`: it knows for each byte where it came from. */
int rule_lists_substitute(struct rule_load *load, bool track, struct rule_text **out);

/* load->source: a condition as it is. */
int rule_condition_begin(struct rule_load *load, const char *condition);
/* load->source parsed with lists put in; an error is told as that of the parts' condition. */
int rule_condition_parse(struct rule_load *load, const struct rule_part *parts, struct cond **out);
/* Where `index` of the parsed text of load->source is. */
struct rule_spot rule_condition_spot(struct rule_load *load, const struct rule_part *parts, size_t index);

int rule_macros_compile(struct rule_load *load);
/* A rule's parsed condition with macros put in; marks them used. */
int rule_macros_apply(struct rule_load *load, const struct rule *rule, struct cond *parsed, struct cond **out);
/* Makes load->source that of the macro whose own condition has the error that `found` tells; NULL: it is the rule's. */
const struct rule_macro *rule_macros_blame(struct rule_load *load, const struct cond *parsed, const struct check_result *found);

int rule_rules_compile(struct rule_load *load);

#endif
