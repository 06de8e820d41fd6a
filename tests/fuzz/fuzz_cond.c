/* Any bytes as a condition: refused with a message, or taken and printed; and the printed text, parsed, prints the same. Seeds:
 * tests/fixtures/cond */
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/cond.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* The canonical text is for people: these values it does not show so that they could be read again. */
static bool value_is_shown(const struct cond_operand *value, bool is_argument)
{
    if (is_argument)
        return false;
    if (!value->length || value->text[value->length - 1] == '\\')
        return false;
    for (size_t i = 0; i < value->length; i++)
        if (strchr("(),", value->text[i]) && value->text[i])
            return false;
    return true;
}

static bool operand_check(const struct cond_operand *operand, bool is_argument)
{
    bool shown = true;
    switch (operand->kind) {
    case OPERAND_FIELD:
        require(memchr(operand->text, '.', operand->length) && !operand->items && strlen(operand->text) == operand->length);
        return !operand->argument || !operand->argument_length || operand->argument[operand->argument_length - 1] != '\\';
    case OPERAND_VALUE:
        require(!operand->items && !operand->argument && !operand->text[operand->length]);
        return value_is_shown(operand, is_argument);
    case OPERAND_TRANSFORMER:
        require(cond_transformer_exists(operand->text, operand->length) && operand->n_items);
        shown = !operand->argument || !operand->argument_length || operand->argument[operand->argument_length - 1] != '\\';
        for (uint32_t i = 0; i < operand->n_items; i++)
            shown &= operand_check(operand->items[i], true);
        return shown;
    case OPERAND_LIST:
        require(!operand->text && !operand->argument);
        for (uint32_t i = 0; i < operand->n_items; i++) {
            require(is_argument || operand->items[i]->kind == OPERAND_VALUE);
            shown &= operand_check(operand->items[i], is_argument);
        }
        return shown;
    }
    abort();
}

/* Whether its text can be parsed again to the same tree. */
static bool cond_check(const struct cond *cond, size_t size)
{
    bool shown = true;
    require(cond->position.index < size && cond->position.line && cond->position.column);
    switch (cond->kind) {
    case COND_AND:
    case COND_OR:
        require(cond->n_children > 1);
        for (uint32_t i = 0; i < cond->n_children; i++)
            shown &= cond_check(cond->children[i], size);
        return shown;
    case COND_NOT: /* two of them would be none */
        require(cond->n_children == 1);
        return cond_check(cond->children[0], size) && cond->children[0]->kind != COND_NOT;
    case COND_NAME: /* a macro by the name of a keyword */
        return strcmp(cond->name, "not") != 0;
    case COND_EXISTS:
        require(!cond->right);
        return operand_check(cond->left, false);
    case COND_CHECK:
        require(cond->right);
        shown = operand_check(cond->left, false);
        return operand_check(cond->right, false) && shown;
    }
    abort();
}

static void try_field(const char *text, size_t size)
{
    struct arena arena;
    struct cond_operand *operand;
    struct cond_error error;
    arena_init(&arena, 0);
    size_t n = cond_parse_field(&arena, text, size, &operand, &error);
    require(n <= size && (n || error.message[0]));
    if (n)
        require(cond_parse_field(&arena, text, n, &operand, &error) == n && cond_operand_print(&arena, operand));
    arena_fini(&arena);
}

static void try_cond(const char *text, size_t size)
{
    struct arena arena;
    struct cond *cond;
    struct cond_error error;
    arena_init(&arena, 0);
    int r = cond_parse(&arena, text, size, COND_DEPTH_RULES, &cond, &error);
    if (r) {
        require(error.message[0] && error.position.index <= size);
    } else {
        bool shown = cond_check(cond, size);
        char *first = cond_print(&arena, cond);
        require(first != NULL);
        if (shown) {
            require(!cond_parse(&arena, first, strlen(first), 2 * COND_DEPTH_RULES, &cond, &error));
            char *second = cond_print(&arena, cond);
            require(second && !strcmp(first, second));
        }
    }
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size ? size : 1); /* of exactly its size, so that reading past it is seen */
    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    try_cond(copy, size);
    try_field(copy, size);
    free(copy);
    return 0;
}
