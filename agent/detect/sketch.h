/* How many different things were seen, in 144 bytes and without keeping them: HyperLogLog (Flajolet and others 2007), counted at each change of a register
 * (Ting 2014, "Streamed approximate counting of distinct elements"). Off by about 7 % (one standard deviation) however many; under 20 hardly ever. Pure. */
#ifndef ECSGUARD_SKETCH_H
#define ECSGUARD_SKETCH_H

#include <stdbool.h>
#include <stdint.h>

#define SKETCH_REGISTERS 128

/* All zero = empty. */
struct sketch {
    uint8_t ranks[SKETCH_REGISTERS];
    uint64_t used; /* of the sum over registers of 2^-rank, what is gone: in units of 2^-40 */
    double n;
};

/* Adds a thing by its hash: all bits of it must be random. True if it was certainly new. */
bool sketch_add(struct sketch *s, uint64_t hash);

static inline uint32_t sketch_count(const struct sketch *s)
{
    return (uint32_t)(s->n + 0.5);
}

/* Spreads a number over 64 bits; `key` keeps others from aiming at registers. */
static inline uint64_t sketch_mix(uint64_t value, uint64_t key)
{
    value = (value ^ key) * 0x9e3779b97f4a7c15ull;
    value ^= value >> 32;
    value = (value ^ (key >> 7)) * 0xd6e8feb86659fd93ull;
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93ull;
    return value ^ value >> 29;
}

#endif
