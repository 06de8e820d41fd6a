#include "agent/detect/rules/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/rule_index.h"

/* A rule as far as it can hold for a class of events. */
struct entry {
    uint32_t rule;
    graph_ref root;
};

struct class_program {
    struct entry *entries; /* in order of definition */
    uint32_t n_entries;
    struct rule_index index;
};

struct program {
    struct arena arena;
    struct graph graph;
    struct class_program *classes;
    uint32_t n_classes, n_rules;
    bool first_match;
    uint64_t *candidates; /* one bit for each entry of the largest class */
    struct rule_counters *counters; /* of each rule of the set */
    uint64_t n_dropped, n_events;
    uint64_t (*now_ns)(void);
};

/* ---- compiling ------------------------------------------------------------------------------------------------------------ */

/* A condition for a class of events: a class has several names, and the rule holds if it holds for an event of one of them. */
static graph_ref class_fold(struct program *p, struct graph_shape *shape, const struct event_name_set *names)
{
    graph_ref refs[EVENT_NAMES_MAX];
    uint32_t n = 0;
    for (int name = 0; name < event_names_count(); name++) {
        if (!event_name_set_has(names, name))
            continue;
        refs[n] = graph_fold(&p->graph, shape, name);
        if (refs[n] == REF_NONE)
            return REF_NONE;
        n += refs[n] != REF_FALSE;
    }
    return graph_any(&p->graph, refs, n);
}

static bool is_used(const struct rule *rule, const struct program_options *options)
{
    return rule->enabled && rule->compiled && rule->cond && rule->priority <= options->priority_max;
}

static int class_collect(struct program *p, struct class_program *class, struct graph_shape *const *shapes,
                         const struct event_name_set *names)
{
    class->entries = arena_new(&p->arena, (p->n_rules + 1) * sizeof *class->entries);
    if (!class->entries)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->n_rules; i++) {
        graph_ref root = shapes[i] ? class_fold(p, shapes[i], names) : REF_FALSE;
        if (root == REF_NONE)
            return -ENOMEM;
        if (root != REF_FALSE)
            class->entries[class->n_entries++] = (struct entry){ .rule = i, .root = root };
    }
    return 0;
}

static int class_index(struct program *p, struct class_program *class)
{
    graph_ref *roots = malloc((class->n_entries + 1) * sizeof *roots);
    if (!roots)
        return -ENOMEM;
    for (uint32_t i = 0; i < class->n_entries; i++)
        roots[i] = class->entries[i].root;
    int err = rule_index_init(&class->index, &p->arena, &p->graph, roots, class->n_entries);
    free(roots);
    return err;
}

static int compile(struct program *p, const struct ruleset *set, const struct program_options *options)
{
    struct graph_shape **shapes = calloc(p->n_rules + 1, sizeof *shapes);
    int err = shapes ? 0 : -ENOMEM;
    for (uint32_t i = 0; i < p->n_rules && !err; i++)
        if (is_used(&set->rules[i], options) && !(shapes[i] = graph_shape_new(&p->graph, set->rules[i].cond)))
            err = -ENOMEM;
    for (uint32_t i = 0; i < p->n_classes && !err; i++)
        err = class_collect(p, &p->classes[i], shapes, &options->classes[i]);
    if (!err)
        err = graph_scans_init(&p->graph);
    for (uint32_t i = 0; i < p->n_classes && !err; i++) /* when the graph is complete */
        err = class_index(p, &p->classes[i]);
    free(shapes);
    graph_seal(&p->graph);
    return err;
}

struct program *program_new(const struct ruleset *set, const struct program_options *options)
{
    struct program *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    arena_init(&p->arena, 0);
    p->n_rules = set->n_rules;
    p->n_classes = options->n_classes;
    p->first_match = options->first_match;
    p->classes = arena_new(&p->arena, (p->n_classes + 1) * sizeof *p->classes);
    p->counters = arena_new(&p->arena, (p->n_rules + 1) * sizeof *p->counters);
    p->candidates = arena_new(&p->arena, (p->n_rules / 64 + 1) * sizeof *p->candidates);
    if (graph_init(&p->graph, &p->arena) || !p->classes || !p->counters || !p->candidates || compile(p, set, options)) {
        program_free(p);
        return NULL;
    }
    return p;
}

void program_free(struct program *p)
{
    if (!p)
        return;
    graph_fini(&p->graph);
    arena_fini(&p->arena);
    free(p);
}

/* ---- matching ------------------------------------------------------------------------------------------------------------- */

static enum verdict entry_eval(struct program *p, const struct entry *entry, struct eval *eval, bool timed)
{
    struct rule_counters *counters = &p->counters[entry->rule];
    uint64_t start = timed ? p->now_ns() : 0;
    enum verdict verdict = graph_eval(&p->graph, eval, entry->root);
    if (timed)
        counters->ns += (p->now_ns() - start) * PROGRAM_TIMED;
    counters->n_evaluations++;
    counters->n_hits += verdict == VERDICT_TRUE;
    return verdict;
}

size_t program_match(struct program *p, uint32_t number, struct eval *eval, struct program_hit *hits, size_t max)
{
    const struct class_program *class = &p->classes[number];
    bool timed = p->now_ns && p->n_events++ % PROGRAM_TIMED == 0;
    size_t n = 0;
    if (!class->n_entries)
        return 0;
    graph_begin(&p->graph);
    rule_index_find(&class->index, &p->graph, eval, p->candidates);
    for (uint32_t word = 0; word < class->index.n_words; word++)
        for (uint64_t bits = p->candidates[word]; bits; bits &= bits - 1) {
            const struct entry *entry = &class->entries[word * 64 + (uint32_t)__builtin_ctzll(bits)];
            enum verdict verdict = entry_eval(p, entry, eval, timed);
            if (verdict == VERDICT_FALSE)
                continue;
            if (n < max)
                hits[n++] = (struct program_hit){ .rule = entry->rule, .verdict = verdict };
            else
                p->n_dropped++;
            if (p->first_match && verdict == VERDICT_TRUE)
                return n;
        }
    return n;
}

static int entry_order(const void *rule, const void *entry)
{
    uint32_t a = *(const uint32_t *)rule, b = ((const struct entry *)entry)->rule;
    return (a > b) - (a < b);
}

enum verdict program_match_rule(struct program *p, uint32_t number, uint32_t rule, struct eval *eval)
{
    const struct class_program *class = &p->classes[number];
    const struct entry *entry = bsearch(&rule, class->entries, class->n_entries, sizeof *entry, entry_order);
    graph_begin(&p->graph);
    return entry ? entry_eval(p, entry, eval, false) : VERDICT_FALSE;
}

/* ---- what it tells -------------------------------------------------------------------------------------------------------- */

uint64_t program_dropped(const struct program *p)
{
    return p->n_dropped;
}

const struct rule_counters *program_counters(const struct program *p, uint32_t rule)
{
    return &p->counters[rule];
}

void program_set_clock(struct program *p, uint64_t (*now_ns)(void))
{
    p->now_ns = now_ns;
}

void program_stats(const struct program *p, struct program_stats *out)
{
    *out = (struct program_stats){ .n_atoms = p->graph.n_atoms, .n_slots = p->graph.n_slots, .n_nodes = p->graph.n_nodes,
                                   .bytes = p->arena.used_bytes + p->graph.n_nodes * sizeof *p->graph.nodes +
                                            p->graph.n_children * sizeof *p->graph.children + p->graph.n_atoms * sizeof *p->graph.atoms +
                                            p->graph.n_slots * sizeof *p->graph.slots };
    for (uint32_t i = 0; i < p->n_classes; i++) {
        const struct class_program *class = &p->classes[i];
        out->n_rules += class->n_entries;
        for (uint32_t word = 0; word < class->index.n_words; word++)
            out->n_unguarded += (uint32_t)__builtin_popcountll(class->index.always[word]);
    }
}
