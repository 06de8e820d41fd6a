/* How often something happened, so that what happens again and again is told now and then and not each time: for the 1st, 2nd, 4th, 8th, ...
 * time, and when a minute has passed since. Bounded: what was not seen for the longest time leaves, and then begins anew. Pure. */
#ifndef ECSGUARD_REPEATS_H
#define ECSGUARD_REPEATS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/limits.h"

struct detection;

struct repeat {
    uint64_t hash; /* 0 = free */
    uint64_t seen_ns, told_ns;
    uint32_t total, told;
};

struct repeats {
    struct repeat slots[LIMIT_REPEATS];
};

/* Notes one more of the same container and key. Its number so far when it is to be told, else 0. */
uint32_t repeat_due(struct repeats *r, const struct detection *d, int32_t container, const char *key, uint64_t now_ns);

#endif
