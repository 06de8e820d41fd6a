/* Errors and warnings of a load: codes, positions, and the line they are about with a caret below. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/rule_load.h"

static const char *const code_names[] = {
    [LOAD_ERR_FILE_READ] = "LOAD_ERR_FILE_READ",
    [LOAD_ERR_YAML_PARSE] = "LOAD_ERR_YAML_PARSE",
    [LOAD_ERR_YAML_VALIDATE] = "LOAD_ERR_YAML_VALIDATE",
    [LOAD_ERR_COMPILE_CONDITION] = "LOAD_ERR_COMPILE_CONDITION",
    [LOAD_ERR_COMPILE_OUTPUT] = "LOAD_ERR_COMPILE_OUTPUT",
    [LOAD_ERR_VALIDATE] = "LOAD_ERR_VALIDATE",
    [LOAD_ERR_EXTENSION] = "LOAD_ERR_EXTENSION",
    [LOAD_UNKNOWN_SOURCE] = "LOAD_UNKNOWN_SOURCE",
    [LOAD_UNSAFE_NA_CHECK] = "LOAD_UNSAFE_NA_CHECK",
    [LOAD_NO_EVTTYPE] = "LOAD_NO_EVTTYPE",
    [LOAD_UNKNOWN_FILTER] = "LOAD_UNKNOWN_FILTER",
    [LOAD_UNUSED_MACRO] = "LOAD_UNUSED_MACRO",
    [LOAD_UNUSED_LIST] = "LOAD_UNUSED_LIST",
    [LOAD_UNKNOWN_ITEM] = "LOAD_UNKNOWN_ITEM",
    [LOAD_DEPRECATED_ITEM] = "LOAD_DEPRECATED_ITEM",
    [LOAD_WARNING_EXTENSION] = "LOAD_WARNING_EXTENSION",
    [LOAD_APPEND_NO_VALUES] = "LOAD_APPEND_NO_VALUES",
    [LOAD_EXCEPTION_NAME_NOT_UNIQUE] = "LOAD_EXCEPTION_NAME_NOT_UNIQUE",
    [LOAD_INVALID_MACRO_NAME] = "LOAD_INVALID_MACRO_NAME",
    [LOAD_INVALID_LIST_NAME] = "LOAD_INVALID_LIST_NAME",
    [LOAD_COMPILE_CONDITION] = "LOAD_COMPILE_CONDITION",
    [LOAD_UNKNOWN_KEY] = "LOAD_UNKNOWN_KEY",
    [LOAD_NEVER_FILLED] = "LOAD_NEVER_FILLED",
};

const char *rule_code_name(enum rule_code code)
{
    return code_names[code];
}

bool rule_code_is_error(enum rule_code code)
{
    return code <= LOAD_ERR_EXTENSION;
}

/* ---- lines ---- */

/* Bytes of the line break at `p`, 0 if there is none; those that YAML 1.1 knows, as libyaml counts lines by them. */
static size_t line_break(const char *p, size_t n)
{
    if (p[0] == '\r')
        return n > 1 && p[1] == '\n' ? 2 : 1;
    if (p[0] == '\n')
        return 1;
    if (n > 1 && !memcmp(p, "\xc2\x85", 2))
        return 2;
    return n > 2 && (!memcmp(p, "\xe2\x80\xa8", 3) || !memcmp(p, "\xe2\x80\xa9", 3)) ? 3 : 0;
}

static void find_lines(struct rule_load *load)
{
    uint32_t n = 1;
    for (size_t i = 0, b; i < load->size; i += b ? b : 1)
        n += (b = line_break(load->data + i, load->size - i)) > 0;
    load->line_starts = malloc(n * sizeof *load->line_starts);
    if (!load->line_starts)
        return;
    load->line_starts[0] = 0;
    load->n_lines = 1;
    for (size_t i = 0, b; i < load->size; i += b ? b : 1)
        if ((b = line_break(load->data + i, load->size - i)) > 0)
            load->line_starts[load->n_lines++] = (uint32_t)(i + b);
}

static bool is_continuation(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

/* The byte that a line and column of the file mean; its size if there is none such. */
static size_t offset_of(struct rule_load *load, uint32_t line, uint32_t column)
{
    if (!load->line_starts)
        find_lines(load);
    if (!line || line > load->n_lines)
        return load->size;
    size_t at = load->line_starts[line - 1], end = line < load->n_lines ? load->line_starts[line] : load->size;
    for (; column > 1 && at < end; column--)
        for (at++; at < end && is_continuation(load->data[at]);)
            at++;
    return at;
}

/* ---- positions ---- */

struct rule_spot rule_spot_of(const struct rule_load *load, const struct rule_node *node)
{
    return rule_spot_at(load->file, node->line, node->column);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Bytes of the file that one byte of a quoted or plain YAML text takes at `p`. */
static size_t raw_length(const char *p, size_t n, char quote)
{
    if (n < 2)
        return 1;
    if (quote == '"' && p[0] == '\\')
        return 2;
    return quote == '\'' && p[0] == '\'' && p[1] == '\'' ? 2 : 1;
}

/* Folding changes blanks only: the byte of the file is found by counting the others. */
static size_t raw_offset(const char *raw, size_t n, const char *text, size_t offset)
{
    size_t count = 0, at = 0;
    char first = n ? raw[0] : 0, quote = first == '"' || first == '\'' ? first : 0;
    for (size_t i = 0; i < offset; i++)
        count += !is_blank(text[i]);
    if (quote)
        at = 1;
    else if (first == '|' || first == '>')
        while (at < n && raw[at] != '\n')
            at++;
    for (;;) {
        while (at < n && is_blank(raw[at]))
            at++;
        if (at >= n || !count--)
            return at < n ? at : n;
        at += raw_length(raw + at, n - at, quote);
    }
}

struct rule_spot rule_spot_in(struct rule_load *load, const struct rule_part *parts, size_t offset)
{
    size_t total = 0;
    for (const struct rule_part *p = parts; p; p = p->before)
        total += p->length + (p->before ? 1 : 0);
    const struct rule_part *part = parts;
    size_t start = total - part->length;
    while (part->before && offset < start) {
        part = part->before;
        start -= 1 + part->length;
    }
    struct rule_spot spot = rule_spot_at(part->file, part->line, part->column);
    size_t within = offset > start ? offset - start : 0;
    if (part->file != load->file)
        return spot;
    size_t raw = offset_of(load, part->line, part->column);
    size_t end = raw + raw_offset(load->data + raw, load->size - raw, part->text, within < part->length ? within : part->length);
    for (size_t b; raw < end && raw < load->size; raw += b ? b : 1) {
        b = line_break(load->data + raw, load->size - raw);
        spot.line += b > 0;
        spot.column = b ? 1 : spot.column + !is_continuation(load->data[raw]);
    }
    return spot;
}

/* ---- snippets ---- */

#define SNIPPET_BYTES 70 /* of a line, on either side of the caret */

/* Columns that an escaped text takes. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += !is_continuation(*text);
    return n;
}

/* The line around `at`, escaped, and a caret below it. */
static const char *snippet_of(struct arena *arena, const char *text, size_t length, size_t at)
{
    char left[4 * SNIPPET_BYTES + 16], right[4 * SNIPPET_BYTES + 16];
    struct text_out l, r;
    size_t from, to;
    if (at > length)
        at = length;
    for (from = at; from > 0 && at - from < SNIPPET_BYTES && text[from - 1] != '\n' && text[from - 1] != '\r';)
        from--;
    for (to = at; to < length && to - at < SNIPPET_BYTES && text[to] != '\n' && text[to] != '\r';)
        to++;
    while (from < at && is_continuation(text[from]))
        from++;
    while (to > at && to < length && is_continuation(text[to]))
        to--;
    text_out_init(&l, left, sizeof left);
    text_out_init(&r, right, sizeof right);
    if (from > 0 && text[from - 1] != '\n' && text[from - 1] != '\r')
        text_out_printf(&l, "...");
    text_escape(&l, text + from, at - from);
    text_escape(&r, text + at, to - at);
    if (to < length && text[to] != '\n' && text[to] != '\r')
        text_out_printf(&r, "...");
    if (!l.length && !r.length)
        return "";
    const char *made = arena_printf(arena, "%s%s\n%*s^", left, right, (int)width_of(left), "");
    return made ? made : "";
}

static const char *spot_snippet(struct rule_load *load, const struct rule_spot *spot)
{
    struct arena *arena = &load->set->private->messages;
    if (spot->excerpt)
        return snippet_of(arena, spot->excerpt, spot->excerpt_length, spot->excerpt_at);
    if (!spot->line || spot->file != load->file)
        return "";
    return snippet_of(arena, load->data, load->size, offset_of(load, spot->line, spot->column));
}

/* ---- messages ---- */

static const char *clean(struct arena *arena, const char *text)
{
    char buf[2048];
    struct text_out out;
    text_out_init(&out, buf, sizeof buf);
    text_clean(&out, text, strlen(text));
    const char *copy = arena_text(arena, buf, out.length);
    return copy ? copy : "";
}

static struct rule_message message_of(struct rule_load *load, enum rule_code code, const struct rule_spot *spot, const char *format,
                                      va_list args)
{
    struct arena *arena = &load->set->private->messages;
    char text[1024];
    vsnprintf(text, sizeof text, format, args);
    return (struct rule_message){
        .code = code,
        .file = clean(arena, spot->file),
        .line = spot->line,
        .column = spot->column,
        .item_type = load->item_type, /* a literal */
        .item_name = clean(arena, load->item_name),
        .text = clean(arena, text),
        .snippet = spot_snippet(load, spot),
    };
}

int rule_load_fail(struct rule_load *load, enum rule_code code, const struct rule_spot *spot, const char *format, ...)
{
    struct ruleset *set = load->set;
    va_list args;
    set->errors = arena_new(&set->private->messages, sizeof *set->errors);
    if (!set->errors)
        return -ENOMEM;
    va_start(args, format);
    set->errors[0] = message_of(load, code, spot, format, args);
    va_end(args);
    set->n_errors = 1;
    return -EINVAL;
}

/* Room for one more warning; an error that may still come finds its own. */
static bool warnings_grow(struct ruleset *set)
{
    struct ruleset_private *p = set->private;
    if (set->n_warnings < p->max_warnings)
        return true;
    uint32_t max = p->max_warnings ? 2 * p->max_warnings : 16;
    struct rule_message *bigger = arena_new(&p->messages, max * sizeof *bigger);
    if (!bigger)
        return false;
    if (set->n_warnings)
        memcpy(bigger, set->warnings, set->n_warnings * sizeof *bigger);
    set->warnings = bigger;
    p->max_warnings = max;
    return true;
}

void rule_load_warn(struct rule_load *load, enum rule_code code, const struct rule_spot *spot, const char *format, ...)
{
    struct ruleset *set = load->set;
    va_list args;
    if (set->n_warnings == LIMIT_RULE_MESSAGES || !warnings_grow(set)) {
        set->n_dropped++;
        return;
    }
    va_start(args, format);
    set->warnings[set->n_warnings++] = message_of(load, code, spot, format, args);
    va_end(args);
}
