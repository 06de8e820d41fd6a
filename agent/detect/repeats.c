#include "agent/detect/repeats.h"

#include <string.h>

#include "agent/detect/detector.h"
#include "common/clock.h"
#include "common/text.h"

#define AGAIN_NS (60 * NS_PER_SECOND)

static uint64_t hash_of(const struct detection *d, int32_t container, const char *key)
{
    char bytes[4 + 256];
    size_t n = strnlen(key, sizeof bytes - 4);
    memcpy(bytes, &container, 4);
    memcpy(bytes + 4, key, n);
    uint64_t hash = hash_bytes(&d->tree->key, bytes, 4 + n);
    return hash ? hash : 1;
}

static struct repeat *repeat_of(struct repeats *r, uint64_t hash)
{
    struct repeat *oldest = &r->slots[0];
    for (int i = 0; i < LIMIT_REPEATS; i++) {
        if (r->slots[i].hash == hash)
            return &r->slots[i];
        if (r->slots[i].seen_ns < oldest->seen_ns)
            oldest = &r->slots[i];
    }
    *oldest = (struct repeat){ .hash = hash };
    return oldest;
}

uint32_t repeat_due(struct repeats *r, const struct detection *d, int32_t container, const char *key, uint64_t now_ns)
{
    struct repeat *x = repeat_of(r, hash_of(d, container, key));
    x->seen_ns = now_ns;
    x->total++;
    if (x->told && x->total < 2 * x->told && now_ns < x->told_ns + AGAIN_NS)
        return 0;
    x->told = x->total;
    x->told_ns = now_ns;
    return x->total;
}
