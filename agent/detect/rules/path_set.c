#include "agent/detect/rules/path_set.h"

#include <errno.h>
#include <string.h>

#include "agent/detect/rules/glob.h"
#include "agent/detect/rules/text_set.h"

struct path_component {
    const char *name;
    size_t length;
    uint64_t hash; /* of parent and name */
    const struct path_component *parent;
    bool is_last;                                 /* a path of the set ends here */
    struct path_component *wild_children, *next;  /* those whose name has one of "?*[" */
    bool has_children;
};

bool path_component_next(const char **p, const char *end, const char **name, size_t *length)
{
    while (*p < end && **p == '/')
        ++*p;
    if (*p == end)
        return false;
    const char *slash = memchr(*p, '/', (size_t)(end - *p));
    *name = *p;
    *length = (size_t)((slash ? slash : end) - *p);
    *p += *length;
    return true;
}

bool path_component_is_wild(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (name[i] == '?' || name[i] == '*' || name[i] == '[')
            return true;
    return false;
}

/* The slot of a child, or the free one where it would go. */
static struct path_component **slot_of(const struct path_set *set, const struct path_component *parent, uint64_t hash, const char *name,
                                       size_t length)
{
    for (uint32_t i = (uint32_t)(hash >> 16);; i++) {
        struct path_component **slot = &set->slots[i & set->mask], *c = *slot;
        if (!c || (c->hash == hash && c->parent == parent && c->length == length && !memcmp(c->name, name, length)))
            return slot;
    }
}

static uint64_t child_hash(const struct path_component *parent, const char *name, size_t length)
{
    return text_hash(name, length) ^ parent->hash * 31;
}

static struct path_component *child_add(struct path_set *set, struct arena *arena, struct path_component *parent, const char *name,
                                        size_t length)
{
    uint64_t hash = child_hash(parent, name, length);
    struct path_component **slot = slot_of(set, parent, hash, name, length);
    if (*slot)
        return *slot;
    struct path_component *c = arena_new(arena, sizeof *c);
    if (!c)
        return NULL;
    *c = (struct path_component){ .name = name, .length = length, .hash = hash, .parent = parent };
    parent->has_children = true;
    if (path_component_is_wild(name, length)) {
        c->next = parent->wild_children;
        parent->wild_children = c;
    }
    *slot = c;
    return c;
}

int path_set_init(struct path_set *set, struct arena *arena, const struct path *paths, size_t n)
{
    size_t n_components = 0, n_slots = 4, length;
    const char *name;
    *set = (struct path_set){ 0 };
    if (!n)
        return 0;
    for (size_t i = 0; i < n; i++)
        for (const char *p = paths[i].data, *end = p + paths[i].length; path_component_next(&p, end, &name, &length);)
            n_components++;
    while (n_slots < 2 * n_components)
        n_slots *= 2;
    set->mask = (uint32_t)n_slots - 1;
    set->slots = arena_new(arena, n_slots * sizeof *set->slots);
    set->root = arena_new(arena, sizeof *set->root);
    if (!set->slots || !set->root)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        struct path_component *at = set->root;
        for (const char *p = paths[i].data, *end = p + paths[i].length; at && path_component_next(&p, end, &name, &length);)
            at = child_add(set, arena, at, name, length);
        if (!at)
            return -ENOMEM;
        at->is_last = true;
    }
    return 0;
}

/* Recursion is as deep as the longest path of the set, which is short: a value has 255 bytes at most. */
static bool matches_below(const struct path_set *set, const struct path_component *at, const char *p, const char *end)
{
    const char *name;
    size_t n;
    if (at->is_last)
        return true;
    if (!at->has_children || !path_component_next(&p, end, &name, &n))
        return false;
    const struct path_component *child = *slot_of(set, at, child_hash(at, name, n), name, n);
    if (child && matches_below(set, child, p, end))
        return true;
    for (child = at->wild_children; child; child = child->next)
        if (glob_match(child->name, child->length, name, n, false) && matches_below(set, child, p, end))
            return true;
    return false;
}

bool path_set_match(const struct path_set *set, const char *path, size_t length)
{
    return set->root && matches_below(set, set->root, path, path + length);
}
