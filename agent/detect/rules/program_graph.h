/* The conditions of all rules as one graph: equal parts exist once. Made of checks and of "all of these", with negations on the edges:
 * "a or b" is "not (not a and not b)". Pure. */
#ifndef ECSGUARD_RULES_PROGRAM_GRAPH_H
#define ECSGUARD_RULES_PROGRAM_GRAPH_H

#include "agent/detect/rules/atom.h"
#include "agent/detect/rules/intern.h"
#include "agent/detect/rules/parts.h"

/* A node with its negation: number of the node * 2 + 1 if negated. */
typedef uint32_t graph_ref;
#define REF_FALSE ((graph_ref)0) /* node 0 never holds */
#define REF_TRUE ((graph_ref)1)
#define REF_NONE UINT32_MAX

/* All parts that checks look for in one text, looked for at once: contains, icontains, and words without which
 * a regex or a path cannot match. */
struct graph_scan {
    struct parts parts;
    uint32_t slot;       /* whose value is scanned: the slot's own, or one that has it in it */
    uint32_t n_bits;
    uint32_t generation; /* of the event that `bits` is about */
    uint64_t *bits;
};

/* A left side: fetched once per event. */
struct graph_slot {
    const struct expression *expression;
    struct graph_scan *scan; /* NULL = none; may be shared */
    uint32_t generation; /* of the event that the rest is about */
    uint8_t answer;      /* enum value_answer */
    bool is_plain;       /* a field whose value needs no looking at: expression_get() can be left out */
    uint64_t hash;       /* of a text; 0 = not computed */
    struct value value;
};

struct graph_node {
    uint32_t generation; /* of the event that `verdict` is about */
    uint8_t verdict;     /* enum verdict */
    bool is_atom;
    uint32_t first, n;   /* its children in `children`; of an atom: `first` is its number, `n` its slot */
};

struct graph_atom {
    uint32_t slot, node;
    /* Bits of the slot's scan without which the check does not hold: 1 for each set of parts one of which must be there; 0 = it is not
     * part of the scan. */
    uint32_t scan_bit, n_scan_bits;
    struct atom atom;
};

/* The n-th part of those that the b-th bit of a check stands for; NULL behind the last one. */
const char *graph_atom_part(const struct graph_atom *atom, uint32_t b, uint32_t n, size_t *length);


struct graph {
    struct arena *arena;
    struct graph_slot *slots;
    struct graph_atom *atoms;
    struct graph_node *nodes;
    graph_ref *children;
    uint32_t n_slots, n_atoms, n_nodes, n_children;
    uint32_t generation; /* of the present event */

    /* while it is made */
    struct arena scratch;
    struct intern slot_keys, atom_keys, node_keys;
    uint32_t *joint_nodes; /* the node of each key */
    uint32_t slots_max, atoms_max, nodes_max, children_max, joints_max;
    struct eval eval;      /* for checks that are folded */
};

/* 0 or -ENOMEM. */
int graph_init(struct graph *graph, struct arena *arena);
void graph_fini(struct graph *graph);
/* What only making it needs is given back. */
void graph_seal(struct graph *graph);

/* A condition taken apart, once for all classes of events. NULL on lack of memory, or a condition that cannot be compiled: conditions
 * are checked before. In the graph's scratch. */
struct graph_shape;
struct graph_shape *graph_shape_new(struct graph *graph, const struct cond *cond);
/* What is left of it for an event of this name: checks of evt.type and constants are folded. REF_NONE on lack of memory. */
graph_ref graph_fold(struct graph *graph, struct graph_shape *shape, int event_name);
/* Any of these. REF_NONE on lack of memory. */
graph_ref graph_any(struct graph *graph, const graph_ref *refs, uint32_t n);

/* guard.c: nearly every path or command line has this part in it, so that looking for it says nothing. */
bool guard_part_is_common(const char *part, size_t length);

/* Once all conditions are in it; what costs much is asked last from then on. 0 or -ENOMEM. */
int graph_scans_init(struct graph *graph);

/* A new event: all that was computed is about another one. */
void graph_begin(struct graph *graph);
/* What graph_slot_get() does the first time. */
void graph_slot_fetch(struct graph *graph, struct eval *eval, struct graph_slot *slot);
static inline struct graph_slot *graph_slot_get(struct graph *graph, struct eval *eval, uint32_t number)
{
    struct graph_slot *slot = &graph->slots[number];
    if (slot->generation != graph->generation)
        graph_slot_fetch(graph, eval, slot);
    return slot;
}
/* Bits of the slot's scan; the slot has one, and a value. They may be set for what is not in this value, never the other way round. */
const uint64_t *graph_scan_get(struct graph *graph, struct eval *eval, const struct graph_slot *slot);
enum verdict graph_eval(struct graph *graph, struct eval *eval, graph_ref ref);

#endif
