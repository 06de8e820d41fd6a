#include "agent/detect/intel_slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/intel_room.h"

int intel_slots_init(struct intel_slots *s, uint32_t count)
{
    uint64_t n = (uint64_t)count * 4 / 3 + 1; /* at least one is free: a search ends */
    if (n > UINT32_MAX)
        return -ENOMEM;
    s->slots = reallocarray(NULL, n, sizeof *s->slots);
    if (!s->slots)
        return -ENOMEM;
    intel_room_huge(s->slots, n * sizeof *s->slots);
    memset(s->slots, 0xff, n * sizeof *s->slots); /* INTEL_SLOT_FREE */
    s->n = (uint32_t)n;
    return 0;
}

void intel_slots_put(struct intel_slots *s, uint64_t hash, uint32_t at)
{
    uint32_t slot = intel_slots_first(s, hash);
    while (s->slots[slot].at != INTEL_SLOT_FREE)
        slot = intel_slots_next(s, slot);
    s->slots[slot] = (struct intel_slot){ at, (uint16_t)hash };
}

void intel_slots_fini(struct intel_slots *s)
{
    free(s->slots);
    memset(s, 0, sizeof *s);
}
