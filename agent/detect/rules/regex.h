/* The operator regex: POSIX extended expressions as RE2 takes them in its POSIX mode, matched against the whole text. Pure. */
#ifndef ECSGUARD_RULES_REGEX_H
#define ECSGUARD_RULES_REGEX_H

#include "agent/detect/rules/arena.h"
#include "agent/detect/rules/regex_words.h"

/* Texts one of which a matching text has in it; n 0: that cannot be said. */
struct regex_set {
    struct regex_word {
        const char *data;
        size_t length;
    } *words;
    uint32_t n;
};

struct regex {
    void *code;   /* pcre2_code */
    void *search; /* its core, to be looked for; NULL = it is not of that kind */
    struct regex_set sets[REGEX_SETS]; /* each of them; those with words come first, the longest words first of all */
};

/* 0; -EINVAL and a message (back-references, lookaround, Perl's classes and all else that the syntax does not have); -ENOMEM. */
int regex_compile(struct arena *arena, const char *pattern, size_t length, struct regex **out, char *error, size_t error_size);

/* Room for matching; one for all expressions of a thread. NULL on lack of memory. */
struct regex_room;
struct regex_room *regex_room_new(void);
void regex_room_free(struct regex_room *room);

/* False if the text, any bytes, lacks what every match has: much faster than asking for a match. */
bool regex_may_match(const struct regex *regex, const char *text, size_t length);
/* 1 if the whole of `text`, which must be valid UTF-8, matches; 0 if not; -EOVERFLOW if it would take too much time or memory. */
int regex_match(const struct regex *regex, struct regex_room *room, const char *text, size_t length);

/* Length of the text once every bad sequence is U+FFFD; 0 = it is valid UTF-8 as it is. */
size_t utf8_fixed_length(const char *text, size_t length);
/* Writes that text. */
void utf8_fix(char *out, const char *text, size_t length);

/* An expression in PCRE2's syntax. */
struct regex_translated {
    char *text; /* `size` bytes of the caller's */
    size_t size, length;
    /* Of it: what stands between "anything" in front and at the end, which is ".*", or "(.* )?" and "( .*)?": then a blank or an end of the
     * text is next to it. 0 and `length` if they are not there. */
    size_t core, core_end;
    bool core_after_blank, core_before_blank;
    struct regex_words needed[REGEX_SETS]; /* what a text must have */
};

/* Checks and translates, regex_syntax.c. 0, -EINVAL and a message, -ENOSPC. */
int regex_translate(const char *pattern, size_t length, struct regex_translated *out, char *error, size_t error_size);

#endif
