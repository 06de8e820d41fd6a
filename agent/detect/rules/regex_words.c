#include "agent/detect/rules/regex_words.h"

#include <string.h>

void regex_words_any(struct regex_words *w)
{
    w->exact = false;
    w->n = 0;
}

void regex_words_empty(struct regex_words *w)
{
    w->exact = true;
    w->n = 1;
    w->lengths[0] = 0;
}

static size_t utf8_put(char out[4], uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(c | (n == 2 ? 0xc0u : n == 3 ? 0xe0u : 0xf0u));
    return n;
}

static void put(struct regex_words *w, const char *text, size_t length)
{
    for (uint32_t i = 0; i < w->n; i++)
        if (w->lengths[i] == length && !memcmp(w->bytes[i], text, length))
            return;
    w->lengths[w->n] = (uint8_t)length;
    memcpy(w->bytes[w->n++], text, length);
}

void regex_words_char(struct regex_words *w, uint32_t c)
{
    w->exact = true;
    w->n = 0;
    regex_words_add_char(w, c);
}

void regex_words_add_char(struct regex_words *w, uint32_t c)
{
    char text[4];
    if (c == 0xfffd || w->n == REGEX_WORDS_MAX) /* U+FFFD stands for bytes that the text itself has not */
        regex_words_any(w);
    else if (w->exact)
        put(w, text, utf8_put(text, c));
}

/* How much it helps to look for these: long ones and few. 0 = not at all. */
static unsigned score(const struct regex_words *w)
{
    unsigned least = w->n ? REGEX_WORD_BYTES : 0;
    for (uint32_t i = 0; i < w->n; i++)
        if (w->lengths[i] < least)
            least = w->lengths[i];
    return least ? least * 2 * REGEX_WORDS_MAX - w->n : 0;
}

void regex_words_finish(struct regex_words *w)
{
    if (!score(w))
        w->n = 0;
    w->exact = false;
}

void regex_words_or(struct regex_words *w, const struct regex_words *other)
{
    bool exact = w->exact && other->exact;
    if (w->n + other->n > REGEX_WORDS_MAX || (!exact && (!score(w) || !score(other)))) {
        regex_words_any(w);
        return;
    }
    w->exact = exact;
    for (uint32_t i = 0; i < other->n; i++)
        put(w, other->bytes[i], other->lengths[i]);
}

void regex_words_repeat(struct regex_words *w, unsigned least, bool at_most_once)
{
    struct regex_words empty;
    regex_words_empty(&empty);
    if (least == 1 && at_most_once)
        return;
    if (least)
        regex_words_finish(w);
    else if (at_most_once && w->exact)
        regex_words_or(w, &empty);
    else
        regex_words_any(w);
}

void regex_sequence_begin(struct regex_sequence *s)
{
    regex_words_empty(&s->run);
    for (int i = 0; i < REGEX_SETS; i++)
        regex_words_any(&s->needed[i]);
    s->is_cut = false;
}

/* Among those that are needed, if it helps more than the last of them. */
static void need(struct regex_sequence *s, const struct regex_words *words)
{
    int at = REGEX_SETS;
    while (at > 0 && score(words) > score(&s->needed[at - 1]))
        at--;
    if (at == REGEX_SETS)
        return;
    memmove(&s->needed[at + 1], &s->needed[at], (size_t)(REGEX_SETS - 1 - at) * sizeof s->needed[0]);
    s->needed[at] = *words;
    s->needed[at].exact = false;
}

/* Every text of `run` with every one of `part` behind it; false if these are too many or too long. */
static bool multiply(struct regex_words *run, const struct regex_words *part)
{
    struct regex_words product = { .exact = true };
    if (!part->exact || run->n * part->n > REGEX_WORDS_MAX)
        return false;
    for (uint32_t i = 0; i < run->n; i++)
        for (uint32_t k = 0; k < part->n; k++) {
            char text[2 * REGEX_WORD_BYTES];
            size_t length = (size_t)run->lengths[i] + part->lengths[k];
            if (length > REGEX_WORD_BYTES)
                return false;
            memcpy(text, run->bytes[i], run->lengths[i]);
            memcpy(text + run->lengths[i], part->bytes[k], part->lengths[k]);
            put(&product, text, length);
        }
    *run = product;
    return true;
}

void regex_sequence_add(struct regex_sequence *s, const struct regex_words *part)
{
    if (multiply(&s->run, part))
        return;
    need(s, &s->run);
    s->is_cut = true;
    if (part->exact) {
        s->run = *part;
        return;
    }
    need(s, part);
    regex_words_empty(&s->run);
}

void regex_sequence_end(struct regex_sequence *s, struct regex_words *out)
{
    need(s, &s->run);
    *out = s->is_cut ? s->needed[0] : s->run;
}
