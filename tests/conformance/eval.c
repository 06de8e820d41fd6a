/* Conditions and outputs with values: typing, evaluation, formatting. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/check.h"
#include "agent/detect/rules/expression.h"
#include "agent/detect/rules/format.h"
#include "tests/conformance/conformance.h"
#include "tests/conformance/values.h"

/* ---- fields that only the reference's tests have -------------------------------------------------------------------------- */

/* They stand for fields of ours of the same type. */
static const struct {
    const char *theirs, *ours;
} stand_ins[] = {
    { "c.true", "proc.name" },          { "c.false", "proc.pname" },        { "c.doublequote", "proc.exe" },
    { "c.singlequote", "proc.cwd" },    { "c.buffer", "evt.buffer" },       { "sample.is_open", "evt.count" },
    { "sample.proc_name", "proc.name" }, { "sample.tick", "proc.pname" },   { "sample.pidns_init_start_ts", "proc.vmsize" },
};

static const char *ours_of(const char *name)
{
    for (size_t i = 0; i < sizeof stand_ins / sizeof *stand_ins; i++)
        if (!strcmp(stand_ins[i].theirs, name))
            return stand_ins[i].ours;
    return name;
}

static void operand_rename(struct cond_operand *operand)
{
    if (operand->kind == OPERAND_FIELD) {
        operand->text = ours_of(operand->text);
        operand->length = strlen(operand->text);
    }
    for (uint32_t i = 0; i < operand->n_items; i++)
        operand_rename(operand->items[i]);
}

static void cond_rename(struct cond *cond)
{
    if (cond->left)
        operand_rename(cond->left);
    if (cond->right)
        operand_rename(cond->right);
    for (uint32_t i = 0; i < cond->n_children; i++)
        cond_rename(cond->children[i]);
}

/* ---- values of a case ----------------------------------------------------------------------------------------------------- */

/* The values of the fields as a source. Those of a case's own come first; some cases do not tell all that their event had. */
struct case_source {
    struct named_source named;
    const struct conformance *c;
    const json_t *fields;
    bool is_flat; /* {"name": "text"}; else {"name": {"type", "value"}} */
};

/* What the cases of one test of the reference leave out: it opens this file in the first event. */
static const struct {
    const char *source, *name, *type, *value;
} omitted[] = {
    { "filter_transformer.ut.cpp", "fd.name", "CHARBUF", "/tmp/file_to_run" },
    { "filter_transformer.ut.cpp", "fd.directory", "CHARBUF", "/tmp" },
    { "filter_transformer.ut.cpp", "evt.num", "UINT64", "1" },
};

static bool case_is_from(const struct case_source *s, const char *source)
{
    const char *from = conformance_text(s->c, "source", NULL);
    return from && strstr(from, source);
}

/* Characters up to U+00FF are the bytes they stand for: that is how the cases write what is not UTF-8. */
static struct value bytes_value(struct case_source *s, const json_t *json)
{
    const unsigned char *p = (const unsigned char *)json_string_value(json);
    size_t length = json_string_length(json), n = 0;
    char *out = arena_text(s->named.arena, (const char *)p, length);
    for (size_t i = 0; i < length; n++) {
        bool is_latin = (p[i] == 0xc2 || p[i] == 0xc3) && i + 1 < length;
        out[n] = is_latin ? (char)((p[i] & 3) << 6 | (p[i + 1] & 0x3f)) : (char)p[i];
        i += is_latin ? 2 : 1;
    }
    return (struct value){ .type = VALUE_TEXT, .text = { out, n } };
}

static struct value hex_value(struct case_source *s, const char *hex)
{
    size_t n = strlen(hex) / 2;
    char *out = arena_new(s->named.arena, n + 1);
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        sscanf(hex + 2 * i, "%2x", &byte);
        out[i] = (char)byte;
    }
    return (struct value){ .type = VALUE_BYTES, .text = { out, n } };
}

static struct value address_value(const char *text)
{
    struct value v = { .type = VALUE_IPADDR, .address.family = strchr(text, ':') ? 6 : 4 };
    if (inet_pton(v.address.family == 4 ? AF_INET : AF_INET6, text, v.address.bytes) != 1)
        abort();
    return v;
}

static bool starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

static struct value typed_value(struct case_source *s, const char *type, const json_t *json)
{
    const char *text = json_string_value(json);
    if (!strcmp(type, "BYTEBUF"))
        return hex_value(s, json_string_value(json_object_get(json, "hex")));
    if (!strcmp(type, "IPADDR"))
        return address_value(text);
    if (!strcmp(type, "BOOL"))
        return (struct value){ .type = VALUE_BOOL, .boolean = !strcmp(text, "true") };
    if (!strcmp(type, "PORT"))
        return (struct value){ .type = VALUE_PORT, .u64 = strtoull(text, NULL, 10) };
    if (!strcmp(type, "UINT32"))
        return (struct value){ .type = VALUE_UINT, .u64 = (uint32_t)strtoll(text, NULL, 10) };
    if (starts(type, "UINT") || starts(type, "FLAGS"))
        return (struct value){ .type = VALUE_UINT, .u64 = strtoull(text, NULL, 10) };
    if (!strcmp(type, "ABSTIME"))
        return (struct value){ .type = VALUE_ABSTIME, .u64 = strtoull(text, NULL, 10) };
    if (!strcmp(type, "RELTIME"))
        return (struct value){ .type = VALUE_RELTIME, .u64 = strtoull(text, NULL, 10) };
    if (starts(type, "INT") || !strcmp(type, "PID") || !strcmp(type, "ERRNO") || !strcmp(type, "FD"))
        return (struct value){ .type = VALUE_INT, .i64 = strtoll(text, NULL, 10) };
    return bytes_value(s, json);
}

static struct value list_value(struct case_source *s, const char *type, const json_t *json)
{
    uint32_t n = (uint32_t)json_array_size(json);
    struct value *items = arena_new(s->named.arena, (n + 1) * sizeof *items);
    for (uint32_t i = 0; i < n; i++)
        items[i] = typed_value(s, type, json_array_get(json, i));
    return (struct value){ .type = items[0].type, .is_list = true, .list = { items, n } };
}

static enum value_answer flat_get(struct case_source *s, const char *name, struct value *out)
{
    const json_t *text = json_object_get(s->fields, name);
    if (!json_is_string(text) || !strcmp(json_string_value(text), "<NA>"))
        return VALUE_MISSING;
    *out = bytes_value(s, text);
    return VALUE_GOT;
}

static enum value_answer named_get(struct case_source *s, const char *name, struct value *out)
{
    if (s->is_flat)
        return flat_get(s, name, out);
    const json_t *field = json_object_get(s->fields, name), *value = json_object_get(field, "value");
    const char *type = json_string_value(json_object_get(field, "type"));
    for (size_t i = 0; i < sizeof omitted / sizeof *omitted && !field; i++)
        if (!strcmp(name, omitted[i].name) && case_is_from(s, omitted[i].source)) {
            json_t *text = json_string(omitted[i].value);
            *out = typed_value(s, omitted[i].type, text);
            json_decref(text);
            return VALUE_GOT;
        }
    if (!value || json_is_null(value))
        return VALUE_MISSING;
    *out = json_is_array(value) ? list_value(s, type, value) : typed_value(s, type, value);
    /* that test's event has empty parameters: whoever wrote the cases down printed the numbers among them as 0 */
    bool is_empty = case_is_from(s, "filter_eval_test.cpp") && starts(name, "evt.rawarg.") && out->type != VALUE_TEXT;
    return is_empty ? VALUE_MISSING : VALUE_GOT;
}

static enum value_answer case_get(struct named_source *source, const char *name, const struct rule_field *field, struct value *out)
{
    struct case_source *s = (struct case_source *)source;
    enum value_answer answer = VALUE_MISSING;
    (void)field;
    for (size_t i = 0; i < sizeof stand_ins / sizeof *stand_ins && answer != VALUE_GOT; i++)
        if (!strcmp(stand_ins[i].ours, name))
            answer = named_get(s, stand_ins[i].theirs, out);
    return answer == VALUE_GOT ? answer : named_get(s, name, out);
}

/* ---- typing --------------------------------------------------------------------------------------------------------------- */

/* Parses the input, fields renamed. False with the reference's words for a syntax error. */
static bool input_parse(const struct conformance *c, struct arena *arena, struct cond **out, char *message, size_t size)
{
    struct cond_error error;
    size_t length;
    const char *input = conformance_text(c, "input", &length);
    if (!cond_parse(arena, input, length, COND_DEPTH_OTHER, out, &error)) {
        cond_rename(*out);
        return true;
    }
    snprintf(message, size, "filter error at index %u, line %u, column %u: %s", error.position.index, error.position.line,
             error.position.column, error.message);
    return false;
}

static void compare_warnings(struct conformance *c, const struct check_result *result)
{
    const json_t *warnings = conformance_get(c, "expect.warnings");
    if (json_array_size(warnings) != result->n_warnings)
        conformance_differ_say(c, "%u warnings instead of %zu", result->n_warnings, json_array_size(warnings));
    for (uint32_t i = 0; i < result->n_warnings && i < json_array_size(warnings); i++)
        conformance_compare(c, "warning", json_string_value(json_array_get(warnings, i)), result->warnings[i]);
}

void run_filter_compile(struct conformance *c)
{
    struct arena arena;
    struct cond *cond;
    struct check_result result = { 0 };
    bool ok = conformance_bool(c, "expect.ok", false);
    arena_init(&arena, 0);
    if (input_parse(c, &arena, &cond, result.message, sizeof result.message))
        cond_check(&arena, cond, &result);
    if (ok && result.message[0])
        conformance_differ(c, "result", "no error", result.message);
    else if (!ok)
        conformance_compare(c, "error", conformance_text(c, "expect.error", NULL), result.message[0] ? result.message : "no error");
    else
        compare_warnings(c, &result);
    arena_fini(&arena);
}

void run_filter_warning(struct conformance *c)
{
    struct arena arena;
    struct cond *cond;
    struct check_result result = { 0 };
    arena_init(&arena, 0);
    if (!input_parse(c, &arena, &cond, result.message, sizeof result.message)) {
        conformance_differ_say(c, "%s", result.message);
    } else {
        cond_check(&arena, cond, &result);
        bool warns = result.unsafe_na || result.n_deprecated;
        if (warns != conformance_bool(c, "expect.warns", false))
            conformance_differ_say(c, "warns: %d", warns);
    }
    arena_fini(&arena);
}

/* ---- evaluation ----------------------------------------------------------------------------------------------------------- */

static const char *evaluate(struct conformance *c, struct arena *arena, struct eval *eval, char *message, size_t size)
{
    struct case_source source = { .c = c, .fields = conformance_get(c, "fields") };
    struct cond *cond;
    struct cond_error error;
    struct predicate *predicate;
    if (!input_parse(c, arena, &cond, message, size))
        return "error";
    if (predicate_compile(arena, cond, &predicate, &error)) {
        snprintf(message, size, "%s", error.message);
        return "error";
    }
    named_source_init(&source.named, case_get, arena);
    eval_begin(eval, &source.named.source);
    switch (predicate_eval(predicate, eval)) {
    case VERDICT_FALSE:
        return "false";
    case VERDICT_TRUE:
        return "true";
    case VERDICT_WAIT:
        return "wait";
    }
    return NULL;
}

void run_filter_eval(struct conformance *c)
{
    struct arena arena;
    struct eval eval;
    char message[600] = "";
    const json_t *result = conformance_get(c, "expect.result");
    const char *expected = json_is_true(result) ? "true" : json_is_false(result) ? "false" : "error";
    arena_init(&arena, 0);
    if (eval_init(&eval))
        abort();
    const char *got = evaluate(c, &arena, &eval, message, sizeof message);
    if (strcmp(expected, got))
        conformance_differ(c, "result", expected, message[0] ? message : got);
    eval_fini(&eval);
    arena_fini(&arena);
}

void run_path_prefix(struct conformance *c)
{
    const json_t *paths = conformance_get(c, "options.paths");
    const char *prefixes[64];
    size_t n = json_array_size(paths), length;
    const char *path = conformance_text(c, "input", &length);
    for (size_t i = 0; i < n && i < 64; i++)
        prefixes[i] = json_string_value(json_array_get(paths, i));
    bool matches = path_matches(path, length, prefixes, n);
    if (matches != conformance_bool(c, "expect.result", false))
        conformance_differ_say(c, "matches: %d", matches);
}

/* ---- output --------------------------------------------------------------------------------------------------------------- */

struct tokens {
    json_t *all;
    struct eval *eval;
    bool keep_missing, transformers;
};

/* A token, and what it is made of: the reference tells these as well. */
static void token_put(struct tokens *t, const struct expression *e, const char *name)
{
    char text[1024];
    struct text_out out;
    struct value value;
    text_out_init(&out, text, sizeof text);
    for (uint32_t i = 0; i < e->n_items; i++)
        token_put(t, e->items[i], e->items[i]->shown);
    if (e->kind != EXPRESSION_FIELD && (e->kind != EXPRESSION_TRANSFORMER || !t->transformers))
        return;
    if (expression_get(e, t->eval, &value) == VALUE_GOT) {
        value_print(&out, &value, expression_ref(e));
        bool is_number = e->subject.type == VALUE_INT || e->subject.type == VALUE_UINT; /* the cases write them as texts */
        json_object_set_new(t->all, name, is_number ? json_integer(strtoll(text, NULL, 10)) : json_string(text));
    } else if (t->keep_missing) {
        json_object_set_new(t->all, name, json_null());
    }
}

/* The values of the tokens by name, as the reference's JSON output has them; null for missing ones in a format that keeps these. */
static json_t *tokens_json(const struct format *format, struct eval *eval, bool transformers)
{
    struct tokens t = { .all = json_object(), .eval = eval, .keep_missing = format->keep_missing, .transformers = transformers };
    for (uint32_t i = 0; i < format->n_parts; i++)
        if (!format->parts[i].literal)
            token_put(&t, format->parts[i].expression, format->parts[i].token);
    return t.all;
}

static void compare_json(struct conformance *c, const struct format *format, struct eval *eval)
{
    json_t *all = tokens_json(format, eval, conformance_bool(c, "options.resolve_transformers", true));
    char *text = json_object_size(all) ? json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS) : strdup("null");
    conformance_compare(c, "JSON", conformance_text(c, "expect.output", NULL), text);
    free(text);
    json_decref(all);
}

static void print(struct conformance *c, struct arena *arena, const struct format *format)
{
    struct case_source source = { .c = c, .fields = conformance_get(c, "expect.tokens"), .is_flat = true };
    struct eval eval;
    char text[4096];
    struct text_out out;
    if (eval_init(&eval))
        abort();
    text_out_init(&out, text, sizeof text);
    named_source_init(&source.named, case_get, arena);
    source.named.is_whole = true;
    eval_begin(&eval, &source.named.source);
    bool complete = format_print(format, &eval, &out);
    if (complete != conformance_bool(c, "expect.complete", false))
        conformance_differ_say(c, "complete: %d", complete);
    if (conformance_bool(c, "options.json", false))
        compare_json(c, format, &eval);
    else
        conformance_compare(c, "output", conformance_text(c, "expect.output", NULL), text);
    eval_fini(&eval);
}

void run_format(struct conformance *c)
{
    struct arena arena;
    struct format *format;
    struct cond_error error;
    size_t length;
    bool unknown, ok = conformance_bool(c, "expect.ok", false);
    const char *input = conformance_text(c, "input", &length);
    arena_init(&arena, 0);
    int r = format_compile(&arena, input, length, &format, &unknown, &error);
    const char *expected = ok ? NULL : conformance_text(c, "expect.error", NULL);
    if (!r && ok)
        print(c, &arena, format);
    else if (!r || ok || strncmp(expected, error.message, strlen(expected)))
        conformance_differ(c, "result", ok ? "no error" : expected, r ? error.message : "no error");
    arena_fini(&arena);
}
