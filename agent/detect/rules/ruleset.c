/* The set of rules: one load after the other. A load works on a copy of what is collected and compiles it into memory of its own; only
 * when all of it has succeeded does it take the place of the set. */
#include "agent/detect/rules/ruleset.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/detect/rules/rule_load.h"

#define MESSAGES_BYTES (8u << 20) /* LIMIT_RULE_MESSAGES of up to 8 KiB each */

struct ruleset *ruleset_new(void)
{
    struct ruleset *set = calloc(1, sizeof *set);
    struct ruleset_private *private = calloc(1, sizeof *private);
    if (!set || !private) {
        free(set);
        free(private);
        return NULL;
    }
    set->private = private;
    arena_init(&set->arena, 0);
    arena_init(&private->messages, MESSAGES_BYTES);
    return set;
}

static void file_free(struct rule_file *file)
{
    arena_fini(&file->texts);
    free(file);
}

void ruleset_free(struct ruleset *set)
{
    if (!set)
        return;
    for (struct rule_file *f = set->private->files, *next; f; f = next) {
        next = f->next;
        file_free(f);
    }
    arena_fini(&set->private->messages);
    arena_fini(&set->arena);
    free(set->private);
    free(set);
}

/* ---- one load ---- */

static void messages_reset(struct ruleset *set)
{
    arena_fini(&set->private->messages);
    arena_init(&set->private->messages, MESSAGES_BYTES);
    set->private->max_warnings = 0;
    set->errors = set->warnings = NULL;
    set->n_errors = set->n_warnings = set->n_dropped = 0;
}

/* A copy of an array in the new arena, with its names entered. */
static int take_over(struct rule_load *load, void *array, uint32_t n, size_t size, struct rule_names *names, uint32_t *max)
{
    void **items = array;
    if (!n)
        return 0;
    char *copy = arena_new(&load->next.arena, n * size);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, *items, n * size);
    *items = copy;
    *max = n;
    for (uint32_t i = 0; i < n; i++) { /* lists, macros and rules have their name in front */
        int e = rule_names_add(names, &load->next.arena, *(const char *const *)(void *)(copy + i * size), i);
        if (e)
            return e;
    }
    return 0;
}

/* What the set has collected, to be added to. */
static int load_begin(struct rule_load *load)
{
    struct ruleset *next = &load->next;
    struct rule_index *before = load->set->private->index;
    *next = *load->set;
    arena_init(&next->arena, 0);
    load->index = arena_new(&next->arena, sizeof *load->index);
    if (!load->index)
        return -ENOMEM;
    load->index->next = before ? before->next : 0;
    int e = take_over(load, &next->lists, next->n_lists, sizeof *next->lists, &load->index->lists, &load->index->max_lists);
    if (!e)
        e = take_over(load, &next->macros, next->n_macros, sizeof *next->macros, &load->index->macros, &load->index->max_macros);
    if (!e)
        e = take_over(load, &next->rules, next->n_rules, sizeof *next->rules, &load->index->rules, &load->index->max_rules);
    return e;
}

static void warn_unused(struct rule_load *load)
{
    const struct ruleset *next = &load->next;
    load->item_type = "macro";
    for (uint32_t i = 0; i < next->n_macros; i++) {
        const struct rule_macro *macro = &next->macros[i];
        struct rule_spot spot = rule_spot_at(macro->file, macro->line, macro->column);
        load->item_name = macro->name;
        if (!macro->used)
            rule_load_warn(load, LOAD_UNUSED_MACRO, &spot, "Macro not referred to by any other rule/macro");
    }
    load->item_type = "list";
    for (uint32_t i = 0; i < next->n_lists; i++) {
        const struct rule_list *list = &next->lists[i];
        struct rule_spot spot = rule_spot_at(list->file, list->line, list->column);
        load->item_name = list->name;
        if (!list->used)
            rule_load_warn(load, LOAD_UNUSED_LIST, &spot, "List not referred to by any other rule/macro");
    }
}

static int load_run(struct rule_load *load, const char *name)
{
    load->item_type = load->item_name = "";
    load->item = rule_spot_at(name, 0, 0);
    if (load->size > LIMIT_RULES_FILE_BYTES)
        return rule_load_fail(load, LOAD_ERR_FILE_READ, &load->item, "The file is larger than %d bytes", LIMIT_RULES_FILE_BYTES);
    if (load->set->private->n_files == LIMIT_RULES_FILES)
        return rule_load_fail(load, LOAD_ERR_FILE_READ, &load->item, "More than %d files", LIMIT_RULES_FILES);
    load->file = arena_text(load->texts, name, strlen(name));
    if (!load->file)
        return -ENOMEM;
    int e = load_begin(load);
    if (!e)
        e = rule_items_read(load);
    if (!e)
        e = rule_lists_compile(load);
    if (!e)
        e = rule_macros_compile(load);
    if (!e)
        e = rule_rules_compile(load);
    if (!e)
        warn_unused(load);
    return e;
}

/* Without memory, or beyond what a set may take, the caller hears of it as of any other mistake. */
static int load_out_of_memory(struct rule_load *load)
{
    return rule_load_fail(load, LOAD_ERR_VALIDATE, &load->item,
                          "The rules need more memory than there is, or more than the %u MiB allowed; a long list takes it once for each "
                          "condition that names it, but only once in a macro",
                          LIMIT_RULES_BYTES >> 20);
}

/* The set becomes what the load made of it. */
static void load_commit(struct rule_load *load, struct rule_file *file)
{
    struct ruleset *set = load->set;
    struct arena before = set->arena;
    set->arena = load->next.arena;
    set->lists = load->next.lists;
    set->macros = load->next.macros;
    set->rules = load->next.rules;
    set->n_lists = load->next.n_lists;
    set->n_macros = load->next.n_macros;
    set->n_rules = load->next.n_rules;
    set->private->index = load->index;
    file->next = set->private->files;
    set->private->files = file;
    set->private->n_files++;
    arena_fini(&before);
}

/* Of all files of the set: they share one allowance. Some of it is always left, as none would mean the usual one. */
static size_t texts_bytes(const struct ruleset *set)
{
    size_t bytes = 0;
    for (const struct rule_file *f = set->private->files; f; f = f->next)
        bytes += f->texts.used_bytes;
    return bytes < LIMIT_RULES_BYTES ? bytes : LIMIT_RULES_BYTES - 1;
}

static void load_fini(struct rule_load *load)
{
    arena_fini(&load->yaml);
    free(load->line_starts);
    rule_text_fini(&load->source);
    rule_text_fini(&load->work[0]);
    rule_text_fini(&load->work[1]);
}

int ruleset_load(struct ruleset *set, const char *name, const char *data, size_t size)
{
    struct rule_file *file = calloc(1, sizeof *file);
    struct rule_load *load = calloc(1, sizeof *load);
    int e = -ENOMEM;
    messages_reset(set);
    if (file && load) {
        *load = (struct rule_load){ .set = set, .texts = &file->texts, .file = name, .data = data, .size = size };
        arena_init(&file->texts, LIMIT_RULES_BYTES - texts_bytes(set));
        arena_init(&load->yaml, 0);
        e = load_run(load, name);
        if (e == -ENOMEM)
            e = load_out_of_memory(load);
        if (!e)
            load_commit(load, file);
        else
            arena_fini(&load->next.arena);
        load_fini(load);
    }
    if (e && file)
        file_free(file);
    free(load);
    return e;
}

/* ---- looking at it ---- */

struct rule *ruleset_find(const struct ruleset *set, const char *name)
{
    const struct rule_index *index = set->private->index;
    uint32_t number = index ? rule_names_find(&index->rules, name, strlen(name)) : RULE_NAME_NONE;
    return number == RULE_NAME_NONE ? NULL : &set->rules[number];
}

const struct rule_macro *ruleset_find_macro(const struct ruleset *set, const char *name)
{
    const struct rule_index *index = set->private->index;
    uint32_t number = index ? rule_names_find(&index->macros, name, strlen(name)) : RULE_NAME_NONE;
    return number == RULE_NAME_NONE ? NULL : &set->macros[number];
}

bool rule_priority_find(const char *text, enum rule_priority *out)
{
    static const struct {
        const char *name;
        enum rule_priority priority;
    } names[] = {
        { "emergency", PRIORITY_EMERGENCY }, { "alert", PRIORITY_ALERT },   { "critical", PRIORITY_CRITICAL },
        { "error", PRIORITY_ERROR },         { "warning", PRIORITY_WARNING }, { "notice", PRIORITY_NOTICE },
        { "informational", PRIORITY_INFORMATIONAL }, { "info", PRIORITY_INFORMATIONAL }, { "debug", PRIORITY_DEBUG },
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(text, names[i].name))
            continue;
        *out = names[i].priority;
        return true;
    }
    return false;
}

const char *rule_priority_name(enum rule_priority priority)
{
    static const char *const names[] = { "Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug" };
    return names[priority];
}

enum severity rule_priority_severity(enum rule_priority priority)
{
    switch (priority) {
    case PRIORITY_EMERGENCY:
    case PRIORITY_ALERT:
    case PRIORITY_CRITICAL:
        return SEVERITY_CRITICAL;
    case PRIORITY_ERROR:
        return SEVERITY_HIGH;
    case PRIORITY_WARNING:
        return SEVERITY_MEDIUM;
    case PRIORITY_NOTICE:
        return SEVERITY_LOW;
    case PRIORITY_INFORMATIONAL:
    case PRIORITY_DEBUG:
        return SEVERITY_INFO;
    }
    return SEVERITY_INFO;
}
