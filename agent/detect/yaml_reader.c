#include "agent/detect/yaml_reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int yaml_reader_init(struct yaml_reader *r, const char *name, const char *data, size_t size, struct text_out *error)
{
    *r = (struct yaml_reader){ .name = name, .data = data, .size = size, .error = error };
    if (!yaml_parser_initialize(&r->parser)) {
        text_out_printf(error, "%s: out of memory", name);
        return -ENOMEM;
    }
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)data, size);
    return 0;
}

void yaml_reader_fini(struct yaml_reader *r)
{
    yaml_event_delete(&r->event);
    yaml_parser_delete(&r->parser);
}

/* ---- refusing ----------------------------------------------------------------------------------------------------- */

static int refuse(struct yaml_reader *r, yaml_mark_t mark, const char *format, va_list args)
{
    char what[1024];
    vsnprintf(what, sizeof what, format, args);
    text_out_printf(r->error, "%s:%zu:%zu: %s", r->name, mark.line + 1, mark.column + 1, what);
    return -EINVAL;
}

int yaml_reader_refuse(struct yaml_reader *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int error = refuse(r, r->event.start_mark, format, args);
    va_end(args);
    return error;
}

int yaml_reader_refuse_at(struct yaml_reader *r, yaml_mark_t mark, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int error = refuse(r, mark, format, args);
    va_end(args);
    return error;
}

/* Reader errors (encoding, control characters) come with a byte offset only. */
static yaml_mark_t mark_of_offset(const struct yaml_reader *r, size_t offset)
{
    yaml_mark_t mark = { .index = offset };
    for (size_t i = 0; i < offset && i < r->size; i++) {
        mark.column++;
        if (r->data[i] == '\n') {
            mark.line++;
            mark.column = 0;
        }
    }
    return mark;
}

static int refuse_yaml(struct yaml_reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "out of memory";
    if (p->error == YAML_READER_ERROR)
        return yaml_reader_refuse_at(r, mark_of_offset(r, p->problem_offset), "%s; plain UTF-8 text is allowed", problem);
    return yaml_reader_refuse_at(r, p->problem_mark, "not valid YAML: %s%s%s", p->context ? p->context : "", p->context ? ": " : "", problem);
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

/* Anchors, aliases and tags could make a small file mean something large or something else than it shows. */
static int check_plain(struct yaml_reader *r)
{
    const yaml_event_t *e = &r->event;
    bool anchor = (e->type == YAML_SCALAR_EVENT && e->data.scalar.anchor) ||
                  (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.anchor) ||
                  (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.anchor);
    bool tag = (e->type == YAML_SCALAR_EVENT && e->data.scalar.tag) ||
               (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.tag) ||
               (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.tag);
    if (anchor || e->type == YAML_ALIAS_EVENT)
        return yaml_reader_refuse(r, "anchors and aliases are not supported; write the value itself");
    if (tag)
        return yaml_reader_refuse(r, "tags are not supported; write the plain value");
    return 0;
}

int yaml_reader_next(struct yaml_reader *r)
{
    yaml_event_delete(&r->event);
    return yaml_parser_parse(&r->parser, &r->event) ? check_plain(r) : refuse_yaml(r);
}

int yaml_reader_begin(struct yaml_reader *r)
{
    int error = yaml_reader_next(r); /* stream start */
    if (!error)
        error = yaml_reader_next(r);
    if (error || r->event.type == YAML_STREAM_END_EVENT)
        return error ? error : 1;
    error = yaml_reader_next(r);
    return error ? error : yaml_reader_is_null(r);
}

int yaml_reader_end(struct yaml_reader *r)
{
    int error = yaml_reader_next(r); /* document end */
    if (!error)
        error = yaml_reader_next(r);
    if (!error && r->event.type != YAML_STREAM_END_EVENT)
        error = yaml_reader_refuse(r, "a second YAML document; one is allowed");
    return error;
}

int yaml_reader_skip(struct yaml_reader *r)
{
    int depth = 0; /* libyaml itself refuses absurd nesting */
    for (;;) {
        yaml_event_type_t type = r->event.type;
        depth += type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT;
        depth -= type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT;
        if (!depth)
            return 0;
        int error = yaml_reader_next(r);
        if (error)
            return error;
    }
}

bool yaml_reader_is_null(const struct yaml_reader *r)
{
    const yaml_event_t *e = &r->event;
    if (e->type != YAML_SCALAR_EVENT || e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    const char *text = (const char *)e->data.scalar.value;
    return !*text || !strcmp(text, "~") || !strcmp(text, "null");
}

const char *yaml_reader_text(const struct yaml_reader *r)
{
    if (r->event.type != YAML_SCALAR_EVENT || yaml_reader_is_null(r))
        return NULL;
    const char *text = (const char *)r->event.data.scalar.value;
    for (size_t i = 0; i < r->event.data.scalar.length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return NULL;
    return text;
}

void yaml_reader_show(const struct yaml_reader *r, char out[128])
{
    struct text_out text;
    text_out_init(&text, out, 128);
    if (r->event.type == YAML_SCALAR_EVENT)
        text_escape(&text, r->event.data.scalar.value, r->event.data.scalar.length);
}
