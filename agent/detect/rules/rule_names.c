#include "agent/detect/rules/rule_names.h"

#include <errno.h>
#include <string.h>

#include "common/hash.h"

/* Rules come from the administrator: a fixed key will do, and loads stay the same from run to run. */
static const struct hash_key key = { 0x72756c65, 0x6e616d65 };

static struct rule_name *slot_of(const struct rule_names *names, const char *name, size_t length)
{
    uint32_t mask = names->size - 1;
    uint32_t i = (uint32_t)hash_bytes(&key, name, length) & mask;
    while (names->slots[i].name && (names->slots[i].length != length || memcmp(names->slots[i].name, name, length)))
        i = (i + 1) & mask;
    return &names->slots[i];
}

uint32_t rule_names_find(const struct rule_names *names, const char *name, size_t length)
{
    if (!names->n)
        return RULE_NAME_NONE;
    const struct rule_name *slot = slot_of(names, name, length);
    return slot->name ? slot->number : RULE_NAME_NONE;
}

static int grow(struct rule_names *names, struct arena *arena)
{
    struct rule_names bigger = { .n = names->n, .size = names->size ? 2 * names->size : 64 };
    bigger.slots = arena_new(arena, bigger.size * sizeof *bigger.slots);
    if (!bigger.slots)
        return -ENOMEM;
    for (uint32_t i = 0; i < names->size; i++)
        if (names->slots[i].name)
            *slot_of(&bigger, names->slots[i].name, names->slots[i].length) = names->slots[i];
    *names = bigger;
    return 0;
}

int rule_names_add(struct rule_names *names, struct arena *arena, const char *name, uint32_t number)
{
    if (2 * names->n >= names->size && grow(names, arena))
        return -ENOMEM;
    size_t length = strlen(name);
    *slot_of(names, name, length) = (struct rule_name){ name, (uint32_t)length, number };
    names->n++;
    return 0;
}
