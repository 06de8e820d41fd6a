/* The rules in force as a detector: each event meets the rules of its class; hits become findings. A rule whose condition reads container or
 * ECS facts that have not come yet is held, with a copy of its event, until they come or the time is over. Pure. */
#ifndef ECSGUARD_RULES_DETECTOR_H
#define ECSGUARD_RULES_DETECTOR_H

#include "agent/detect/rules/field_context.h"
#include "agent/detect/rules/program.h"
#include "common/slab.h"

struct detection;
struct step;

struct rules_options {
    enum rule_priority priority_max; /* rules of lesser priority stay out */
    bool first_match;                /* only the first rule that matches an event reports it */
    uint64_t wait_ns;                /* for facts, at most */
    uint64_t (*now_ns)(void);        /* for the time that rules take; NULL = not measured */
};

/* A loaded set, compiled: everything that a reload replaces. */
struct rules {
    struct ruleset *set;
    struct program *program;
    struct detector *makers; /* what findings of each rule say: type, severity, title, ... */
    struct arena arena;      /* of their texts */
    uint64_t wait_ns;
    enum rule_priority priority_max;
};

/* Takes `set`, also when it fails: NULL on lack of memory. */
struct rules *rules_new(struct ruleset *set, const struct rules_options *options);
void rules_free(struct rules *rules);

#define HELD_RULES 16

/* An event that rules wait with. */
struct held_event {
    struct event *ev; /* copy; NULL = free */
    size_t block_bytes;
    uint64_t due_ns;
    int64_t event_id;
    enum event_class class;
    int32_t pid, container;
    uint64_t start_ns;              /* of pid */
    struct image *image, *previous; /* references */
    uint32_t rules[HELD_RULES];     /* indexes in the set in force */
    uint32_t n_rules;
};

/* Kept over reloads: what waits is then decided by the new rules of the same names. */
struct rules_state {
    struct rules *rules; /* in force, NULL = none */
    struct eval eval;
    struct field_context context;
    const struct user_names *users; /* borrowed, NULL = none */
    const struct host_facts *host;  /* the same */
    const char *host_name;
    struct slab texts;
    struct held_event held[LIMIT_HELD_EVENTS];
    uint32_t n_held;
    uint64_t n_events;       /* evt.num */
    uint64_t n_held_total;   /* rules that had to wait */
    uint64_t n_held_forced;  /* decided without their facts, because too many waited */
    uint64_t n_hits_dropped; /* without those that the program in force counts */
};

int rules_state_init(struct rules_state *s); /* 0 or -ENOMEM */
void rules_state_fini(struct rules_state *s);

/* Puts other rules in force and gives back the former ones, for rules_free(). */
struct rules *rules_replace(struct detection *d, struct rules *rules);

/* Does that list of the rules in force have the word? False without rules, or when they have no such list. */
bool rules_list_has(const struct detection *d, const char *list, const char *word);
/* More rules hit one event than can be told. */
uint64_t rules_hits_dropped(const struct rules_state *s);

void rules_event(struct detection *d, const struct step *step);
/* Decisions due at now_ns; true if some are left because this step has no room for more findings. */
bool rules_tick(struct detection *d, uint64_t now_ns);
uint64_t rules_next_due(const struct detection *d); /* UINT64_MAX = none waits */

/* "TA0002 T1059.004" of tags like mitre_execution and T1059.004, into out. */
void rule_mitre(const struct rule *rule, char *out, size_t size);
/* The finding's type: the rule's own key, or "Custom:Runtime/Rule" for rules that name none. */
const char *rule_finding_type(const struct rule *rule);

#endif
