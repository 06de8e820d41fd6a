/* The words of conditions: operators, modifiers, transformers. */
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/cond_lex.h"

/* In the order in which they are tried: the first that is a prefix of the text is taken. */
static const struct cond_op_info ops[OP_MAX] = {
    { OP_LE, "<=", RIGHT_NUMBER },
    { OP_LT, "<", RIGHT_NUMBER },
    { OP_GE, ">=", RIGHT_NUMBER },
    { OP_GT, ">", RIGHT_NUMBER },
    { OP_EQ2, "==", RIGHT_TEXT },
    { OP_EQ, "=", RIGHT_TEXT },
    { OP_NE, "!=", RIGHT_TEXT },
    { OP_GLOB, "glob", RIGHT_TEXT, true },
    { OP_IGLOB, "iglob", RIGHT_TEXT, true },
    { OP_CONTAINS, "contains", RIGHT_TEXT, true },
    { OP_ICONTAINS, "icontains", RIGHT_TEXT, true },
    { OP_BCONTAINS, "bcontains", RIGHT_TEXT, true },
    { OP_STARTSWITH, "startswith", RIGHT_TEXT, true },
    { OP_BSTARTSWITH, "bstartswith", RIGHT_TEXT, true },
    { OP_ENDSWITH, "endswith", RIGHT_TEXT, true },
    { OP_REGEX, "regex", RIGHT_TEXT, true },
    { OP_INTERSECTS, "intersects", RIGHT_LIST },
    { OP_IN, "in", RIGHT_LIST },
    { OP_PMATCH, "pmatch", RIGHT_LIST },
};

static const struct {
    enum cond_modifier modifier;
    const char *name;
} modifiers[] = { { MODIFIER_ONEOF, "oneof" }, { MODIFIER_ANYOF, "anyof" }, { MODIFIER_ALLOF, "allof" } };

static const char *const transformers[] = { "tolower", "toupper", "b64", "basename", "len", "join", "concat", "getopt" };

#define N_MODIFIERS (sizeof modifiers / sizeof *modifiers)
#define N_TRANSFORMERS (sizeof transformers / sizeof *transformers)

static bool is_text(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && !memcmp(text, word, length);
}

const char *cond_op_name(enum cond_op op)
{
    for (size_t i = 0; i < OP_MAX; i++)
        if (ops[i].op == op)
            return ops[i].name;
    abort();
}

bool cond_op_find(const char *name, size_t length, enum cond_op *op)
{
    for (size_t i = 0; i < OP_MAX; i++)
        if (is_text(name, length, ops[i].name)) {
            *op = ops[i].op;
            return true;
        }
    return false;
}

const char *cond_modifier_name(enum cond_modifier modifier)
{
    for (size_t i = 0; i < N_MODIFIERS; i++)
        if (modifiers[i].modifier == modifier)
            return modifiers[i].name;
    return "";
}

bool cond_modifier_find(const char *name, size_t length, enum cond_modifier *modifier)
{
    for (size_t i = 0; i < N_MODIFIERS; i++)
        if (is_text(name, length, modifiers[i].name)) {
            *modifier = modifiers[i].modifier;
            return true;
        }
    return false;
}

bool cond_transformer_exists(const char *name, size_t length)
{
    for (size_t i = 0; i < N_TRANSFORMERS; i++)
        if (is_text(name, length, transformers[i]))
            return true;
    return is_text(name, length, "val");
}

bool cond_lex_call(struct cond_lexer *lexer, const char *name)
{
    struct cond_lexer before = *lexer;
    if (!cond_lex_word(lexer, name))
        return false;
    const char *token = lexer->token;
    size_t length = lexer->token_length;
    if (!cond_lex_word(lexer, "(")) {
        *lexer = before;
        return false;
    }
    lexer->token = token;
    lexer->token_length = length;
    return true;
}

bool cond_lex_transformer(struct cond_lexer *lexer)
{
    for (size_t i = 0; i < N_TRANSFORMERS; i++)
        if (cond_lex_call(lexer, transformers[i]))
            return true;
    return false;
}

enum cond_modifier cond_lex_modifier(struct cond_lexer *lexer)
{
    struct cond_lexer before = *lexer;
    enum cond_modifier modifier = MODIFIER_NONE;
    if (cond_lex_blank(lexer) && cond_lex_identifier(lexer) &&
        cond_modifier_find(lexer->token, lexer->token_length, &modifier) && cond_lex_blank(lexer)) {
        struct cond_lexer list = *lexer;
        bool follows = cond_lex_peek(lexer) == '(';
        if (!follows && cond_lex_identifier(lexer)) {
            const char *token = lexer->token;
            size_t n = lexer->token_length;
            follows = !is_text(token, n, "and") && !is_text(token, n, "or") && !is_text(token, n, "not");
        }
        if (follows) {
            *lexer = list;
            return modifier;
        }
    }
    *lexer = before;
    return MODIFIER_NONE;
}

const struct cond_op_info *cond_lex_op(struct cond_lexer *lexer)
{
    for (size_t i = 0; i < OP_MAX; i++) {
        struct cond_lexer before = *lexer;
        if (!cond_lex_word(lexer, ops[i].name))
            continue;
        if (!ops[i].before_blank || cond_lex_at_blank(lexer))
            return &ops[i];
        *lexer = before;
    }
    return NULL;
}
