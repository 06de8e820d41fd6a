#include "agent/detect/rules/text_set.h"

#include <errno.h>
#include <string.h>

#define MULTIPLIER 0x9e3779b97f4a7c15ull /* 2^64 / golden ratio */
#define OTHER 0xd6e8feb86659fd93ull

static uint64_t word8(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static uint64_t word4(const char *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static uint64_t multiply(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Words may overlap at the end: no byte is read twice as often as that costs. */
uint64_t text_hash(const char *data, size_t length)
{
    uint64_t hash = length * OTHER, a = 0, b = 0;
    const char *end = data + length;
    for (; end - data > 16; data += 16)
        hash = multiply(word8(data) ^ MULTIPLIER, word8(data + 8) ^ hash);
    size_t left = (size_t)(end - data);
    if (left >= 8) {
        a = word8(data);
        b = word8(end - 8);
    } else if (left >= 4) {
        a = word4(data);
        b = word4(end - 4);
    } else if (left) {
        a = (uint64_t)(unsigned char)data[0] << 16 | (uint64_t)(unsigned char)data[left / 2] << 8 | (unsigned char)data[left - 1];
    }
    hash = multiply(a ^ MULTIPLIER, b ^ hash);
    hash = multiply(hash ^ OTHER, MULTIPLIER);
    return hash ? hash : 1;
}

int text_set_init(struct text_set *set, struct arena *arena, uint32_t n_max)
{
    uint32_t n_slots = 4;
    while (n_slots < 2 * (uint64_t)n_max)
        n_slots *= 2;
    *set = (struct text_set){ .mask = n_slots - 1 };
    set->items = arena_new(arena, (n_max ? n_max : 1) * sizeof *set->items);
    set->slots = arena_new(arena, n_slots * sizeof *set->slots);
    return set->items && set->slots ? 0 : -ENOMEM;
}

/* The slot of the text, or the free one where it would go. */
static inline uint32_t *slot_of(const struct text_set *set, uint64_t hash, const char *data, size_t length)
{
    for (uint32_t i = (uint32_t)hash;; i++) {
        uint32_t *slot = &set->slots[i & set->mask];
        if (!*slot)
            return slot;
        const struct text_set_item *item = &set->items[*slot - 1];
        if (item->hash == hash && item->length == length && (!length || !memcmp(item->data, data, length)))
            return slot;
    }
}

uint32_t text_set_add(struct text_set *set, const char *data, size_t length)
{
    uint64_t hash = text_hash(data, length);
    uint32_t *slot = slot_of(set, hash, data, length);
    if (!*slot) {
        set->items[set->n_items++] = (struct text_set_item){ .data = data, .length = length, .hash = hash };
        *slot = set->n_items;
    }
    return *slot - 1;
}

int64_t text_set_find(const struct text_set *set, uint64_t hash, const char *data, size_t length)
{
    return (int64_t)*slot_of(set, hash, data, length) - 1;
}
