/* Outputs of rules: text with %fields. Pure. */
#ifndef ECSGUARD_RULES_FORMAT_H
#define ECSGUARD_RULES_FORMAT_H

#include "agent/detect/rules/cond.h"
#include "agent/detect/rules/eval.h"
#include "common/text.h"

struct format_part {
    const char *literal; /* or */
    size_t length;
    struct expression *expression; /* a field or transformer: eval.h */
    const char *token;   /* as written without the %: "proc.aname[2]", "tolower(proc.name)" */
    unsigned width;      /* bytes to pad or cut to, 0 = as is */
};

struct format {
    bool keep_missing;   /* began with '*': a missing value prints <NA> */
    struct format_part *parts;
    uint32_t n_parts;
};

/* 0; -EINVAL with the reference's words; `*unknown` says whether it is of the class that skip-if-unknown-filter forgives. -ENOMEM. */
int format_compile(struct arena *arena, const char *text, size_t length, struct format **out, bool *unknown, struct cond_error *error);

/* Writes the line, raw bytes (escape where it is shown). False when a value was missing and the format does not keep missing ones. */
bool format_print(const struct format *format, struct eval *eval, struct text_out *out);

/* One value as outputs show it. */
void value_print(struct text_out *out, const struct value *value, const struct field_ref *ref);

#endif
