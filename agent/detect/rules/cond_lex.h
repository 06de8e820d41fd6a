/* Tokens of conditions (private to the cond_*.c files). Words are matched as prefixes, not as whole words: the language's oddity. */
#ifndef ECSGUARD_RULES_COND_LEX_H
#define ECSGUARD_RULES_COND_LEX_H

#include "agent/detect/rules/cond.h"

struct cond_lexer {
    struct arena *arena;
    const char *text;
    size_t length;
    struct cond_position at;
    const char *token; /* the last one that was read, as errors name it; in `text` or the arena */
    size_t token_length;
    struct cond_error *error;
    int status; /* 0; -EINVAL: *error says why; -ENOMEM. Once set, what was read is worth nothing. */
};

void cond_lexer_init(struct cond_lexer *lexer, struct arena *arena, const char *text, size_t length, struct cond_error *error);

/* Sets the error, at the present position, if none is set. Always false, so that readers can return it. */
__attribute__((format(printf, 2, 3))) bool cond_lexer_fail(struct cond_lexer *lexer, const char *format, ...);
bool cond_lexer_nomem(struct cond_lexer *lexer);

/* Each reads one token if it stands here and returns true; else false and nothing is read. Blanks are not skipped, and are no token. */
bool cond_lex_blank(struct cond_lexer *lexer);
bool cond_lex_word(struct cond_lexer *lexer, const char *word);
bool cond_lex_identifier(struct cond_lexer *lexer);
bool cond_lex_field(struct cond_lexer *lexer);         /* a name with at least one dot */
bool cond_lex_bare_argument(struct cond_lexer *lexer); /* between [ and ] */
bool cond_lex_number(struct cond_lexer *lexer);        /* hexadecimal too */
bool cond_lex_bare_text(struct cond_lexer *lexer);
bool cond_lex_quoted(struct cond_lexer *lexer);        /* the token is the text without quotes; may fail */

bool cond_lex_at_blank(const struct cond_lexer *lexer);
char cond_lex_peek(const struct cond_lexer *lexer); /* NUL at the end */

/* What must stand on the right of an operator; cond_words.c has the table. */
enum cond_op_right { RIGHT_NUMBER, RIGHT_TEXT, RIGHT_LIST };

struct cond_op_info {
    enum cond_op op;
    const char *name;
    enum cond_op_right right;
    bool before_blank; /* is only an operator when a blank follows */
};

const struct cond_op_info *cond_lex_op(struct cond_lexer *lexer); /* NULL = none; "exists" is not among them */
/* "oneof", "anyof", "allof" are modifiers only where a list follows; anywhere else they are texts. The blanks before are read too. */
enum cond_modifier cond_lex_modifier(struct cond_lexer *lexer);
bool cond_lex_call(struct cond_lexer *lexer, const char *name); /* "name(": the name becomes the token */
bool cond_lex_transformer(struct cond_lexer *lexer);            /* the same for any transformer but val */

/* Text that grows, for quoting and printing: from the heap, at most `max` bytes. */
struct cond_text {
    char *data;
    size_t length, size, max;
    bool failed;
};

void cond_text_add(struct cond_text *out, const char *text, size_t length);
void cond_text_quote(struct cond_text *out, const char *text, size_t length, bool always, bool show_nul);
/* Frees it and gives its copy in the arena; NULL when something failed. */
char *cond_text_take(struct cond_text *out, struct arena *arena, size_t *length);

#endif
