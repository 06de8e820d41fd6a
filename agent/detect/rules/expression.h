/* Typed fields, constants and transformers: what stands on the left of a check, and on the right of some. Pure. */
#ifndef ECSGUARD_RULES_EXPRESSION_H
#define ECSGUARD_RULES_EXPRESSION_H

#include "agent/detect/rules/compare.h"

enum expression_kind { EXPRESSION_FIELD, EXPRESSION_CONSTANT, EXPRESSION_LIST, EXPRESSION_TRANSFORMER };

struct expression;

/* One of language.md 6.3. */
struct transformer {
    const char *name;
    uint32_t n_least; /* arguments */
    /* Judges the arguments and sets the type of the result. 0 or -EINVAL and a message. */
    int (*type)(struct expression *expression, char *error, size_t error_size);
    enum value_answer (*run)(const struct expression *expression, struct eval *eval, struct value *out);
};

struct expression {
    enum expression_kind kind;
    struct subject subject; /* type of the value */
    struct field_ref ref;
    struct value constant;
    const struct transformer *transformer;
    struct expression **items; /* arguments, or elements of a list */
    uint32_t n_items;
    const char *shown;     /* for messages */
    unsigned char option;  /* getopt(...)[c] */
    bool has_option;
};

const struct transformer *transformer_find(const char *name, size_t length);

/* A field that is the right side of a check: val(FIELD). */
int expression_compile_val(struct arena *arena, const struct cond_operand *operand, struct expression **out, struct cond_error *error);

#endif
