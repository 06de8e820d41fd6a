#include "agent/detect/intel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/text.h"

#define INTEL_NONE UINT32_MAX
#define INDEX_SIZE 65537 /* one more, so that index[i + 1] is the end of i */

void intel_init(struct intel *intel)
{
    memset(intel, 0, sizeof *intel);
}

static void set_fini(struct intel_set *set)
{
    free(set->v4);
    free(set->v6);
    free(set->index);
    free(set->sample);
}

void intel_fini(struct intel *intel)
{
    set_fini(&intel->threats);
    set_fini(&intel->trusted);
    free(intel->tags);
    memset(intel, 0, sizeof *intel);
}

uint32_t intel_count(const struct intel *intel)
{
    return intel->threats.n_v4 + intel->threats.n_v6 + intel->trusted.n_v4 + intel->trusted.n_v6;
}

/* ---- loading ---- */

/* Room for one more element; doubles. */
static int make_room(void **array, uint32_t n, uint32_t *room, size_t size)
{
    if (n < *room)
        return 0;
    uint32_t want = *room ? *room * 2 : 64;
    void *bigger = reallocarray(*array, want, size);
    if (!bigger)
        return -ENOMEM;
    *array = bigger;
    *room = want;
    return 0;
}

/* The number of this pair of list and category; the last one added is the likeliest. */
static int tag_of(struct intel *intel, const char *list, const char *category, uint16_t *tag)
{
    for (uint32_t i = intel->n_tags; i-- > 0;)
        if (!strcmp(intel->tags[i].category, category) && !strncmp(intel->tags[i].list, list, INTEL_LIST_MAX - 1)) {
            *tag = (uint16_t)i;
            return 0;
        }
    if (intel->n_tags == LIMIT_INTEL_TAGS)
        return -ENOSPC;
    if (make_room((void **)&intel->tags, intel->n_tags, &intel->room_tags, sizeof *intel->tags))
        return -ENOMEM;
    struct intel_tag *t = &intel->tags[intel->n_tags];
    text_copy(t->list, sizeof t->list, list, strlen(list));
    text_copy(t->category, sizeof t->category, category, strlen(category));
    *tag = (uint16_t)intel->n_tags++;
    return 0;
}

/* Host bits are cleared: "10.1.2.3/8" means 10.0.0.0/8, as lists in the wild write it. */
static int add4(struct intel_set *set, const struct address *a, unsigned prefix, uint16_t tag)
{
    if (make_room((void **)&set->v4, set->n_v4, &set->room_v4, sizeof *set->v4))
        return -ENOMEM;
    uint32_t mask = ~0u << (32 - prefix);
    set->v4[set->n_v4++] = (struct intel_entry4){ load_be32(a->bytes) & mask, INTEL_NONE, tag, (uint8_t)prefix };
    return 0;
}

static uint64_t mask64(unsigned prefix)
{
    return prefix ? ~0ull << (64 - prefix) : 0;
}

static int add6(struct intel_set *set, const struct address *a, unsigned prefix, uint16_t tag)
{
    if (make_room((void **)&set->v6, set->n_v6, &set->room_v6, sizeof *set->v6))
        return -ENOMEM;
    struct intel_entry6 *e = &set->v6[set->n_v6++];
    *e = (struct intel_entry6){ .parent = INTEL_NONE, .tag = tag, .prefix = (uint8_t)prefix };
    e->start[0] = load_be64(a->bytes) & mask64(prefix < 64 ? prefix : 64);
    e->start[1] = load_be64(a->bytes + 8) & mask64(prefix < 64 ? 0 : prefix - 64);
    return 0;
}

struct span {
    const char *at;
    size_t size;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(struct span s)
{
    while (s.size && is_blank(*s.at))
        s.at++, s.size--;
    while (s.size && is_blank(s.at[s.size - 1]))
        s.size--;
    return s;
}

/* What stands before the first `mark`, and what behind it (size 0 if it is not there). */
static struct span cut(struct span s, char mark, struct span *rest)
{
    const char *at = memchr(s.at, mark, s.size);
    *rest = at ? (struct span){ at + 1, s.size - (size_t)(at - s.at) - 1 } : (struct span){ s.at + s.size, 0 };
    return (struct span){ s.at, at ? (size_t)(at - s.at) : s.size };
}

static int parse_category(struct span s, char out[INTEL_CATEGORY_MAX])
{
    if (!s.size || s.size >= INTEL_CATEGORY_MAX)
        return -EINVAL;
    for (size_t i = 0; i < s.size; i++) {
        char c = s.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return -EINVAL;
    }
    memcpy(out, s.at, s.size);
    out[s.size] = 0;
    return 0;
}

/* "ADDRESS" or "ADDRESS/PREFIX". NULL, or what is wrong. */
static const char *parse_network(struct span s, struct address *address, unsigned *prefix)
{
    char text[64];
    struct span length;
    uint64_t bits;
    bool is_network = memchr(s.at, '/', s.size) != NULL;
    struct span host = cut(s, '/', &length);
    if (host.size >= sizeof text || memchr(host.at, 0, host.size))
        return "not an address or network";
    memcpy(text, host.at, host.size);
    text[host.size] = 0;
    if (address_parse(text, address))
        return "not an address or network";
    bool mapped = address->family == 4 && memchr(text, ':', host.size);
    unsigned max = address->family == 4 && !mapped ? 32 : 128;
    if (is_network && (text_to_u64(length.at, length.size, &bits) || bits > max))
        return "bad prefix length";
    *prefix = is_network ? (unsigned)bits : max;
    if (mapped && *prefix < 97)
        return "bad prefix length";
    *prefix -= mapped ? 96 : 0;
    return *prefix ? NULL : "covers every address";
}

static void line_refuse(const struct intel_source *source, const char *why)
{
    if (source->on_error)
        source->on_error(source->context, source->line, why);
}

static void comment_load(struct intel_source *source, struct span comment)
{
    static const char key[] = "category:";
    comment = trim(comment);
    if (comment.size < sizeof key - 1 || memcmp(comment.at, key, sizeof key - 1))
        return;
    comment.at += sizeof key - 1;
    comment.size -= sizeof key - 1;
    if (parse_category(trim(comment), source->category))
        line_refuse(source, "bad category");
}

static int entry_add(struct intel *intel, struct intel_source *source, const struct address *address, unsigned prefix, const char *category)
{
    struct intel_set *set = source->trusted ? &intel->trusted : &intel->threats;
    uint16_t tag;
    int r = tag_of(intel, source->list, category, &tag);
    if (r || intel_count(intel) >= LIMIT_INTEL_ENTRIES) {
        intel->n_refused += r != -ENOMEM;
        return r == -ENOMEM ? r : -ENOSPC;
    }
    return address->family == 4 ? add4(set, address, prefix, tag) : add6(set, address, prefix, tag);
}

static int line_load(struct intel *intel, struct intel_source *source, struct span line)
{
    char own[INTEL_CATEGORY_MAX];
    struct span rest;
    struct address address;
    unsigned prefix;
    line = trim(line);
    if (line.size && *line.at == '#')
        comment_load(source, (struct span){ line.at + 1, line.size - 1 });
    line = cut(line, '#', &rest);
    line = cut(line, ';', &rest);
    bool has_category = memchr(line.at, ',', line.size) != NULL;
    struct span network = trim(cut(line, ',', &rest));
    if (!network.size && !has_category)
        return 0;
    const char *why = parse_network(network, &address, &prefix);
    if (!why && has_category && parse_category(trim(rest), own))
        why = "bad category";
    if (why) {
        line_refuse(source, why);
        return 0;
    }
    return entry_add(intel, source, &address, prefix, has_category ? own : source->category);
}

int intel_load_text(struct intel *intel, struct intel_source *source, const char *text, size_t size)
{
    struct span left = { text, size };
    int result = 0;
    while (left.size) {
        struct span line = cut(left, '\n', &left);
        source->line++;
        int r = line_load(intel, source, line);
        if (r == -ENOMEM)
            return r;
        if (r && !result)
            line_refuse(source, "too many entries: this and the following are left out");
        result = r ? r : result;
    }
    return result;
}

/* ---- sealing: sort, drop repeats, link each network to the one around it ---- */

static int compare4(const void *a, const void *b)
{
    const struct intel_entry4 *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->prefix != y->prefix ? x->prefix - y->prefix : x->tag - y->tag; /* tags count up in the order of loading */
}

static int compare6(const void *a, const void *b)
{
    const struct intel_entry6 *x = a, *y = b;
    for (int i = 0; i < 2; i++)
        if (x->start[i] != y->start[i])
            return x->start[i] < y->start[i] ? -1 : 1;
    return x->prefix != y->prefix ? x->prefix - y->prefix : x->tag - y->tag;
}

static bool covers4(const struct intel_entry4 *e, uint32_t address)
{
    return (address & ~0u << (32 - e->prefix)) == e->start;
}

static bool covers6(const struct intel_entry6 *e, const uint64_t address[2])
{
    if ((address[0] & mask64(e->prefix < 64 ? e->prefix : 64)) != e->start[0])
        return false;
    return e->prefix <= 64 || (address[1] & mask64(e->prefix - 64u)) == e->start[1];
}

static void seal4(struct intel_set *set)
{
    uint32_t n = 0;
    if (set->n_v4) /* qsort(3) does not take NULL */
        qsort(set->v4, set->n_v4, sizeof *set->v4, compare4);
    for (uint32_t i = 0; i < set->n_v4; i++) {
        struct intel_entry4 *e = &set->v4[i];
        if (n && e->start == set->v4[n - 1].start && e->prefix == set->v4[n - 1].prefix)
            continue;
        e->parent = n ? n - 1 : INTEL_NONE;
        while (e->parent != INTEL_NONE && !covers4(&set->v4[e->parent], e->start))
            e->parent = set->v4[e->parent].parent;
        set->v4[n++] = *e;
    }
    set->n_v4 = n;
}

static void seal6(struct intel_set *set)
{
    uint32_t n = 0;
    if (set->n_v6)
        qsort(set->v6, set->n_v6, sizeof *set->v6, compare6);
    for (uint32_t i = 0; i < set->n_v6; i++) {
        struct intel_entry6 *e = &set->v6[i];
        const struct intel_entry6 *last = n ? &set->v6[n - 1] : NULL;
        if (last && e->start[0] == last->start[0] && e->start[1] == last->start[1] && e->prefix == last->prefix)
            continue;
        e->parent = n ? n - 1 : INTEL_NONE;
        while (e->parent != INTEL_NONE && !covers6(&set->v6[e->parent], e->start))
            e->parent = set->v6[e->parent].parent;
        set->v6[n++] = *e;
    }
    set->n_v6 = n;
}

/* Gives back the room that loading kept for more. */
static void *trim_room(void *array, uint32_t n, uint32_t *room, size_t size)
{
    void *smaller = n && n < *room ? reallocarray(array, n, size) : NULL;
    if (smaller)
        *room = n;
    return smaller ? smaller : array;
}

static int index4(struct intel_set *set)
{
    if (!set->n_v4)
        return 0;
    set->index = calloc(INDEX_SIZE, sizeof *set->index);
    if (!set->index)
        return -ENOMEM;
    for (uint32_t i = 0, at = 0; i < INDEX_SIZE; i++) {
        while (at < set->n_v4 && set->v4[at].start >> 16 < i)
            at++;
        set->index[i] = at;
    }
    return 0;
}

static int index6(struct intel_set *set)
{
    if (!set->n_v6)
        return 0;
    set->sample = calloc(set->n_v6 / INTEL_STEP + 1, sizeof *set->sample);
    if (!set->sample)
        return -ENOMEM;
    for (uint32_t i = 0; i < set->n_v6; i += INTEL_STEP)
        memcpy(set->sample[i / INTEL_STEP], set->v6[i].start, sizeof *set->sample);
    return 0;
}

static int set_seal(struct intel_set *set)
{
    seal4(set);
    seal6(set);
    set->v4 = trim_room(set->v4, set->n_v4, &set->room_v4, sizeof *set->v4);
    set->v6 = trim_room(set->v6, set->n_v6, &set->room_v6, sizeof *set->v6);
    int r = index4(set);
    return r ? r : index6(set);
}

int intel_seal(struct intel *intel)
{
    int r = set_seal(&intel->threats);
    return r ? r : set_seal(&intel->trusted);
}

/* ---- lookup ----
 * The last entry that starts at or before the address is the most specific candidate: networks are nested or apart, so whatever else
 * covers the address covers that entry too and is one of its parents. */

static uint32_t find4(const struct intel_set *set, uint32_t address)
{
    uint32_t low = set->index[address >> 16], high = set->index[(address >> 16) + 1];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (set->v4[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t at = low ? low - 1 : INTEL_NONE;
    while (at != INTEL_NONE && !covers4(&set->v4[at], address))
        at = set->v4[at].parent;
    return at;
}

static bool not_after(const uint64_t start[2], const uint64_t address[2])
{
    return start[0] != address[0] ? start[0] < address[0] : start[1] <= address[1];
}

static uint32_t find6(const struct intel_set *set, const uint64_t address[2])
{
    uint32_t low = 0, high = set->n_v6 / INTEL_STEP + (set->n_v6 % INTEL_STEP != 0);
    while (low < high) { /* how many samples are not after the address */
        uint32_t middle = low + (high - low) / 2;
        if (not_after(set->sample[middle], address))
            low = middle + 1;
        else
            high = middle;
    }
    high = low * INTEL_STEP < set->n_v6 ? low * INTEL_STEP : set->n_v6;
    low = low ? (low - 1) * INTEL_STEP : 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (not_after(set->v6[middle].start, address))
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t at = low ? low - 1 : INTEL_NONE;
    while (at != INTEL_NONE && !covers6(&set->v6[at], address))
        at = set->v6[at].parent;
    return at;
}

static bool set_lookup(const struct intel_set *set, const struct address *address, uint16_t *tag, uint8_t *prefix)
{
    if (address->family == 4) {
        uint32_t at = set->index ? find4(set, load_be32(address->bytes)) : INTEL_NONE;
        if (at == INTEL_NONE)
            return false;
        *tag = set->v4[at].tag;
        *prefix = set->v4[at].prefix;
        return true;
    }
    const uint64_t words[2] = { load_be64(address->bytes), load_be64(address->bytes + 8) };
    uint32_t at = address->family == 6 && set->sample ? find6(set, words) : INTEL_NONE;
    if (at == INTEL_NONE)
        return false;
    *tag = set->v6[at].tag;
    *prefix = set->v6[at].prefix;
    return true;
}

bool intel_lookup(const struct intel *intel, const struct address *address, struct intel_match *match)
{
    uint16_t tag;
    *match = (struct intel_match){ .list = "", .category = "" };
    match->trusted = set_lookup(&intel->trusted, address, &tag, &match->prefix);
    if (!match->trusted && !set_lookup(&intel->threats, address, &tag, &match->prefix))
        return false;
    match->list = intel->tags[tag].list;
    match->category = intel->tags[tag].category;
    return !match->trusted;
}
