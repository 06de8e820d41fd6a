/* Reads an expression as RE2's POSIX mode does and writes it in PCRE2's syntax, every byte spelt out, so that nothing means more there than
 * here: no lookaround, no back-references, no lazy or possessive repetition, no classes but the POSIX ones. Groups only group. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/rules/regex.h"
#include "agent/detect/rules/regex_words.h"

#define REPEAT_MAX 1000 /* of one repetition and of nested ones multiplied, as RE2 has it */
#define NESTING_MAX 100
#define BRACKET_WORDS 6 /* characters of a bracket that are told apart */

/* What is known of a part of the expression. */
struct part {
    unsigned weight; /* how often its innermost part can be repeated */
    struct regex_words words;
};

struct translation {
    const char *start, *p, *end;
    char *out;
    size_t length, size;
    char *error;
    size_t error_size;
    unsigned nesting;
    struct regex_translated *whole;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct translation *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(t->error, t->error_size, format, args);
    va_end(args);
    return -EINVAL;
}

static int put(struct translation *t, const char *text)
{
    size_t n = strlen(text);
    if (n >= t->size - t->length)
        return -ENOSPC;
    memcpy(t->out + t->length, text, n + 1);
    t->length += n;
    return 0;
}

static int put_char(struct translation *t, uint32_t c)
{
    char text[16];
    snprintf(text, sizeof text, "\\x{%x}", c);
    return put(t, text);
}

/* Puts text into what was written already. */
static int put_at(struct translation *t, size_t at, const char *text)
{
    size_t n = strlen(text);
    if (n >= t->size - t->length)
        return -ENOSPC;
    memmove(t->out + at + n, t->out + at, t->length - at + 1);
    memcpy(t->out + at, text, n);
    t->length += n;
    return 0;
}

/* One character of the pattern, UTF-8. */
static int take_char(struct translation *t, uint32_t *out)
{
    unsigned char c = (unsigned char)*t->p;
    size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if ((size_t)(t->end - t->p) < n || utf8_fixed_length(t->p, n))
        return refuse(t, "invalid UTF-8");
    uint32_t value = n == 1 ? c : c & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        value = value << 6 | ((unsigned char)t->p[i] & 0x3f);
    t->p += n;
    *out = value;
    return 0;
}

static int digit_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

static int take_hex(struct translation *t, const char *start, uint32_t *out)
{
    bool braces = t->p < t->end && *t->p == '{';
    uint32_t value = 0;
    int n = 0;
    if (braces)
        t->p++;
    for (; t->p < t->end && digit_value(*t->p) < 16 && (braces || n < 2) && value <= 0x10ffff; n++)
        value = value << 4 | (uint32_t)digit_value(*t->p++);
    bool closed = !braces || (t->p < t->end && *t->p++ == '}');
    if (!closed || n < (braces ? 1 : 2) || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return refuse(t, "invalid escape sequence: %.*s", (int)(t->p - start), start);
    *out = value;
    return 0;
}

/* Behind a backslash: control characters, octal, hex and punctuation; a digit from 1 that no octal digit follows is a back-reference. */
static int take_escape(struct translation *t, uint32_t *out)
{
    static const char from[] = "afnrtv", to[] = "\a\f\n\r\t\v";
    const char *start = t->p++, *known;
    if (t->p == t->end)
        return refuse(t, "trailing \\");
    char c = *t->p;
    if (c == 'x') {
        t->p++;
        return take_hex(t, start, out);
    }
    if (c == '0' || (c >= '1' && c <= '7' && t->p + 1 < t->end && t->p[1] >= '0' && t->p[1] <= '7')) {
        uint32_t value = 0;
        for (int n = 0; n < 3 && t->p < t->end && *t->p >= '0' && *t->p <= '7'; n++)
            value = value << 3 | (uint32_t)(*t->p++ - '0');
        *out = value;
        return 0;
    }
    t->p++;
    if ((known = memchr(from, c, sizeof from - 1)))
        *out = (uint32_t)to[known - from];
    else if (c && (unsigned char)c < 0x80 && digit_value(c) > 9 && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
        *out = (uint32_t)c;
    else
        return refuse(t, "invalid escape sequence: %.*s", (int)(t->p - start), start);
    return 0;
}

struct posix_class {
    const char *name;
    const char *ranges, *others; /* in PCRE2's syntax; others: all that it does not hold */
};

static const struct posix_class posix_classes[] = {
    { "alnum", "0-9A-Za-z", "\\x{0}-\\x{2f}\\x{3a}-\\x{40}\\x{5b}-\\x{60}\\x{7b}-\\x{10ffff}" },
    { "alpha", "A-Za-z", "\\x{0}-\\x{40}\\x{5b}-\\x{60}\\x{7b}-\\x{10ffff}" },
    { "ascii", "\\x{0}-\\x{7f}", "\\x{80}-\\x{10ffff}" },
    { "blank", "\\x{9}\\x{20}", "\\x{0}-\\x{8}\\x{a}-\\x{1f}\\x{21}-\\x{10ffff}" },
    { "cntrl", "\\x{0}-\\x{1f}\\x{7f}", "\\x{20}-\\x{7e}\\x{80}-\\x{10ffff}" },
    { "digit", "0-9", "\\x{0}-\\x{2f}\\x{3a}-\\x{10ffff}" },
    { "graph", "\\x{21}-\\x{7e}", "\\x{0}-\\x{20}\\x{7f}-\\x{10ffff}" },
    { "lower", "a-z", "\\x{0}-\\x{60}\\x{7b}-\\x{10ffff}" },
    { "print", "\\x{20}-\\x{7e}", "\\x{0}-\\x{1f}\\x{7f}-\\x{10ffff}" },
    { "punct", "\\x{21}-\\x{2f}\\x{3a}-\\x{40}\\x{5b}-\\x{60}\\x{7b}-\\x{7e}",
      "\\x{0}-\\x{20}0-9A-Za-z\\x{7f}-\\x{10ffff}" },
    { "space", "\\x{9}-\\x{d}\\x{20}", "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{10ffff}" },
    { "upper", "A-Z", "\\x{0}-\\x{40}\\x{5b}-\\x{10ffff}" },
    { "word", "0-9A-Za-z_", "\\x{0}-\\x{2f}\\x{3a}-\\x{40}\\x{5b}-\\x{5e}\\x{60}\\x{7b}-\\x{10ffff}" },
    { "xdigit", "0-9A-Fa-f", "\\x{0}-\\x{2f}\\x{3a}-\\x{40}\\x{47}-\\x{60}\\x{67}-\\x{10ffff}" },
};

/* "[:name:]" or "[:^name:]": 1 and written; 0 if it is not of that form. */
static int take_posix_class(struct translation *t)
{
    const char *start = t->p, *name = start + 2, *close = NULL;
    for (const char *p = name; p + 1 < t->end && !close; p++)
        if (p[0] == ':' && p[1] == ']')
            close = p;
    if (!close)
        return 0;
    bool negated = *name == '^';
    size_t n = (size_t)(close - name) - negated;
    for (size_t i = 0; i < sizeof posix_classes / sizeof posix_classes[0]; i++) {
        const struct posix_class *c = &posix_classes[i];
        if (strlen(c->name) != n || memcmp(c->name, name + negated, n))
            continue;
        t->p = close + 2;
        int err = put(t, negated ? c->others : c->ranges);
        return err ? err : 1;
    }
    return refuse(t, "invalid character class range: %.*s", (int)(close + 2 - start), start);
}

static int take_member(struct translation *t, uint32_t *out)
{
    return *t->p == '\\' ? take_escape(t, out) : take_char(t, out);
}

static int take_range(struct translation *t, struct regex_words *words)
{
    const char *start = t->p;
    uint32_t low, high;
    int err = take_member(t, &low);
    if (err)
        return err;
    high = low;
    if (t->end - t->p >= 2 && t->p[0] == '-' && t->p[1] != ']') {
        t->p++;
        if ((err = take_member(t, &high)))
            return err;
        if (high < low)
            return refuse(t, "invalid character class range: %.*s", (int)(t->p - start), start);
    }
    if (high > low && ((err = put_char(t, low)) || (err = put(t, "-"))))
        return err;
    if (high - low > BRACKET_WORDS || words->n > BRACKET_WORDS)
        regex_words_any(words);
    for (uint32_t c = low; c <= high && words->exact; c++)
        regex_words_add_char(words, c);
    return put_char(t, high);
}

static int take_class(struct translation *t, struct regex_words *words)
{
    const char *start = t->p++;
    int err = put(t, "[");
    words->exact = true; /* of nothing yet */
    words->n = 0;
    if (!err && t->p < t->end && *t->p == '^') {
        t->p++;
        err = put(t, "^");
        regex_words_any(words);
    }
    for (bool first = true; !err; first = false) {
        if (t->p == t->end)
            return refuse(t, "missing ]: %.*s", (int)(t->end - start), start);
        if (*t->p == ']' && !first)
            break;
        if (*t->p == '-' && !first && (t->end - t->p < 2 || t->p[1] != ']'))
            return refuse(t, "invalid character class range: %.*s", (int)(t->end - t->p < 2 ? 1 : 2), t->p);
        if (t->end - t->p > 2 && t->p[0] == '[' && t->p[1] == ':') {
            int taken = take_posix_class(t);
            err = taken < 0 ? taken : 0;
            if (taken) {
                regex_words_any(words);
                continue;
            }
        }
        err = take_range(t, words);
    }
    if (!err) {
        t->p++;
        err = put(t, "]");
    }
    return err;
}

static bool take_number(const char **p, const char *end, unsigned *out)
{
    const char *start = *p;
    unsigned value = 0;
    for (; *p < end && **p >= '0' && **p <= '9'; ++*p)
        if (value < 100000)
            value = value * 10 + (unsigned)(**p - '0');
    *out = value;
    return *p > start && (*start != '0' || *p == start + 1);
}

/* "{n}", "{n,}" or "{n,m}" at t->p; false if it is not that: then the brace is an ordinary character. */
static bool take_counts(struct translation *t, unsigned *least, unsigned *most, bool *open)
{
    const char *p = t->p + 1;
    *open = false;
    if (!take_number(&p, t->end, least))
        return false;
    *most = *least;
    if (p < t->end && *p == ',') {
        if (++p < t->end && *p == '}')
            *open = true;
        else if (!take_number(&p, t->end, most))
            return false;
    }
    if (p == t->end || *p != '}')
        return false;
    t->p = p + 1;
    return true;
}

/* Repetitions behind what was written from `at` on. */
static int take_repeats(struct translation *t, size_t at, struct part *part)
{
    while (t->p < t->end) {
        const char *start = t->p;
        unsigned least, most;
        bool open;
        char times[32];
        if (*t->p == '*' || *t->p == '+' || *t->p == '?') {
            least = *t->p == '+';
            most = *t->p != '?' ? REPEAT_MAX : 1;
            snprintf(times, sizeof times, ")%c", *t->p++);
        } else if (*t->p == '{' && take_counts(t, &least, &most, &open)) {
            unsigned factor = open ? least : most;
            if (most < least || factor > REPEAT_MAX || (factor > 1 && part->weight * factor > REPEAT_MAX))
                return refuse(t, "invalid repetition size: %.*s", (int)(t->p - start), start);
            if (factor > 1)
                part->weight *= factor;
            if (open)
                snprintf(times, sizeof times, "){%u,}", least);
            else
                snprintf(times, sizeof times, "){%u,%u}", least, most);
            most = open ? REPEAT_MAX : most;
        } else {
            return 0;
        }
        regex_words_repeat(&part->words, least, most == 1);
        int err = put_at(t, at, "(?:");
        if (err || (err = put(t, times)))
            return err;
    }
    return 0;
}

static int take_sequence(struct translation *t, struct part *part);
static int take_alternatives(struct translation *t, struct part *part);

static int take_group(struct translation *t, struct part *part)
{
    t->p++;
    if (++t->nesting > NESTING_MAX)
        return refuse(t, "nested too deeply");
    int err = put(t, "(?:");
    if (err || (err = take_sequence(t, part)) || (err = take_alternatives(t, part)))
        return err;
    if (t->p == t->end)
        return refuse(t, "missing ): %.*s", (int)(t->end - t->start), t->start);
    t->p++;
    t->nesting--;
    return put(t, ")");
}

static int take_literal(struct translation *t, struct part *part)
{
    const char *start = t->p;
    unsigned least, most;
    bool open;
    uint32_t c;
    if (*t->p == '{' && take_counts(t, &least, &most, &open))
        return refuse(t, "no argument for repetition operator: %.*s", (int)(t->p - start), start);
    int err = *t->p == '\\' ? take_escape(t, &c) : take_char(t, &c);
    if (err)
        return err;
    regex_words_char(&part->words, c);
    return put_char(t, c);
}

static int take_atom(struct translation *t, struct part *part)
{
    switch (*t->p) {
    case '*':
    case '+':
    case '?':
        return refuse(t, "no argument for repetition operator: %c", *t->p);
    case '(':
        return take_group(t, part);
    case '[':
        return take_class(t, &part->words);
    case '.':
        regex_words_any(&part->words);
        t->p++;
        return put(t, ".");
    case '^':
    case '$':
        regex_words_empty(&part->words);
        return put(t, *t->p++ == '^' ? "^" : "$");
    }
    return take_literal(t, part);
}

static bool is_exactly(const char *start, const char *end, const char *text)
{
    return (size_t)(end - start) == strlen(text) && !memcmp(start, text, strlen(text));
}

/* A part of the whole, from `start` on, written from `at` on: if it is the first and says "anything" or "anything and a blank, or nothing",
 * the core begins behind it; if it is the last and says so, the core ends before it. */
static void ends_note(struct translation *t, const char *start, size_t at)
{
    struct regex_translated *whole = t->whole;
    bool is_first = start == t->start, is_anything = is_exactly(start, t->p, ".*");
    if (is_first && (is_anything || is_exactly(start, t->p, "(.* )?"))) {
        whole->core = t->length;
        whole->core_after_blank = !is_anything;
    }
    bool ends = !is_first && (is_anything || is_exactly(start, t->p, "( .*)?"));
    whole->core_end = ends ? at : t->length;
    whole->core_before_blank = ends && !is_anything;
}

/* Up to the next '|', ')' or the end. */
static int take_sequence(struct translation *t, struct part *part)
{
    struct regex_sequence sequence;
    bool is_whole = !t->nesting;
    part->weight = 1;
    regex_sequence_begin(&sequence);
    while (t->p < t->end && *t->p != ')' && *t->p != '|') {
        struct part own = { .weight = 1 };
        const char *start = t->p;
        size_t at = t->length;
        int err = take_atom(t, &own);
        if (err || (err = take_repeats(t, at, &own)))
            return err;
        if (is_whole)
            ends_note(t, start, at);
        if (own.weight > part->weight)
            part->weight = own.weight;
        regex_sequence_add(&sequence, &own.words);
    }
    regex_sequence_end(&sequence, &part->words);
    if (is_whole)
        memcpy(t->whole->needed, sequence.needed, sizeof sequence.needed);
    return 0;
}

/* Those behind the first one. */
static int take_alternatives(struct translation *t, struct part *part)
{
    int err = 0;
    while (!err && t->p < t->end && *t->p == '|') {
        struct part other;
        t->p++;
        err = put(t, "|");
        if (err || (err = take_sequence(t, &other)))
            return err;
        regex_words_or(&part->words, &other.words);
        if (other.weight > part->weight)
            part->weight = other.weight;
    }
    return err;
}

int regex_translate(const char *pattern, size_t length, struct regex_translated *out, char *error, size_t error_size)
{
    struct translation t = { .start = pattern, .p = pattern, .end = pattern + length, .out = out->text, .size = out->size, .error = error,
                             .error_size = error_size, .whole = out };
    struct part whole;
    out->core = out->core_end = 0;
    out->core_after_blank = out->core_before_blank = false;
    int err = put(&t, "");
    if (!err)
        err = take_sequence(&t, &whole);
    bool has_alternatives = !err && t.p < t.end && *t.p == '|';
    if (!err)
        err = take_alternatives(&t, &whole);
    if (!err && t.p < t.end)
        err = refuse(&t, "unexpected ): %.*s", (int)length, pattern);
    if (err)
        return err;
    out->length = t.length;
    if (has_alternatives) {
        out->core = 0;
        out->core_end = t.length;
        out->core_after_blank = out->core_before_blank = false;
        out->needed[0] = whole.words;
        for (int i = 1; i < REGEX_SETS; i++)
            regex_words_any(&out->needed[i]);
    }
    for (int i = 0; i < REGEX_SETS; i++)
        regex_words_finish(&out->needed[i]);
    return 0;
}
