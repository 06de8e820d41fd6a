/* Words that a text must have for an expression to match it: looked for first, since most texts have none. Pure. */
#ifndef ECSGUARD_RULES_REGEX_WORDS_H
#define ECSGUARD_RULES_REGEX_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REGEX_WORDS_MAX 48
#define REGEX_WORD_BYTES 20
#define REGEX_SETS 4

/* Of a part of an expression. Exact: it matches these texts and no others. Else a text that it matches has one of these in it; none: that
 * cannot be said. */
struct regex_words {
    bool exact;
    uint8_t n;
    uint8_t lengths[REGEX_WORDS_MAX];
    char bytes[REGEX_WORDS_MAX][REGEX_WORD_BYTES];
};

/* Parts one behind the other. */
struct regex_sequence {
    struct regex_words run;               /* exact: what has been read last */
    struct regex_words needed[REGEX_SETS]; /* of what came before: a text has one of each of these; the best ones, the best first */
    bool is_cut;                          /* `run` does not begin at the start */
};

void regex_words_any(struct regex_words *words);   /* any text */
void regex_words_empty(struct regex_words *words); /* the empty text */
void regex_words_char(struct regex_words *words, uint32_t c);
/* One more alternative, of the characters of a bracket and of whole parts. */
void regex_words_add_char(struct regex_words *words, uint32_t c);
void regex_words_or(struct regex_words *words, const struct regex_words *other);
/* The part repeated: at least `least` times, once or never, ... */
void regex_words_repeat(struct regex_words *words, unsigned least, bool at_most_once);
void regex_words_finish(struct regex_words *words); /* not exact any more */

void regex_sequence_begin(struct regex_sequence *sequence);
void regex_sequence_add(struct regex_sequence *sequence, const struct regex_words *part);
/* All of it as one part; `needed` is then complete as well. */
void regex_sequence_end(struct regex_sequence *sequence, struct regex_words *out);

#endif
