/* The transformers of language.md 6.3. What they make stands in the scratch of the event. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/rules/expression.h"
#include "agent/detect/rules/format.h"
#include "agent/detect/rules/value_parse.h"

/* ---- types ---------------------------------------------------------------------------------------------------------------- */

static int unsupported(const struct expression *e, char *error, size_t size)
{
    snprintf(error, size, "can't add field transformer: type '%s' is not supported by '%s' transformer applied on field '%s'",
             value_type_name(e->items[0]->subject.type), e->transformer->name, e->items[0]->shown);
    return -EINVAL;
}

static int refuse(char *error, size_t size, const char *message)
{
    snprintf(error, size, "%s", message);
    return -EINVAL;
}

static bool is_one_text(const struct expression *e)
{
    return value_type_is_text(e->subject.type) && !e->subject.is_list;
}

static int one_argument(const struct expression *e, char *error, size_t size)
{
    if (e->n_items == 1)
        return 0;
    snprintf(error, size, "%s() requires exactly 1 argument", e->transformer->name);
    return -EINVAL;
}

/* Of a text or path, also of lists of them: the same. */
static int text_type(struct expression *e, char *error, size_t size)
{
    int err = one_argument(e, error, size);
    e->subject = e->items[0]->subject;
    return err || value_type_is_text(e->subject.type) ? err : unsupported(e, error, size);
}

static int b64_type(struct expression *e, char *error, size_t size)
{
    int err = one_argument(e, error, size);
    e->subject = e->items[0]->subject;
    bool good = (value_type_is_text(e->subject.type) || e->subject.type == VALUE_BYTES) && !e->subject.is_list;
    return err || good ? err : unsupported(e, error, size);
}

static int len_type(struct expression *e, char *error, size_t size)
{
    int err = one_argument(e, error, size);
    const struct subject *of = &e->items[0]->subject;
    e->subject = (struct subject){ .type = VALUE_UINT };
    return err || of->is_list || value_type_is_text(of->type) || of->type == VALUE_BYTES ? err : unsupported(e, error, size);
}

static int join_type(struct expression *e, char *error, size_t size)
{
    e->subject = (struct subject){ .type = VALUE_TEXT };
    if (e->n_items != 2)
        return refuse(error, size, "join() requires exactly 2 arguments: separator and list");
    if (e->items[0]->subject.is_list)
        return refuse(error, size, "join() first argument (separator) must be a single value, not a list");
    if (!e->items[1]->subject.is_list)
        return refuse(error, size, "join() second argument must be a list");
    return is_one_text(e->items[0]) ? 0 : refuse(error, size, "join() first argument (separator) must be a string");
}

static int concat_type(struct expression *e, char *error, size_t size)
{
    e->subject = (struct subject){ .type = VALUE_TEXT };
    for (uint32_t i = 0; i < e->n_items; i++)
        if (!is_one_text(e->items[i]))
            return refuse(error, size, "concat() arguments must be strings");
    return 0;
}

static int getopt_type(struct expression *e, char *error, size_t size)
{
    e->subject = (struct subject){ .type = VALUE_TEXT, .is_list = !e->has_option };
    if (e->n_items != 2)
        return refuse(error, size, "getopt() requires exactly 2 arguments: args list and optstring");
    if (!e->items[0]->subject.is_list)
        return refuse(error, size, "getopt() first argument must be a list");
    if (e->items[1]->subject.is_list)
        return refuse(error, size, "getopt() second argument (optstring) must be a single value");
    return value_type_is_text(e->items[0]->subject.type) && is_one_text(e->items[1])
               ? 0
               : refuse(error, size, "getopt() arguments must be strings");
}

/* ---- case, base name, length ---------------------------------------------------------------------------------------------- */

/* Each text of the argument becomes what `each` makes of it. */
static enum value_answer texts_map(const struct expression *e, struct eval *eval, struct value *out,
                                   enum value_answer (*each)(struct eval *eval, struct value *text))
{
    enum value_answer answer = expression_get(e->items[0], eval, out);
    if (answer != VALUE_GOT || !out->is_list)
        return answer == VALUE_GOT ? each(eval, out) : answer;
    struct value *items = eval_room(eval, (out->list.n ? out->list.n : 1) * sizeof *items);
    for (uint32_t i = 0; items && i < out->list.n; i++) {
        items[i] = out->list.items[i];
        if (each(eval, &items[i]) != VALUE_GOT)
            return VALUE_MISSING;
    }
    out->list.items = items;
    return items ? VALUE_GOT : VALUE_MISSING;
}

static enum value_answer text_fold(struct eval *eval, struct value *text, char from, char to)
{
    char *copy = eval_room(eval, text->text.length ? text->text.length : 1);
    if (!copy)
        return VALUE_MISSING;
    for (size_t i = 0; i < text->text.length; i++) {
        char c = text->text.data[i];
        copy[i] = c >= from && c <= from + 25 ? (char)(c - from + to) : c;
    }
    text->text.data = copy;
    return VALUE_GOT;
}

static enum value_answer text_lower(struct eval *eval, struct value *text)
{
    return text_fold(eval, text, 'A', 'a');
}

static enum value_answer text_upper(struct eval *eval, struct value *text)
{
    return text_fold(eval, text, 'a', 'A');
}

static enum value_answer text_base(struct eval *eval, struct value *text)
{
    (void)eval;
    const char *slash = text->text.length ? memrchr(text->text.data, '/', text->text.length) : NULL;
    if (slash) {
        text->text.length -= (size_t)(slash + 1 - text->text.data);
        text->text.data = slash + 1;
    }
    return VALUE_GOT;
}

static enum value_answer tolower_run(const struct expression *e, struct eval *eval, struct value *out)
{
    return texts_map(e, eval, out, text_lower);
}

static enum value_answer toupper_run(const struct expression *e, struct eval *eval, struct value *out)
{
    return texts_map(e, eval, out, text_upper);
}

static enum value_answer basename_run(const struct expression *e, struct eval *eval, struct value *out)
{
    return texts_map(e, eval, out, text_base);
}

static enum value_answer len_run(const struct expression *e, struct eval *eval, struct value *out)
{
    struct value of;
    enum value_answer answer = expression_get(e->items[0], eval, &of);
    *out = (struct value){ .type = VALUE_UINT, .u64 = answer != VALUE_GOT ? 0 : of.is_list ? of.list.n : of.text.length };
    return answer;
}

/* ---- base 64 -------------------------------------------------------------------------------------------------------------- */

static int digit_value(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* Returns the number of bytes, or -EINVAL. Padding may be absent, but not wrong. */
static int b64_decode(const char *text, size_t length, char *out)
{
    uint32_t bits = 0, n_bits = 0;
    int n = 0;
    size_t digits = length;
    while (digits && length - digits < 2 && text[digits - 1] == '=')
        digits--;
    if (digits % 4 == 1 || (digits < length && length % 4))
        return -EINVAL;
    for (size_t i = 0; i < digits; i++) {
        int value = digit_value(text[i]);
        if (value < 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)value;
        if ((n_bits += 6) >= 8) {
            n_bits -= 8;
            out[n++] = (char)(bits >> n_bits);
        }
    }
    return n;
}

static enum value_answer b64_run(const struct expression *e, struct eval *eval, struct value *out)
{
    enum value_answer answer = expression_get(e->items[0], eval, out);
    if (answer != VALUE_GOT)
        return answer;
    char *bytes = eval_room(eval, out->text.length ? out->text.length : 1);
    int n = bytes ? b64_decode(out->text.data, out->text.length, bytes) : -ENOMEM;
    if (n < 0)
        return VALUE_MISSING;
    out->text.data = bytes;
    out->text.length = (size_t)n;
    return VALUE_GOT;
}

/* ---- join, concat --------------------------------------------------------------------------------------------------------- */

/* A text that grows at the end of the scratch; whoever evaluates something in between would break it, so parts are evaluated first. */
static bool append(struct eval *eval, struct text_out *out, const struct value *value, const struct field_ref *ref)
{
    value_print(out, value, ref);
    eval->n_scratch_full += out->cut;
    return !out->cut;
}

static struct text_out rest_of(struct eval *eval)
{
    struct text_out out;
    text_out_init(&out, eval->scratch + eval->scratch_used, EVAL_SCRATCH_BYTES - eval->scratch_used);
    return out;
}

static enum value_answer grown(struct eval *eval, const struct text_out *text, struct value *out)
{
    const char *data = eval_room(eval, text->length + 1);
    *out = (struct value){ .type = VALUE_TEXT, .text = { data, text->length } };
    return data ? VALUE_GOT : VALUE_MISSING;
}

static enum value_answer join_run(const struct expression *e, struct eval *eval, struct value *out)
{
    struct value separator, list;
    enum value_answer first = expression_get(e->items[0], eval, &separator), second = expression_get(e->items[1], eval, &list);
    if (first != VALUE_GOT || second != VALUE_GOT)
        return first == VALUE_MISSING || second == VALUE_MISSING ? VALUE_MISSING : VALUE_WAIT;
    struct text_out text = rest_of(eval);
    for (uint32_t i = 0; i < list.list.n; i++)
        if ((i && !append(eval, &text, &separator, NULL)) || !append(eval, &text, &list.list.items[i], NULL))
            return VALUE_MISSING;
    return grown(eval, &text, out);
}

static enum value_answer concat_run(const struct expression *e, struct eval *eval, struct value *out)
{
    struct value *parts = eval_room(eval, e->n_items * sizeof *parts);
    enum value_answer all = parts ? VALUE_GOT : VALUE_MISSING;
    for (uint32_t i = 0; i < e->n_items && all != VALUE_MISSING; i++) {
        enum value_answer answer = expression_get(e->items[i], eval, &parts[i]);
        if (answer != VALUE_GOT)
            all = answer;
    }
    if (all != VALUE_GOT)
        return all;
    struct text_out text = rest_of(eval);
    for (uint32_t i = 0; i < e->n_items; i++)
        if (!append(eval, &text, &parts[i], NULL))
            return VALUE_MISSING;
    return grown(eval, &text, out);
}

/* ---- getopt --------------------------------------------------------------------------------------------------------------- */

/* Options and their values, in their order; or with [c] the last value of option c. */
struct options {
    const struct expression *e;
    const char *known; /* letters, a ':' behind those that take a value */
    size_t known_length;
    struct value *items; /* two for each letter at most */
    uint32_t n_items, n_max;
    struct value selected;
    bool has_selected;
};

static struct value text_value(const char *data, size_t length)
{
    return (struct value){ .type = VALUE_TEXT, .text = { data, length } };
}

static void options_put(struct options *o, struct value item)
{
    if (o->n_items < o->n_max)
        o->items[o->n_items++] = item;
}

/* `value` NULL: the option has none. */
static void options_emit(struct options *o, const char *letter, const struct value *value)
{
    if (o->e->has_option) {
        if ((unsigned char)*letter != o->e->option)
            return;
        o->selected = value ? *value : text_value(letter, 1);
        o->has_selected = true;
        return;
    }
    options_put(o, text_value(letter, 1));
    if (value)
        options_put(o, *value);
}

/* An option without the value that it should have: an empty text stands for both. */
static void options_emit_lacking(struct options *o, const char *letter)
{
    if (!o->e->has_option)
        options_put(o, text_value("", 0));
    else if ((unsigned char)*letter == o->e->option)
        options_emit(o, letter, &(struct value){ .type = VALUE_TEXT, .text = { "", 0 } });
}

/* The letters of "-abc"; true if the next argument was used up as a value. */
static bool options_take(struct options *o, const struct value *argument, const struct value *next)
{
    const char *p = argument->text.data, *end = p + argument->text.length;
    for (p++; p < end; p++) {
        const char *known = *p == ':' ? NULL : memchr(o->known, *p, o->known_length);
        if (!known) {
            if (!o->e->has_option)
                options_put(o, text_value("?", 1));
            continue;
        }
        if (known + 1 == o->known + o->known_length || known[1] != ':') {
            options_emit(o, p, NULL);
            continue;
        }
        struct value rest = text_value(p + 1, (size_t)(end - p - 1));
        if (p + 1 < end)
            options_emit(o, p, &rest);
        else if (next)
            options_emit(o, p, next);
        else
            options_emit_lacking(o, p);
        return p + 1 == end && next;
    }
    return false;
}

/* Stops at "--" and at the first argument that is no option; long options are stepped over. */
static void options_walk(struct options *o, const struct value *arguments)
{
    for (uint32_t i = 0; i < arguments->list.n; i++) {
        const struct value *argument = &arguments->list.items[i];
        const char *text = argument->text.data;
        size_t length = argument->text.length;
        if (length < 2 || text[0] != '-' || (length == 2 && text[1] == '-'))
            return;
        if (text[1] == '-')
            continue;
        if (options_take(o, argument, i + 1 < arguments->list.n ? &arguments->list.items[i + 1] : NULL))
            i++;
    }
}

static enum value_answer getopt_run(const struct expression *e, struct eval *eval, struct value *out)
{
    struct value arguments, known;
    enum value_answer first = expression_get(e->items[0], eval, &arguments), second = expression_get(e->items[1], eval, &known);
    if (first != VALUE_GOT || second != VALUE_GOT)
        return first == VALUE_MISSING || second == VALUE_MISSING ? VALUE_MISSING : VALUE_WAIT;
    struct options o = { .e = e, .known = known.text.data, .known_length = known.text.length };
    if (o.known_length && o.known[0] == ':') {
        o.known++;
        o.known_length--;
    }
    for (uint32_t i = 0; i < arguments.list.n && !e->has_option; i++)
        o.n_max += (uint32_t)arguments.list.items[i].text.length + 1;
    if (!(o.items = eval_room(eval, (o.n_max ? o.n_max : 1) * sizeof *o.items)))
        return VALUE_MISSING;
    options_walk(&o, &arguments);
    if (e->has_option) {
        *out = o.selected;
        return o.has_selected ? VALUE_GOT : VALUE_MISSING;
    }
    *out = (struct value){ .type = VALUE_TEXT, .is_list = true, .list = { o.items, o.n_items } };
    return VALUE_GOT;
}

static const struct transformer transformers[] = {
    { "tolower", 1, text_type, tolower_run }, { "toupper", 1, text_type, toupper_run }, { "b64", 1, b64_type, b64_run },
    { "basename", 1, text_type, basename_run }, { "len", 1, len_type, len_run },        { "join", 2, join_type, join_run },
    { "concat", 2, concat_type, concat_run },  { "getopt", 2, getopt_type, getopt_run },
};

const struct transformer *transformer_find(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof transformers / sizeof transformers[0]; i++)
        if (strlen(transformers[i].name) == length && !memcmp(transformers[i].name, name, length))
            return &transformers[i];
    return NULL;
}
