/* Values as rules write them: text -> typed value. Pure. */
#ifndef ECSGUARD_RULES_VALUE_PARSE_H
#define ECSGUARD_RULES_VALUE_PARSE_H

#include "agent/detect/rules/value.h"

#define VALUE_TEXT_MAX 255 /* one value, as the reference has it */

/* The reference's name of a type ("CHARBUF"). */
const char *value_type_name(enum value_type type);

static inline bool value_type_is_text(enum value_type type)
{
    return type == VALUE_TEXT || type == VALUE_PATH;
}

/* Fills *out, whose text is borrowed. 0, or -EINVAL and a message. Numbers are decimal; a negative one for an unsigned type wraps at 32
 * bits, as the reference's ids do; ports wrap at 16 bits and may be names of well-known services. */
int value_parse(enum value_type type, const char *text, size_t length, struct value *out, char *error, size_t error_size);

/* An even number of hex digits to bytes at `out` (length / 2). 0 or -EINVAL. */
int value_parse_hex(const char *text, size_t length, char *out);

#endif
