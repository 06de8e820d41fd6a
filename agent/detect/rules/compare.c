#include "agent/detect/rules/compare.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/rules/glob.h"
#include "agent/detect/rules/text_find.h"
#include "agent/detect/rules/value_parse.h"

#define SET_MIN 5 /* fewer texts are compared one by one */

/* ---- what is allowed ------------------------------------------------------------------------------------------------------ */

static bool is_equality(enum cond_op op)
{
    return op == OP_EQ || op == OP_EQ2 || op == OP_NE || op == OP_IN || op == OP_INTERSECTS;
}

static bool is_order(enum cond_op op)
{
    return op == OP_LT || op == OP_LE || op == OP_GT || op == OP_GE;
}

/* NULL if the type has the operator, else what the reference calls such fields. */
static const char *type_lacks(enum value_type type, enum cond_op op)
{
    switch (type) {
    case VALUE_TEXT:
    case VALUE_PATH:
        return op != OP_BCONTAINS && op != OP_BSTARTSWITH ? NULL : "for string filters";
    case VALUE_BYTES:
        if (is_equality(op) || op == OP_CONTAINS || op == OP_STARTSWITH || op == OP_ENDSWITH || op == OP_BCONTAINS || op == OP_BSTARTSWITH)
            return NULL;
        return "for buffer filters";
    case VALUE_BOOL:
        return is_equality(op) ? NULL : "for numeric filters";
    case VALUE_INT:
    case VALUE_UINT:
    case VALUE_FLAGS:
    case VALUE_DOUBLE:
    case VALUE_ABSTIME:
    case VALUE_RELTIME:
    case VALUE_PORT:
        return is_equality(op) || is_order(op) ? NULL : "for numeric filters";
    case VALUE_IPADDR:
    case VALUE_IPNET:
        return is_equality(op) ? NULL : "for ip address and network filters";
    case VALUE_DYNAMIC:
        break;
    }
    return "for type 'DYNAMIC'";
}

int comparison_check(const struct subject *subject, enum cond_op op, enum cond_modifier modifier, char *error, size_t error_size)
{
    bool is_address = subject->type == VALUE_IPADDR || subject->type == VALUE_IPNET;
    const char *lacks = type_lacks(subject->type, op);
    if (subject->is_list && ((op != OP_IN && op != OP_INTERSECTS) || modifier != MODIFIER_NONE))
        lacks = "list filters";
    if (lacks && is_address && modifier != MODIFIER_NONE && !subject->is_list)
        snprintf(error, error_size, "filter error: '%s' with modifier not supported %s", cond_op_name(op), lacks);
    else if (lacks)
        snprintf(error, error_size, "filter error: '%s' operator not supported %s", cond_op_name(op), lacks);
    return lacks ? -EINVAL : 0;
}

/* ---- constants ------------------------------------------------------------------------------------------------------------ */

static int hex_value(struct arena *arena, const struct cond_operand *item, struct value *out, char *error, size_t error_size)
{
    char *bytes = arena_new(arena, item->length / 2 + 1);
    if (!bytes)
        return -ENOMEM;
    if (value_parse_hex(item->text, item->length, bytes)) {
        snprintf(error, error_size, "filter error: bcontains and bstartswith operator support hex strings only");
        return -EINVAL;
    }
    *out = (struct value){ .type = VALUE_BYTES, .text = { bytes, item->length / 2 } };
    return 0;
}

static int regexes_init(struct comparison *c, struct arena *arena, char *error, size_t error_size)
{
    c->regexes = arena_new(arena, (c->n_values ? c->n_values : 1) * sizeof *c->regexes);
    if (!c->regexes)
        return -ENOMEM;
    for (uint32_t i = 0; i < c->n_values; i++) {
        int n = snprintf(error, error_size, "invalid regular expression: ");
        int err = regex_compile(arena, c->values[i].text.data, c->values[i].text.length, &c->regexes[i], error + n, error_size - (size_t)n);
        if (err)
            return err;
    }
    return 0;
}

static int paths_init(struct comparison *c, struct arena *arena)
{
    struct path *paths = arena_new(arena, (c->n_values ? c->n_values : 1) * sizeof *paths);
    c->paths = arena_new(arena, sizeof *c->paths);
    if (!paths || !c->paths)
        return -ENOMEM;
    for (uint32_t i = 0; i < c->n_values; i++)
        paths[i] = (struct path){ c->values[i].text.data, c->values[i].text.length };
    return path_set_init(c->paths, arena, paths, c->n_values);
}

static int set_init(struct comparison *c, struct arena *arena)
{
    c->set = arena_new(arena, sizeof *c->set);
    if (!c->set || text_set_init(c->set, arena, c->n_values))
        return -ENOMEM;
    for (uint32_t i = 0; i < c->n_values; i++)
        text_set_add(c->set, c->values[i].text.data, c->values[i].text.length);
    return 0;
}

/* Equality with any of the values. */
static bool is_membership(const struct comparison *c)
{
    return c->op == OP_IN || c->op == OP_INTERSECTS || ((c->op == OP_EQ || c->op == OP_EQ2) && c->modifier == MODIFIER_ANYOF);
}

int comparison_init(struct comparison *c, struct arena *arena, const struct subject *subject, enum cond_op op, enum cond_modifier modifier,
                    struct cond_operand *const *items, uint32_t n_items, char *error, size_t error_size)
{
    *c = (struct comparison){ .subject = *subject, .op = op, .modifier = modifier, .n_values = n_items };
    int err = comparison_check(subject, op, modifier, error, error_size);
    if (err)
        return err;
    if (!(c->values = arena_new(arena, (n_items ? n_items : 1) * sizeof *c->values)))
        return -ENOMEM;
    for (uint32_t i = 0; i < n_items && !err; i++)
        err = op == OP_BCONTAINS || op == OP_BSTARTSWITH ?
                  hex_value(arena, items[i], &c->values[i], error, error_size) :
                  value_parse(subject->type, items[i]->text, items[i]->length, &c->values[i], error, error_size);
    if (err)
        return err;
    if (op == OP_REGEX)
        return regexes_init(c, arena, error, error_size);
    if (op == OP_PMATCH)
        return paths_init(c, arena);
    if (value_type_is_text(subject->type) && n_items >= SET_MIN && is_membership(c))
        return set_init(c, arena);
    return 0;
}

bool comparison_is_within_words(const struct comparison *c)
{
    if (c->op != OP_CONTAINS && c->op != OP_ICONTAINS)
        return false;
    for (uint32_t i = 0; i < c->n_values; i++)
        if (memchr(c->values[i].text.data, ' ', c->values[i].text.length) || memchr(c->values[i].text.data, 0, c->values[i].text.length))
            return false;
    return c->n_values > 0;
}

/* ---- one value with one value --------------------------------------------------------------------------------------------- */

/* As strcmp(3) orders them. */
static int text_order(const struct value *a, const struct value *b)
{
    size_t n = a->text.length < b->text.length ? a->text.length : b->text.length;
    int order = n ? memcmp(a->text.data, b->text.data, n) : 0;
    return order ? order : (a->text.length > b->text.length) - (a->text.length < b->text.length);
}

static bool text_equal(const struct value *a, const struct value *b)
{
    return a->text.length == b->text.length && (!a->text.length || !memcmp(a->text.data, b->text.data, a->text.length));
}

static bool text_holds(enum cond_op op, const struct value *left, const struct value *right)
{
    const char *text = left->text.data, *part = right->text.data;
    size_t length = left->text.length, n = right->text.length;
    switch (op) {
    case OP_EQ:
    case OP_EQ2:
    case OP_IN:
    case OP_INTERSECTS:
        return text_equal(left, right);
    case OP_NE:
        return !text_equal(left, right);
    case OP_LT:
        return text_order(left, right) < 0;
    case OP_LE:
        return text_order(left, right) <= 0;
    case OP_GT:
        return text_order(left, right) > 0;
    case OP_GE:
        return text_order(left, right) >= 0;
    case OP_CONTAINS:
    case OP_BCONTAINS:
        return text_find(text, length, part, n);
    case OP_ICONTAINS:
        return text_find_fold(text, length, part, n);
    case OP_STARTSWITH:
    case OP_BSTARTSWITH:
        return n <= length && (!n || !memcmp(text, part, n));
    case OP_ENDSWITH:
        return n <= length && (!n || !memcmp(text + length - n, part, n));
    case OP_GLOB:
    case OP_IGLOB:
        return glob_match(part, n, text, length, op == OP_IGLOB);
    case OP_REGEX:  /* these have compiled forms */
    case OP_PMATCH:
    case OP_MAX:
        break;
    }
    return false;
}

/* For an order of -1, 0, 1. */
static bool order_holds(enum cond_op op, int order)
{
    switch (op) {
    case OP_EQ:
    case OP_EQ2:
    case OP_IN:
    case OP_INTERSECTS:
        return order == 0;
    case OP_NE:
        return order != 0;
    case OP_LT:
        return order < 0;
    case OP_LE:
        return order <= 0;
    case OP_GT:
        return order > 0;
    case OP_GE:
        return order >= 0;
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
    return false;
}

static bool address_in(const struct address *a, const struct value_net *net)
{
    unsigned whole = net->bits / 8, rest = net->bits % 8;
    if (a->family != net->address.family || memcmp(a->bytes, net->address.bytes, whole))
        return false;
    return !rest || !((a->bytes[whole] ^ net->address.bytes[whole]) >> (8 - rest));
}

static bool value_holds(enum value_type type, enum cond_op op, const struct value *left, const struct value *right)
{
    switch (type) {
    case VALUE_TEXT:
    case VALUE_PATH:
    case VALUE_BYTES:
        return text_holds(op, left, right);
    case VALUE_BOOL:
        return order_holds(op, left->boolean - right->boolean);
    case VALUE_INT:
        return order_holds(op, (left->i64 > right->i64) - (left->i64 < right->i64));
    case VALUE_UINT:
    case VALUE_FLAGS:
    case VALUE_ABSTIME:
    case VALUE_RELTIME:
    case VALUE_PORT:
        return order_holds(op, (left->u64 > right->u64) - (left->u64 < right->u64));
    case VALUE_DOUBLE:
        return order_holds(op, (left->real > right->real) - (left->real < right->real));
    case VALUE_IPADDR:
        return order_holds(op, !address_equal(&left->address, &right->address));
    case VALUE_IPNET:
        return order_holds(op, !address_in(left->type == VALUE_IPNET ? &left->net.address : &left->address, &right->net));
    case VALUE_DYNAMIC:
        break;
    }
    return false;
}

/* ---- one value with the constants ----------------------------------------------------------------------------------------- */

/* What is not inlined here is asked seldom: one value compared with one, or looked up in a set, needs few registers. */

__attribute__((noinline)) static bool regex_holds(const struct regex *regex, struct eval *eval, const char *text, size_t length)
{
    if (!regex_may_match(regex, text, length))
        return false;
    size_t fixed = utf8_fixed_length(text, length), used = eval->scratch_used;
    if (fixed) {
        char *copy = eval_room(eval, fixed);
        if (!copy)
            return false;
        utf8_fix(copy, text, length);
        text = copy;
        length = fixed;
    }
    int matched = regex_match(regex, eval->regex, text, length);
    eval->scratch_used = used; /* the copy is not needed any more: bytes that are no text must not use up the room of other rules */
    eval->n_regex_limit += matched < 0;
    return matched > 0;
}

static bool nth_holds(const struct comparison *c, struct eval *eval, const struct value *value, uint32_t n)
{
    if (c->op == OP_REGEX)
        return regex_holds(c->regexes[n], eval, value->text.data, value->text.length);
    return value_holds(c->subject.type, c->op, value, &c->values[n]);
}

static bool is_member(const struct comparison *c, const struct value *value, uint64_t *hash)
{
    if (!c->set) {
        for (uint32_t i = 0; i < c->n_values; i++)
            if (value_holds(c->subject.type, OP_EQ, value, &c->values[i]))
                return true;
        return false;
    }
    uint64_t own = hash ? *hash : 0;
    if (!own) {
        own = text_hash(value->text.data, value->text.length);
        if (hash)
            *hash = own;
    }
    return text_set_find(c->set, own, value->text.data, value->text.length) >= 0;
}

/* anyof: 1 of all; oneof: exactly 1; allof: all; of none, nothing holds. */
__attribute__((noinline)) static bool enough_hold(const struct comparison *c, struct eval *eval, const struct value *value)
{
    uint32_t n = 0, i = 0;
    for (; i < c->n_values; i++) {
        n += nth_holds(c, eval, value, i);
        if (c->modifier == MODIFIER_ANYOF ? n > 0 : c->modifier == MODIFIER_ONEOF ? n > 1 : n <= i)
            break;
    }
    return c->modifier == MODIFIER_ALLOF ? n && n == c->n_values : n == 1;
}

static bool one_holds(const struct comparison *c, struct eval *eval, const struct value *value, uint64_t *hash)
{
    if (is_membership(c))
        return is_member(c, value, hash);
    if (c->op == OP_PMATCH)
        return path_set_match(c->paths, value->text.data, value->text.length);
    if (c->modifier == MODIFIER_NONE)
        return c->n_values && nth_holds(c, eval, value, 0);
    return enough_hold(c, eval, value);
}

/* Every element, or any: lists are `in` a list if all of their elements are; of the two ends of a flow both must be different. */
__attribute__((noinline)) static bool list_holds(const struct comparison *c, struct eval *eval, const struct value *value)
{
    bool every = c->subject.is_list ? c->op == OP_IN : c->subject.scope == FIELD_SCOPE_EITHER_END && c->op == OP_NE;
    for (uint32_t i = 0; i < value->list.n; i++)
        if (one_holds(c, eval, &value->list.items[i], NULL) != every)
            return !every;
    return every;
}

bool comparison_holds(const struct comparison *c, struct eval *eval, const struct value *value, uint64_t *hash)
{
    return value->is_list ? list_holds(c, eval, value) : one_holds(c, eval, value, hash);
}

/* ---- with a value of the same event --------------------------------------------------------------------------------------- */

static bool one_holds_for(const struct comparison *c, const struct value *value, const struct value *right)
{
    if (!right->is_list)
        return value_holds(c->subject.type, c->op, value, right);
    for (uint32_t i = 0; i < right->list.n; i++)
        if (value_holds(c->subject.type, c->op, value, &right->list.items[i]))
            return true;
    return false;
}

bool comparison_holds_for(const struct comparison *c, const struct value *value, const struct value *right)
{
    if (!value->is_list)
        return one_holds_for(c, value, right);
    bool every = c->subject.is_list ? c->op == OP_IN : c->subject.scope == FIELD_SCOPE_EITHER_END && c->op == OP_NE;
    for (uint32_t i = 0; i < value->list.n; i++)
        if (one_holds_for(c, &value->list.items[i], right) != every)
            return !every;
    return every;
}
