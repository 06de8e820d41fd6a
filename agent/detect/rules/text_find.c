#include "agent/detect/rules/text_find.h"

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define LANES 16
#define TOPS 0x8080808080808080ull /* one bit of each byte */

/* No typedef elsewhere: a vector type cannot be spelt without. */
typedef uint8_t lanes __attribute__((vector_size(LANES)));
typedef uint64_t halves __attribute__((vector_size(LANES)));

static uint8_t lower(char c)
{
    return (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static bool is_at(const char *text, const char *part, size_t n, uint8_t uncase)
{
    if (!uncase)
        return !memcmp(text, part, n);
    for (size_t i = 0; i < n; i++)
        if (lower(text[i]) != lower(part[i]))
            return false;
    return true;
}

static lanes load(const char *text)
{
    lanes l;
    memcpy(&l, text, LANES);
    return l;
}

/* The part's text, how it is compared, and what is looked for in all places at once. */
struct part {
    const char *data;
    size_t length;
    uint8_t uncase; /* 0x20 where case is ignored */
};

/* Some of the sixteen places at `text` have the right bytes: which of them has the part. Apart, so that what is done for every place
 * needs no room but registers. */
__attribute__((noinline)) static const char *places_look(const struct part *part, const char *text, uint64_t low, uint64_t high)
{
    const uint64_t found[2] = { le64toh(low) & TOPS, le64toh(high) & TOPS }; /* byte by byte as in memory */
    for (size_t half = 0; half < 2; half++)
        for (uint64_t left = found[half]; left; left &= left - 1) {
            const char *at = text + 8 * half + (size_t)__builtin_ctzll(left) / 8;
            if (is_at(at, part->data, part->length, part->uncase))
                return at;
        }
    return NULL;
}

/* What is looked for in many places at once: the part's first byte, and its last one where that would be. */
struct ends {
    lanes firsts, lasts, uncases;
    size_t apart;
};

/* A byte that is not 0 for each of the sixteen places at `at` that have both. */
static inline lanes places_at(const struct ends *ends, const char *at)
{
    return (lanes)((load(at) | ends->uncases) == ends->firsts) & (lanes)((load(at + ends->apart) | ends->uncases) == ends->lasts);
}

static inline bool is_any(lanes places)
{
    const halves found = (halves)places;
    return __builtin_expect(found[0] | found[1], 0);
}

/* The first of n places from the i-th on, by four times sixteen, that is not known to lack the part. */
static inline size_t skip(const struct ends *ends, const char *text, size_t i, size_t n)
{
    for (const char *at = text + i; i + 4 * LANES <= n; i += 4 * LANES, at += 4 * LANES)
        if (is_any(places_at(ends, at) | places_at(ends, at + LANES) | places_at(ends, at + 2 * LANES) | places_at(ends, at + 3 * LANES)))
            break;
    return i;
}

__attribute__((always_inline)) static inline const char *find(const char *text, size_t length, const struct part part)
{
    const uint8_t first = (uint8_t)part.data[0] | part.uncase, last = (uint8_t)part.data[part.length - 1] | part.uncase;
    const struct ends ends = { (lanes){ 0 } + first, (lanes){ 0 } + last, (lanes){ 0 } + part.uncase, part.length - 1 };
    const size_t n_places = length - part.length + 1;
    for (size_t i = 0; n_places >= LANES && (i = skip(&ends, text, i, n_places)) < n_places; i += LANES) {
        const char *at = text + (i + LANES <= n_places ? i : n_places - LANES); /* the last ones overlap those before */
        const lanes places = places_at(&ends, at);
        const char *place = is_any(places) ? places_look(&part, at, ((halves)places)[0], ((halves)places)[1]) : NULL;
        if (place)
            return place;
    }
    for (size_t i = 0; n_places < LANES && i < n_places; i++)
        if (((uint8_t)text[i] | part.uncase) == first && ((uint8_t)text[i + ends.apart] | part.uncase) == last &&
            is_at(text + i, part.data, part.length, part.uncase))
            return text + i;
    return NULL;
}

const char *text_find(const char *text, size_t length, const char *part, size_t part_length)
{
    if (!part_length || part_length > length)
        return part_length ? NULL : text;
    return find(text, length, (struct part){ part, part_length, 0 });
}

const char *text_find_fold(const char *text, size_t length, const char *part, size_t part_length)
{
    if (!part_length || part_length > length)
        return part_length ? NULL : text;
    return find(text, length, (struct part){ part, part_length, 0x20 });
}

void text_blank_nuls(char *text, size_t length)
{
    size_t i = 0;
    for (; i + LANES <= length; i += LANES) {
        lanes l = load(text + i);
        l |= (lanes)(l == 0) & ' ';
        memcpy(text + i, &l, LANES);
    }
    for (; i < length; i++)
        if (!text[i])
            text[i] = ' ';
}
