/* Conditions as text: parsing, canonical text, positions, quoting. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/cond.h"
#include "common/text.h"
#include "tests/conformance/conformance.h"

/* The input, written `options.repeat` times behind itself. Freed by the caller. */
static char *repeated_input(const struct conformance *c, size_t *length)
{
    const char *input = conformance_text(c, "input", length);
    const json_t *repeat = conformance_get(c, "options.repeat");
    size_t n = repeat ? (size_t)json_integer_value(repeat) : 1;
    char *text = malloc(*length * n + 1);
    if (!text)
        abort();
    for (size_t i = 0; i < n; i++)
        memcpy(text + i * *length, input, *length);
    *length *= n;
    text[*length] = 0;
    return text;
}

void run_filter_parse(struct conformance *c)
{
    struct arena arena;
    struct cond *cond;
    struct cond_error error;
    size_t length;
    char *text = repeated_input(c, &length);
    arena_init(&arena, 0);
    bool ok = conformance_bool(c, "expect.ok", false);
    int r = cond_parse(&arena, text, length, COND_DEPTH_OTHER, &cond, &error);
    if (!r && ok)
        conformance_compare(c, "canonical text", conformance_text(c, "expect.ast", NULL), cond_print(&arena, cond));
    else if (!r)
        conformance_differ(c, "result", conformance_text(c, "expect.error", NULL), cond_print(&arena, cond));
    else if (ok)
        conformance_differ(c, "result", conformance_text(c, "expect.ast", NULL), error.message);
    else {
        char position[64];
        const struct cond_position *at = &error.position;
        snprintf(position, sizeof position, "index %u, line %u, column %u", at->index, at->line, at->column);
        conformance_compare(c, "error", conformance_text(c, "expect.error", NULL), error.message);
        if (conformance_get(c, "expect.pos"))
            conformance_compare(c, "position", conformance_text(c, "expect.pos", NULL), position);
    }
    arena_fini(&arena);
    free(text);
}

/* "KINDindex line column" for every node, outermost and leftmost first, as the reference's test writes it. */
static void tell_position(struct text_out *out, const char *kind, struct cond_position position)
{
    text_out_printf(out, "%s%u %u %u", kind, position.index, position.line, position.column);
}

static void operand_positions(struct text_out *out, const struct cond_operand *operand, bool is_argument)
{
    switch (operand->kind) {
    case OPERAND_FIELD:
        tell_position(out, "field", operand->position);
        return;
    case OPERAND_VALUE:
        tell_position(out, "value", operand->position);
        return;
    case OPERAND_LIST: /* not its items */
        tell_position(out, is_argument ? "transformer_list" : "list", operand->position);
        return;
    case OPERAND_TRANSFORMER:
        tell_position(out, "transformer", operand->position);
        for (uint32_t i = 0; i < operand->n_items; i++)
            operand_positions(out, operand->items[i], true);
    }
}

static void cond_positions(struct text_out *out, const struct cond *cond)
{
    static const char *const names[] = { [COND_AND] = "and",      [COND_OR] = "or",        [COND_NOT] = "not",
                                         [COND_EXISTS] = "unary", [COND_CHECK] = "binary", [COND_NAME] = "identifier" };
    tell_position(out, names[cond->kind], cond->position);
    for (uint32_t i = 0; i < cond->n_children; i++)
        cond_positions(out, cond->children[i]);
    if (cond->left)
        operand_positions(out, cond->left, false);
    if (cond->right)
        operand_positions(out, cond->right, false);
}

/* The cases give the canonical text where the reference parsed another spelling, to which the positions belong. These are spellings that
 * have that canonical text (which is checked) and the positions. */
static const struct {
    const char *id, *text;
} spellings[] = {
    { "filter-positions-0002", "proc.name=nginx" },
    { "filter-positions-0003", "proc.aname[3]=nginx" },
    { "filter-positions-0005", "not proc.name=nginx" },
    { "filter-positions-0006", "proc.name=nginx or proc.name=apache" },
    { "filter-positions-0007", "proc.name=nginx and proc.name=apache" },
    { "filter-positions-0008", "(proc.aname[2]=nginx and evt.type in (connect, accept)) or not(fd.name exists) or "
                               "(proc.name=apache and evt.type=switch)" },
    { "filter-positions-0009", "b64(evt.name) exists and tolower(toupper(evt.type)) in val(some.field) or "
                               "proc.name=b64(tolower(some.field))" },
    { "filter-positions-0010", "join(\"-\", (fd.name, fd.directory)) = value" },
};

void run_filter_positions(struct conformance *c)
{
    struct arena arena;
    struct cond *cond;
    struct cond_error error;
    char got[2048];
    struct text_out out;
    const char *canonical = conformance_text(c, "input", NULL), *text = canonical, *id = conformance_text(c, "id", NULL);
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        if (!strcmp(spellings[i].id, id))
            text = spellings[i].text;
    arena_init(&arena, 0);
    if (cond_parse(&arena, text, strlen(text), COND_DEPTH_OTHER, &cond, &error)) {
        conformance_differ(c, "result", canonical, error.message);
    } else {
        text_out_init(&out, got, sizeof got);
        cond_positions(&out, cond);
        conformance_compare(c, "canonical text", canonical, cond_print(&arena, cond));
        conformance_compare(c, "positions", conformance_text(c, "expect.positions", NULL), got);
    }
    arena_fini(&arena);
}

/* The cases show bytes as the characters U+0000 to U+00FF. Freed by the caller. */
static char *latin1_bytes(const char *text, size_t *length)
{
    char *bytes = malloc(*length + 1);
    if (!bytes)
        abort();
    size_t n = 0;
    for (size_t i = 0; i < *length; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c & 0xfc) == 0xc0 && i + 1 < *length)
            c = (unsigned char)(c << 6 | (text[++i] & 0x3f));
        bytes[n++] = (char)c;
    }
    bytes[n] = 0;
    *length = n;
    return bytes;
}

static void compare_bytes(struct conformance *c, const char *got, size_t length)
{
    char shown_expected[1024], shown_got[1024];
    struct text_out out;
    size_t n;
    const char *output = conformance_text(c, "expect.output", &n);
    char *expected = latin1_bytes(output, &n);
    text_out_init(&out, shown_expected, sizeof shown_expected);
    text_escape(&out, expected, n);
    text_out_init(&out, shown_got, sizeof shown_got);
    text_escape(&out, got, length);
    conformance_compare(c, "output", shown_expected, shown_got);
    free(expected);
}

void run_escape(struct conformance *c)
{
    struct arena arena;
    size_t length;
    const char *input = conformance_text(c, "input", &length);
    char *bytes = latin1_bytes(input, &length);
    arena_init(&arena, 0);
    const char *got = cond_quote(&arena, bytes, length, &length);
    compare_bytes(c, got, length);
    arena_fini(&arena);
    free(bytes);
}

void run_unescape(struct conformance *c)
{
    struct arena arena;
    struct cond_error error;
    size_t length;
    char *got;
    const char *input = conformance_text(c, "input", &length);
    char *bytes = latin1_bytes(input, &length);
    arena_init(&arena, 0);
    bool ok = conformance_bool(c, "expect.ok", false);
    int r = cond_unquote(&arena, bytes, length, &got, &length, &error);
    if (!r && ok)
        compare_bytes(c, got, length);
    else
        conformance_compare(c, "error", ok ? NULL : conformance_text(c, "expect.error", NULL), r ? error.message : NULL);
    arena_fini(&arena);
    free(bytes);
}
