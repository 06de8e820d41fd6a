/* Wildcards as fnmatch(3) has them without flags, in time proportional to pattern times text. Pure. */
#ifndef ECSGUARD_RULES_GLOB_H
#define ECSGUARD_RULES_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Whole text, bytes: `*` and `?` also match '/'; [a-z], [!a-z], [[:alpha:]]; a backslash takes the next byte as it is. `fold` ignores
 * the case of ASCII letters. */
bool glob_match(const char *pattern, size_t pattern_length, const char *text, size_t length, bool fold);

#endif
