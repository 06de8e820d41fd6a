#include "agent/detect/rules/program_graph.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/constant.h"

struct graph_shape {
    enum cond_kind kind;
    bool is_typed; /* depends on the name of the event */
    graph_ref ref; /* of a check, and of what has been folded and does not depend on the name; REF_NONE = not known */
    const struct event_name_set *names; /* a check of evt.type: where it holds */
    struct graph_shape **children;
    uint32_t n_children;
};

/* Room for one more at the end of an array. */
static int room_for_one(void **array, uint32_t n, uint32_t *max, size_t size)
{
    if (n < *max)
        return 0;
    uint32_t more = *max ? 2 * *max : 64;
    void *grown = reallocarray(*array, more, size);
    if (!grown)
        return -ENOMEM;
    *array = grown;
    *max = more;
    return 0;
}

static int64_t node_new(struct graph *g, bool is_atom, uint32_t first, uint32_t n)
{
    if (room_for_one((void **)&g->nodes, g->n_nodes, &g->nodes_max, sizeof *g->nodes))
        return -ENOMEM;
    g->nodes[g->n_nodes] = (struct graph_node){ .is_atom = is_atom, .first = first, .n = n };
    return g->n_nodes++;
}

int graph_init(struct graph *g, struct arena *arena)
{
    *g = (struct graph){ .arena = arena, .generation = 1 };
    arena_init(&g->scratch, 0);
    intern_init(&g->slot_keys, &g->scratch);
    intern_init(&g->atom_keys, &g->scratch);
    intern_init(&g->node_keys, &g->scratch);
    if (eval_init(&g->eval) || node_new(g, false, 0, 0) < 0)
        return -ENOMEM;
    return 0;
}

void graph_seal(struct graph *g)
{
    intern_fini(&g->slot_keys);
    intern_fini(&g->atom_keys);
    intern_fini(&g->node_keys);
    eval_fini(&g->eval);
    arena_fini(&g->scratch);
    free(g->joint_nodes);
    g->joint_nodes = NULL;
}

void graph_fini(struct graph *g)
{
    graph_seal(g);
    free(g->slots);
    free(g->atoms);
    free(g->nodes);
    free(g->children);
    *g = (struct graph){ 0 };
}

/* ---- keys: what makes two checks the same --------------------------------------------------------------------------------- */

struct key {
    char *data;
    size_t size, max;
    bool failed;
};

static void key_add(struct key *key, const void *data, size_t size)
{
    if (key->size + size > key->max) {
        size_t max = 2 * (key->size + size) + 256;
        char *grown = realloc(key->data, max);
        if (!grown) {
            key->failed = true;
            return;
        }
        key->data = grown;
        key->max = max;
    }
    if (size)
        memcpy(key->data + key->size, data, size);
    key->size += size;
}

static void key_add_text(struct key *key, const char *text, size_t length)
{
    key_add(key, &length, sizeof length);
    key_add(key, text, length);
}

static void key_add_operand(struct key *key, const struct cond_operand *operand)
{
    const char kind = (char)(operand->kind * 2 + (operand->argument ? 1 : 0));
    key_add(key, &kind, 1);
    key_add_text(key, operand->text, operand->length);
    if (operand->argument)
        key_add_text(key, operand->argument, operand->argument_length);
    key_add(key, &operand->n_items, sizeof operand->n_items);
    for (uint32_t i = 0; i < operand->n_items; i++)
        key_add_operand(key, operand->items[i]);
}

static int64_t key_number(struct key *key, struct intern *intern, bool *is_new)
{
    int64_t number = key->failed ? -ENOMEM : intern_number(intern, key->data, key->size, is_new);
    free(key->data);
    return number;
}

/* ---- checks --------------------------------------------------------------------------------------------------------------- */

static int64_t slot_number(struct graph *g, const struct cond_operand *left, const struct expression *expression)
{
    struct key key = { 0 };
    bool is_new;
    key_add_operand(&key, left);
    key_add(&key, &expression->ref.words_apart, sizeof expression->ref.words_apart);
    int64_t number = key_number(&key, &g->slot_keys, &is_new);
    if (number < 0 || !is_new)
        return number;
    if (room_for_one((void **)&g->slots, g->n_slots, &g->slots_max, sizeof *g->slots))
        return -ENOMEM;
    bool is_plain = expression->kind == EXPRESSION_FIELD && expression->subject.scope == FIELD_SCOPE_ONE &&
                    expression->ref.field->type != VALUE_DYNAMIC;
    g->slots[g->n_slots++] = (struct graph_slot){ .expression = expression, .is_plain = is_plain };
    return number;
}

static int atom_add(struct graph *g, const struct cond *cond)
{
    struct cond_error error;
    if (room_for_one((void **)&g->atoms, g->n_atoms, &g->atoms_max, sizeof *g->atoms))
        return -ENOMEM;
    struct graph_atom *atom = &g->atoms[g->n_atoms];
    int err = atom_compile(g->arena, cond, &atom->atom, &error);
    if (err)
        return err;
    int64_t slot = slot_number(g, cond->left, atom->atom.left);
    if (slot < 0)
        return (int)slot;
    int64_t node = node_new(g, true, g->n_atoms, (uint32_t)slot);
    if (node < 0)
        return (int)node;
    atom->slot = (uint32_t)slot;
    atom->n_scan_bits = 0;
    atom->node = (uint32_t)node;
    g->n_atoms++;
    return 0;
}

static int64_t atom_number(struct graph *g, const struct cond *cond)
{
    struct key key = { 0 };
    bool is_new;
    const char head[3] = { (char)cond->kind, (char)cond->op, (char)cond->modifier };
    key_add(&key, head, sizeof head);
    key_add_operand(&key, cond->left);
    if (cond->kind == COND_CHECK)
        key_add_operand(&key, cond->right);
    int64_t number = key_number(&key, &g->atom_keys, &is_new);
    if (number < 0 || !is_new)
        return number;
    int err = atom_add(g, cond);
    return err ? err : number;
}

/* ---- all of these --------------------------------------------------------------------------------------------------------- */

/* Drops what always holds and what is there twice; false if one never holds. */
static bool refs_simplify(graph_ref *refs, uint32_t *n)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *n; i++) {
        bool is_twice = false;
        if (refs[i] == REF_FALSE)
            return false;
        for (uint32_t k = kept; k > 0 && kept - k < 16 && !is_twice; k--)
            is_twice = refs[k - 1] == refs[i];
        if (refs[i] != REF_TRUE && !is_twice)
            refs[kept++] = refs[i];
    }
    *n = kept;
    return true;
}

/* The node of a key that is new. */
static int64_t joint_new(struct graph *g, const graph_ref *refs, uint32_t n)
{
    uint32_t first = g->n_children;
    for (uint32_t i = 0; i < n; i++) {
        if (room_for_one((void **)&g->children, g->n_children, &g->children_max, sizeof *g->children))
            return -ENOMEM;
        g->children[g->n_children++] = refs[i];
    }
    int64_t node = node_new(g, false, first, n);
    uint32_t number = g->node_keys.n_items - 1;
    if (node < 0 || room_for_one((void **)&g->joint_nodes, number, &g->joints_max, sizeof *g->joint_nodes))
        return -ENOMEM;
    g->joint_nodes[number] = (uint32_t)node;
    return node;
}

/* Changes refs[]. */
static graph_ref all_of(struct graph *g, graph_ref *refs, uint32_t n)
{
    bool is_new;
    if (!refs_simplify(refs, &n))
        return REF_FALSE;
    if (n < 2)
        return n ? refs[0] : REF_TRUE;
    int64_t number = intern_number(&g->node_keys, refs, n * sizeof *refs, &is_new);
    if (number < 0)
        return REF_NONE;
    int64_t node = is_new ? joint_new(g, refs, n) : g->joint_nodes[number];
    return node < 0 ? REF_NONE : (graph_ref)node * 2;
}

/* ---- conditions ----------------------------------------------------------------------------------------------------------- */

/* A check: what it is for every event, or, of evt.type, for which names it holds. */
static bool leaf_init(struct graph *g, struct graph_shape *shape, const struct cond *cond)
{
    int64_t number = atom_number(g, cond);
    if (number < 0)
        return false;
    const struct graph_atom *atom = &g->atoms[number];
    struct event_name_set names, *kept;
    int constant = atom_constant(&atom->atom);
    shape->ref = constant == 0 || atom_is_empty(&atom->atom) ? REF_FALSE : constant == 1 ? REF_TRUE : atom->node * 2;
    if (!atom_event_names(&atom->atom, &g->eval, &names))
        return true;
    if (!(kept = arena_new(&g->scratch, sizeof *kept)))
        return false;
    *kept = names;
    shape->names = kept;
    shape->is_typed = true;
    return true;
}

static struct graph_shape *shape_new(struct graph *g, const struct cond *cond, unsigned depth)
{
    struct graph_shape *shape = arena_new(&g->scratch, sizeof *shape);
    if (!shape || depth > LIMIT_RULE_DEPTH)
        return NULL;
    *shape = (struct graph_shape){ .kind = cond->kind, .ref = REF_NONE };
    switch (cond->kind) {
    case COND_EXISTS:
    case COND_CHECK:
        return leaf_init(g, shape, cond) ? shape : NULL;
    case COND_NAME:
        return NULL;
    case COND_AND:
    case COND_OR:
    case COND_NOT:
        break;
    }
    if (!(shape->children = arena_new(&g->scratch, cond->n_children * sizeof *shape->children)))
        return NULL;
    for (; shape->n_children < cond->n_children; shape->n_children++) {
        struct graph_shape *child = shape_new(g, cond->children[shape->n_children], depth + 1);
        if (!child)
            return NULL;
        shape->children[shape->n_children] = child;
        shape->is_typed |= child->is_typed;
    }
    return shape;
}

struct graph_shape *graph_shape_new(struct graph *g, const struct cond *cond)
{
    return shape_new(g, cond, 0);
}

static graph_ref negated(graph_ref ref)
{
    return ref == REF_NONE ? ref : ref ^ 1;
}

/* `or` is made of `and`: not (not a and not b). */
static graph_ref joint_fold(struct graph *g, const struct graph_shape *shape, int event_name)
{
    bool is_or = shape->kind == COND_OR;
    graph_ref *refs = malloc(shape->n_children * sizeof *refs), result = REF_NONE;
    uint32_t n = 0;
    for (; refs && n < shape->n_children; n++) {
        graph_ref ref = graph_fold(g, shape->children[n], event_name);
        if (ref == REF_NONE)
            break;
        refs[n] = ref ^ is_or;
        if (refs[n] == REF_FALSE) { /* that decides it */
            free(refs);
            return is_or ? REF_TRUE : REF_FALSE;
        }
    }
    if (refs && n == shape->n_children)
        result = all_of(g, refs, n);
    free(refs);
    return is_or ? negated(result) : result;
}

graph_ref graph_fold(struct graph *g, struct graph_shape *shape, int event_name)
{
    if (shape->names)
        return event_name_set_has(shape->names, event_name) ? REF_TRUE : REF_FALSE;
    if (!shape->is_typed && shape->ref != REF_NONE)
        return shape->ref;
    graph_ref ref = shape->kind == COND_NOT ? negated(graph_fold(g, shape->children[0], event_name)) : joint_fold(g, shape, event_name);
    if (!shape->is_typed)
        shape->ref = ref;
    return ref;
}

graph_ref graph_any(struct graph *g, const graph_ref *refs, uint32_t n)
{
    graph_ref *flipped = malloc((n ? n : 1) * sizeof *flipped);
    graph_ref result = REF_NONE;
    for (uint32_t i = 0; flipped && i < n; i++)
        flipped[i] = refs[i] ^ 1;
    if (flipped)
        result = all_of(g, flipped, n);
    free(flipped);
    return negated(result);
}

/* ---- scans ---------------------------------------------------------------------------------------------------------------- */

struct patterns {
    struct automaton_pattern *items;
    size_t n, max;
};

static int pattern_add(struct patterns *p, const char *data, size_t length, uint32_t target)
{
    if (p->n == p->max) {
        size_t max = p->max ? 2 * p->max : 64;
        struct automaton_pattern *grown = reallocarray(p->items, max, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        p->items = grown;
        p->max = max;
    }
    p->items[p->n++] = (struct automaton_pattern){ data, length, target };
    return 0;
}

/* The longest piece of a wildcard pattern before its first bracket or backslash that must be there as it is. */
static const char *glob_part(const char *pattern, size_t length, size_t *part_length)
{
    const char *best = pattern;
    size_t end = 0;
    *part_length = 0;
    while (end < length && pattern[end] != '[' && pattern[end] != '\\')
        end++;
    for (size_t i = 0, start = 0; i <= end; i++) {
        if (i < end && pattern[i] != '*' && pattern[i] != '?')
            continue;
        if (i - start > *part_length) {
            best = pattern + start;
            *part_length = i - start;
        }
        start = i + 1;
    }
    return best;
}

/* The longest component of a path that is without wildcards. */
static const char *path_part(const char *path, size_t length, size_t *part_length)
{
    const char *best = path, *end = path + length, *name;
    size_t n;
    *part_length = 0;
    while (path_component_next(&path, end, &name, &n))
        if (n > *part_length && !path_component_is_wild(name, n)) {
            best = name;
            *part_length = n;
        }
    return best;
}

/* The part that a text must have to match one value. */
static const char *value_part(const struct comparison *c, uint32_t i, size_t *length)
{
    const char *text = c->values[i].text.data;
    size_t n = c->values[i].text.length;
    if (c->op == OP_PMATCH)
        return path_part(text, n, length);
    if (c->op == OP_GLOB || c->op == OP_IGLOB)
        return glob_part(text, n, length);
    *length = n;
    return text;
}

static bool is_searched(const struct comparison *c)
{
    return (c->subject.type == VALUE_TEXT || c->subject.type == VALUE_PATH) && !c->subject.is_list &&
           (c->op == OP_CONTAINS || c->op == OP_ICONTAINS || c->op == OP_PMATCH || c->op == OP_GLOB || c->op == OP_IGLOB ||
            c->op == OP_REGEX);
}

static bool part_is_useful(const char *part, size_t length)
{
    return length >= PARTS_LENGTH_MIN && !guard_part_is_common(part, length);
}

static bool set_is_useful(const struct regex_set *set)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (!part_is_useful(set->words[i].data, set->words[i].length))
            return false;
    return set->n > 0;
}

/* Sets of parts, one of each of which a text must have for the check to hold; 0 if that cannot be said. */
static uint32_t parts_sets(const struct atom *atom)
{
    const struct comparison *c = &atom->comparison;
    bool is_regex = c->op == OP_REGEX;
    uint32_t n = 0;
    size_t length;
    if (atom->exists || atom->right || !c->n_values || !is_searched(c))
        return 0;
    for (uint32_t i = 0; i < c->n_values; i++) {
        const char *part = value_part(c, i, &length);
        if (is_regex ? !set_is_useful(&c->regexes[i]->sets[0]) : !part_is_useful(part, length))
            return 0;
    }
    while (is_regex && c->n_values == 1 && n < REGEX_SETS && set_is_useful(&c->regexes[0]->sets[n]))
        n++;
    return n ? n : 1; /* of several values only one needs to be there */
}

const char *graph_atom_part(const struct graph_atom *atom, uint32_t b, uint32_t n, size_t *length)
{
    const struct comparison *c = &atom->atom.comparison;
    for (uint32_t i = 0; i < c->n_values; i++) {
        const struct regex_set *set = c->op == OP_REGEX ? &c->regexes[i]->sets[b] : NULL;
        uint32_t n_here = set ? set->n : 1;
        if (n < n_here && !set)
            return value_part(c, i, length);
        if (n < n_here) {
            *length = set->words[n].length;
            return set->words[n].data;
        }
        n -= n_here;
    }
    return NULL;
}

static int parts_add(struct patterns *patterns, const struct graph_atom *atom)
{
    size_t length;
    int err = 0;
    for (uint32_t b = 0; b < atom->n_scan_bits && !err; b++) {
        const char *part;
        for (uint32_t n = 0; !err && (part = graph_atom_part(atom, b, n, &length)); n++)
            err = pattern_add(patterns, part, length, atom->scan_bit + b);
    }
    return err;
}

static int64_t slot_of_field(const struct graph *g, const char *name)
{
    for (uint32_t i = 0; i < g->n_slots; i++)
        if (g->slots[i].is_plain && !g->slots[i].expression->ref.argument && !strcmp(g->slots[i].expression->ref.field->name, name))
            return i;
    return -1;
}

/* Whose value is scanned for the parts that this slot's checks look for: a command line has the arguments in it. */
static uint32_t scanned_slot(const struct graph *g, uint32_t slot)
{
    int64_t args = slot_of_field(g, "proc.args"), cmdline = slot_of_field(g, "proc.cmdline");
    return slot == args && cmdline >= 0 ? (uint32_t)cmdline : slot;
}

/* Too many parts for one table: their checks are asked one by one. */
static int scan_init(struct graph *g, uint32_t slot, struct patterns *patterns, uint32_t n_bits)
{
    struct graph_scan *scan = arena_new(g->arena, sizeof *scan);
    if (!scan || !(scan->bits = arena_new(g->arena, (n_bits / 64 + 1) * sizeof *scan->bits)))
        return -ENOMEM;
    scan->n_bits = n_bits;
    scan->slot = slot;
    int err = parts_init(&scan->parts, g->arena, patterns->items, patterns->n, n_bits);
    for (uint32_t i = 0; !err && i < g->n_slots; i++)
        if (scanned_slot(g, i) == slot)
            g->slots[i].scan = scan;
    for (uint32_t i = 0; err && i < g->n_atoms; i++)
        if (scanned_slot(g, g->atoms[i].slot) == slot)
            g->atoms[i].n_scan_bits = 0;
    return err == -E2BIG ? 0 : err;
}

static int slot_scan_init(struct graph *g, uint32_t slot)
{
    struct patterns patterns = { 0 };
    uint32_t n_bits = 0;
    int err = 0;
    for (uint32_t i = 0; i < g->n_atoms && !err; i++) {
        struct graph_atom *atom = &g->atoms[i];
        if (scanned_slot(g, atom->slot) != slot)
            continue;
        atom->n_scan_bits = parts_sets(&atom->atom);
        atom->scan_bit = n_bits;
        n_bits += atom->n_scan_bits;
        err = parts_add(&patterns, atom);
    }
    if (n_bits && !err)
        err = scan_init(g, slot, &patterns, n_bits);
    free(patterns.items);
    return err;
}

/* A regex that no scan rules out costs more than all else that a condition asks. */
static bool is_dear(const struct graph *g, graph_ref ref)
{
    const struct graph_node *node = &g->nodes[ref >> 1];
    return node->is_atom && !g->atoms[node->first].n_scan_bits && g->atoms[node->first].atom.comparison.op == OP_REGEX;
}

/* Puts those behind all others of "all of these", which stay in the order that they were written in. */
static int dear_last(struct graph *g, const struct graph_node *node)
{
    graph_ref *refs = &g->children[node->first], *dear = malloc(node->n * sizeof *dear);
    uint32_t n = 0, n_dear = 0;
    if (!dear)
        return -ENOMEM;
    for (uint32_t i = 0; i < node->n; i++)
        if (is_dear(g, refs[i]))
            dear[n_dear++] = refs[i];
        else
            refs[n++] = refs[i];
    memcpy(refs + n, dear, n_dear * sizeof *dear);
    free(dear);
    return 0;
}

int graph_scans_init(struct graph *g)
{
    int err = 0;
    for (uint32_t slot = 0; slot < g->n_slots && !err; slot++)
        err = slot_scan_init(g, slot);
    for (uint32_t i = 1; i < g->n_nodes && !err; i++) /* node 0 has no children */
        err = g->nodes[i].is_atom ? 0 : dear_last(g, &g->nodes[i]);
    return err;
}

/* ---- evaluation ----------------------------------------------------------------------------------------------------------- */

void graph_begin(struct graph *g)
{
    if (++g->generation)
        return;
    g->generation = 1; /* after 2^32 events: what is marked with old numbers must not look new */
    for (uint32_t i = 0; i < g->n_nodes; i++)
        g->nodes[i].generation = 0;
    for (uint32_t i = 0; i < g->n_slots; i++) {
        g->slots[i].generation = 0;
        if (g->slots[i].scan)
            g->slots[i].scan->generation = 0;
    }
}

void graph_slot_fetch(struct graph *g, struct eval *eval, struct graph_slot *slot)
{
    slot->generation = g->generation;
    slot->hash = 0;
    slot->answer = (uint8_t)(slot->is_plain ? eval->source->get(eval->source, &slot->expression->ref, &slot->value) :
                                              expression_get(slot->expression, eval, &slot->value));
}

/* All bits that there are, and none behind them: each stands for something. */
static void bits_set_all(uint64_t *bits, uint32_t n)
{
    memset(bits, 0xff, n / 64 * sizeof *bits);
    if (n % 64)
        bits[n / 64] = (1ull << (n % 64)) - 1;
}

const uint64_t *graph_scan_get(struct graph *g, struct eval *eval, const struct graph_slot *slot)
{
    struct graph_scan *scan = slot->scan;
    if (scan->generation == g->generation)
        return scan->bits;
    const struct graph_slot *scanned = graph_slot_get(g, eval, scan->slot);
    const struct value *value = &scanned->value;
    scan->generation = g->generation;
    if (scanned->answer != VALUE_GOT) { /* a command line may find no room: then nothing is ruled out */
        bits_set_all(scan->bits, scan->n_bits);
        return scan->bits;
    }
    memset(scan->bits, 0, (scan->n_bits + 63) / 64 * sizeof *scan->bits);
    if (!value->is_list)
        parts_scan(&scan->parts, value->text.data, value->text.length, scan->bits);
    for (uint32_t i = 0; value->is_list && i < value->list.n; i++)
        parts_scan(&scan->parts, value->list.items[i].text.data, value->list.items[i].text.length, scan->bits);
    return scan->bits;
}

/* A cheap check is not worth a scan of its own. */
static bool is_ruled_out(struct graph *g, struct eval *eval, const struct graph_atom *atom, const struct graph_slot *slot)
{
    if (!atom->n_scan_bits || slot->answer != VALUE_GOT ||
        (slot->scan->generation != g->generation && atom->atom.comparison.op != OP_REGEX))
        return false;
    const uint64_t *bits = graph_scan_get(g, eval, slot);
    for (uint32_t b = atom->scan_bit; b < atom->scan_bit + atom->n_scan_bits; b++)
        if (!(bits[b / 64] >> (b % 64) & 1))
            return true;
    return false;
}

static enum verdict atom_compute(struct graph *g, struct eval *eval, const struct graph_node *node)
{
    const struct graph_atom *atom = &g->atoms[node->first];
    struct graph_slot *slot = graph_slot_get(g, eval, node->n);
    if (is_ruled_out(g, eval, atom, slot))
        return VERDICT_FALSE;
    return atom_verdict(&atom->atom, eval, slot->answer, &slot->value, &slot->hash);
}

static enum verdict all_compute(struct graph *g, struct eval *eval, const struct graph_node *node)
{
    const graph_ref *refs = &g->children[node->first];
    bool waits = false;
    for (uint32_t i = 0; i < node->n; i++) {
        enum verdict each = graph_eval(g, eval, refs[i]);
        if (each == VERDICT_FALSE)
            return VERDICT_FALSE;
        waits |= each == VERDICT_WAIT;
    }
    return waits ? VERDICT_WAIT : VERDICT_TRUE;
}

/* Apart: most nodes that are asked for have their verdict already. */
__attribute__((noinline)) static enum verdict node_compute(struct graph *g, struct eval *eval, struct graph_node *node)
{
    enum verdict verdict = node->is_atom ? atom_compute(g, eval, node) : all_compute(g, eval, node);
    node->verdict = (uint8_t)verdict;
    node->generation = g->generation;
    return verdict;
}

enum verdict graph_eval(struct graph *g, struct eval *eval, graph_ref ref)
{
    static const uint8_t opposite[] = { [VERDICT_FALSE] = VERDICT_TRUE, [VERDICT_TRUE] = VERDICT_FALSE, [VERDICT_WAIT] = VERDICT_WAIT };
    struct graph_node *node = &g->nodes[ref >> 1];
    if (ref <= REF_TRUE)
        return ref == REF_TRUE ? VERDICT_TRUE : VERDICT_FALSE;
    enum verdict verdict = node->generation == g->generation ? (enum verdict)node->verdict : node_compute(g, eval, node);
    return ref & 1 ? opposite[verdict] : verdict;
}
