/* The sides of checks: fields, transformers, values, lists. Calls of transformers that are open stand in a list. */
#include <string.h>

#include "agent/detect/rules/cond_parser.h"

#define TRANSFORMERS "'val', 'tolower', 'toupper', 'b64', 'basename', 'len', 'join', 'concat', 'getopt'"

/* A transformer, or a list among its arguments, whose arguments are being read. */
struct call {
    struct call *up;
    struct cond_operand *operand;
    struct cond_vector items;
};

bool cond_push(struct cond_parser *p, struct cond_vector *vector, void *item)
{
    if (vector->n == vector->size) {
        uint32_t size = vector->size ? vector->size * 2 : 4;
        void **items = arena_new(p->lexer.arena, size * sizeof *items);
        if (!items)
            return cond_lexer_nomem(&p->lexer);
        if (vector->n)
            memcpy(items, vector->items, vector->n * sizeof *items);
        vector->items = items;
        vector->size = size;
    }
    vector->items[vector->n++] = item;
    return true;
}

bool cond_deeper(struct cond_parser *p)
{
    if (++p->depth > p->depth_max)
        return cond_lexer_fail(&p->lexer, "exceeded max depth limit of %u", p->depth_max);
    return true;
}

/* With the present token as its text. */
static struct cond_operand *operand_new(struct cond_parser *p, enum cond_operand_kind kind, struct cond_position position)
{
    struct cond_operand *operand = arena_new(p->lexer.arena, sizeof *operand);
    bool has_text = kind != OPERAND_LIST;
    if (operand && has_text)
        operand->text = arena_text(p->lexer.arena, p->lexer.token, p->lexer.token_length);
    if (!operand || (has_text && !operand->text)) {
        cond_lexer_nomem(&p->lexer);
        return NULL;
    }
    operand->kind = kind;
    operand->position = position;
    operand->length = has_text ? p->lexer.token_length : 0;
    return operand;
}

static void operand_set_items(struct cond_operand *operand, const struct cond_vector *items)
{
    operand->items = (struct cond_operand **)items->items;
    operand->n_items = items->n;
}

/* "[...]" behind a field or a transformer, if it is there. */
static bool parse_argument(struct cond_parser *p, struct cond_operand *operand)
{
    if (!cond_lex_word(&p->lexer, "["))
        return true;
    if (!cond_lex_quoted(&p->lexer) && !cond_lex_bare_argument(&p->lexer))
        return cond_lexer_fail(&p->lexer, "expected a valid field argument: a quoted string or a bare string");
    const char *argument = p->lexer.token;
    size_t length = p->lexer.token_length;
    if (!cond_lex_word(&p->lexer, "]"))
        return cond_lexer_fail(&p->lexer, "expected a ']' token");
    operand->argument = arena_text(p->lexer.arena, argument, length);
    operand->argument_length = length;
    return operand->argument || cond_lexer_nomem(&p->lexer);
}

/* A field with its argument; the name is the present token. */
static struct cond_operand *parse_field(struct cond_parser *p, struct cond_position position)
{
    struct cond_operand *field = operand_new(p, OPERAND_FIELD, position);
    return field && parse_argument(p, field) ? field : NULL;
}

static struct call *call_open(struct cond_parser *p, struct call *up, enum cond_operand_kind kind, struct cond_position position)
{
    struct call *call = arena_new(p->lexer.arena, sizeof *call);
    struct cond_operand *operand = operand_new(p, kind, position);
    if (!call || !operand) {
        cond_lexer_nomem(&p->lexer);
        return NULL;
    }
    if (!cond_deeper(p))
        return NULL;
    call->up = up;
    call->operand = operand;
    return call;
}

/* One argument, or the beginning of one that has arguments itself: then *call is that one. False when it failed. */
static bool parse_call_argument(struct cond_parser *p, struct call **call, bool *opened)
{
    struct cond_position before = p->lexer.at;
    cond_lex_blank(&p->lexer);
    struct cond_position position = p->lexer.at;
    bool in_list = (*call)->operand->kind == OPERAND_LIST;
    struct cond_operand *operand = NULL;
    *opened = false;
    if (cond_lex_transformer(&p->lexer) || (!in_list && cond_lex_word(&p->lexer, "("))) {
        bool is_list = p->lexer.token[0] == '(';
        *opened = true;
        *call = call_open(p, *call, is_list ? OPERAND_LIST : OPERAND_TRANSFORMER, is_list ? before : position);
        return *call != NULL;
    }
    if (cond_lex_field(&p->lexer))
        operand = parse_field(p, position);
    else if (cond_lex_quoted(&p->lexer) || (!p->lexer.status && cond_lex_number(&p->lexer)))
        operand = operand_new(p, OPERAND_VALUE, position);
    else
        cond_lexer_fail(&p->lexer, in_list ? "expected transformer list argument: field, transformer, quoted string, or number"
                                           : "expected field transformer argument: field, transformer, quoted string, number, or "
                                             "transformer list");
    return operand && cond_push(p, &(*call)->items, operand);
}

/* Behind an argument: closes what ends here. *call is NULL when the outermost one is closed: *out. Else an argument follows. */
static bool parse_call_end(struct cond_parser *p, struct call **call, struct cond_operand **out)
{
    for (;;) {
        cond_lex_blank(&p->lexer);
        if (cond_lex_word(&p->lexer, ","))
            return true;
        struct cond_operand *operand = (*call)->operand;
        bool is_list = operand->kind == OPERAND_LIST;
        if (!cond_lex_word(&p->lexer, ")"))
            return cond_lexer_fail(&p->lexer, "expected a ')' token closing the transformer%s", is_list ? " list" : "");
        operand_set_items(operand, &(*call)->items);
        if (!is_list && !parse_argument(p, operand))
            return false;
        p->depth--;
        *call = (*call)->up;
        if (!*call) {
            *out = operand;
            return true;
        }
        if (!cond_push(p, &(*call)->items, operand))
            return false;
    }
}

/* A list among arguments may be empty, a transformer may not. */
static bool is_empty_list(struct cond_parser *p, const struct call *call)
{
    cond_lex_blank(&p->lexer);
    return call->operand->kind == OPERAND_LIST && cond_lex_peek(&p->lexer) == ')';
}

/* A transformer with all its arguments; "name(" is read. */
static struct cond_operand *parse_transformer(struct cond_parser *p, struct cond_position position)
{
    struct cond_operand *out = NULL;
    struct call *call = call_open(p, NULL, OPERAND_TRANSFORMER, position);
    while (call) {
        bool opened;
        if (!parse_call_argument(p, &call, &opened))
            return NULL;
        if (opened && !is_empty_list(p, call))
            continue;
        if (!parse_call_end(p, &call, &out))
            return NULL;
    }
    return out;
}

/* val(FIELD); "val(" is read. */
static struct cond_operand *parse_val(struct cond_parser *p, struct cond_position position)
{
    struct cond_operand *val = operand_new(p, OPERAND_TRANSFORMER, position);
    cond_lex_blank(&p->lexer);
    position = p->lexer.at;
    if (!cond_lex_field(&p->lexer)) {
        cond_lexer_fail(&p->lexer, "expected a field within 'val' transformer");
        return NULL;
    }
    struct cond_operand *field = parse_field(p, position);
    struct cond_vector items = { 0 };
    if (!val || !field || !cond_push(p, &items, field))
        return NULL;
    operand_set_items(val, &items);
    cond_lex_blank(&p->lexer);
    if (!cond_lex_word(&p->lexer, ")")) {
        cond_lexer_fail(&p->lexer, "expected a ')' token closing the transformer");
        return NULL;
    }
    return parse_argument(p, val) ? val : NULL;
}

/* Transformers on the right side. NULL without an error when none stands here. */
static struct cond_operand *parse_right_transformer(struct cond_parser *p)
{
    struct cond_position position = p->lexer.at;
    if (cond_lex_call(&p->lexer, "val"))
        return parse_val(p, position);
    return cond_lex_transformer(&p->lexer) ? parse_transformer(p, position) : NULL;
}

static struct cond_operand *parse_text(struct cond_parser *p)
{
    struct cond_position position = p->lexer.at;
    if (!cond_lex_quoted(&p->lexer) && (p->lexer.status || !cond_lex_bare_text(&p->lexer)))
        return NULL;
    return operand_new(p, OPERAND_VALUE, position);
}

/* The items and the end of a list; its "(" is read. */
static bool parse_list_items(struct cond_parser *p, struct cond_operand *list)
{
    struct cond_vector items = { 0 };
    cond_lex_blank(&p->lexer);
    struct cond_operand *item = parse_text(p);
    while (item) {
        if (!cond_push(p, &items, item))
            return false;
        cond_lex_blank(&p->lexer);
        if (!cond_lex_word(&p->lexer, ","))
            break;
        cond_lex_blank(&p->lexer);
        item = parse_text(p);
        if (!item)
            return cond_lexer_fail(&p->lexer, "expected a string value");
    }
    operand_set_items(list, &items);
    return cond_lex_word(&p->lexer, ")") || cond_lexer_fail(&p->lexer, "expected a ')' token");
}

/* A list, or the name of one that nobody put in: then it is a value. NULL without an error when neither stands here. */
static struct cond_operand *parse_list(struct cond_parser *p)
{
    struct cond_position position = p->lexer.at;
    if (cond_lex_word(&p->lexer, "(")) {
        struct cond_operand *list = operand_new(p, OPERAND_LIST, position);
        return list && parse_list_items(p, list) ? list : NULL;
    }
    return cond_lex_identifier(&p->lexer) ? operand_new(p, OPERAND_VALUE, position) : NULL;
}

struct cond_operand *cond_parse_left(struct cond_parser *p)
{
    struct cond_position position = p->lexer.at;
    if (cond_lex_field(&p->lexer))
        return parse_field(p, position);
    return cond_lex_transformer(&p->lexer) ? parse_transformer(p, position) : NULL;
}

struct cond_operand *cond_parse_right(struct cond_parser *p, const struct cond_op_info *op, enum cond_modifier *modifier)
{
    if (op->right == RIGHT_TEXT)
        *modifier = cond_lex_modifier(&p->lexer);
    cond_lex_blank(&p->lexer);
    if (*modifier)
        return parse_list(p);
    struct cond_position position = p->lexer.at;
    struct cond_operand *right = parse_right_transformer(p);
    if (right || p->lexer.status)
        return right;
    switch (op->right) {
    case RIGHT_NUMBER:
        if (cond_lex_number(&p->lexer))
            right = operand_new(p, OPERAND_VALUE, position);
        break;
    case RIGHT_TEXT:
        right = parse_text(p);
        break;
    case RIGHT_LIST:
        right = parse_list(p);
        break;
    }
    static const char *const wanted[] = {
        [RIGHT_NUMBER] = "a number value or", [RIGHT_TEXT] = "a string value or", [RIGHT_LIST] = "a list, an identifier, or"
    };
    if (!right)
        cond_lexer_fail(&p->lexer, "expected %s a field with a valid transformer: " TRANSFORMERS, wanted[op->right]);
    return right;
}

size_t cond_parse_field(struct arena *arena, const char *text, size_t length, struct cond_operand **out, struct cond_error *error)
{
    struct cond_parser p;
    cond_parser_init(&p, arena, text, length < UINT32_MAX ? length : UINT32_MAX, COND_DEPTH_OTHER, error);
    struct cond_position position = p.lexer.at;
    struct cond_operand *operand = NULL;
    if (cond_lex_transformer(&p.lexer))
        operand = parse_transformer(&p, position);
    else if (cond_lex_field(&p.lexer))
        operand = operand_new(&p, OPERAND_FIELD, position);
    else
        cond_lexer_fail(&p.lexer, "expected a field or a valid transformer: " TRANSFORMERS);
    if (!operand || p.lexer.status)
        return 0;
    *out = operand;
    size_t without_argument = p.lexer.at.index;
    return operand->kind != OPERAND_FIELD || parse_argument(&p, operand) ? p.lexer.at.index : without_argument;
}
