#include "agent/detect/rules/intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/text_set.h"

void intern_init(struct intern *intern, struct arena *arena)
{
    *intern = (struct intern){ .arena = arena };
}

void intern_fini(struct intern *intern)
{
    free(intern->items);
    free(intern->slots);
    *intern = (struct intern){ 0 };
}

static uint32_t *slot_of(const struct intern *intern, uint64_t hash, const void *data, size_t size)
{
    for (uint32_t i = (uint32_t)hash;; i++) {
        uint32_t *slot = &intern->slots[i & (intern->n_slots - 1)];
        const struct interned *item = *slot ? &intern->items[*slot - 1] : NULL;
        if (!item || (item->hash == hash && item->size == size && (!size || !memcmp(item->data, data, size))))
            return slot;
    }
}

/* Twice the room; numbers stay. */
static int grow(struct intern *intern)
{
    uint32_t n_slots = intern->n_slots ? 2 * intern->n_slots : 64;
    struct interned *items = reallocarray(intern->items, n_slots / 2, sizeof *items);
    if (!items)
        return -ENOMEM;
    intern->items = items;
    uint32_t *slots = calloc(n_slots, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    free(intern->slots);
    intern->slots = slots;
    intern->n_slots = n_slots;
    intern->items_max = n_slots / 2;
    for (uint32_t i = 0; i < intern->n_items; i++)
        *slot_of(intern, items[i].hash, items[i].data, items[i].size) = i + 1;
    return 0;
}

int64_t intern_number(struct intern *intern, const void *data, size_t size, bool *is_new)
{
    uint64_t hash = text_hash(data, size);
    if (intern->n_items == intern->items_max && grow(intern))
        return -ENOMEM;
    uint32_t *slot = slot_of(intern, hash, data, size);
    *is_new = !*slot;
    if (*is_new) {
        void *copy = arena_text(intern->arena, data, size);
        if (!copy)
            return -ENOMEM;
        intern->items[intern->n_items++] = (struct interned){ .data = copy, .size = size, .hash = hash };
        *slot = intern->n_items;
    }
    return *slot - 1;
}
