#define PCRE2_CODE_UNIT_WIDTH 8
#include "agent/detect/command_matcher.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/parts.h"
#include "common/limits.h"

#define WORDS_MAX 512        /* of the whole table */
#define WORDS_BYTES 65536    /* what the search for them takes, at most */
#define SHORT_WORDS_MAX 16

/* Almost no line has any of the features. One pass tells whose words are there, and only their patterns are asked. */
struct command_matcher {
    pcre2_code *codes[COMMAND_FEATURES_MAX];
    pcre2_match_data *data;
    pcre2_match_context *context;
    struct arena arena;
    struct parts parts;
    struct automaton_pattern shorts[SHORT_WORDS_MAX]; /* words too short for `parts` */
    int n_shorts;
    uint64_t without_words[COMMAND_FEATURES_MAX / 64];
    uint64_t first_bytes[COMMAND_FEATURES_MAX][256 / 64]; /* that a line begins with, for patterns that match only there */
};

/* Features that the line may have. */
struct candidates {
    uint64_t bits[COMMAND_FEATURES_MAX / 64];
};

/* ---- making --------------------------------------------------------------------------------------------------------------- */

static void bit_set(uint64_t *bits, unsigned n)
{
    bits[n / 64] |= 1ull << (n % 64);
}

static bool bit_has(const uint64_t *bits, unsigned n)
{
    return bits[n / 64] >> (n % 64) & 1;
}

/* A shell's text has lines; a command that looks around is one. */
static pcre2_code *compile(const struct command_feature *f)
{
    int error;
    PCRE2_SIZE offset;
    uint32_t lines = f->class == COMMAND_DISCOVERY ? 0 : PCRE2_MULTILINE;
    return pcre2_compile((PCRE2_SPTR)f->pattern, PCRE2_ZERO_TERMINATED, PCRE2_DOTALL | PCRE2_NO_AUTO_CAPTURE | lines, &error, &offset, NULL);
}

/* What PCRE2 found out about the first byte of a match; all bytes if that is nothing, or if a match may begin anywhere. */
static void first_bytes_note(const pcre2_code *code, uint64_t *first)
{
    uint32_t options = 0, type = 0, unit = 0;
    const uint8_t *map = NULL;
    pcre2_pattern_info(code, PCRE2_INFO_ALLOPTIONS, &options);
    pcre2_pattern_info(code, PCRE2_INFO_FIRSTCODETYPE, &type);
    pcre2_pattern_info(code, PCRE2_INFO_FIRSTCODEUNIT, &unit);
    pcre2_pattern_info(code, PCRE2_INFO_FIRSTBITMAP, &map);
    bool is_anchored = options & PCRE2_ANCHORED;
    for (unsigned byte = 0; byte < 256; byte++)
        if (!is_anchored || (type == 1 ? byte == unit : !map || map[byte / 8] >> (byte % 8) & 1))
            bit_set(first, byte);
}

static int words_split(struct command_matcher *m, unsigned feature, struct automaton_pattern *longs, size_t *n_longs)
{
    const char *word = command_features[feature].words;
    if (!word)
        bit_set(m->without_words, feature);
    for (size_t length; word && *word; word += length + (word[length] == ' ')) {
        length = strcspn(word, " ");
        struct automaton_pattern pattern = { word, length, feature };
        if (length < PARTS_LENGTH_MIN && m->n_shorts < SHORT_WORDS_MAX)
            m->shorts[m->n_shorts++] = pattern;
        else if (length >= PARTS_LENGTH_MIN && *n_longs < WORDS_MAX)
            longs[(*n_longs)++] = pattern;
        else
            return -1;
    }
    return 0;
}

static int words_init(struct command_matcher *m)
{
    struct automaton_pattern longs[WORDS_MAX];
    size_t n = 0;
    for (int i = 0; i < n_command_features; i++)
        if (words_split(m, (unsigned)i, longs, &n))
            return -1;
    return parts_init(&m->parts, &m->arena, longs, n, COMMAND_FEATURES_MAX);
}

struct command_matcher *command_matcher_new(void)
{
    struct command_matcher *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    arena_init(&m->arena, WORDS_BYTES);
    m->data = pcre2_match_data_create(1, NULL);
    m->context = pcre2_match_context_create(NULL);
    bool good = m->data && m->context && !words_init(m);
    for (int i = 0; i < n_command_features && good; i++)
        if ((good = (m->codes[i] = compile(&command_features[i])) != NULL))
            first_bytes_note(m->codes[i], m->first_bytes[i]);
    if (!good) {
        command_matcher_free(m);
        return NULL;
    }
    pcre2_set_match_limit(m->context, LIMIT_COMMAND_STEPS);
    pcre2_set_heap_limit(m->context, LIMIT_COMMAND_HEAP_KIB);
    return m;
}

void command_matcher_free(struct command_matcher *m)
{
    if (!m)
        return;
    for (int i = 0; i < n_command_features; i++)
        pcre2_code_free(m->codes[i]);
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    arena_fini(&m->arena);
    free(m);
}

/* ---- looking -------------------------------------------------------------------------------------------------------------- */

static struct candidates find_candidates(const struct command_matcher *m, const char *line, size_t size)
{
    struct candidates may;
    memcpy(may.bits, m->without_words, sizeof may.bits);
    parts_scan(&m->parts, line, size, may.bits);
    for (int i = 0; i < m->n_shorts; i++)
        if (!bit_has(may.bits, m->shorts[i].target) && memmem(line, size, m->shorts[i].data, m->shorts[i].length))
            bit_set(may.bits, m->shorts[i].target);
    return may;
}

/* 1 found, 0 not, -1 gave up. */
static int find(struct command_matcher *m, const struct candidates *may, int i, const char *line, size_t size)
{
    if (!bit_has(may->bits, (unsigned)i) || !size || !bit_has(m->first_bytes[i], (unsigned char)line[0]))
        return 0;
    int rc = pcre2_match(m->codes[i], (PCRE2_SPTR)line, size, 0, 0, m->data, m->context);
    return rc >= 0 ? 1 : rc == PCRE2_ERROR_NOMATCH ? 0 : -1;
}

static void choose_class(struct command_score *out)
{
    for (int c = 1; c < COMMAND_CLASSES; c++)
        if (out->classes[c] > out->classes[out->class])
            out->class = (enum command_class)c;
}

bool command_score_line(struct command_matcher *m, const char *line, size_t size, unsigned leave_out, struct command_score *out)
{
    struct candidates may = find_candidates(m, line, size);
    *out = (struct command_score){ 0 };
    for (int i = 0; i < n_command_features; i++) {
        const struct command_feature *f = &command_features[i];
        if (f->class == COMMAND_DISCOVERY || leave_out >> f->class & 1)
            continue;
        int found = find(m, &may, i, line, size);
        out->limited |= found < 0;
        if (found <= 0)
            continue;
        out->features[i / 64] |= 1ull << (i % 64);
        out->classes[f->class] += f->weight;
        out->total += f->weight;
    }
    if (out->limited) {
        out->classes[COMMAND_EXECUTION] += COMMAND_SLOW_WEIGHT;
        out->total += COMMAND_SLOW_WEIGHT;
    }
    choose_class(out);
    return out->total > out->classes[COMMAND_CONTEXT]; /* context says nothing alone */
}

int command_discovery(struct command_matcher *m, const char *line, size_t size)
{
    struct candidates may = find_candidates(m, line, size);
    for (int i = 0; i < n_command_features; i++)
        if (command_features[i].class == COMMAND_DISCOVERY && find(m, &may, i, line, size) == 1)
            return i;
    return -1;
}
