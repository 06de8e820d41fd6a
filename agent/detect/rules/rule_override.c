/* `append` and `override`: which keys of an item add to what is there, or replace it. */
#include <string.h>

#include "agent/detect/rules/rule_load.h"

#define DEPRECATED_APPEND "'append' key is deprecated. Add an 'append' entry (e.g. 'condition: append') under 'override' instead."

bool rule_name_among(const char *const *names, unsigned n, const char *name)
{
    for (unsigned i = 0; i < n; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

static int read_override_key(struct rule_load *load, const struct rule_node *key, const struct rule_node *value,
                             const struct rule_change_key *keys, struct rule_override *out)
{
    static const struct rule_change_key none = { "", false, false };
    const struct rule_change_key *k = keys;
    struct rule_spot spot = rule_spot_of(load, key), value_spot = rule_spot_of(load, value);
    const char *name = key->text ? key->text : "", *operation = value->kind == NODE_SCALAR ? value->text : "null";
    while (k->name && strcmp(k->name, name))
        k++;
    if (!k->name)
        k = &none;
    if (!strcmp(operation, "append")) {
        if (!k->append)
            return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Key '%s' cannot be appended to, use 'replace' instead", name);
        if (!rule_name_among(out->append, out->n_append, name))
            out->append[out->n_append++] = k->name;
        return 0;
    }
    if (!strcmp(operation, "replace")) {
        if (!k->replace)
            return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Key '%s' cannot be replaced", name);
        if (!rule_name_among(out->replace, out->n_replace, name))
            out->replace[out->n_replace++] = k->name;
        return 0;
    }
    return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &value_spot,
                          "Invalid override operation for key '%s': '%s'. Allowed values are: %s%s",
                          name, operation, k->append ? "append " : "", k->replace ? "replace " : "");
}

int rule_override_read(struct rule_load *load, const struct rule_node *item, const struct rule_change_key *keys, bool *append,
                       struct rule_override *out)
{
    struct rule_spot spot = rule_spot_of(load, item);
    *out = (struct rule_override){ 0 };
    *append = false;
    int e = rule_decode_bool(load, item, "append", KEY_OPTIONAL, append);
    if (e)
        return e;
    if (*append)
        rule_load_warn(load, LOAD_DEPRECATED_ITEM, &spot, DEPRECATED_APPEND);
    const struct rule_node *override = rule_node_get(item, "override");
    if (!override || override->kind == NODE_NULL)
        return 0;
    if (override->kind != NODE_MAP) {
        spot = rule_spot_of(load, override);
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Value of 'override' must be a mapping");
    }
    for (uint32_t i = 0; i + 1 < override->n_items; i += 2) {
        e = read_override_key(load, override->items[i], override->items[i + 1], keys, out);
        if (e)
            return e;
    }
    if (*append && (out->n_append || out->n_replace))
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot,
                              "Keys 'override' and 'append: true' cannot be used together. Add an 'append' entry (e.g. 'condition: "
                              "append') under 'override' instead.");
    return 0;
}
