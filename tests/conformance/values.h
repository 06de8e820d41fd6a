/* Values of fields by their whole names, "proc.aname[2]", as cases write them. */
#ifndef ECSGUARD_TESTS_CONFORMANCE_VALUES_H
#define ECSGUARD_TESTS_CONFORMANCE_VALUES_H

#include "agent/detect/rules/eval.h"

/* A source that is asked by name. */
struct named_source {
    struct value_source source;
    enum value_answer (*get)(struct named_source *source, const char *name, const struct rule_field *field, struct value *out);
    struct arena *arena;
    bool is_whole; /* fields that look in several places are told as one text; else they are made of the fields of each place */
};

void named_source_init(struct named_source *source,
                       enum value_answer (*get)(struct named_source *source, const char *name, const struct rule_field *field, struct value *out),
                       struct arena *arena);

#endif
