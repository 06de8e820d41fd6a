/* One text in another, looked for at sixteen places at a time. Pure. */
#ifndef ECSGUARD_RULES_TEXT_FIND_H
#define ECSGUARD_RULES_TEXT_FIND_H

#include <stddef.h>

/* Where it is first, or NULL; an empty part is at the start. */
const char *text_find(const char *text, size_t length, const char *part, size_t part_length);
/* The case of ASCII letters ignored. */
const char *text_find_fold(const char *text, size_t length, const char *part, size_t part_length);

/* Puts a blank where a NUL is. */
void text_blank_nuls(char *text, size_t length);

#endif
