/* What a rules file requires of the engine and of plugins. */
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/rule_load.h"

struct version {
    uint32_t major, minor, patch;
};

static bool version_parse(const char *text, struct version *out)
{
    uint32_t *const parts[] = { &out->major, &out->minor, &out->patch };
    for (int i = 0; i < 3; i++) {
        char *end;
        if (*text < '0' || *text > '9')
            return false;
        errno = 0;
        unsigned long value = strtoul(text, &end, 10);
        if (errno || value > UINT32_MAX || (i < 2 && *end != '.'))
            return false;
        *parts[i] = (uint32_t)value;
        text = end + (i < 2);
    }
    return !*text || strchr("-+.", *text);
}

int rule_engine_version_read(struct rule_load *load, const struct rule_node *item)
{
    struct version own, required = { 0 };
    const struct rule_node *value;
    const char *name;
    int e = rule_decode_scalar(load, item, "required_engine_version", KEY_REQUIRED, &value);
    if (e)
        return e;
    struct rule_spot spot = rule_spot_of(load, value);
    version_parse(RULES_ENGINE_VERSION, &own);
    if (rule_node_u32(value, &required.minor)) {
        name = arena_printf(&load->yaml, "0.%u.0", required.minor);
        if (!name)
            return -ENOMEM;
    } else {
        name = value->text;
        if (!version_parse(name, &required))
            return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot,
                                  "Unable to parse engine version '%s' as a semver string. Expected \"x.y.z\" semver format.", name);
    }
    if (required.major != own.major || required.minor > own.minor || (required.minor == own.minor && required.patch > own.patch))
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Rules require engine version %s, but engine version is %s", name,
                              RULES_ENGINE_VERSION);
    return 0;
}

/* One requirement of a plugin, or an alternative to it: has it a name and a version? */
static int read_plugin(struct rule_load *load, const struct rule_node *plugin, const char *what, const char **name)
{
    struct rule_spot spot = rule_spot_of(load, plugin);
    struct version version;
    const char *text;
    if (plugin->kind != NODE_MAP)
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "%s must be a mapping", what);
    int e = rule_decode_text(load, plugin, "name", KEY_REQUIRED, name);
    if (!e)
        e = rule_decode_text(load, plugin, "version", KEY_REQUIRED, &text);
    if (!e && !version_parse(text, &version))
        e = rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Invalid required version '%s' for plugin '%s'", text, *name);
    return e;
}

static int read_plugin_requirement(struct rule_load *load, const struct rule_node *plugin)
{
    struct rule_names names = { 0 };
    const char *name;
    int e = read_plugin(load, plugin, "Plugin version", &name);
    if (!e)
        e = rule_names_add(&names, &load->yaml, name, 0);
    if (e)
        return e;
    const struct rule_node *others = rule_node_get(plugin, "alternatives");
    struct rule_spot spot = rule_spot_of(load, plugin);
    if (others && others->kind != NODE_SEQUENCE)
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Value of plugin version alternatives must be a sequence");
    for (uint32_t i = 0; others && i < others->n_items; i++) {
        e = read_plugin(load, others->items[i], "Plugin version alternative", &name);
        if (!e && rule_names_find(&names, name, strlen(name)) != RULE_NAME_NONE)
            e = rule_load_fail(load, LOAD_ERR_VALIDATE, &spot, "Defined multiple alternative version requirements for plugin '%s'", name);
        if (!e)
            e = rule_names_add(&names, &load->yaml, name, i + 1);
        if (e)
            return e;
    }
    return 0;
}

/* What the rules need plugins for is built in here: only the form is looked at. */
int rule_plugin_versions_read(struct rule_load *load, const struct rule_node *item)
{
    const struct rule_node *plugins = rule_node_get(item, "required_plugin_versions");
    struct rule_spot spot = rule_spot_of(load, plugins);
    if (plugins->kind != NODE_SEQUENCE)
        return rule_load_fail(load, LOAD_ERR_YAML_VALIDATE, &spot, "Value of required_plugin_versions must be a sequence");
    for (uint32_t i = 0; i < plugins->n_items; i++) {
        int e = read_plugin_requirement(load, plugins->items[i]);
        if (e)
            return e;
    }
    return 0;
}
