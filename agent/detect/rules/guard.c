/* Chooses guards. Which part of a condition holds least often is guessed from the operator and the field: a program's name or a long path
 * prefix is rare, being in a container or being a regular file is not. A bad guess costs time, never a result. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/rule_index.h"
#include "agent/detect/rules/value_parse.h"

#define WEIGHT_MAX 8.0f
#define RULE_COST 1.6f          /* of asking a rule with what it fetches; of fetching a value: */
#define SLOT_COST 0.6f
#define WALK_SLOT_COST 1.5f     /* through the process tree */
#define WRITER_SLOT_COST 1.0f   /* from the table of writers */
#define TEXT_SLOT_COST 1.0f     /* made by a transformer, or printed */
#define DEAR_SLOT_COST 6.0f
#define WEIGHT_NONE 1.3f        /* no guard is better */
#define SLOTS_MANY UINT32_MAX
#define SETTLE_ROUNDS 3

/* Fields that have few values, or one that most events have. */
static const char *const common_fields[] = {
    "container.id", "container.name", "container.type", "evt.arg.flags", "evt.category", "evt.dir", "evt.res", "evt.source", "fd.l4proto",
    "fd.num", "fd.type", "fd.typechar", "group.gid", "group.name", "proc.tty", "user.loginname", "user.loginuid", "user.name", "user.uid",
    "evt.rawres", "syscall.type",
};

static bool is_field(const struct expression *e, const char *name)
{
    return e->kind == EXPRESSION_FIELD && !strcmp(e->ref.field->name, name);
}

static bool is_of_family(const struct expression *e, const char *names)
{
    return e->kind == EXPRESSION_FIELD && !strncmp(e->ref.field->name, names, strlen(names));
}

static bool is_common(const struct expression *e)
{
    for (size_t i = 0; i < sizeof common_fields / sizeof common_fields[0]; i++)
        if (is_field(e, common_fields[i]))
            return true;
    return false;
}

size_t guard_literal_prefix(const char *pattern, size_t length)
{
    size_t n = 0;
    while (n < length && !strchr("*?[\\", pattern[n]))
        n++;
    return n;
}

static bool is_number(enum value_type type)
{
    return type == VALUE_INT || type == VALUE_UINT || type == VALUE_FLAGS || type == VALUE_PORT;
}

static enum lookup_kind text_kind(const struct comparison *c)
{
    switch (c->op) {
    case OP_EQ:
    case OP_EQ2:
    case OP_IN:
    case OP_INTERSECTS:
        return c->subject.is_list && c->op == OP_IN ? LOOKUP_DIRECT : LOOKUP_TEXT; /* an empty list is `in` every list */
    case OP_STARTSWITH:
        return LOOKUP_PREFIX;
    case OP_ENDSWITH:
        return LOOKUP_SUFFIX;
    case OP_GLOB:
        for (uint32_t i = 0; i < c->n_values; i++)
            if (guard_literal_prefix(c->values[i].text.data, c->values[i].text.length) < 2)
                return LOOKUP_DIRECT;
        return LOOKUP_PREFIX;
    case OP_CONTAINS:
    case OP_ICONTAINS:
    case OP_NE:
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
    case OP_BCONTAINS:
    case OP_BSTARTSWITH:
    case OP_IGLOB:
    case OP_REGEX:
    case OP_PMATCH:
    case OP_MAX:
        break;
    }
    return LOOKUP_DIRECT;
}

enum lookup_kind guard_lookup_kind(const struct graph *graph, graph_ref ref)
{
    const struct graph_atom *number = &graph->atoms[graph->nodes[ref >> 1].first];
    const struct atom *atom = &number->atom;
    const struct comparison *c = &atom->comparison;
    if (!(ref & 1) && number->n_scan_bits)
        return LOOKUP_PART;
    if (ref & 1 || atom->exists || !c->n_values) /* without values: it is compared with another field */
        return LOOKUP_DIRECT;
    if (value_type_is_text(c->subject.type))
        return text_kind(c);
    bool is_equality = c->op == OP_EQ || c->op == OP_EQ2 || c->op == OP_IN || c->op == OP_INTERSECTS;
    return is_number(c->subject.type) && is_equality && !c->subject.is_list ? LOOKUP_NUMBER : LOOKUP_DIRECT;
}

/* ---- weights -------------------------------------------------------------------------------------------------------------- */

/* Programs that run all the time: being one of them says little. */
static const struct {
    const char *name;
    float chance;
} common_names[] = {
    { "ash", 0.03f },   { "bash", 0.1f },    { "busybox", 0.03f }, { "cat", 0.02f },  { "curl", 0.03f }, { "dash", 0.03f },
    { "date", 0.02f },  { "grep", 0.03f },   { "java", 0.02f },    { "ls", 0.02f },   { "node", 0.02f }, { "perl", 0.01f },
    { "ps", 0.02f },    { "python", 0.02f }, { "python3", 0.03f }, { "runc", 0.03f }, { "sed", 0.02f },  { "sh", 0.25f },
    { "sleep", 0.03f }, { "sudo", 0.02f },   { "systemd", 0.02f }, { "wget", 0.02f },
};

static float name_chance(const struct value *value)
{
    for (size_t n = 0; n < sizeof common_names / sizeof common_names[0]; n++)
        if (strlen(common_names[n].name) == value->text.length && !memcmp(common_names[n].name, value->text.data, value->text.length))
            return common_names[n].chance;
    return 0.001f;
}

/* Most of what runs is root's; each of the other users is seldom seen. */
static float user_chance(const struct value *value)
{
    return value->text.length == 4 && !memcmp(value->text.data, "root", 4) ? 0.5f : 0.02f;
}

/* Sockets without an address are few among what has a descriptor. */
static bool is_rare_kind(const struct expression *left, const struct value *value)
{
    return (is_field(left, "fd.typechar") && value->text.length == 1 && value->text.data[0] == 'u') ||
           (is_field(left, "fd.type") && value->text.length == 4 && !memcmp(value->text.data, "unix", 4));
}

static float equal_weight(const struct comparison *c, const struct expression *left)
{
    bool is_common_field = is_common(left), is_user = is_field(left, "user.name");
    float sum = 0.001f;
    for (uint32_t i = 0; i < c->n_values && sum < 1; i++)
        sum += is_user                              ? user_chance(&c->values[i]) :
               is_rare_kind(left, &c->values[i])     ? 0.03f :
               is_common_field                       ? 0.5f :
                                                       name_chance(&c->values[i]);
    return sum;
}

/* The first bytes of an absolute path are those of many others. */
static float start_weight(const char *text, size_t length)
{
    if (!length)
        return 1;
    if (text[0] != '/')
        return length < 3 ? 0.02f : 0.004f;
    return length < 2 ? 0.9f : length < 5 ? 0.2f : length < 9 ? 0.05f : 0.01f;
}

static float ends_weight(const struct comparison *c)
{
    float sum = 0.001f;
    for (uint32_t i = 0; i < c->n_values && sum < 1; i++) {
        const char *text = c->values[i].text.data;
        size_t length = c->values[i].text.length;
        if (c->op == OP_GLOB)
            length = guard_literal_prefix(text, length);
        sum += c->op == OP_ENDSWITH ? (length < 2 ? 0.3f : length < 4 ? 0.05f : 0.01f) : start_weight(text, length);
    }
    return sum;
}

bool guard_part_is_common(const char *part, size_t length)
{
    static const char *const common[] = {
        "/usr/", "/bin/", "/usr/bin/", "/sbin/", "/lib/", "/usr/sbin/", "/var/", "/etc/", "usr",
        "bin",   "sbin",  "lib",       "var",    "etc",   "tmp",        "http",  "://",
    };
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
        if (strlen(common[i]) == length && !memcmp(common[i], part, length))
            return true;
    return false;
}

static float part_weight(const char *part, size_t length)
{
    if (guard_part_is_common(part, length))
        return 0.3f;
    return length < 2 ? 0.5f : length < 3 ? 0.1f : length < 4 ? 0.02f : length < 7 ? 0.004f : 0.0005f;
}

static float bit_weight(const struct graph_atom *atom, uint32_t b)
{
    float sum = 0.001f;
    const char *part;
    size_t length;
    for (uint32_t n = 0; sum < 1 && (part = graph_atom_part(atom, b, n, &length)); n++)
        sum += part_weight(part, length);
    return sum;
}

uint32_t guard_scan_bit(const struct graph_atom *atom)
{
    uint32_t best = 0;
    for (uint32_t b = 1; b < atom->n_scan_bits; b++)
        if (bit_weight(atom, b) < bit_weight(atom, best))
            best = b;
    return atom->scan_bit + best;
}

/* Whose writer is known was made or changed lately: few of the files that are used. */
static bool is_of_writer(const struct expression *e)
{
    return is_of_family(e, "file.writer.");
}

static float direct_weight(const struct atom *atom, bool negated)
{
    enum cond_op op = atom->comparison.op;
    bool is_bool = atom->left->subject.type == VALUE_BOOL;
    if (is_of_writer(atom->left) && !negated)
        return 0.03f;
    if (atom->exists && !negated && is_field(atom->left, "proc.env") && atom->left->ref.argument)
        return 0.03f; /* one variable: most programs have no such */
    if (atom->exists || op == OP_NE || negated)
        return is_bool ? 0.4f : 0.85f;
    if (is_bool)
        return 0.4f;
    return op == OP_PMATCH ? 0.2f : op == OP_REGEX || op == OP_GLOB || op == OP_IGLOB ? 0.5f : 0.6f;
}

static float chance_of(const struct graph *graph, graph_ref ref)
{
    const struct graph_atom *number = &graph->atoms[graph->nodes[ref >> 1].first];
    const struct atom *atom = &number->atom;
    const struct comparison *c = &atom->comparison;
    enum lookup_kind kind = guard_lookup_kind(graph, ref);
    switch (kind) {
    case LOOKUP_TEXT:
        return equal_weight(c, atom->left);
    case LOOKUP_NUMBER:
        return (is_common(atom->left) ? 0.5f : 0.03f) * (float)c->n_values + 0.001f;
    case LOOKUP_PREFIX:
    case LOOKUP_SUFFIX:
        return ends_weight(c);
    case LOOKUP_PART:
        return bit_weight(number, guard_scan_bit(number) - number->scan_bit);
    case LOOKUP_DIRECT:
        break;
    }
    return direct_weight(atom, ref & 1);
}

static uint32_t slot_of(const struct guards *g, graph_ref ref)
{
    return g->graph->atoms[g->graph->nodes[ref >> 1].first].slot;
}

/* What is put together for each event from much, or from many places. */
static float slot_cost(const struct expression *e)
{
    if ((is_field(e, "proc.env") || is_field(e, "proc.aenv")) && !e->ref.argument)
        return DEAR_SLOT_COST;
    if (is_of_family(e, "thread.cap_")) /* up to 41 names are printed */
        return DEAR_SLOT_COST;
    if (is_of_writer(e))
        return WRITER_SLOT_COST;
    if (e->kind == EXPRESSION_FIELD && e->subject.scope == FIELD_SCOPE_ANY_ANCESTOR)
        return WALK_SLOT_COST;
    if (e->kind != EXPRESSION_FIELD || is_field(e, "fd.name")) /* of a socket, it is printed first */
        return TEXT_SLOT_COST;
    return SLOT_COST;
}

static struct guard_weight atom_weight(const struct guards *g, graph_ref ref)
{
    uint32_t slot = slot_of(g, ref), users = g->users[slot];
    return (struct guard_weight){ .asking = chance_of(g->graph, ref) * RULE_COST,
                                  .fetching = slot_cost(g->graph->slots[slot].expression) / (float)(users ? users : 1), .slot = slot };
}

static float total(struct guard_weight weight)
{
    float sum = weight.asking + weight.fetching;
    return sum < WEIGHT_MAX ? sum : WEIGHT_MAX;
}

/* Either of two: a value that both look at is fetched once. */
static struct guard_weight either(struct guard_weight a, struct guard_weight b)
{
    bool is_same = a.slot == b.slot && a.slot != SLOTS_MANY;
    return (struct guard_weight){ .asking = a.asking + b.asking, .fetching = is_same ? a.fetching : a.fetching + b.fetching,
                                  .slot = is_same || !a.asking ? b.slot : SLOTS_MANY };
}

static struct guard_weight ref_weight(struct guards *g, graph_ref ref)
{
    const struct graph_node *node = &g->graph->nodes[ref >> 1];
    bool is_any = ref & 1;
    if (ref <= REF_TRUE)
        return (struct guard_weight){ .asking = ref == REF_TRUE ? WEIGHT_MAX : 0, .slot = SLOTS_MANY };
    if (g->weights[ref].asking >= 0)
        return g->weights[ref];
    if (node->is_atom)
        return g->weights[ref] = atom_weight(g, ref);
    struct guard_weight weight = { .asking = is_any ? 0 : WEIGHT_MAX, .slot = SLOTS_MANY };
    for (uint32_t i = 0; i < node->n; i++) {
        struct guard_weight child = ref_weight(g, g->graph->children[node->first + i] ^ is_any);
        weight = is_any ? either(weight, child) : total(child) < total(weight) ? child : weight;
    }
    return g->weights[ref] = weight;
}

/* ---- the guard ------------------------------------------------------------------------------------------------------------ */

int guards_init(struct guards *g, const struct graph *graph)
{
    *g = (struct guards){ .graph = graph };
    g->weights = malloc(2 * (size_t)graph->n_nodes * sizeof *g->weights);
    g->users = malloc((graph->n_slots + 1) * sizeof *g->users);
    for (uint32_t i = 0; g->users && i < graph->n_slots; i++) /* first, everybody chooses as if fetching were free */
        g->users[i] = UINT32_MAX;
    return g->weights && g->users ? 0 : -ENOMEM;
}

void guards_fini(struct guards *g)
{
    free(g->weights);
    free(g->users);
    free(g->refs);
    *g = (struct guards){ 0 };
}

static int put(struct guards *g, graph_ref ref)
{
    for (uint32_t i = g->n_refs; i > 0 && g->n_refs - i < 64; i--)
        if (g->refs[i - 1] == ref)
            return 0;
    if (g->n_refs == g->refs_max) {
        uint32_t max = g->refs_max ? 2 * g->refs_max : 64;
        graph_ref *grown = reallocarray(g->refs, max, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        g->refs = grown;
        g->refs_max = max;
    }
    g->refs[g->n_refs++] = ref;
    return 0;
}

/* Of "all of these" the one with the least weight; of "any of these" all. */
static int collect(struct guards *g, graph_ref ref)
{
    const struct graph_node *node = &g->graph->nodes[ref >> 1];
    bool is_any = ref & 1;
    if (node->is_atom)
        return put(g, ref);
    const graph_ref *children = &g->graph->children[node->first]; /* an atom has none, and there may be none at all */
    uint32_t best = 0;
    for (uint32_t i = 0; i < node->n; i++) {
        int err = is_any ? collect(g, children[i] ^ 1) : 0;
        if (err)
            return err;
        if (!is_any && total(ref_weight(g, children[i])) < total(ref_weight(g, children[best])))
            best = i;
    }
    return is_any ? 0 : collect(g, children[best]);
}

int guards_find(struct guards *g, graph_ref root)
{
    g->n_refs = 0;
    return root == REF_TRUE || total(ref_weight(g, root)) >= WEIGHT_NONE ? 0 : collect(g, root);
}

static void weights_forget(struct guards *g)
{
    for (size_t i = 0; i < 2 * (size_t)g->graph->n_nodes; i++)
        g->weights[i].asking = -1;
}

/* The more rules are filed under a value the less it costs each of them: who has a choice goes where the others are. */
int guards_settle(struct guards *g, const graph_ref *roots, uint32_t n)
{
    for (int round = 0; round < SETTLE_ROUNDS; round++) {
        uint32_t *users = calloc(g->graph->n_slots + 1, sizeof *users);
        int err = users ? 0 : -ENOMEM;
        weights_forget(g);
        for (uint32_t i = 0; i < n && !err; i++) {
            err = guards_find(g, roots[i]);
            for (uint32_t k = 0; k < g->n_refs && !err; k++)
                users[slot_of(g, g->refs[k])]++;
        }
        free(g->users);
        g->users = users;
        if (err)
            return err;
    }
    weights_forget(g);
    return 0;
}
