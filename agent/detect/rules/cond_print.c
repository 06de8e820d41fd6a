/* Syntax tree -> canonical text. Trees can be deep once macros are put in, so what is open stands in a list on the heap. */
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/cond_lex.h"

/* A node that is printed, and how much of it is. */
struct place {
    const struct cond *cond; /* or */
    const struct cond_operand *operand;
    uint32_t next;
    bool is_argument; /* of a transformer: no blanks behind commas */
};

struct printer {
    struct cond_text out;
    struct place *places;
    size_t n, size;
    bool failed;
};

static void text(struct printer *p, const char *s)
{
    cond_text_add(&p->out, s, strlen(s));
}

static void open_place(struct printer *p, struct place place)
{
    if (p->n == p->size) {
        size_t size = p->size ? p->size * 2 : 32;
        struct place *places = realloc(p->places, size * sizeof *places);
        if (!places) {
            p->failed = true;
            return;
        }
        p->places = places;
        p->size = size;
    }
    p->places[p->n++] = place;
}

static void print_argument(struct printer *p, const struct cond_operand *operand)
{
    if (!operand->argument)
        return;
    const char *argument = operand->argument;
    size_t n = operand->argument_length;
    text(p, "[");
    cond_text_quote(&p->out, argument, n, !n || memchr(argument, '[', n) || memchr(argument, ']', n), true);
    text(p, "]");
}

static void step_items(struct printer *p, struct place *place)
{
    const struct cond_operand *operand = place->operand;
    bool is_call = operand->kind == OPERAND_TRANSFORMER;
    uint32_t i = place->next++;
    if (!i) {
        if (is_call)
            text(p, operand->text);
        text(p, "(");
    }
    if (i == operand->n_items) {
        text(p, ")");
        print_argument(p, operand);
        p->n--;
        return;
    }
    if (i)
        text(p, is_call || place->is_argument ? "," : ", ");
    open_place(p, (struct place){ .operand = operand->items[i], .is_argument = is_call || place->is_argument });
}

static void step_operand(struct printer *p, struct place *place)
{
    const struct cond_operand *operand = place->operand;
    switch (operand->kind) {
    case OPERAND_FIELD:
        text(p, operand->text);
        print_argument(p, operand);
        p->n--;
        return;
    case OPERAND_VALUE:
        cond_text_quote(&p->out, operand->text, operand->length, false, true);
        p->n--;
        return;
    case OPERAND_TRANSFORMER:
    case OPERAND_LIST:
        step_items(p, place);
    }
}

static void step_check(struct printer *p, struct place *place)
{
    const struct cond *cond = place->cond;
    switch (place->next++) {
    case 0:
        open_place(p, (struct place){ .operand = cond->left });
        return;
    case 1:
        text(p, " ");
        text(p, cond->kind == COND_EXISTS ? "exists" : cond_op_name(cond->op));
        if (cond->kind == COND_EXISTS)
            break;
        text(p, cond->modifier ? " " : "");
        text(p, cond_modifier_name(cond->modifier));
        text(p, " ");
        open_place(p, (struct place){ .operand = cond->right });
        return;
    }
    p->n--;
}

static void step_cond(struct printer *p, struct place *place)
{
    const struct cond *cond = place->cond;
    uint32_t i;
    switch (cond->kind) {
    case COND_AND:
    case COND_OR:
        i = place->next++;
        text(p, !i ? "(" : i == cond->n_children ? ")" : cond->kind == COND_AND ? " and " : " or ");
        if (i == cond->n_children)
            p->n--;
        else
            open_place(p, (struct place){ .cond = cond->children[i] });
        return;
    case COND_NOT:
        text(p, "not ");
        *place = (struct place){ .cond = cond->children[0] };
        return;
    case COND_NAME:
        text(p, cond->name);
        p->n--;
        return;
    case COND_EXISTS:
    case COND_CHECK:
        step_check(p, place);
    }
}

static char *print(struct arena *arena, struct place first)
{
    struct printer p = { .out.max = arena->max_bytes };
    open_place(&p, first);
    while (p.n && !p.failed && !p.out.failed) {
        struct place *place = &p.places[p.n - 1];
        if (place->cond)
            step_cond(&p, place);
        else
            step_operand(&p, place);
    }
    free(p.places);
    p.out.failed = p.out.failed || p.failed;
    return cond_text_take(&p.out, arena, NULL);
}

char *cond_print(struct arena *arena, const struct cond *cond)
{
    return print(arena, (struct place){ .cond = cond });
}

char *cond_operand_print(struct arena *arena, const struct cond_operand *operand)
{
    return print(arena, (struct place){ .operand = operand });
}
