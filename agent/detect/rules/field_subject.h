/* What the files about processes share. Private to the fields. */
#ifndef ECSGUARD_RULES_FIELD_SUBJECT_H
#define ECSGUARD_RULES_FIELD_SUBJECT_H

#include <string.h>

#include "agent/detect/rules/field_getters.h"

struct span {
    const char *data;
    size_t length;
};

static inline bool event_is_known(const struct event *ev, enum event_field field)
{
    return ev && event_knows(ev, field);
}

static inline bool span_begins(struct span text, const char *begin)
{
    const size_t n = strlen(begin);
    return text.length >= n && memcmp(text.data, begin, n) == 0;
}

static inline bool span_ends(struct span text, const char *end)
{
    const size_t n = strlen(end);
    return text.length >= n && memcmp(text.data + text.length - n, end, n) == 0;
}

#define EXE_DELETED_MARK " (deleted)"

struct span subject_argv(const struct subject *s); /* words ended by NUL */
struct span subject_comm(const struct subject *s);
struct span subject_exe_link(const struct subject *s); /* as /proc shows it; empty = unknown */

/* Words ended by NUL: the first; those behind it, without the last one's NUL; all of them with blanks between. */
struct span words_first(struct span words);
struct span words_rest(struct span words);
enum value_answer words_join(struct field_context *c, struct span words, struct value *out);

#endif
