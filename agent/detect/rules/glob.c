#include "agent/detect/rules/glob.h"

#include <ctype.h>
#include <string.h>

static unsigned char folded(unsigned char c, bool fold)
{
    return fold && c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c;
}

struct class_name {
    const char *name;
    int (*has)(int c);
};

static const struct class_name classes[] = {
    { "alnum", isalnum }, { "alpha", isalpha }, { "blank", isblank }, { "cntrl", iscntrl }, { "digit", isdigit }, { "graph", isgraph },
    { "lower", islower }, { "print", isprint }, { "punct", ispunct }, { "space", isspace }, { "upper", isupper }, { "xdigit", isxdigit },
};

/* "[:name:]" at *p: moves *p behind it and says whether it holds c; -1 if there is no such thing. */
static int named_class(const unsigned char **p, const unsigned char *end, unsigned char c, bool fold)
{
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        size_t n = strlen(classes[i].name);
        const unsigned char *name = *p + 2;
        if ((size_t)(end - *p) < n + 4 || memcmp(name, classes[i].name, n) || name[n] != ':' || name[n + 1] != ']')
            continue;
        *p += n + 4;
        bool letter = c < 0x80 && isalpha(c);
        return c < 0x80 && (classes[i].has(c) || (fold && letter && (classes[i].has(tolower(c)) || classes[i].has(toupper(c)))));
    }
    return -1;
}

/* One member of a bracket, unescaped; false at the end of the pattern. */
static bool member(const unsigned char **p, const unsigned char *end, unsigned char *out)
{
    if (*p < end && **p == '\\')
        ++*p;
    if (*p >= end)
        return false;
    *out = *(*p)++;
    return true;
}

/* Bracket expression at p ('['): returns what follows it and whether it holds c; NULL if it never ends: then '[' is an ordinary byte. */
static const unsigned char *bracket(const unsigned char *p, const unsigned char *end, unsigned char c, bool fold, bool *holds)
{
    bool negated = ++p < end && (*p == '!' || *p == '^');
    bool found = false;
    c = folded(c, fold);
    if (negated)
        p++;
    for (const unsigned char *first = p;;) {
        unsigned char low, high;
        if (p >= end)
            return NULL;
        if (*p == ']' && p != first)
            break;
        if (*p == '[' && p + 1 < end && p[1] == ':') {
            int has = named_class(&p, end, c, fold);
            if (has >= 0) {
                found |= has == 1;
                continue;
            }
        }
        if (!member(&p, end, &low))
            return NULL;
        high = low;
        if (end - p >= 2 && *p == '-' && p[1] != ']') {
            p++;
            if (!member(&p, end, &high))
                return NULL;
        }
        found |= folded(low, fold) <= c && c <= folded(high, fold);
    }
    *holds = found != negated;
    return p + 1;
}

/* One element of the pattern against one byte: what follows it, or NULL if it does not match. */
static const unsigned char *element(const unsigned char *p, const unsigned char *end, unsigned char c, bool fold)
{
    bool holds;
    if (*p == '?')
        return p + 1;
    if (*p == '[') {
        const unsigned char *after = bracket(p, end, c, fold, &holds);
        if (after)
            return holds ? after : NULL;
    }
    if (*p == '\\') {
        if (++p == end)
            return NULL;
    }
    return folded(*p, fold) == folded(c, fold) ? p + 1 : NULL;
}

bool glob_match(const char *pattern, size_t pattern_length, const char *text, size_t length, bool fold)
{
    const unsigned char *p = (const unsigned char *)pattern, *p_end = p + pattern_length;
    const unsigned char *t = (const unsigned char *)text, *t_end = t + length;
    /* only the last star needs to be tried again: what came before it matches as early as it can */
    const unsigned char *star = NULL, *resume = NULL;
    while (t < t_end || p < p_end) {
        if (p < p_end && *p == '*') {
            star = ++p;
            resume = t;
            if (star == p_end)
                return true;
            continue;
        }
        if (p < p_end && t < t_end) {
            const unsigned char *next = element(p, p_end, *t, fold);
            if (next) {
                p = next;
                t++;
                continue;
            }
        }
        if (!star || resume == t_end)
            return false;
        p = star;
        t = ++resume;
    }
    return true;
}
