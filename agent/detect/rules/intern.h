/* Numbers for byte strings: equal strings get one number. For compiling; never used per event. Pure. */
#ifndef ECSGUARD_RULES_INTERN_H
#define ECSGUARD_RULES_INTERN_H

#include "agent/detect/rules/arena.h"

struct interned {
    const void *data;
    size_t size;
    uint64_t hash;
};

struct intern {
    struct arena *arena; /* of the copies */
    struct interned *items;
    uint32_t n_items, items_max;
    uint32_t *slots; /* number + 1 */
    uint32_t n_slots;
};

void intern_init(struct intern *intern, struct arena *arena);
void intern_fini(struct intern *intern);

/* The number of these bytes, counted from 0; *is_new if they were not there. -ENOMEM. */
int64_t intern_number(struct intern *intern, const void *data, size_t size, bool *is_new);

#endif
