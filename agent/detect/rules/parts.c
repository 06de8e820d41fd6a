#include "agent/detect/rules/parts.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/text_set.h"
#include "common/limits.h"

/* 2^32 / golden ratio, moved so far that what the fourth byte of a word adds to the product is in its upper four bits only: the list of
 * a word hangs on three bytes, and a part of three has few places in the table. */
#define MULTIPLIER (0x9e3779b1u << 4)
#define UNCASED 0x20202020u    /* makes letters lower, and some other bytes the same: what looks alike is compared */
#define THREE_BYTES 0x20ffffffu /* of a word; nothing of the fourth but what UNCASED sets */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static uint32_t word_of(const char *text)
{
    uint32_t word;
    memcpy(&word, text, sizeof word);
    return le32toh(word) | UNCASED;
}

static uint32_t short_word_of(const char *text) /* three bytes */
{
    return ((uint32_t)(unsigned char)text[0] | (uint32_t)(unsigned char)text[1] << 8 | (uint32_t)(unsigned char)text[2] << 16) | UNCASED;
}

static uint32_t place_of(uint32_t word)
{
    return word * MULTIPLIER >> (32 - PARTS_TABLE_BITS);
}

static uint32_t list_of(uint32_t place)
{
    return place & ((1u << PARTS_HEADS_BITS) - 1);
}

static bool has_bit(const uint64_t *bits, uint32_t n)
{
    return bits[n / 64] >> (n % 64) & 1;
}

static void bit_set(uint64_t *bits, uint32_t n)
{
    bits[n / 64] |= 1ull << (n % 64);
}

/* ---- making --------------------------------------------------------------------------------------------------------------- */

/* What ordinary command lines and paths are full of. */
static const char common[] =
    "/usr/bin/sh /usr/sbin/ /usr/local/bin/ /usr/lib/ /usr/share/ /var/lib/ /var/log/ /etc/ /bin/sh -c /bin/bash /tmp/ /opt/ "
    "/home/ /root/ /data/ /run/ /proc/ /dev/null http://127.0.0.1: https:// localhost .conf .json .yaml .html .log --config "
    "--data --output python3 docker containerd > 2>&1 && || ";

/* How often these four bytes are in other items; a lot if they are common. */
static uint32_t frequency(const uint32_t *counts, const char *gram)
{
    return counts[place_of(word_of(gram))] + (memmem(common, sizeof common - 1, gram, 4) ? 1000 : 0);
}

static size_t rarest(const uint32_t *counts, const char *data, size_t length)
{
    size_t best = 0;
    for (size_t i = 1; i + 4 <= length; i++)
        if (frequency(counts, data + i) < frequency(counts, data + best))
            best = i;
    return best;
}

/* At every byte of a text the word of four is looked up: all that begin with these three are marked. */
static void short_places_set(struct parts *p, uint32_t word)
{
    for (uint32_t fourth = 0; fourth < 256; fourth++)
        bit_set(p->bits, place_of(word | fourth << 24));
}

static void item_file(struct parts *p, uint32_t number, const uint32_t *counts)
{
    struct parts_item *item = &p->items[number];
    bool is_short = item->length < 4;
    item->offset = is_short ? 0 : (uint32_t)rarest(counts, item->data, item->length);
    item->word = is_short ? short_word_of(item->data) : word_of(item->data + item->offset);
    item->significant = is_short ? THREE_BYTES : UINT32_MAX;
    uint32_t place = place_of(item->word), *head = &p->heads[list_of(place)];
    bit_set(p->bits, place);
    if (is_short)
        short_places_set(p, item->word);
    item->next = *head;
    *head = number + 1;
}

static int items_file(struct parts *p)
{
    uint32_t *counts = calloc(1 << PARTS_TABLE_BITS, sizeof *counts);
    if (!counts)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->n_items; i++)
        for (size_t at = 0; at + 4 <= p->items[i].length; at++)
            counts[place_of(word_of(p->items[i].data + at))]++;
    for (uint32_t i = 0; i < p->n_items; i++)
        item_file(p, i, counts);
    free(counts);
    return 0;
}

/* The text in lower case, each one once. */
static int64_t text_number(struct text_set *texts, struct arena *arena, const struct automaton_pattern *pattern)
{
    char *text = arena_text(arena, pattern->data, pattern->length);
    for (size_t i = 0; text && i < pattern->length; i++)
        text[i] = lower(text[i]);
    return text ? (int64_t)text_set_add(texts, text, pattern->length) : -ENOMEM;
}

int parts_init(struct parts *p, struct arena *arena, const struct automaton_pattern *patterns, size_t n, uint32_t n_bits)
{
    struct text_set texts;
    memset(p, 0, sizeof *p);
    p->n_words = (n_bits + 63) / 64;
    if (n * (p->n_words * sizeof *p->masks + sizeof *p->items) > LIMIT_RULE_AUTOMATON_BYTES)
        return -E2BIG;
    p->items = arena_new(arena, (n + 1) * sizeof *p->items);
    p->masks = arena_new(arena, (n + 1) * p->n_words * sizeof *p->masks);
    if (!p->items || !p->masks || text_set_init(&texts, arena, (uint32_t)n))
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        int64_t number = text_number(&texts, arena, &patterns[i]);
        if (number < 0)
            return -ENOMEM;
        bit_set(&p->masks[(size_t)number * p->n_words], patterns[i].target);
    }
    for (; p->n_items < texts.n_items; p->n_items++)
        p->items[p->n_items] = (struct parts_item){ .data = texts.items[p->n_items].data, .length = texts.items[p->n_items].length,
                                                    .mask = p->n_items * p->n_words };
    return items_file(p);
}

/* ---- looking -------------------------------------------------------------------------------------------------------------- */

/* Compares the items that have this word with the text around text[at]. */
static void word_compare(const struct parts *p, uint32_t word, const char *text, size_t at, size_t length, uint64_t *bits)
{
    for (uint32_t next = p->heads[list_of(place_of(word))]; next; next = p->items[next - 1].next) {
        const struct parts_item *item = &p->items[next - 1];
        const char *start = text + at - item->offset;
        size_t n = 0;
        if (item->word != (word & item->significant) || at < item->offset || length - (at - item->offset) < item->length)
            continue;
        while (n < item->length && lower(start[n]) == item->data[n])
            n++;
        for (uint32_t i = 0; n == item->length && i < p->n_words; i++)
            bits[i] |= p->masks[item->mask + i];
    }
}

void parts_scan(const struct parts *p, const char *text, size_t length, uint64_t *bits)
{
    const size_t n_words = length < 4 ? 0 : length - 3;
    for (size_t i = 0; i < n_words; i++) {
        uint32_t word = word_of(text + i);
        if (__builtin_expect(has_bit(p->bits, place_of(word)), 0))
            word_compare(p, word, text, i, length, bits);
    }
    if (length >= 3)
        word_compare(p, short_word_of(text + n_words), text, n_words, length, bits);
}
