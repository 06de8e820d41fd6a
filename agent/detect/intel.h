/* Threat lists of addresses and networks, IPv4 and IPv6. Loaded from text, sealed once, then only looked up. Pure.
 *
 * Text: one address or CIDR per line, optionally a comma and a category; '#' and ';' begin a comment. A comment "# category: NAME" sets
 * the category of the lines below it. A category is 1 to 31 of a-z 0-9 - _ . */
#ifndef ECSGUARD_INTEL_H
#define ECSGUARD_INTEL_H

#include "common/event.h"

#define INTEL_CATEGORY_MAX 32
#define INTEL_LIST_MAX 64
#define INTEL_STEP 16

struct intel_tag {
    char list[INTEL_LIST_MAX];
    char category[INTEL_CATEGORY_MAX];
};

struct intel_entry4 {
    uint32_t start;
    uint32_t parent; /* index of the smallest network around this one, or INTEL_NONE */
    uint16_t tag;
    uint8_t prefix;
};

struct intel_entry6 {
    uint64_t start[2];
    uint32_t parent;
    uint16_t tag;
    uint8_t prefix;
};

/* Threat lists or trusted lists. Sorted by start, wide networks first, when sealed. */
struct intel_set {
    struct intel_entry4 *v4;
    struct intel_entry6 *v6;
    uint32_t n_v4, n_v6, room_v4, room_v6;
    uint32_t *index; /* of v4 by the upper 16 bits: where they begin; NULL if empty or not sealed */
    uint64_t (*sample)[2]; /* the start of every INTEL_STEP-th of v6: small enough for the processor's cache */
};

struct intel {
    struct intel_set threats, trusted;
    struct intel_tag *tags;
    uint32_t n_tags, room_tags;
    uint32_t n_refused; /* entries beyond LIMIT_INTEL_ENTRIES */
};

struct intel_match {
    const char *list, *category; /* of the intel that was asked, valid as long as it */
    uint8_t prefix;              /* how specific: 32 or 128 for one address */
    bool trusted;                /* a trusted list has it */
};

/* Told about each line that is skipped. `text` is a message for people, plain text; the line itself is not in it. */
typedef void intel_error(void *context, uint32_t line, const char *text);

/* One list. It may be given in pieces that end at line ends: `line` and `category` go on. */
struct intel_source {
    const char *list;
    char category[INTEL_CATEGORY_MAX]; /* default of its lines */
    bool trusted;
    uint32_t line; /* lines read so far */
    intel_error *on_error; /* may be NULL */
    void *context;
};

void intel_init(struct intel *intel);
void intel_fini(struct intel *intel);

/* Adds the entries of `text`. Bad lines are told and skipped. 0, -ENOMEM, or -ENOSPC when the bound was reached (what fits is kept, the
 * rest is counted in n_refused). Not after intel_seal(). */
int intel_load_text(struct intel *intel, struct intel_source *source, const char *text, size_t size);

/* Sorts and merges: of equal entries the first loaded stays. 0 or -ENOMEM. */
int intel_seal(struct intel *intel);

/* Is the address listed? True with the most specific entry of the threat lists. False, with match->trusted saying so, when a trusted list
 * covers it however widely. No allocation. */
bool intel_lookup(const struct intel *intel, const struct address *address, struct intel_match *match);

/* Entries in all lists. */
uint32_t intel_count(const struct intel *intel);

#endif
