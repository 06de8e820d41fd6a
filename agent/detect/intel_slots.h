/* A table by hash of things that are kept elsewhere: where each of them is, and 16 bits of its hash, so that a question about what is not
 * there almost never looks further than one place in memory. Sized once, for what it will hold: three quarters full. Pure. */
#ifndef ECSGUARD_INTEL_SLOTS_H
#define ECSGUARD_INTEL_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/hash.h"

#define INTEL_SLOT_FREE UINT32_MAX

struct intel_slot {
    uint32_t at;
    uint16_t mark;
} __attribute__((packed));

struct intel_slots {
    struct intel_slot *slots;
    uint32_t n;
};

/* Bytes of slots for one thing. */
#define INTEL_SLOT_BYTES (sizeof(struct intel_slot) * 4 / 3)

/* Folds more into a hash. Multiplication of two words, both halves of the product: a few cycles for eight bytes; keyed, because who writes a
 * list may be no friend. */
static inline uint64_t intel_hash_word(uint64_t hash, uint64_t word, const struct hash_key *key)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)(hash ^ word ^ key->k1) * (key->k0 | 1);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The slots of a hash are asked one after the other until a free one: `slot` begins with intel_slots_first(). */
static inline uint32_t intel_slots_first(const struct intel_slots *s, uint64_t hash)
{
    return (uint32_t)((hash >> 32) * s->n >> 32);
}

static inline uint32_t intel_slots_next(const struct intel_slots *s, uint32_t slot)
{
    return slot + 1 < s->n ? slot + 1 : 0;
}

/* For `count` things. 0 or -ENOMEM. */
int intel_slots_init(struct intel_slots *s, uint32_t count);
/* Puts it into the first free slot. */
void intel_slots_put(struct intel_slots *s, uint64_t hash, uint32_t at);
void intel_slots_fini(struct intel_slots *s);

#endif
