/* "FIELD OP VALUES" once the value of the field is there: what each operator means for each type (language.md 7.2, 7.3). Pure. */
#ifndef ECSGUARD_RULES_COMPARE_H
#define ECSGUARD_RULES_COMPARE_H

#include "agent/detect/rules/cond.h"
#include "agent/detect/rules/eval.h"
#include "agent/detect/rules/path_set.h"
#include "agent/detect/rules/regex.h"
#include "agent/detect/rules/text_set.h"

/* What is compared. */
struct subject {
    enum value_type type;
    bool is_list;
    enum field_scope scope;
};

struct comparison {
    struct subject subject;
    enum cond_op op;
    enum cond_modifier modifier;
    struct value *values; /* what it is compared with; none: the values come with each event */
    uint32_t n_values;
    struct text_set *set;    /* the values, when they are many texts to be equal to */
    struct path_set *paths;  /* pmatch */
    struct regex **regexes;  /* n_values of them */
};

/* 0; -EINVAL and the reference's words: the operator is not for this type. `modifier`: NONE if there is none. */
int comparison_check(const struct subject *subject, enum cond_op op, enum cond_modifier modifier, char *error, size_t error_size);

/* Compares with constants: the texts of `items`. 0; -EINVAL and a message; -ENOMEM. */
int comparison_init(struct comparison *comparison, struct arena *arena, const struct subject *subject, enum cond_op op,
                    enum cond_modifier modifier, struct cond_operand *const *items, uint32_t n_items, char *error, size_t error_size);

/* Only looks for parts without blanks: it says the same of words whether blanks or NULs are between them. */
bool comparison_is_within_words(const struct comparison *comparison);

/* `hash`: where the hash of the text stands or will stand, 0 = not computed yet; NULL = nowhere. */
bool comparison_holds(const struct comparison *comparison, struct eval *eval, const struct value *value, uint64_t *hash);
/* With a value that came with the event. */
bool comparison_holds_for(const struct comparison *comparison, const struct value *value, const struct value *right);

#endif
