#include "agent/detect/sketch.h"

#define UNIT (1ull << 40)
#define RANK_MAX 40

bool sketch_add(struct sketch *s, uint64_t hash)
{
    uint32_t at = hash % SKETCH_REGISTERS;
    uint64_t rest = hash / SKETCH_REGISTERS;
    uint8_t rank = (uint8_t)(rest ? __builtin_ctzll(rest) + 1 : RANK_MAX);
    if (rank > RANK_MAX)
        rank = RANK_MAX;
    if (rank <= s->ranks[at])
        return false;
    /* The chance that something new changes a register is what is left of the sum: each change stands for its inverse. */
    uint64_t left = SKETCH_REGISTERS * UNIT - s->used;
    s->n += (double)(SKETCH_REGISTERS * UNIT) / (double)left;
    s->used += (UNIT >> s->ranks[at]) - (UNIT >> rank);
    s->ranks[at] = rank;
    return true;
}
