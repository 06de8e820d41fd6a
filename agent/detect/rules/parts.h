/* Many parts looked for in a text at once, the case of ASCII letters ignored: contains, icontains, and what regexes need. Pure. */
#ifndef ECSGUARD_RULES_PARTS_H
#define ECSGUARD_RULES_PARTS_H

#include "agent/detect/rules/automaton.h"

#define PARTS_LENGTH_MIN 3

/* Of each part the four bytes (of a short one: three) that other parts and ordinary command lines and paths have least often are looked
 * for. At every byte of the text one look into a small table of bits decides whether they can be there; only then is the part compared. */
#define PARTS_TABLE_BITS 15
#define PARTS_HEADS_BITS (PARTS_TABLE_BITS - 4) /* what hangs on the first three bytes of a word */

struct parts_item {
    const char *data; /* in lower case */
    size_t length;
    uint32_t offset;  /* of the bytes that are looked for, */
    uint32_t word;    /* which are these, as they are in the table, */
    uint32_t significant; /* as far as these bits of the text's word tell */
    uint32_t mask;    /* where in `masks` its bits are */
    uint32_t next;    /* number + 1 of the next one in the same list */
};

struct parts {
    uint64_t bits[1 << (PARTS_TABLE_BITS - 6)];
    uint32_t heads[1 << PARTS_HEADS_BITS]; /* number + 1 of the first item of each list */
    struct parts_item *items;
    uint32_t n_items;
    uint64_t *masks; /* n_words for each item */
    uint32_t n_words;
};

/* No pattern is shorter than PARTS_LENGTH_MIN; targets are below `n_bits`. 0; -E2BIG if it would take more than LIMIT_RULE_AUTOMATON_BYTES;
 * -ENOMEM. */
int parts_init(struct parts *parts, struct arena *arena, const struct automaton_pattern *patterns, size_t n, uint32_t n_bits);
/* Sets the bits of the patterns that the text has in it. */
void parts_scan(const struct parts *parts, const char *text, size_t length, uint64_t *bits);

#endif
