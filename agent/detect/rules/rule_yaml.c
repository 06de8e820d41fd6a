/* libyaml's events made into a tree. An alias is one more pointer to its anchor's node; what the whole would be written out is counted and
 * bounded, so that nested aliases cannot make a small file large. */
#include "agent/detect/rules/rule_yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "common/array.h"
#include "common/limits.h"

/* A sequence or map whose end has not been seen; its items so far are on the stack of nodes, from `first`. */
struct open_node {
    struct rule_node *node;
    size_t first;
};

struct anchor {
    const char *name;
    struct rule_node *node;
};

struct reader {
    struct arena *arena;
    struct rule_yaml_error *error;
    yaml_parser_t yaml;
    struct open_node open[LIMIT_RULES_YAML_DEPTH];
    unsigned depth;
    struct rule_node **stack; /* items of all open nodes; below the first of them the documents */
    size_t n_stack, max_stack;
    struct anchor anchors[LIMIT_RULES_ANCHORS];
    unsigned n_anchors;
    uint32_t n_nodes;
};

__attribute__((format(printf, 3, 4))) static int refuse(struct reader *r, const yaml_mark_t *at, const char *format, ...)
{
    va_list args;
    r->error->line = (uint32_t)at->line + 1;
    r->error->column = (uint32_t)at->column + 1;
    va_start(args, format);
    vsnprintf(r->error->message, sizeof r->error->message, format, args);
    va_end(args);
    return -EINVAL;
}

static int push(struct reader *r, struct rule_node *node)
{
    int e = array_grow((void **)&r->stack, r->n_stack, &r->max_stack, sizeof *r->stack);
    if (!e)
        r->stack[r->n_stack++] = node;
    return e;
}

static struct rule_node *node_new(struct reader *r, enum node_kind kind, const yaml_mark_t *at)
{
    struct rule_node *node = arena_new(r->arena, sizeof *node);
    if (node)
        *node = (struct rule_node){ .kind = kind, .line = (uint32_t)at->line + 1, .column = (uint32_t)at->column + 1, .weight = 1 };
    return node;
}

/* ---- anchors ---- */

static int anchor_set(struct reader *r, const yaml_char_t *name, struct rule_node *node, const yaml_mark_t *at)
{
    if (!name)
        return 0;
    unsigned i = 0;
    while (i < r->n_anchors && strcmp(r->anchors[i].name, (const char *)name))
        i++;
    if (i == LIMIT_RULES_ANCHORS)
        return refuse(r, at, "more than %d anchors in one document", LIMIT_RULES_ANCHORS);
    if (i == r->n_anchors) {
        r->anchors[i].name = arena_text(r->arena, (const char *)name, strlen((const char *)name));
        if (!r->anchors[i].name)
            return -ENOMEM;
        r->n_anchors++;
    }
    r->anchors[i].node = node;
    return 0;
}

static bool is_open(const struct reader *r, const struct rule_node *node)
{
    for (unsigned i = 0; i < r->depth; i++)
        if (r->open[i].node == node)
            return true;
    return false;
}

static int on_alias(struct reader *r, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    for (unsigned i = 0; i < r->n_anchors; i++) {
        if (strcmp(r->anchors[i].name, name))
            continue;
        if (is_open(r, r->anchors[i].node))
            return refuse(r, &event->start_mark, "alias '%.64s' stands within its own anchor", name);
        return push(r, r->anchors[i].node);
    }
    return refuse(r, &event->start_mark, "alias '%.64s' has no anchor", name);
}

/* ---- nodes ---- */

/* Of plain scalars only: quoted they are texts. */
static bool is_null(const yaml_event_t *event)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE || event->data.scalar.tag)
        return false;
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++)
        if (!strcmp((const char *)event->data.scalar.value, nulls[i]))
            return true;
    return false;
}

static int on_scalar(struct reader *r, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    if (length > LIMIT_RULES_SCALAR_BYTES)
        return refuse(r, &event->start_mark, "a text is longer than %d bytes", LIMIT_RULES_SCALAR_BYTES);
    if (memchr(text, 0, length))
        return refuse(r, &event->start_mark, "a text holds a NUL byte");
    struct rule_node *node = node_new(r, is_null(event) ? NODE_NULL : NODE_SCALAR, &event->start_mark);
    if (!node)
        return -ENOMEM;
    node->text = arena_text(r->arena, text, length);
    node->length = (uint32_t)length;
    if (!node->text)
        return -ENOMEM;
    int e = anchor_set(r, event->data.scalar.anchor, node, &event->start_mark);
    return e ? e : push(r, node);
}

static int on_start(struct reader *r, const yaml_event_t *event, enum node_kind kind, const yaml_char_t *anchor)
{
    if (r->depth == LIMIT_RULES_YAML_DEPTH)
        return refuse(r, &event->start_mark, "nested deeper than %d", LIMIT_RULES_YAML_DEPTH);
    struct rule_node *node = node_new(r, kind, &event->start_mark);
    if (!node)
        return -ENOMEM;
    int e = anchor_set(r, anchor, node, &event->start_mark);
    if (!e)
        e = push(r, node);
    r->open[r->depth++] = (struct open_node){ node, r->n_stack };
    return e;
}

static int on_end(struct reader *r, const yaml_event_t *event)
{
    struct open_node *open = &r->open[--r->depth];
    struct rule_node *node = open->node;
    uint64_t weight = 1;
    node->n_items = (uint32_t)(r->n_stack - open->first);
    node->items = arena_new(r->arena, node->n_items * sizeof *node->items);
    if (!node->items)
        return -ENOMEM;
    for (uint32_t i = 0; i < node->n_items; i++) {
        node->items[i] = r->stack[open->first + i];
        weight += node->items[i]->weight;
    }
    r->n_stack = open->first;
    if (weight > LIMIT_RULES_YAML_NODES)
        return refuse(r, &event->end_mark, "more than %d values, aliases counted in full", LIMIT_RULES_YAML_NODES);
    node->weight = (uint32_t)weight;
    return 0;
}

static int on_event(struct reader *r, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return 0;
    case YAML_DOCUMENT_START_EVENT:
        r->n_anchors = 0;
        return 0;
    case YAML_ALIAS_EVENT:
        return on_alias(r, event);
    case YAML_SCALAR_EVENT:
        return on_scalar(r, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(r, event, NODE_SEQUENCE, event->data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT:
        return on_start(r, event, NODE_MAP, event->data.mapping_start.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_end(r, event);
    }
    return 0;
}

/* ---- the whole ---- */

/* What libyaml says, with a position also where it has only an offset (bytes that are no UTF-8). */
static int yaml_error(struct reader *r, const char *data, size_t size)
{
    yaml_mark_t at = r->yaml.problem_mark;
    if (r->yaml.error == YAML_MEMORY_ERROR)
        return -ENOMEM;
    if (r->yaml.error == YAML_READER_ERROR) {
        at = (yaml_mark_t){ 0 };
        for (size_t i = 0; i < size && i < r->yaml.problem_offset; i++) {
            at.column = data[i] == '\n' ? 0 : at.column + 1;
            at.line += data[i] == '\n';
        }
    }
    return refuse(r, &at, "%s%s%s", r->yaml.context ? r->yaml.context : "", r->yaml.context ? ": " : "",
                  r->yaml.problem ? r->yaml.problem : "not readable");
}

static int read_events(struct reader *r, const char *data, size_t size)
{
    bool end = false;
    while (!end) {
        yaml_event_t event;
        if (!yaml_parser_parse(&r->yaml, &event))
            return yaml_error(r, data, size);
        end = event.type == YAML_STREAM_END_EVENT;
        int e = ++r->n_nodes > 2 * LIMIT_RULES_YAML_NODES
                    ? refuse(r, &event.start_mark, "more than %d values", LIMIT_RULES_YAML_NODES) : on_event(r, &event);
        yaml_event_delete(&event);
        if (e)
            return e;
    }
    return 0;
}

int rule_yaml_parse(struct arena *arena, const char *data, size_t size, struct rule_yaml *out, struct rule_yaml_error *error)
{
    *out = (struct rule_yaml){ 0 };
    *error = (struct rule_yaml_error){ 0 };
    struct reader *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    r->arena = arena;
    r->error = error;
    if (!yaml_parser_initialize(&r->yaml)) {
        free(r);
        return -ENOMEM;
    }
    yaml_parser_set_encoding(&r->yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r->yaml, (const unsigned char *)data, size);
    int e = read_events(r, data, size);
    if (!e && r->n_stack) {
        out->documents = arena_new(arena, r->n_stack * sizeof *out->documents);
        if (out->documents) {
            memcpy(out->documents, r->stack, r->n_stack * sizeof *out->documents);
            out->n_documents = (uint32_t)r->n_stack;
        } else {
            e = -ENOMEM;
        }
    }
    yaml_parser_delete(&r->yaml);
    free(r->stack);
    free(r);
    return e;
}

/* ---- values ---- */

const struct rule_node *rule_node_get(const struct rule_node *map, const char *key)
{
    for (uint32_t i = 0; i + 1 < map->n_items; i += 2)
        if (map->items[i]->kind == NODE_SCALAR && !strcmp(map->items[i]->text, key))
            return map->items[i + 1];
    return NULL;
}

/* "yes", "Yes" or "YES", but not "yEs". */
static bool is_flexible_case(const char *text, size_t length)
{
    size_t upper = 0;
    for (size_t i = 0; i < length; i++)
        upper += text[i] >= 'A' && text[i] <= 'Z';
    return !upper || upper == length || (upper == 1 && text[0] >= 'A' && text[0] <= 'Z');
}

bool rule_node_bool(const struct rule_node *node, bool *out)
{
    static const struct {
        const char *yes, *no;
    } names[] = { { "true", "false" }, { "yes", "no" }, { "on", "off" }, { "y", "n" } };
    if (!is_flexible_case(node->text, node->length))
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        *out = !strcasecmp(node->text, names[i].yes);
        if (*out || !strcasecmp(node->text, names[i].no))
            return true;
    }
    return false;
}

bool rule_node_u32(const struct rule_node *node, uint32_t *out)
{
    char *end;
    if (node->text[0] < '0' || node->text[0] > '9')
        return false;
    errno = 0;
    unsigned long value = strtoul(node->text, &end, 0);
    *out = (uint32_t)value;
    return !errno && !*end && value <= UINT32_MAX;
}
