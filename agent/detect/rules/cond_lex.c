#include "agent/detect/rules/cond_lex.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void cond_lexer_init(struct cond_lexer *lexer, struct arena *arena, const char *text, size_t length, struct cond_error *error)
{
    *lexer = (struct cond_lexer){ .arena = arena, .text = text, .length = length, .at = { 0, 1, 1 }, .token = "", .error = error };
}

bool cond_lexer_fail(struct cond_lexer *lexer, const char *format, ...)
{
    if (lexer->status)
        return false;
    lexer->status = -EINVAL;
    lexer->error->position = lexer->at;
    va_list args;
    va_start(args, format);
    vsnprintf(lexer->error->message, sizeof lexer->error->message, format, args);
    va_end(args);
    return false;
}

bool cond_lexer_nomem(struct cond_lexer *lexer)
{
    if (!lexer->status)
        lexer->status = -ENOMEM;
    return false;
}

/* ASCII only: a user's locale must not change what a rule means. */
static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex_digit(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_word(char c)
{
    return is_letter(c) || is_digit(c) || c == '_';
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* What may stand between tokens is not the same set as [:space:]: backspace in, vertical tab and form feed out. */
static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\b' || c == '\r' || c == '\n';
}

/* The byte `ahead` of the present position; NUL behind the end. */
static char byte_at(const struct cond_lexer *lexer, size_t ahead)
{
    return ahead < lexer->length - lexer->at.index ? lexer->text[lexer->at.index + ahead] : 0;
}

char cond_lex_peek(const struct cond_lexer *lexer)
{
    return byte_at(lexer, 0);
}

bool cond_lex_at_blank(const struct cond_lexer *lexer)
{
    return is_blank(byte_at(lexer, 0));
}

static void advance(struct cond_lexer *lexer, size_t n)
{
    for (; n; n--) {
        char c = lexer->text[lexer->at.index++];
        lexer->at.column++;
        if (c == '\n' || c == '\r') {
            lexer->at.line++;
            lexer->at.column = 1;
        }
    }
}

/* Makes the next n bytes the token; none when n is 0. */
static bool take(struct cond_lexer *lexer, size_t n)
{
    if (!n)
        return false;
    lexer->token = lexer->text + lexer->at.index;
    lexer->token_length = n;
    advance(lexer, n);
    return true;
}

bool cond_lex_blank(struct cond_lexer *lexer)
{
    bool found = false;
    while (cond_lex_at_blank(lexer)) {
        advance(lexer, 1);
        found = true;
    }
    return found;
}

bool cond_lex_word(struct cond_lexer *lexer, const char *word)
{
    size_t n = strlen(word);
    if (n > lexer->length - lexer->at.index || memcmp(lexer->text + lexer->at.index, word, n) != 0)
        return false;
    return take(lexer, n);
}

static size_t identifier_length(const struct cond_lexer *lexer, size_t from)
{
    size_t n = from;
    if (is_letter(byte_at(lexer, n)))
        while (is_word(byte_at(lexer, n)))
            n++;
    return n - from;
}

bool cond_lex_identifier(struct cond_lexer *lexer)
{
    return take(lexer, identifier_length(lexer, 0));
}

bool cond_lex_field(struct cond_lexer *lexer)
{
    size_t first = identifier_length(lexer, 0), n = first;
    for (size_t more; n && byte_at(lexer, n) == '.' && (more = identifier_length(lexer, n + 1)); n += 1 + more)
        ;
    return n > first && take(lexer, n);
}

/* Length of the longest run of bytes that are neither space nor in `excluded`. */
static size_t run_length(const struct cond_lexer *lexer, const char *excluded)
{
    size_t n = 0, left = lexer->length - lexer->at.index;
    for (; n < left; n++) {
        char c = byte_at(lexer, n);
        if (is_space(c) || (c && strchr(excluded, c)))
            break;
    }
    return n;
}

bool cond_lex_bare_argument(struct cond_lexer *lexer)
{
    return take(lexer, run_length(lexer, "[]\"'"));
}

bool cond_lex_bare_text(struct cond_lexer *lexer)
{
    return take(lexer, run_length(lexer, "()\"'=,"));
}

static size_t digits_length(const struct cond_lexer *lexer, size_t from, bool (*is)(char))
{
    size_t n = from;
    while (is(byte_at(lexer, n)))
        n++;
    return n - from;
}

static size_t hex_length(const struct cond_lexer *lexer)
{
    if (byte_at(lexer, 0) != '0' || (byte_at(lexer, 1) != 'x' && byte_at(lexer, 1) != 'X'))
        return 0;
    size_t n = digits_length(lexer, 2, is_hex_digit);
    return n ? 2 + n : 0;
}

static size_t decimal_length(const struct cond_lexer *lexer)
{
    char sign = byte_at(lexer, 0);
    size_t n = sign == '+' || sign == '-', digits = digits_length(lexer, n, is_digit);
    if (!digits)
        return 0;
    n += digits;
    if (byte_at(lexer, n) == '.')
        n += 1 + digits_length(lexer, n + 1, is_digit);
    char e = byte_at(lexer, n), e_sign = e == 'e' || e == 'E' ? byte_at(lexer, n + 1) : 0;
    if ((e_sign == '+' || e_sign == '-') && (digits = digits_length(lexer, n + 2, is_digit)))
        n += 2 + digits;
    return n;
}

bool cond_lex_number(struct cond_lexer *lexer)
{
    size_t n = hex_length(lexer);
    return take(lexer, n ? n : decimal_length(lexer));
}

/* With its quotes; 0 if there is no closing one. A quote behind a backslash does not close, even if that backslash is itself escaped. */
static size_t quoted_length(const struct cond_lexer *lexer)
{
    const char *p = lexer->text + lexer->at.index;
    size_t left = lexer->length - lexer->at.index;
    if (!left || (p[0] != '"' && p[0] != '\''))
        return 0;
    for (size_t n = 1; n < left; n++)
        if (p[n] == p[0] && p[n - 1] != '\\')
            return n + 1;
    return 0;
}

bool cond_lex_quoted(struct cond_lexer *lexer)
{
    if (!take(lexer, quoted_length(lexer)))
        return false;
    char *text;
    struct cond_error error;
    int r = cond_unquote(lexer->arena, lexer->token, lexer->token_length, &text, &lexer->token_length, &error);
    if (r)
        return r == -ENOMEM ? cond_lexer_nomem(lexer) : cond_lexer_fail(lexer, "%s", error.message);
    lexer->token = text;
    return true;
}
