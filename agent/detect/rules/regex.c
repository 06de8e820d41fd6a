#define PCRE2_CODE_UNIT_WIDTH 8
#include "agent/detect/rules/regex.h"

#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/text_find.h"
#include "common/limits.h"

#define NEEDED_WORDS_ASKED 12

/* PCRE2 first looks for a match the fast way, which backtracks; what would take too many steps is done by its other algorithm, which does
 * not: its time grows with the text times the states that are alive, and these are bounded by the workspace. */
struct regex_room {
    pcre2_match_data *data;
    pcre2_match_context *context;
    int workspace[LIMIT_REGEX_WORKSPACE];
};

static void *arena_malloc(size_t size, void *arena)
{
    return arena_new(arena, size);
}

static void arena_free(void *at, void *arena) /* all at once, with the arena */
{
    (void)at, (void)arena;
}

static int translated_compile(struct arena *arena, const char *text, size_t length, uint32_t anchors, void **out, char *error,
                              size_t error_size)
{
    pcre2_general_context *general = pcre2_general_context_create(arena_malloc, arena_free, arena);
    pcre2_compile_context *context = general ? pcre2_compile_context_create(general) : NULL;
    PCRE2_SIZE offset;
    size_t size = 0;
    int reason;
    if (!context)
        return -ENOMEM;
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    /* RE2's POSIX mode: ^ and $ hold at every line. Other than there the dot is any character, also a newline: else one in an argument
     * would hide the whole command line from every ".*" of every rule. */
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)text, length,
                                     PCRE2_UTF | PCRE2_MULTILINE | PCRE2_DOTALL | PCRE2_ALT_CIRCUMFLEX | PCRE2_NO_AUTO_CAPTURE | anchors,
                                     &reason, &offset, context);
    if (!code) {
        pcre2_get_error_message(reason, (PCRE2_UCHAR *)error, error_size);
        return reason == PCRE2_ERROR_HEAP_FAILED ? -ENOMEM : -EINVAL;
    }
    *out = code;
    return pcre2_pattern_info(code, PCRE2_INFO_SIZE, &size) || size > LIMIT_REGEX_CODE_BYTES ? -ENOSPC : 0;
}

static int set_keep(struct arena *arena, struct regex_set *set, const struct regex_words *words)
{
    set->words = arena_new(arena, (words->n + 1u) * sizeof *set->words);
    for (; set->words && set->n < words->n; set->n++) {
        set->words[set->n].length = words->lengths[set->n];
        set->words[set->n].data = arena_text(arena, words->bytes[set->n], words->lengths[set->n]);
    }
    return arena->failed ? -ENOMEM : 0;
}

/* The core as something that is looked for, instead of trying every place by going back from the text's end: that is far less work. */
static int search_compile(struct arena *arena, const struct regex_translated *t, struct regex *regex, char *error, size_t error_size)
{
    uint32_t start = t->core ? 0 : PCRE2_ANCHORED, end = t->core_end < t->length ? 0 : PCRE2_ENDANCHORED;
    if (start && end)
        return 0;
    char *text = malloc(t->length + 64);
    if (!text)
        return -ENOMEM;
    int n = snprintf(text, t->length + 64, "%s(?:%.*s)%s", t->core_after_blank ? "(?:\\A|\\x20)" : "", (int)(t->core_end - t->core),
                     t->text + t->core, t->core_before_blank ? "(?:\\x20|\\z)" : "");
    int err = translated_compile(arena, text, (size_t)n, start | end, &regex->search, error, error_size);
    free(text);
    return err;
}

int regex_compile(struct arena *arena, const char *pattern, size_t length, struct regex **out, char *error, size_t error_size)
{
    struct regex_translated translated = { .text = malloc(LIMIT_REGEX_BYTES), .size = LIMIT_REGEX_BYTES };
    struct regex *regex = arena_new(arena, sizeof *regex);
    int err = regex && translated.text ? regex_translate(pattern, length, &translated, error, error_size) : -ENOMEM;
    if (!err)
        err = translated_compile(arena, translated.text, translated.length, PCRE2_ANCHORED | PCRE2_ENDANCHORED, &regex->code, error,
                                 error_size);
    if (!err)
        err = search_compile(arena, &translated, regex, error, error_size);
    free(translated.text);
    for (int i = 0; i < REGEX_SETS && !err; i++)
        err = set_keep(arena, &regex->sets[i], &translated.needed[i]);
    if (err == -ENOSPC)
        snprintf(error, error_size, "pattern too large");
    *out = regex;
    return err == -ENOSPC ? -EINVAL : err;
}

struct regex_room *regex_room_new(void)
{
    struct regex_room *room = calloc(1, sizeof *room);
    if (!room)
        return NULL;
    room->data = pcre2_match_data_create(1, NULL);
    room->context = pcre2_match_context_create(NULL);
    if (!room->data || !room->context) {
        regex_room_free(room);
        return NULL;
    }
    pcre2_set_match_limit(room->context, LIMIT_REGEX_STEPS);
    pcre2_set_depth_limit(room->context, LIMIT_REGEX_STEPS);
    pcre2_set_heap_limit(room->context, LIMIT_REGEX_HEAP_KIB);
    return room;
}

void regex_room_free(struct regex_room *room)
{
    if (!room)
        return;
    pcre2_match_data_free(room->data);
    pcre2_match_context_free(room->context);
    free(room);
}

static bool is_limit(int n)
{
    return n == PCRE2_ERROR_MATCHLIMIT || n == PCRE2_ERROR_DEPTHLIMIT || n == PCRE2_ERROR_HEAPLIMIT || n == PCRE2_ERROR_NOMEMORY;
}

/* The shortest words are asked first: they are found or not in no time. */
bool regex_may_match(const struct regex *regex, const char *text, size_t length)
{
    for (int i = REGEX_SETS; i-- > 0;) {
        const struct regex_set *set = &regex->sets[i];
        bool found = !set->n || set->n > NEEDED_WORDS_ASKED;
        for (uint32_t n = 0; n < set->n && !found; n++)
            found = text_find(text, length, set->words[n].data, set->words[n].length);
        if (!found)
            return false;
    }
    return true;
}

int regex_match(const struct regex *regex, struct regex_room *room, const char *text, size_t length)
{
    int n = pcre2_match(regex->search ? regex->search : regex->code, (PCRE2_SPTR)text, length, 0, PCRE2_NO_UTF_CHECK, room->data,
                        room->context);
    bool is_whole = n >= 0;
    if (is_limit(n)) {
        n = pcre2_dfa_match(regex->code, (PCRE2_SPTR)text, length, 0, PCRE2_NO_UTF_CHECK, room->data, room->context, room->workspace,
                            LIMIT_REGEX_WORKSPACE);
        is_whole = n >= 0 && pcre2_get_ovector_pointer(room->data)[1] == length; /* it tells the longest match, wherever that ends */
    }
    return is_whole ? 1 : n >= 0 || n == PCRE2_ERROR_NOMATCH ? 0 : -EOVERFLOW;
}

/* Length of the valid sequence at p (RFC 3629), or 0 and in *bad how many bytes one U+FFFD stands for: a first byte with those behind it
 * that continue it. */
static size_t sequence_length(const unsigned char *p, size_t left, size_t *bad)
{
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2, i = 1;
    *bad = 1;
    if (n == 1)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    uint32_t c = p[0] & (0xffu >> (n + 1));
    for (; i < n && i < left && (p[i] & 0xc0) == 0x80; i++)
        c = c << 6 | (p[i] & 0x3f);
    *bad = i;
    bool overlong = (n == 3 && c < 0x800) || (n == 4 && c < 0x10000);
    return i == n && !overlong && c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff) ? n : 0;
}

static bool is_ascii(const char *text, size_t length)
{
    uint64_t word, any = 0;
    for (; length >= 8; text += 8, length -= 8) {
        memcpy(&word, text, 8);
        any |= word;
    }
    for (; length; length--)
        any |= (unsigned char)*text++;
    return !(any & 0x8080808080808080ull);
}

size_t utf8_fixed_length(const char *text, size_t length)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t total = 0;
    bool changed = false;
    if (is_ascii(text, length))
        return 0;
    for (size_t i = 0, bad; i < length;) {
        size_t n = sequence_length(p + i, length - i, &bad);
        changed |= !n;
        total += n ? n : 3;
        i += n ? n : bad;
    }
    return changed ? total : 0;
}

void utf8_fix(char *out, const char *text, size_t length)
{
    const unsigned char *p = (const unsigned char *)text;
    for (size_t i = 0, bad; i < length;) {
        size_t n = sequence_length(p + i, length - i, &bad);
        memcpy(out, n ? text + i : "\xef\xbf\xbd", n ? n : 3);
        out += n ? n : 3;
        i += n ? n : bad;
    }
}
