#include "agent/detect/rules/format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/rules/value_parse.h"

#define WIDTH_MAX 4096
#define MISSING "<NA>"

/* ---- compiling ------------------------------------------------------------------------------------------------------------ */

static int refuse(struct cond_error *error, const char *format, int length, const char *text)
{
    snprintf(error->message, sizeof error->message, format, length, text);
    return -EINVAL;
}

/* The longest start of a name that is a field: of "proc.nameand" it is "proc.name". Its length, 0 if there is none. */
static size_t shorter_field(struct arena *arena, struct cond_operand *operand, struct expression **out)
{
    struct cond_error ignored;
    operand->argument = NULL;
    for (size_t n = operand->length; n; n--) {
        struct cond_operand *shorter = arena_new(arena, sizeof *shorter);
        char *text = arena_text(arena, operand->text, n);
        if (!shorter || !text)
            return 0;
        *shorter = (struct cond_operand){ .kind = OPERAND_FIELD, .text = text, .length = n };
        if (!expression_compile(arena, shorter, out, &ignored))
            return n;
    }
    return 0;
}

/* A field or transformer at the start of `text`: its length, 0 if there is none. */
static size_t field_take(struct arena *arena, const char *text, size_t length, struct format_part *part)
{
    struct cond_operand *operand;
    struct cond_error ignored;
    size_t n = cond_parse_field(arena, text, length, &operand, &ignored);
    if (!n || (expression_compile(arena, operand, &part->expression, &ignored) &&
               (operand->kind != OPERAND_FIELD || !(n = shorter_field(arena, operand, &part->expression)))))
        return 0;
    if (operand->kind == OPERAND_FIELD)
        part->token = arena_text(arena, text, n);
    else
        part->token = cond_operand_print(arena, operand);
    return part->token ? n : 0;
}

static size_t width_take(const char *text, size_t length, unsigned *width)
{
    size_t n = 0;
    for (*width = 0; n < length && text[n] >= '0' && text[n] <= '9'; n++)
        if (*width < WIDTH_MAX)
            *width = *width * 10 + (unsigned)(text[n] - '0');
    if (*width > WIDTH_MAX)
        *width = WIDTH_MAX;
    return n;
}

static struct format_part *part_next(struct format *format)
{
    return &format->parts[format->n_parts];
}

/* What follows a '%'. */
static int token_compile(struct arena *arena, struct format *format, const char **p, const char *end, bool *unknown,
                         struct cond_error *error)
{
    struct format_part *part = part_next(format);
    if (*p == end)
        return refuse(error, "invalid formatting syntax: formatting cannot end with a %%%.*s", 0, "");
    size_t digits = width_take(*p, (size_t)(end - *p), &part->width);
    size_t n = field_take(arena, *p + digits, (size_t)(end - *p) - digits, part);
    if (arena->failed)
        return -ENOMEM;
    if (!n) {
        *unknown = true;
        return refuse(error, "unknown filter: unexpected token after '%%%.*s'", (int)strcspn(*p, " \t\n"), *p);
    }
    *p += digits + n;
    format->n_parts++;
    return 0;
}

static int literal_compile(struct arena *arena, struct format *format, const char **p, const char *end)
{
    const char *percent = memchr(*p, '%', (size_t)(end - *p));
    struct format_part *part = part_next(format);
    part->length = (size_t)((percent ? percent : end) - *p);
    part->literal = arena_text(arena, *p, part->length);
    *p += part->length;
    format->n_parts += part->length > 0;
    return part->literal ? 0 : -ENOMEM;
}

int format_compile(struct arena *arena, const char *text, size_t length, struct format **out, bool *unknown, struct cond_error *error)
{
    struct format *format = arena_new(arena, sizeof *format);
    const char *p = arena_text(arena, text, length);
    size_t n_max = 1;
    int err = 0;
    *error = (struct cond_error){ 0 };
    *unknown = false;
    *out = format;
    for (size_t i = 0; i < length; i++)
        n_max += text[i] == '%' ? 2 : 0;
    if (!format || !p || !(format->parts = arena_new(arena, n_max * sizeof *format->parts)))
        return -ENOMEM;
    const char *end = p + length;
    if (length && *p == '*') {
        format->keep_missing = true;
        p++;
    }
    while (p < end && !err) {
        if (*p == '%') {
            p++;
            err = token_compile(arena, format, &p, end, unknown, error);
        } else {
            err = literal_compile(arena, format, &p, end);
        }
    }
    return err;
}

/* ---- printing ------------------------------------------------------------------------------------------------------------- */

static void address_print(struct text_out *out, const struct address *address)
{
    char shown[46];
    address_format(address, shown);
    text_out_printf(out, "%s", shown);
}

static void one_print(struct text_out *out, const struct value *value)
{
    switch (value->type) {
    case VALUE_TEXT:
    case VALUE_PATH:
    case VALUE_BYTES:
        text_out_bytes(out, value->text.data, value->text.length);
        return;
    case VALUE_BOOL:
        text_out_printf(out, "%s", value->boolean ? "true" : "false");
        return;
    case VALUE_INT:
        text_out_printf(out, "%" PRId64, value->i64);
        return;
    case VALUE_UINT:
    case VALUE_FLAGS:
    case VALUE_ABSTIME:
    case VALUE_RELTIME:
    case VALUE_PORT:
        text_out_printf(out, "%" PRIu64, value->u64);
        return;
    case VALUE_DOUBLE:
        text_out_printf(out, "%.1f", value->real);
        return;
    case VALUE_IPADDR:
        address_print(out, &value->address);
        return;
    case VALUE_IPNET:
        address_print(out, &value->net.address);
        return;
    case VALUE_DYNAMIC:
        return;
    }
}

void value_print(struct text_out *out, const struct value *value, const struct field_ref *ref)
{
    if (!value->is_list) {
        one_print(out, value);
        return;
    }
    bool is_list = !ref || ref->field->is_list; /* else the places where the field looked */
    if (is_list)
        text_out_bytes(out, "(", 1);
    for (uint32_t i = 0; i < value->list.n; i++) {
        if (i)
            text_out_bytes(out, is_list ? "," : " ", 1);
        one_print(out, &value->list.items[i]);
    }
    if (is_list)
        text_out_bytes(out, ")", 1);
}

/* Cuts or pads what was written from `start` on. */
static void width_apply(struct text_out *out, size_t start, unsigned width)
{
    if (width && out->length - start > width) {
        out->length = start + width;
        out->buf[out->length] = 0;
    }
    while (width && out->length - start < width && !out->cut)
        text_out_bytes(out, " ", 1);
}

bool format_print(const struct format *format, struct eval *eval, struct text_out *out)
{
    for (uint32_t i = 0; i < format->n_parts; i++) {
        const struct format_part *part = &format->parts[i];
        struct value value;
        size_t start = out->length;
        if (part->literal) {
            text_out_bytes(out, part->literal, part->length);
            continue;
        }
        if (expression_get(part->expression, eval, &value) == VALUE_GOT)
            value_print(out, &value, expression_ref(part->expression));
        else if (format->keep_missing)
            text_out_bytes(out, MISSING, strlen(MISSING));
        else
            return false;
        width_apply(out, start, part->width);
    }
    return true;
}
