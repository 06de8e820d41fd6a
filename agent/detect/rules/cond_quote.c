/* Quoted texts of conditions, and text that grows. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/cond_lex.h"

void cond_text_add(struct cond_text *out, const char *text, size_t length)
{
    if (out->failed || length > out->max - out->length) {
        out->failed = true;
        return;
    }
    if (length > out->size - out->length) {
        size_t size = (out->length + length) * 2 + 64;
        char *data = realloc(out->data, size);
        if (!data) {
            out->failed = true;
            return;
        }
        out->data = data;
        out->size = size;
    }
    if (length)
        memcpy(out->data + out->length, text, length);
    out->length += length;
}

char *cond_text_take(struct cond_text *out, struct arena *arena, size_t *length)
{
    char *text = out->failed ? NULL : arena_text(arena, out->data, out->length);
    if (out->failed)
        arena->failed = true;
    if (length)
        *length = out->length;
    free(out->data);
    *out = (struct cond_text){ 0 };
    return text;
}

static const struct {
    char letter, byte;
} escapes[] = {
    { 'b', '\b' }, { 'f', '\f' }, { 'n', '\n' }, { 'r', '\r' }, { 't', '\t' }, { '\\', '\\' },
};

#define N_ESCAPES (sizeof escapes / sizeof *escapes)

static bool needs_quotes(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!text[i] || strchr("\b\f\n\r\t\v\\ \"'=", text[i]))
            return true;
    return false;
}

static void quote_byte(struct cond_text *out, char c, bool show_nul)
{
    if (c == '"' || (!c && show_nul)) {
        cond_text_add(out, c ? "\\\"" : "\\x00", c ? 2 : 4);
        return;
    }
    for (size_t i = 0; i < N_ESCAPES; i++)
        if (c == escapes[i].byte) {
            cond_text_add(out, (const char[2]){ '\\', escapes[i].letter }, 2);
            return;
        }
    cond_text_add(out, &c, 1);
}

void cond_text_quote(struct cond_text *out, const char *text, size_t length, bool always, bool show_nul)
{
    if (!always && !needs_quotes(text, length)) {
        cond_text_add(out, text, length);
        return;
    }
    cond_text_add(out, "\"", 1);
    for (size_t i = 0; i < length; i++)
        quote_byte(out, text[i], show_nul);
    cond_text_add(out, "\"", 1);
}

char *cond_quote(struct arena *arena, const char *text, size_t length, size_t *out_length)
{
    struct cond_text out = { .max = arena->max_bytes };
    cond_text_quote(&out, text, length, false, false);
    return cond_text_take(&out, arena, out_length);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

__attribute__((format(printf, 2, 3))) static int fail(struct cond_error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    *error = (struct cond_error){ .position = { 0, 1, 1 } };
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return -EINVAL;
}

/* The escape behind a backslash: p[0] ... p[left - 1] is what follows it up to the closing quote. Returns how many bytes it takes. */
static int unescape(const char *p, size_t left, char quote, char *byte, struct cond_error *error)
{
    if (!left)
        return fail(error, "unsupported string escape sequence: \\");
    switch (p[0]) {
    case ' ': /* an old rule has it: one backslash, and the blank is gone */
        *byte = '\\';
        return 1;
    case '/':
        *byte = '/';
        return 1;
    case '"':
    case '\'':
        if (p[0] != quote)
            return fail(error, "invalid \\%c escape in %c-quoted string", p[0], quote);
        *byte = p[0];
        return 1;
    case 'x':
        if (left < 3)
            return fail(error, "truncated hex char escape sequence");
        if (hex_digit(p[1]) < 0 || hex_digit(p[2]) < 0)
            return fail(error, "invalid hex char escape sequence: %c%c", p[1], p[2]);
        *byte = (char)(hex_digit(p[1]) << 4 | hex_digit(p[2]));
        return 3;
    }
    for (size_t i = 0; i < N_ESCAPES; i++)
        if (p[0] == escapes[i].letter) {
            *byte = escapes[i].byte;
            return 1;
        }
    return fail(error, "unsupported string escape sequence: \\%c", p[0]);
}

int cond_unquote(struct arena *arena, const char *text, size_t length, char **out, size_t *out_length, struct cond_error *error)
{
    if (length < 2 || (text[0] != '"' && text[0] != '\'') || text[length - 1] != text[0])
        return fail(error, "expected a quoted string");
    char *to = arena_new(arena, length - 1);
    if (!to)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 1; i < length - 1; i++) {
        if (text[i] != '\\') {
            to[n++] = text[i];
            continue;
        }
        int taken = unescape(text + i + 1, length - 2 - i, text[0], &to[n], error);
        if (taken < 0)
            return taken;
        i += (size_t)taken;
        n++;
    }
    to[n] = 0;
    *out = to;
    *out_length = n;
    return 0;
}
