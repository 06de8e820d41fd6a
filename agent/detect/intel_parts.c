#include "agent/detect/intel_parts.h"

#include <errno.h>
#include <string.h>

#include "common/bytes.h"
#include "common/text.h"

/* ---- pieces of text ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span span_trim(struct span s)
{
    while (s.size && is_blank(*s.at))
        s.at++, s.size--;
    while (s.size && is_blank(s.at[s.size - 1]))
        s.size--;
    return s;
}

struct span span_cut(struct span s, char mark, struct span *rest)
{
    const char *at = memchr(s.at, mark, s.size);
    *rest = at ? (struct span){ at + 1, s.size - (size_t)(at - s.at) - 1 } : (struct span){ s.at + s.size, 0 };
    return (struct span){ s.at, at ? (size_t)(at - s.at) : s.size };
}

bool span_is(struct span s, const char *text)
{
    return s.size == strlen(text) && !memcmp(s.at, text, s.size);
}

void span_word(struct span s, char *word, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < s.size && n + 1 < size; i++) {
        char c = s.at[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c | 0x20);
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '&')
            word[n++] = c;
    }
    word[n] = 0;
}

/* ---- one entry ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int intel_digest_parse(const char *text, size_t length, uint8_t digest[INTEL_DIGEST_BYTES])
{
    if (length != 2 * INTEL_DIGEST_BYTES)
        return -EINVAL;
    for (size_t i = 0; i < INTEL_DIGEST_BYTES; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

static bool parse_address(struct span s, struct address *address, bool *mapped)
{
    char text[48];
    if (!s.size || s.size >= sizeof text || memchr(s.at, 0, s.size))
        return false;
    memcpy(text, s.at, s.size);
    text[s.size] = 0;
    if (address_parse(text, address))
        return false;
    *mapped = address->family == 4 && memchr(text, ':', s.size);
    return true;
}

/* "ADDRESS" or "ADDRESS/PREFIX". NULL, or what is wrong. */
static const char *parse_network(struct span s, struct address *address, unsigned *prefix)
{
    struct span length;
    uint64_t bits;
    bool mapped, is_network = memchr(s.at, '/', s.size) != NULL;
    struct span host = span_cut(s, '/', &length);
    if (!parse_address(host, address, &mapped))
        return "not an address or network";
    unsigned max = address->family == 4 && !mapped ? 32 : 128;
    if (is_network && (text_to_u64(length.at, length.size, &bits) || bits > max))
        return "bad prefix length";
    *prefix = is_network ? (unsigned)bits : max;
    if (mapped && *prefix < 97)
        return "bad prefix length";
    *prefix -= mapped ? 96 : 0;
    return *prefix ? NULL : "covers every address";
}

/* 0, or why the reader must stop: what has no room is told once. */
static void note_result(struct intel_reader *r, int result)
{
    r->n_entries += result == 0;
    if (result == -ENOSPC && !r->told_full) {
        r->told_full = true;
        reader_refuse(r, r->line, "no room for more entries: this and the following are left out");
    }
    if (result)
        r->error = result;
}

/* The list's own category takes the place of one that would be one too many. */
static bool find_tag(struct intel_reader *r, const char *category, uint16_t *tag)
{
    int result = intel_tag(r->intel, r->source.list, category, tag);
    if (result == -ENOSPC && strcmp(category, r->source.category))
        result = intel_tag(r->intel, r->source.list, r->source.category, tag);
    if (!result)
        return true;
    r->intel->n_refused += result == -ENOSPC;
    note_result(r, result);
    return false;
}

/* The networks that a range of IPv4 addresses consists of: at most 62. */
static const char *add_range(struct intel_reader *r, uint16_t tag, const struct address *first, const struct address *last)
{
    uint64_t at = load_be32(first->bytes), end = (uint64_t)load_be32(last->bytes) + 1;
    if (first->family != 4 || last->family != 4)
        return "a range must be of IPv4 addresses; write IPv6 networks with their prefix length";
    if (at >= end)
        return "a range that ends before it begins";
    if (end - at > 1u << 31)
        return "covers every address";
    while (at < end) {
        unsigned prefix = 32;
        while (prefix > 1 && !(at & ((1ull << (33 - prefix)) - 1)) && at + (1ull << (33 - prefix)) <= end)
            prefix--;
        struct address a = { 4, { (uint8_t)(at >> 24), (uint8_t)(at >> 16), (uint8_t)(at >> 8), (uint8_t)at } };
        note_result(r, intel_add_network(r->intel, r->source.trusted, tag, &a, prefix));
        at += 1ull << (32 - prefix);
    }
    return NULL;
}

/* "example.com", "example.com.", "*.example.com", ".example.com". NULL, or what is wrong. */
static const char *add_domain(struct intel_reader *r, struct span s, enum name_meaning meaning, const char *category)
{
    uint16_t tag;
    bool below = s.size > 2 && s.at[0] == '*' && s.at[1] == '.', dot = s.size > 1 && s.at[0] == '.';
    s.at += below ? 2 : dot;
    s.size -= below ? 2 : dot;
    if (s.size && s.at[s.size - 1] == '.')
        s.size--;
    if (!intel_domain_is_valid(s.at, s.size))
        return "not an address, network, domain or SHA-256";
    if (!below && !memchr(s.at, '.', s.size))
        return "a name without a dot: for all names of a top-level domain write *.NAME";
    unsigned covers = below ? INTEL_COVERS_BELOW : dot || meaning == NAME_AND_BELOW ? INTEL_COVERS_SELF | INTEL_COVERS_BELOW : INTEL_COVERS_SELF;
    if (find_tag(r, category, &tag))
        note_result(r, intel_add_domain(r->intel, r->source.trusted, tag, s.at, s.size, covers));
    return NULL;
}

static bool looks_like_network(struct span s)
{
    return memchr(s.at, ':', s.size) || memchr(s.at, '/', s.size) || (s.size && s.at[s.size - 1] >= '0' && s.at[s.size - 1] <= '9');
}

static const char *add_network(struct intel_reader *r, struct span s, const char *category, bool *is_range)
{
    struct address first, last;
    struct span behind;
    unsigned prefix;
    uint16_t tag;
    bool mapped;
    *is_range = memchr(s.at, '-', s.size) && parse_address(span_trim(span_cut(s, '-', &behind)), &first, &mapped);
    const char *why = *is_range ? parse_address(span_trim(behind), &last, &mapped) ? NULL : "not an address behind \"-\""
                                : parse_network(s, &first, &prefix);
    if (why || !find_tag(r, category, &tag))
        return why;
    if (*is_range)
        return add_range(r, tag, &first, &last);
    note_result(r, intel_add_network(r->intel, r->source.trusted, tag, &first, prefix));
    return NULL;
}

const char *entry_add(struct intel_reader *r, struct span text, enum name_meaning meaning, const char *category)
{
    uint8_t digest[INTEL_DIGEST_BYTES];
    uint16_t tag;
    bool is_range;
    if (!intel_digest_parse(text.at, text.size, digest)) {
        if (find_tag(r, category ? category : r->source.category_set ? r->source.category : "custom", &tag))
            note_result(r, intel_add_hash(r->intel, r->source.trusted, tag, digest));
        return NULL;
    }
    category = category ? category : r->source.category;
    const char *no_network = add_network(r, text, category, &is_range);
    if (!no_network || is_range)
        return no_network;
    const char *no_domain = add_domain(r, text, meaning, category);
    return no_domain && looks_like_network(text) ? no_network : no_domain;
}

/* ---- what lines say beside entries ---- */

void reader_refuse(struct intel_reader *r, uint32_t line, const char *why)
{
    r->n_bad++;
    if (r->source.on_error)
        r->source.on_error(r->source.context, line, why);
}

bool intel_category_is_valid(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return false;
    }
    return length && length < INTEL_CATEGORY_MAX;
}

void reader_set_category(struct intel_reader *r, struct span name)
{
    if (!intel_category_is_valid(name.at, name.size)) {
        reader_refuse(r, r->line, "bad category");
        return;
    }
    memcpy(r->source.category, name.at, name.size);
    r->source.category[name.size] = 0;
    r->source.category_set = true;
}
