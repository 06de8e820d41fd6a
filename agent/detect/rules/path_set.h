/* Path prefixes, component by component: the operator pmatch (language.md 7.3). Pure. */
#ifndef ECSGUARD_RULES_PATH_SET_H
#define ECSGUARD_RULES_PATH_SET_H

#include "agent/detect/rules/arena.h"

struct path_component;

struct path {
    const char *data;
    size_t length;
};

/* A tree of components; children are found by the hash of their parent and name. */
struct path_set {
    struct path_component *root; /* NULL = no paths: nothing matches */
    struct path_component **slots;
    uint32_t mask;
};

/* 0 or -ENOMEM. The texts are borrowed. */
int path_set_init(struct path_set *set, struct arena *arena, const struct path *paths, size_t n);
/* True if a path of the set is a prefix of this one: equal components, or components with one of "?*[" that match as wildcards. */
bool path_set_match(const struct path_set *set, const char *path, size_t length);

/* The next component in [*p, end): empty ones are dropped. False if there is none. */
bool path_component_next(const char **p, const char *end, const char **name, size_t *length);
bool path_component_is_wild(const char *name, size_t length);

#endif
