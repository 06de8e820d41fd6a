#include "agent/detect/rules/constant.h"

#include <string.h>

static bool is_about(const struct atom *atom, const char *field)
{
    return atom->left->kind == EXPRESSION_FIELD && !strcmp(atom->left->ref.field->name, field) && !atom->right && !atom->exists;
}

/* For numbers from 1 on: -1 as above. */
static int number_constant(enum cond_op op, uint64_t with)
{
    switch (op) {
    case OP_EQ:
    case OP_EQ2:
    case OP_IN:
    case OP_INTERSECTS:
        return with == 0 ? 0 : -1;
    case OP_NE:
        return with == 0 ? 1 : -1;
    case OP_LT:
        return with <= 1 ? 0 : -1;
    case OP_LE:
        return with == 0 ? 0 : -1;
    case OP_GT:
        return with == 0 ? 1 : with == UINT64_MAX ? 0 : -1;
    case OP_GE:
        return with <= 1 ? 1 : -1;
    case OP_CONTAINS:
    case OP_ICONTAINS:
    case OP_BCONTAINS:
    case OP_STARTSWITH:
    case OP_BSTARTSWITH:
    case OP_ENDSWITH:
    case OP_GLOB:
    case OP_IGLOB:
    case OP_REGEX:
    case OP_PMATCH:
    case OP_MAX:
        break;
    }
    return -1;
}

int atom_constant(const struct atom *atom)
{
    const struct comparison *c = &atom->comparison;
    if (!is_about(atom, "evt.num") || c->modifier != MODIFIER_NONE)
        return -1;
    if (c->op != OP_IN && c->op != OP_INTERSECTS)
        return c->n_values ? number_constant(c->op, c->values[0].u64) : 0;
    for (uint32_t i = 0; i < c->n_values; i++)
        if (c->values[i].u64)
            return -1;
    return 0;
}

bool atom_event_names(const struct atom *atom, struct eval *eval, struct event_name_set *out)
{
    if (!is_about(atom, "evt.type"))
        return false;
    memset(out, 0, sizeof *out);
    for (int i = 0; i < event_names_count(); i++) {
        const char *name = event_name(i);
        const struct value value = { .type = VALUE_TEXT, .text = { name, strlen(name) } };
        if (comparison_holds(&atom->comparison, eval, &value, NULL))
            out->bits[i / 64] |= 1ull << (i % 64);
    }
    return true;
}
