/* Items of a rules file, one after the other: lists, macros and rules are collected, added to or replaced. Order matters. */
#include <string.h>

#include "agent/detect/rules/rule_load.h"

/* ---- names ---- */

static int read_name(struct rule_load *load, const struct rule_node *item, const char *key, const char **name)
{
    struct rule_spot spot = rule_spot_of(load, item);
    int e = rule_decode_text(load, item, key, KEY_REQUIRED, name);
    if (e)
        return e;
    load->item_name = *name;
    if (strlen(*name) > LIMIT_RULE_NAME_BYTES)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "The name is longer than %d bytes", LIMIT_RULE_NAME_BYTES);
    return 0;
}

static bool is_list_name(const char *name)
{
    return !strpbrk(name, "()\"' \t\n\v\f\r=,");
}

static bool is_macro_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t n = strspn(name, letters);
    return n && !name[n + strspn(name + n, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")];
}

/* Room for one more in an array of the load's arena. */
int rule_array_grow(struct rule_load *load, void *array, uint32_t n, uint32_t *max, size_t size)
{
    void **items = array;
    if (n < *max)
        return 0;
    uint32_t more = *max ? 2 * *max : 64;
    void *bigger = arena_new(&load->next.arena, more * size);
    if (!bigger)
        return -ENOMEM;
    if (n)
        memcpy(bigger, *items, n * size);
    *items = bigger;
    *max = more;
    return 0;
}

/* ---- lists ---- */

static int list_new(struct rule_load *load, const char *name, struct rule_list **out)
{
    struct ruleset *next = &load->next;
    if (next->n_lists == LIMIT_RULE_LISTS)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &load->item, "More than %d lists", LIMIT_RULE_LISTS);
    int e = rule_array_grow(load, &next->lists, next->n_lists, &load->index->max_lists, sizeof *next->lists);
    if (!e)
        e = rule_names_add(&load->index->lists, &next->arena, name, next->n_lists);
    if (e)
        return e;
    *out = &next->lists[next->n_lists++];
    **out = (struct rule_list){ .name = name, .index = load->index->next };
    return 0;
}

static uint32_t items_of(const struct rule_part *parts)
{
    uint32_t n = 0;
    for (; parts; parts = parts->before)
        n += parts->n_items;
    return n;
}

static int read_items(struct rule_load *load, const struct rule_node *item, struct rule_part **out)
{
    struct rule_part *part = *out = arena_new(load->texts, sizeof *part);
    if (!part)
        return -ENOMEM;
    *part = (struct rule_part){ .file = load->file, .line = item->line, .column = item->column };
    return rule_decode_texts(load, item, "items", KEY_REQUIRED, &part->items, &part->n_items);
}

static int define_list(struct rule_load *load, const struct rule_node *item, const char *name, struct rule_part *part, bool append)
{
    struct rule_spot spot = rule_spot_of(load, item);
    uint32_t number = rule_names_find(&load->index->lists, name, strlen(name));
    struct rule_list *list = number == RULE_NAME_NONE ? NULL : &load->next.lists[number];
    if (append && !list)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot,
                              "List uses 'append' or 'override.items: append' but no list by that name already exists");
    if (append)
        part->before = list->parts;
    if (items_of(part) > LIMIT_RULE_ITEMS)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "The list holds more than %d items", LIMIT_RULE_ITEMS);
    int e = list ? 0 : list_new(load, name, &list);
    if (e)
        return e;
    if (!append) {
        list->file = load->file;
        list->line = item->line;
        list->column = item->column;
    }
    list->parts = part;
    list->visibility = load->index->next++;
    return 0;
}

static int read_list(struct rule_load *load, const struct rule_node *item)
{
    static const struct rule_change_key keys[] = { { "items", true, true }, { 0 } };
    struct rule_spot spot = rule_spot_of(load, item);
    struct rule_override override;
    struct rule_part *part;
    const char *name = load->item_name;
    bool append;
    if (!is_list_name(name))
        rule_load_warn(load, LOAD_INVALID_LIST_NAME, &spot,
                       "List has an invalid name. List names should match a regular expression: ([^()\"'[:space:]=,]+)");
    int e = read_items(load, item, &part);
    if (!e)
        e = rule_override_read(load, item, keys, &append, &override);
    return e ? e : define_list(load, item, name, part, append || override.n_append);
}

/* ---- macros ---- */

static int macro_new(struct rule_load *load, const char *name, struct rule_macro **out)
{
    struct ruleset *next = &load->next;
    if (next->n_macros == LIMIT_RULE_MACROS)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &load->item, "More than %d macros", LIMIT_RULE_MACROS);
    int e = rule_array_grow(load, &next->macros, next->n_macros, &load->index->max_macros, sizeof *next->macros);
    if (!e)
        e = rule_names_add(&load->index->macros, &next->arena, name, next->n_macros);
    if (e)
        return e;
    *out = &next->macros[next->n_macros++];
    **out = (struct rule_macro){ .name = name, .index = load->index->next };
    return 0;
}

static int define_macro(struct rule_load *load, const struct rule_node *item, const char *name, bool append)
{
    struct rule_spot spot = rule_spot_of(load, item);
    uint32_t number = rule_names_find(&load->index->macros, name, strlen(name));
    struct rule_macro *macro = number == RULE_NAME_NONE ? NULL : &load->next.macros[number];
    if (append && !macro)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot,
                              "Macro uses 'append' or 'override.condition: append' but no macro by that name already exists");
    int e = macro ? 0 : macro_new(load, name, &macro);
    if (!e)
        e = rule_decode_part(load, item, "condition", append ? macro->condition_parts : NULL, &macro->condition_parts);
    if (e)
        return e;
    if (!append) {
        macro->file = load->file;
        macro->line = item->line;
        macro->column = item->column;
    }
    macro->visibility = load->index->next++;
    return 0;
}

static int read_macro(struct rule_load *load, const struct rule_node *item)
{
    static const struct rule_change_key keys[] = { { "condition", true, true }, { 0 } };
    struct rule_spot spot = rule_spot_of(load, item);
    const struct rule_node *condition;
    struct rule_override override;
    const char *name = load->item_name;
    bool append;
    if (!is_macro_name(name))
        rule_load_warn(load, LOAD_INVALID_MACRO_NAME, &spot,
                       "Macro has an invalid name. Macro names should match a regular expression: ([a-zA-Z]+[a-zA-Z0-9_]*)");
    int e = rule_decode_scalar(load, item, "condition", KEY_REQUIRED, &condition);
    if (!e)
        e = rule_override_read(load, item, keys, &append, &override);
    return e ? e : define_macro(load, item, name, append || override.n_append);
}

/* ---- kinds ---- */

#define KEYS(...) (const char *const[]){ __VA_ARGS__, NULL }

/* The kind of an item is that of the first of these keys it has. */
static const struct {
    const char *key, *item_type;
    bool named;
    int (*read)(struct rule_load *load, const struct rule_node *item);
    const char *const *keys; /* all that it may have */
} kinds[] = {
    { "required_engine_version", "required_engine_version", false, rule_engine_version_read, KEYS("required_engine_version") },
    { "required_plugin_versions", "required plugin versions", false, rule_plugin_versions_read, KEYS("required_plugin_versions") },
    { "list", "list", true, read_list, KEYS("list", "items", "append", "override") },
    { "macro", "macro", true, read_macro, KEYS("macro", "condition", "append", "override") },
    { "rule", "rule", true, rule_rule_read,
      KEYS("rule", "condition", "output", "desc", "priority", "source", "enabled", "tags", "exceptions", "warn_evttypes",
           "skip-if-unknown-filter", "capture", "capture_duration", "append", "override", "finding_type", "advice") },
};

static void warn_unknown_keys(struct rule_load *load, const struct rule_node *item, const char *const *keys)
{
    unsigned n = 0;
    while (keys[n])
        n++;
    for (uint32_t i = 0; i + 1 < item->n_items; i += 2) {
        const struct rule_node *key = item->items[i];
        struct rule_spot spot = rule_spot_of(load, key);
        if (key->kind == NODE_SCALAR && !rule_name_among(keys, n, key->text))
            rule_load_warn(load, LOAD_UNKNOWN_KEY, &spot, "Unknown key '%s'. The key will be ignored.", key->text);
    }
}

static int read_item(struct rule_load *load, const struct rule_node *item)
{
    struct rule_spot spot = load->item = rule_spot_of(load, item);
    load->item_type = "rules content item";
    load->item_name = "";
    if (item->kind != NODE_MAP)
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot,
                              "Unexpected element type. Each element should be a yaml associative array.");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const char *name;
        if (!rule_node_get(item, kinds[i].key))
            continue;
        load->item_type = kinds[i].item_type;
        int e = kinds[i].named ? read_name(load, item, kinds[i].key, &name) : 0;
        if (e)
            return e;
        e = kinds[i].read(load, item);
        if (!e)
            warn_unknown_keys(load, item, kinds[i].keys);
        return e;
    }
    rule_load_warn(load, LOAD_UNKNOWN_ITEM, &spot, "Unknown top level item");
    return 0;
}

static int read_document(struct rule_load *load, const struct rule_node *document)
{
    struct rule_spot spot = rule_spot_of(load, document);
    load->item_type = load->item_name = "";
    if (document->kind == NODE_NULL)
        return 0;
    if (document->kind == NODE_SCALAR)
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Rules content is not yaml");
    if (document->kind == NODE_MAP)
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Rules content is not yaml array of objects");
    for (uint32_t i = 0; i < document->n_items; i++) {
        int e = document->items[i]->kind == NODE_NULL ? 0 : read_item(load, document->items[i]);
        if (e)
            return e;
    }
    return 0;
}

int rule_items_read(struct rule_load *load)
{
    struct rule_yaml_error error;
    struct rule_yaml yaml;
    load->item_type = load->item_name = "";
    int e = rule_yaml_parse(&load->yaml, load->data, load->size, &yaml, &error);
    if (e == -EINVAL) {
        struct rule_spot spot = { .file = load->file, .line = error.line, .column = error.column };
        return rule_load_fail(load, LOAD_ERR_YAML_PARSE, &spot, "%s", error.message);
    }
    for (uint32_t i = 0; !e && i < yaml.n_documents; i++)
        e = read_document(load, yaml.documents[i]);
    return e;
}
