/* What makes a command line suspicious, as features with weights. One table (command_features.c) holds all of them. Pure. */
#ifndef ECSGUARD_COMMAND_FEATURES_H
#define ECSGUARD_COMMAND_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum command_class {
    COMMAND_EXECUTION,
    COMMAND_DEFENSE_EVASION,
    COMMAND_PERSISTENCE,
    COMMAND_PRIVILEGE_ESCALATION,
    COMMAND_CONTEXT,   /* adds to what is there, says nothing alone */
    COMMAND_DISCOVERY, /* one command of many: counted over a session, not in a line's score */
};
#define COMMAND_CLASSES COMMAND_CONTEXT /* those that a line can be reported as */

/* Scores from which a line is reported, with the severity. One harmless-looking feature stays below. */
#define COMMAND_SCORE_LOW 50
#define COMMAND_SCORE_MEDIUM 70
#define COMMAND_SCORE_HIGH 100
#define COMMAND_SLOW_WEIGHT 40 /* of a line that makes a pattern give up: nobody writes such lines by chance */

struct command_feature {
    const char *name;
    enum command_class class;
    uint8_t weight;
    const char *words;   /* the line holds one of these, blanks between them, if the pattern matches: looked for first; NULL = not known */
    const char *pattern; /* PCRE2, without case where it says (?i); '.' is any character, '$' an end of line */
    const char *what;
};

extern const struct command_feature command_features[];
extern const int n_command_features;
#define COMMAND_FEATURES_MAX 128

struct command_score {
    uint32_t total;                     /* of the line, without discovery */
    uint32_t classes[COMMAND_CONTEXT + 1]; /* its parts */
    enum command_class class;           /* the largest of those that can be reported */
    uint64_t features[COMMAND_FEATURES_MAX / 64]; /* bits of the table */
    bool limited;                       /* a pattern gave up: the line was made to be slow */
};

static inline bool command_has(const struct command_score *s, int feature)
{
    return s->features[feature / 64] >> (feature % 64) & 1;
}

#endif
