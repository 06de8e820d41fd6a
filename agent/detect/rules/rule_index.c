#include "agent/detect/rules/rule_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One thing that a rule's guard wants. */
struct wish {
    uint32_t slot;
    enum lookup_kind kind;
    graph_ref ref; /* the check that it comes from */
    const char *data;
    size_t length;
    uint32_t key; /* of a part: the bit of the scan */
    uint32_t target;
};

struct filing {
    struct rule_index *index;
    struct arena *arena;
    const struct graph *graph;
    struct wish *wishes;
    size_t n_wishes, wishes_max;
    bool failed;
};

/* ---- what is wanted ------------------------------------------------------------------------------------------------------- */

static void wish_add(struct filing *f, struct wish wish)
{
    if (f->n_wishes == f->wishes_max) {
        size_t max = f->wishes_max ? 2 * f->wishes_max : 256;
        struct wish *grown = reallocarray(f->wishes, max, sizeof *grown);
        if (!grown) {
            f->failed = true;
            return;
        }
        f->wishes = grown;
        f->wishes_max = max;
    }
    f->wishes[f->n_wishes++] = wish;
}

/* Each value of a check is one wish; a check that is asked as it is, is one. */
static void wishes_add(struct filing *f, graph_ref ref, uint32_t target)
{
    const struct graph_atom *atom = &f->graph->atoms[f->graph->nodes[ref >> 1].first];
    const struct comparison *c = &atom->atom.comparison;
    struct wish wish = { .slot = atom->slot, .kind = guard_lookup_kind(f->graph, ref), .ref = ref, .target = target };
    if (wish.kind == LOOKUP_DIRECT || wish.kind == LOOKUP_PART) {
        wish.key = atom->n_scan_bits ? guard_scan_bit(atom) : 0;
        wish_add(f, wish);
        return;
    }
    for (uint32_t i = 0; i < c->n_values; i++) {
        const struct value *value = &c->values[i];
        wish.data = wish.kind == LOOKUP_NUMBER ? (const char *)&value->u64 : value->text.data;
        wish.length = wish.kind == LOOKUP_NUMBER ? sizeof value->u64 : value->text.length;
        if (c->op == OP_GLOB)
            wish.length = guard_literal_prefix(wish.data, wish.length);
        wish_add(f, wish);
    }
}

static int wish_order(const void *a, const void *b)
{
    const struct wish *x = a, *y = b;
    bool is_direct = x->kind == LOOKUP_DIRECT && y->kind == LOOKUP_DIRECT;
    if (x->kind != y->kind)
        return (x->kind > y->kind) - (x->kind < y->kind);
    if (is_direct ? x->ref != y->ref : x->slot != y->slot)
        return is_direct ? (x->ref > y->ref) - (x->ref < y->ref) : (x->slot > y->slot) - (x->slot < y->slot);
    return (x->target > y->target) - (x->target < y->target);
}

/* ---- filing --------------------------------------------------------------------------------------------------------------- */

/* The targets of n wishes, each once; they are sorted by target. */
static uint32_t *targets_of(struct filing *f, const struct wish *wishes, size_t n, uint32_t *n_targets)
{
    uint32_t *targets = arena_new(f->arena, (n ? n : 1) * sizeof *targets);
    *n_targets = 0;
    for (size_t i = 0; targets && i < n; i++)
        if (!*n_targets || targets[*n_targets - 1] != wishes[i].target)
            targets[(*n_targets)++] = wishes[i].target;
    f->failed |= !targets;
    return targets;
}

static void direct_file(struct filing *f, const struct wish *wishes, size_t n)
{
    struct direct_guard *direct = &f->index->directs[f->index->n_directs++];
    direct->ref = wishes[0].ref;
    direct->targets = targets_of(f, wishes, n, &direct->n_targets);
}

/* Targets by key, in one array. */
static int targets_file(struct lookup *lookup, struct arena *arena, const struct wish *wishes, size_t n, uint32_t n_keys)
{
    lookup->first = arena_new(arena, (n_keys + 1) * sizeof *lookup->first);
    lookup->targets = arena_new(arena, (n + 1) * sizeof *lookup->targets);
    uint32_t *used = calloc(n_keys + 1, sizeof *used);
    if (!lookup->first || !lookup->targets || !used) {
        free(used);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        lookup->first[wishes[i].key + 1]++;
    for (uint32_t key = 0; key < n_keys; key++)
        lookup->first[key + 1] += lookup->first[key];
    for (size_t i = 0; i < n; i++)
        lookup->targets[lookup->first[wishes[i].key] + used[wishes[i].key]++] = wishes[i].target;
    free(used);
    return 0;
}

static int keys_file(struct lookup *lookup, struct arena *arena, struct wish *wishes, size_t n)
{
    if (text_set_init(&lookup->keys, arena, (uint32_t)n))
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        wishes[i].key = text_set_add(&lookup->keys, wishes[i].data, wishes[i].length);
    return targets_file(lookup, arena, wishes, n, lookup->keys.n_items);
}

static int automaton_file(struct lookup *lookup, struct arena *arena, const struct wish *wishes, size_t n)
{
    static const enum automaton_kind kinds[] = {
        [LOOKUP_PREFIX] = AUTOMATON_PREFIXES,
        [LOOKUP_SUFFIX] = AUTOMATON_SUFFIXES,
    };
    struct automaton_pattern *patterns = malloc(n * sizeof *patterns);
    if (!patterns)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        patterns[i] = (struct automaton_pattern){ wishes[i].data, wishes[i].length, wishes[i].target };
    int err = automaton_init(&lookup->automaton, arena, kinds[lookup->kind], patterns, n);
    free(patterns);
    return err;
}

/* Those of one value and kind. Too many for a table: their rules are asked as if they had no guard. */
static void lookup_file(struct filing *f, struct wish *wishes, size_t n)
{
    struct rule_index *index = f->index;
    struct lookup *lookup = &index->lookups[index->n_lookups];
    *lookup = (struct lookup){ .slot = wishes[0].slot, .kind = wishes[0].kind };
    lookup->all = targets_of(f, wishes, n, &lookup->n_all);
    bool is_equality = lookup->kind == LOOKUP_TEXT || lookup->kind == LOOKUP_NUMBER;
    int err = is_equality                   ? keys_file(lookup, f->arena, wishes, n) :
              lookup->kind == LOOKUP_PART ? targets_file(lookup, f->arena, wishes, n, f->graph->slots[lookup->slot].scan->n_bits) :
                                              automaton_file(lookup, f->arena, wishes, n);
    f->failed |= err == -ENOMEM;
    for (uint32_t i = 0; err && !f->failed && i < lookup->n_all; i++)
        index->always[lookup->all[i] / 64] |= 1ull << (lookup->all[i] % 64);
    index->n_lookups += !err;
}

/* How many wishes from the i-th on go together: those for one value and kind, or for one check. */
static size_t together(const struct filing *f, size_t i)
{
    const struct wish *first = &f->wishes[i];
    size_t n = 1;
    while (i + n < f->n_wishes && first[n].kind == first->kind &&
           (first->kind == LOOKUP_DIRECT ? first[n].ref == first->ref : first[n].slot == first->slot))
        n++;
    return n;
}

static void wishes_file(struct filing *f)
{
    size_t n_lookups = 0, n_directs = 0;
    if (f->n_wishes)
        qsort(f->wishes, f->n_wishes, sizeof *f->wishes, wish_order);
    for (size_t i = 0; i < f->n_wishes; i += together(f, i)) {
        bool is_direct = f->wishes[i].kind == LOOKUP_DIRECT;
        n_directs += is_direct;
        n_lookups += !is_direct;
    }
    f->index->lookups = arena_new(f->arena, (n_lookups + 1) * sizeof *f->index->lookups);
    f->index->directs = arena_new(f->arena, (n_directs + 1) * sizeof *f->index->directs);
    f->failed |= !f->index->lookups || !f->index->directs;
    for (size_t i = 0, n; i < f->n_wishes && !f->failed; i += n) {
        n = together(f, i);
        if (f->wishes[i].kind == LOOKUP_DIRECT)
            direct_file(f, &f->wishes[i], n);
        else
            lookup_file(f, &f->wishes[i], n);
    }
}

int rule_index_init(struct rule_index *index, struct arena *arena, const struct graph *graph, const graph_ref *roots, uint32_t n)
{
    struct filing f = { .index = index, .arena = arena, .graph = graph };
    struct guards guards;
    *index = (struct rule_index){ .n_rules = n, .n_words = (n + 63) / 64 };
    index->always = arena_new(arena, (index->n_words + 1) * sizeof *index->always);
    f.failed = guards_init(&guards, graph) || !index->always || guards_settle(&guards, roots, n);
    for (uint32_t i = 0; i < n && !f.failed; i++) {
        f.failed |= guards_find(&guards, roots[i]) != 0;
        if (!guards.n_refs && !f.failed)
            index->always[i / 64] |= 1ull << (i % 64);
        for (uint32_t k = 0; k < guards.n_refs; k++)
            wishes_add(&f, guards.refs[k], i);
    }
    if (!f.failed)
        wishes_file(&f);
    guards_fini(&guards);
    free(f.wishes);
    return f.failed ? -ENOMEM : 0;
}

/* ---- finding -------------------------------------------------------------------------------------------------------------- */

static void targets_set(const uint32_t *targets, uint32_t n, uint64_t *bits)
{
    for (uint32_t i = 0; i < n; i++)
        bits[targets[i] / 64] |= 1ull << (targets[i] % 64);
}

static void key_targets_set(const struct lookup *lookup, uint32_t key, uint64_t *bits)
{
    targets_set(&lookup->targets[lookup->first[key]], lookup->first[key + 1] - lookup->first[key], bits);
}

static void key_find(const struct lookup *lookup, uint64_t hash, const char *data, size_t length, uint64_t *bits)
{
    int64_t key = text_set_find(&lookup->keys, hash, data, length);
    if (key >= 0)
        key_targets_set(lookup, (uint32_t)key, bits);
}

static void parts_find(const struct lookup *lookup, struct graph *graph, struct eval *eval, const struct graph_slot *slot, uint64_t *bits)
{
    const uint64_t *found = graph_scan_get(graph, eval, slot);
    for (uint32_t word = 0; word < (slot->scan->n_bits + 63) / 64; word++)
        for (uint64_t left = found[word]; left; left &= left - 1)
            key_targets_set(lookup, word * 64 + (uint32_t)__builtin_ctzll(left), bits);
}

static void value_find(const struct lookup *lookup, const struct value *value, uint64_t *hash, uint64_t *bits)
{
    switch (lookup->kind) {
    case LOOKUP_TEXT:
        if (!*hash)
            *hash = text_hash(value->text.data, value->text.length);
        key_find(lookup, *hash, value->text.data, value->text.length, bits);
        return;
    case LOOKUP_NUMBER:
        key_find(lookup, text_hash((const char *)&value->u64, sizeof value->u64), (const char *)&value->u64, sizeof value->u64, bits);
        return;
    case LOOKUP_PREFIX:
    case LOOKUP_SUFFIX:
        automaton_scan(&lookup->automaton, value->text.data, value->text.length, bits);
        return;
    case LOOKUP_PART: /* of all texts of a list at once: parts_find() */
    case LOOKUP_DIRECT:
        return;
    }
}

static void lookup_find(const struct lookup *lookup, struct graph *graph, struct eval *eval, struct graph_slot *slot, uint64_t *bits)
{
    if (slot->answer == VALUE_WAIT)
        targets_set(lookup->all, lookup->n_all, bits);
    if (slot->answer != VALUE_GOT)
        return;
    if (lookup->kind == LOOKUP_PART) {
        parts_find(lookup, graph, eval, slot, bits);
        return;
    }
    if (!slot->value.is_list) {
        value_find(lookup, &slot->value, &slot->hash, bits);
        return;
    }
    for (uint32_t i = 0; i < slot->value.list.n; i++) {
        uint64_t hash = 0;
        value_find(lookup, &slot->value.list.items[i], &hash, bits);
    }
}

void rule_index_find(const struct rule_index *index, struct graph *graph, struct eval *eval, uint64_t *bits)
{
    memcpy(bits, index->always, index->n_words * sizeof *bits);
    for (uint32_t i = 0; i < index->n_lookups; i++)
        lookup_find(&index->lookups[i], graph, eval, graph_slot_get(graph, eval, index->lookups[i].slot), bits);
    for (uint32_t i = 0; i < index->n_directs; i++)
        if (graph_eval(graph, eval, index->directs[i].ref) != VERDICT_FALSE)
            targets_set(index->directs[i].targets, index->directs[i].n_targets, bits);
}
