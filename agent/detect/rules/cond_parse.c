/* Conditions: text -> syntax tree. Nothing here calls itself: what is open (parentheses, and in cond_operand.c calls of transformers)
 * stands in lists, so that nesting costs memory and never stack. */
#include <errno.h>

#include "agent/detect/rules/cond_parser.h"

#define OPERATORS                                                                                                                    \
    "'exists', '<=', '<', '>=', '>', '==', '=', '!=', 'glob', 'iglob', 'contains', 'icontains', 'bcontains', 'startswith', "         \
    "'bstartswith', 'endswith', 'regex', 'intersects', 'in', 'pmatch'"

/* An expression in parentheses, or the whole. */
struct cond_group {
    struct cond_group *up;
    struct cond_position or_at, and_at, not_at;
    struct cond_vector ors, ands; /* operands read so far */
    bool negated;  /* the operand that is awaited */
    bool whole_or; /* it came as `or(...)`: an operand of `or` as it stands, no `and` can follow */
};

static struct cond *cond_new(struct cond_parser *p, enum cond_kind kind, struct cond_position position)
{
    struct cond *cond = arena_new(p->lexer.arena, sizeof *cond);
    if (!cond) {
        cond_lexer_nomem(&p->lexer);
        return NULL;
    }
    cond->kind = kind;
    cond->position = position;
    return cond;
}

/* Operator and right side. */
static struct cond *parse_check(struct cond_parser *p, struct cond_operand *left)
{
    cond_lex_blank(&p->lexer);
    bool exists = cond_lex_word(&p->lexer, "exists");
    const struct cond_op_info *op = exists ? NULL : cond_lex_op(&p->lexer);
    if (!exists && !op) {
        cond_lexer_fail(&p->lexer, "expected a valid check operator: one of " OPERATORS);
        return NULL;
    }
    struct cond *check = cond_new(p, exists ? COND_EXISTS : COND_CHECK, left->position);
    if (!check)
        return NULL;
    check->left = left;
    if (op) {
        check->op = op->op;
        check->right = cond_parse_right(p, op, &check->modifier);
    }
    return p->lexer.status ? NULL : check;
}

/* A check or the name of a macro. */
static struct cond *parse_leaf(struct cond_parser *p)
{
    struct cond_position position = p->lexer.at;
    struct cond_operand *left = cond_parse_left(p);
    if (left)
        return parse_check(p, left);
    if (p->lexer.status)
        return NULL;
    if (!cond_lex_identifier(&p->lexer)) {
        cond_lexer_fail(&p->lexer, "expected a '(' token, a field check, or an identifier");
        return NULL;
    }
    struct cond *name = cond_new(p, COND_NAME, position);
    if (name && !(name->name = arena_text(p->lexer.arena, p->lexer.token, p->lexer.token_length)))
        cond_lexer_nomem(&p->lexer);
    return name;
}

/* Behind "(", or at the beginning. */
static bool group_open(struct cond_parser *p)
{
    struct cond_group *group = p->spare;
    if (group)
        p->spare = group->up;
    else
        group = arena_new(p->lexer.arena, sizeof *group);
    if (!group)
        return cond_lexer_nomem(&p->lexer);
    if (p->group && !cond_deeper(p))
        return false;
    bool is_first = !p->group;
    *group = (struct cond_group){ .up = p->group, .or_at = p->lexer.at };
    p->group = group;
    cond_lex_blank(&p->lexer);
    group->and_at = p->lexer.at;
    if (!is_first) /* only that of the whole text is told from before the blanks */
        group->or_at = group->and_at;
    return true;
}

static void group_close(struct cond_parser *p)
{
    struct cond_group *group = p->group;
    p->group = group->up;
    group->up = p->spare;
    p->spare = group;
    p->depth--;
}

/* One node of several operands, or the only one. */
static struct cond *chain_end(struct cond_parser *p, enum cond_kind kind, struct cond_position position, struct cond_vector *operands)
{
    if (operands->n == 1) {
        operands->n = 0;
        return operands->items[0];
    }
    struct cond *cond = cond_new(p, kind, position);
    if (cond) {
        cond->children = (struct cond **)operands->items;
        cond->n_children = operands->n;
    }
    *operands = (struct cond_vector){ 0 };
    return cond;
}

/* Behind "and" or "or": what may follow it directly is only a group. True if one was opened. */
static bool parse_after_word(struct cond_parser *p, const char *word)
{
    if (cond_lex_blank(&p->lexer))
        return false;
    if (cond_lex_word(&p->lexer, "("))
        return group_open(p);
    return cond_lexer_fail(&p->lexer, "expected blank or '(' after '%s'", word);
}

/* "not", to be told from names that begin so. */
static bool lex_not(struct cond_parser *p)
{
    struct cond_lexer before = p->lexer;
    if (cond_lex_word(&p->lexer, "not") && cond_lex_blank(&p->lexer))
        return true;
    p->lexer = before;
    return false;
}

/* What stands between "and" and "or": NULL without an error when it began with a parenthesis, which is a group of its own now. */
static struct cond *parse_operand(struct cond_parser *p)
{
    struct cond_group *group = p->group;
    cond_lex_blank(&p->lexer);
    group->not_at = p->lexer.at;
    group->negated = false;
    while (lex_not(p))
        group->negated = !group->negated;
    if (cond_lex_word(&p->lexer, "not(")) {
        group->negated = !group->negated;
        group_open(p);
        return NULL;
    }
    if (cond_lex_word(&p->lexer, "(")) {
        group_open(p);
        return NULL;
    }
    return parse_leaf(p);
}

static struct cond *negate(struct cond_parser *p, struct cond *cond)
{
    struct cond_group *group = p->group;
    if (!group->negated)
        return cond;
    struct cond *not = cond_new(p, COND_NOT, group->not_at);
    struct cond_vector children = { 0 };
    if (!not || !cond_push(p, &children, cond))
        return NULL;
    not->children = (struct cond **)children.items;
    not->n_children = 1;
    group->negated = false;
    return not;
}

/* Adds an operand to the group. True when another one must follow, in this group or in one that was opened. */
static bool group_take(struct cond_parser *p, struct cond *operand)
{
    struct cond_group *group = p->group;
    if (!group->whole_or) {
        operand = negate(p, operand);
        if (!operand || !cond_push(p, &group->ands, operand))
            return false;
        cond_lex_blank(&p->lexer);
        if (cond_lex_word(&p->lexer, "and")) {
            parse_after_word(p, "and");
            return true;
        }
        operand = chain_end(p, COND_AND, group->and_at, &group->ands);
    }
    group->whole_or = false;
    if (!operand || !cond_push(p, &group->ors, operand))
        return false;
    cond_lex_blank(&p->lexer);
    if (!cond_lex_word(&p->lexer, "or"))
        return false;
    if (parse_after_word(p, "or"))
        group->whole_or = true;
    else
        group->and_at = p->lexer.at;
    return true;
}

static struct cond *parse_expression(struct cond_parser *p)
{
    group_open(p);
    while (!p->lexer.status) {
        struct cond *cond = parse_operand(p);
        while (cond && !p->lexer.status && !group_take(p, cond)) {
            cond = p->lexer.status ? NULL : chain_end(p, COND_OR, p->group->or_at, &p->group->ors);
            if (!cond || !p->group->up)
                return cond;
            if (!cond_lex_word(&p->lexer, ")"))
                cond_lexer_fail(&p->lexer, "expected a ')' token");
            group_close(p);
        }
    }
    return NULL;
}

void cond_parser_init(struct cond_parser *p, struct arena *arena, const char *text, size_t length, unsigned depth_max,
                      struct cond_error *error)
{
    *p = (struct cond_parser){ .depth_max = depth_max };
    *error = (struct cond_error){ .position = { 0, 1, 1 } };
    cond_lexer_init(&p->lexer, arena, text, length, error);
}

int cond_parse(struct arena *arena, const char *text, size_t length, unsigned depth_max, struct cond **out, struct cond_error *error)
{
    struct cond_parser p;
    cond_parser_init(&p, arena, text, length, depth_max, error);
    if (length > UINT32_MAX)
        return -ENOMEM;
    if (!length)
        cond_lexer_fail(&p.lexer, "filter input string is empty");
    struct cond *cond = p.lexer.status ? NULL : parse_expression(&p);
    if (!p.lexer.status && p.lexer.at.index < length)
        cond_lexer_fail(&p.lexer, "unexpected token after '%.*s', expecting 'or', 'and'",
                        (int)(p.lexer.token_length < 400 ? p.lexer.token_length : 400), p.lexer.token);
    if (!p.lexer.status)
        *out = cond;
    return p.lexer.status;
}
