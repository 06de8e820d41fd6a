/* Values of an item's keys, with the reference's words for what is wrong with them. */
#include <string.h>

#include "agent/detect/rules/rule_load.h"

int rule_decode_scalar(struct rule_load *load, const struct rule_node *map, const char *key, enum rule_need need,
                       const struct rule_node **out)
{
    const struct rule_node *value = rule_node_get(map, key);
    struct rule_spot spot = rule_spot_of(load, map);
    *out = NULL;
    if (!value && need == KEY_OPTIONAL)
        return 0;
    if (!value)
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Item has no mapping for key '%s'", key);
    spot = rule_spot_of(load, value);
    if (value->kind == NODE_NULL)
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Mapping for key '%s' is empty", key);
    if (value->kind != NODE_SCALAR)
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Value is not a scalar value");
    if (!value->length)
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Value must be non-empty");
    *out = value;
    return 0;
}

int rule_decode_text(struct rule_load *load, const struct rule_node *map, const char *key, enum rule_need need, const char **out)
{
    const struct rule_node *value;
    int e = rule_decode_scalar(load, map, key, need, &value);
    if (e || !value)
        return e;
    *out = arena_text(load->texts, value->text, value->length);
    return *out ? 0 : -ENOMEM;
}

static int undecodable(struct rule_load *load, const struct rule_node *value)
{
    struct rule_spot spot = rule_spot_of(load, value);
    return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Can't decode YAML scalar value");
}

int rule_decode_bool(struct rule_load *load, const struct rule_node *map, const char *key, enum rule_need need, bool *out)
{
    const struct rule_node *value;
    int e = rule_decode_scalar(load, map, key, need, &value);
    if (e || !value)
        return e;
    return rule_node_bool(value, out) ? 0 : undecodable(load, value);
}

int rule_decode_u32(struct rule_load *load, const struct rule_node *map, const char *key, enum rule_need need, uint32_t *out)
{
    const struct rule_node *value;
    int e = rule_decode_scalar(load, map, key, need, &value);
    if (e || !value)
        return e;
    return rule_node_u32(value, out) ? 0 : undecodable(load, value);
}

int rule_decode_texts(struct rule_load *load, const struct rule_node *map, const char *key, enum rule_need need, const char ***items,
                      uint32_t *n)
{
    const struct rule_node *value = rule_node_get(map, key);
    struct rule_spot spot = rule_spot_of(load, value ? value : map);
    if (!value && need == KEY_OPTIONAL)
        return 0;
    if (!value)
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Item has no mapping for key '%s'", key);
    if (value->kind != NODE_SEQUENCE)
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Value is not a sequence");
    if (value->n_items > LIMIT_RULE_ITEMS)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "'%s' holds more than %d items", key, LIMIT_RULE_ITEMS);
    const char **texts = arena_new(load->texts, value->n_items * sizeof *texts);
    for (uint32_t i = 0; texts && i < value->n_items; i++) {
        const struct rule_node *item = value->items[i];
        spot = rule_spot_of(load, item);
        if (item->kind != NODE_SCALAR)
            return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "sequence value is not scalar");
        texts[i] = arena_text(load->texts, item->text, item->length);
        if (!texts[i])
            return -ENOMEM;
    }
    *items = texts;
    *n = value->n_items;
    return texts ? 0 : -ENOMEM;
}

int rule_decode_part(struct rule_load *load, const struct rule_node *map, const char *key, const struct rule_part *before,
                     const struct rule_part **out)
{
    const struct rule_node *value;
    int e = rule_decode_scalar(load, map, key, KEY_REQUIRED, &value);
    if (e)
        return e;
    struct rule_part *part = arena_new(load->texts, sizeof *part);
    if (!part)
        return -ENOMEM;
    *part = (struct rule_part){
        .before = before,
        .file = load->file,
        .line = value->line,
        .column = value->column,
        .length = value->length,
    };
    part->text = arena_text(load->texts, value->text, value->length);
    *out = part;
    return part->text ? 0 : -ENOMEM;
}

const char *rule_parts_join(struct rule_load *load, const struct rule_part *parts)
{
    size_t length = 0;
    for (const struct rule_part *p = parts; p; p = p->before)
        length += p->length + 1;
    char *text = arena_new(&load->next.arena, length + 1);
    if (!text)
        return NULL;
    char *end = text + length;
    for (const struct rule_part *p = parts; p; p = p->before) {
        *--end = p == parts ? 0 : ' ';
        end -= p->length;
        memcpy(end, p->text, p->length);
    }
    return end;
}
