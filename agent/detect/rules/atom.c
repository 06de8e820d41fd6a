#include "agent/detect/rules/atom.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/rules/value_parse.h"

static const char *field_name(const struct expression *e)
{
    return e->kind == EXPRESSION_FIELD ? e->ref.field->name : e->shown;
}

static bool is_field(const struct expression *e, const char *name)
{
    return e->kind == EXPRESSION_FIELD && !strcmp(e->ref.field->name, name);
}

/* "REGEX", as the reference prints operators in this message. */
static void upper_name(enum cond_op op, char out[16])
{
    const char *name = cond_op_name(op);
    size_t n = 0;
    for (; name[n] && n < 15; n++)
        out[n] = (char)toupper((unsigned char)name[n]);
    out[n] = 0;
}

static bool types_agree(enum value_type a, enum value_type b)
{
    return a == b || (value_type_is_text(a) && value_type_is_text(b)) ||
           ((a == VALUE_UINT || a == VALUE_FLAGS || a == VALUE_PORT) && (b == VALUE_UINT || b == VALUE_FLAGS || b == VALUE_PORT));
}

static int right_check(const struct atom *atom, enum cond_op op, char *error, size_t size)
{
    const struct subject *left = &atom->left->subject, *right = &atom->right->subject;
    char name[16];
    if (is_field(atom->left, "evt.around") || is_field(atom->left, "evt.type")) {
        snprintf(error, size, "field '%s' doesn't support right-hand side fields", field_name(atom->left));
        return -EINVAL;
    }
    if (op == OP_REGEX || op == OP_PMATCH) {
        upper_name(op, name);
        snprintf(error, size, "operator '%s' doesn't support right-hand side fields", name);
        return -EINVAL;
    }
    int err = comparison_check(left, op, MODIFIER_NONE, error, size);
    if (err)
        return err;
    if (types_agree(left->type, right->type) && (!right->is_list || op == OP_IN || op == OP_INTERSECTS))
        return 0;
    snprintf(error, size, "field '%s' has type '%s'%s while the right-hand side field '%s' has incompatible type '%s'%s",
             field_name(atom->left), value_type_name(left->type), left->is_list ? " list" : "", field_name(atom->right),
             value_type_name(right->type), right->is_list ? " list" : "");
    return -EINVAL;
}

static int right_compile(struct arena *arena, const struct cond *cond, struct atom *atom, struct cond_error *error)
{
    const struct cond_operand *right = cond->right;
    bool is_val = right->length == 3 && !memcmp(right->text, "val", 3);
    int err = is_val ? expression_compile_val(arena, right, &atom->right, error) : expression_compile(arena, right, &atom->right, error);
    atom->comparison = (struct comparison){ .subject = atom->left->subject, .op = cond->op };
    return err ? err : right_check(atom, cond->op, error->message, sizeof error->message);
}

/* What only looks within words gets them as they lie there, one behind the other. */
static void words_set_apart(struct atom *atom)
{
    struct field_ref *ref = &atom->left->ref;
    if (atom->left->kind == EXPRESSION_FIELD && ref->field->words && !ref->argument)
        ref->words_apart = comparison_is_within_words(&atom->comparison);
}

int atom_compile(struct arena *arena, const struct cond *cond, struct atom *atom, struct cond_error *error)
{
    *atom = (struct atom){ .exists = cond->kind == COND_EXISTS };
    int err = expression_compile(arena, cond->left, &atom->left, error);
    if (err || atom->exists)
        return err;
    error->position = cond->position;
    const struct cond_operand *right = cond->right;
    if (right->kind == OPERAND_TRANSFORMER)
        return right_compile(arena, cond, atom, error);
    bool is_list = right->kind == OPERAND_LIST;
    err = comparison_init(&atom->comparison, arena, &atom->left->subject, cond->op, cond->modifier, is_list ? right->items : &cond->right,
                          is_list ? right->n_items : 1, error->message, sizeof error->message);
    if (!err)
        words_set_apart(atom);
    return err;
}

/* Apart: the other value needs room on the stack, which the many checks with constants do without. */
__attribute__((noinline)) static enum verdict right_verdict(const struct atom *atom, struct eval *eval, enum value_answer answer,
                                                            const struct value *left)
{
    struct value right;
    enum value_answer other = expression_get(atom->right, eval, &right);
    if (other == VALUE_MISSING)
        return VERDICT_FALSE;
    if (other == VALUE_WAIT || answer == VALUE_WAIT)
        return VERDICT_WAIT;
    return comparison_holds_for(&atom->comparison, left, &right) ? VERDICT_TRUE : VERDICT_FALSE;
}

bool atom_is_empty(const struct atom *atom)
{
    return !atom->exists && !atom->right && !atom->comparison.n_values && !atom->comparison.subject.is_list;
}

enum verdict atom_verdict(const struct atom *atom, struct eval *eval, enum value_answer answer, const struct value *left, uint64_t *hash)
{
    if (answer == VALUE_MISSING)
        return VERDICT_FALSE;
    if (atom->right)
        return right_verdict(atom, eval, answer, left);
    if (atom_is_empty(atom))
        return VERDICT_FALSE;
    if (answer == VALUE_WAIT)
        return VERDICT_WAIT;
    return atom->exists || comparison_holds(&atom->comparison, eval, left, hash) ? VERDICT_TRUE : VERDICT_FALSE;
}
