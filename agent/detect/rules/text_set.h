/* Sets of texts, made once and asked often: the values of `in` and of many `=`. Pure. */
#ifndef ECSGUARD_RULES_TEXT_SET_H
#define ECSGUARD_RULES_TEXT_SET_H

#include "agent/detect/rules/arena.h"

struct text_set_item {
    const char *data;
    size_t length;
    uint64_t hash;
};

struct text_set {
    struct text_set_item *items; /* distinct, in order of their first appearance */
    uint32_t n_items;
    uint32_t *slots; /* number of an item + 1; 0 = free */
    uint32_t mask;
};

/* Never 0, so that 0 can say "not computed". Not keyed: what is in a set comes from rules, what is looked up cannot make it worse. */
uint64_t text_hash(const char *data, size_t length);

/* Room for `n_max` texts. 0 or -ENOMEM. */
int text_set_init(struct text_set *set, struct arena *arena, uint32_t n_max);
/* The number of the text, which is borrowed; the one that it has already if it is there. */
uint32_t text_set_add(struct text_set *set, const char *data, size_t length);
/* -1 if it is not there. `hash` is text_hash() of it. */
int64_t text_set_find(const struct text_set *set, uint64_t hash, const char *data, size_t length);

#endif
