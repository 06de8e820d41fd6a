/* Conditions of rules: text -> syntax tree -> canonical text. The grammar is that of Falco's rules language, oddities included. Pure. */
#ifndef ECSGUARD_RULES_COND_H
#define ECSGUARD_RULES_COND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/detect/rules/arena.h"

/* Where a node began in its text: byte offset, line and column from 1. */
struct cond_position {
    uint32_t index, line, column;
};

enum cond_kind {
    COND_AND,
    COND_OR,
    COND_NOT,
    COND_EXISTS, /* operand `left` */
    COND_CHECK,  /* left op right */
    COND_NAME,   /* a bare identifier: a macro */
};

enum cond_op {
    OP_EQ, /* "=" */
    OP_EQ2, /* "==" */
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_CONTAINS,
    OP_ICONTAINS,
    OP_BCONTAINS,
    OP_STARTSWITH,
    OP_BSTARTSWITH,
    OP_ENDSWITH,
    OP_GLOB,
    OP_IGLOB,
    OP_REGEX,
    OP_IN,
    OP_INTERSECTS,
    OP_PMATCH,
    OP_MAX,
};

enum cond_modifier { MODIFIER_NONE, MODIFIER_ONEOF, MODIFIER_ANYOF, MODIFIER_ALLOF };

/* One side of a check, or an argument of a transformer. */
enum cond_operand_kind {
    OPERAND_FIELD,       /* text = name, argument = between the brackets or NULL */
    OPERAND_TRANSFORMER, /* text = name ("tolower", "val", ...), items = arguments */
    OPERAND_VALUE,       /* text = a string or number, unquoted */
    OPERAND_LIST,        /* items = values */
};

struct cond_operand {
    enum cond_operand_kind kind;
    struct cond_position position;
    const char *text; /* any bytes, `length` of them, and a NUL behind; NULL for a list */
    size_t length;
    const char *argument; /* OPERAND_FIELD, OPERAND_TRANSFORMER (getopt(...)[c]); NULL = none */
    size_t argument_length;
    struct cond_operand **items;
    uint32_t n_items;
};

struct cond {
    enum cond_kind kind;
    struct cond_position position;
    struct cond **children; /* AND, OR: n >= 2; NOT: 1 */
    uint32_t n_children;
    const char *name; /* COND_NAME */
    enum cond_op op;
    enum cond_modifier modifier;
    struct cond_operand *left, *right;
};

struct cond_error {
    struct cond_position position;
    char message[512]; /* as the reference words it, without "filter error at index ...:"; may hold raw bytes of the condition */
};

/* How many parentheses and transformers may be open at once, in conditions of rules and elsewhere. A tree can be three times as deep, and
 * deeper once macros are put in. */
#define COND_DEPTH_RULES 1000
#define COND_DEPTH_OTHER 100

/* Parses `length` bytes. 0 and *out in `arena`; -EINVAL and *error; -ENOMEM. */
int cond_parse(struct arena *arena, const char *text, size_t length, unsigned depth_max, struct cond **out, struct cond_error *error);

/* Canonical text, as the reference shows conditions: parenthesised n-ary and/or, quotes only where values hold blanks, quotes, '=' or what
 * is escaped. In `arena`; NULL when it is full. For people: an empty value prints as nothing and one with a comma as it is, so different
 * trees can give one text, and not every text can be parsed again. */
char *cond_print(struct arena *arena, const struct cond *cond);
char *cond_operand_print(struct arena *arena, const struct cond_operand *operand);

/* One transformer or field as rules use it in outputs and exceptions ("tolower(proc.name)", "proc.aname[2]"): parses the longest such
 * text at the start of `text` ("proc.name" of "proc.name[": what follows is the caller's to judge). Returns its length, 0 if there is none
 * (with *error). */
size_t cond_parse_field(struct arena *arena, const char *text, size_t length, struct cond_operand **out, struct cond_error *error);

const char *cond_op_name(enum cond_op op);
const char *cond_modifier_name(enum cond_modifier modifier); /* "" for none */
/* By name ("startswith"); false if there is none such. */
bool cond_op_find(const char *name, size_t length, enum cond_op *op);
bool cond_modifier_find(const char *name, size_t length, enum cond_modifier *modifier);
bool cond_transformer_exists(const char *name, size_t length); /* also "val" */

/* Quoting, language.md 6.4. cond_quote(): in `arena`, with quotes where needed; NUL bytes stay what they are, hence the length (NULL = not
 * wanted). cond_unquote(): of a text with its quotes; 0, -EINVAL + *error, -ENOMEM. */
char *cond_quote(struct arena *arena, const char *text, size_t length, size_t *out_length);
int cond_unquote(struct arena *arena, const char *text, size_t length, char **out, size_t *out_length, struct cond_error *error);

#endif
