/* Lists. An item that names another list is replaced one level deep; conditions get lists put in as text, before they are parsed. */
#include <string.h>

#include "agent/detect/rules/rule_load.h"

#define BLANKS " \t\n\r"
#define DELIMITERS BLANKS "(),="

/* ---- items ---- */

static int join_items(struct rule_load *load, struct rule_list *list)
{
    uint32_t n = 0;
    for (const struct rule_part *p = list->parts; p; p = p->before)
        n += p->n_items;
    list->items = arena_new(&load->next.arena, n * sizeof *list->items);
    if (!list->items)
        return -ENOMEM;
    list->n_items = n;
    for (const struct rule_part *p = list->parts; p; p = p->before) {
        n -= p->n_items;
        if (p->n_items)
            memcpy(list->items + n, p->items, p->n_items * sizeof *p->items);
    }
    return 0;
}

/* The list that an item of `list` stands for, or NULL: it must have been there when `list` was last changed. */
static struct rule_list *list_named(const struct rule_load *load, const struct rule_list *list, const char *item)
{
    uint32_t number = rule_names_find(&load->index->lists, item, strlen(item));
    struct rule_list *found = number == RULE_NAME_NONE ? NULL : &load->next.lists[number];
    return found && found->index < list->visibility ? found : NULL;
}

static int compile_list(struct rule_load *load, struct rule_list *list)
{
    uint64_t n = 0;
    uint32_t references = 0;
    for (uint32_t i = 0; i < list->n_items; i++) {
        const struct rule_list *other = list_named(load, list, list->items[i]);
        n += other ? other->n_items : 1;
        references += other != NULL;
    }
    if (n > LIMIT_RULE_ITEMS)
        return rule_load_fail(load, LOAD_ERR_VALIDATE, &load->item, "The list holds more than %d items with those of the lists it names",
                              LIMIT_RULE_ITEMS);
    list->compiled = references ? arena_new(&load->next.arena, n * sizeof *list->compiled) : list->items;
    if (!list->compiled)
        return -ENOMEM;
    list->n_compiled = (uint32_t)n;
    for (uint32_t i = 0, k = 0; references && i < list->n_items; i++) {
        struct rule_list *other = list_named(load, list, list->items[i]);
        if (!other) {
            list->compiled[k++] = list->items[i];
            continue;
        }
        other->used = true;
        memcpy(list->compiled + k, other->items, other->n_items * sizeof *other->items);
        k += other->n_items;
    }
    return 0;
}

/* Names that hold delimiters are not words of a text: they have to be looked for in every one. */
static int find_odd_names(struct rule_load *load)
{
    uint32_t n = load->n_odd_lists = 0;
    for (uint32_t i = 0; i < load->next.n_lists; i++)
        n += strpbrk(load->next.lists[i].name, DELIMITERS) != NULL;
    load->odd_lists = arena_new(&load->next.arena, n * sizeof *load->odd_lists);
    for (uint32_t i = 0; load->odd_lists && i < load->next.n_lists; i++)
        if (strpbrk(load->next.lists[i].name, DELIMITERS))
            load->odd_lists[load->n_odd_lists++] = i;
    return load->odd_lists ? 0 : -ENOMEM;
}

int rule_lists_compile(struct rule_load *load)
{
    load->item_type = "list";
    for (uint32_t i = 0; i < load->next.n_lists; i++) {
        load->next.lists[i].used = false;
        int e = join_items(load, &load->next.lists[i]);
        if (e)
            return e;
    }
    if (find_odd_names(load))
        return -ENOMEM;
    for (uint32_t i = 0; i < load->next.n_lists; i++) {
        struct rule_list *list = &load->next.lists[i];
        load->item_name = list->name;
        load->item = rule_spot_at(list->file, list->line, list->column);
        int e = compile_list(load, list);
        if (e)
            return e;
    }
    return 0;
}

/* ---- put in as text ---- */

static bool is_blank(char c)
{
    return c && strchr(BLANKS, c);
}

static bool is_delimiter(char c)
{
    return c && strchr(DELIMITERS, c);
}

/* Lists that are yet to be put in, by number: a list is looked for after those defined before it, once. */
struct wanted {
    uint64_t bits[(LIMIT_RULE_LISTS + 63) / 64];
};

static void want(struct wanted *wanted, uint32_t number)
{
    wanted->bits[number / 64] |= 1ull << (number % 64);
}

static uint32_t next_wanted(const struct wanted *wanted, uint32_t from, uint32_t n)
{
    while (from < n) {
        uint64_t left = wanted->bits[from / 64] >> (from % 64);
        if (left)
            return from + (uint32_t)__builtin_ctzll(left);
        from = (from / 64 + 1) * 64;
    }
    return n;
}

/* Every word of the text that is the name of a list. */
static void want_words(const struct rule_load *load, struct wanted *wanted, const char *text, size_t length)
{
    for (size_t start = 0, end; start < length; start = end + 1) {
        for (end = start; end < length && !is_delimiter(text[end]);)
            end++;
        uint32_t number = end > start ? rule_names_find(&load->index->lists, text + start, end - start) : RULE_NAME_NONE;
        if (number != RULE_NAME_NONE)
            want(wanted, number);
    }
}


static int add_items(struct rule_text *out, const struct rule_list *list, uint32_t origin)
{
    size_t start = out->length;
    int e = 0;
    for (uint32_t i = 0; !e && i < list->n_compiled; i++) {
        const char *item = list->compiled[i];
        bool quote = strchr(item, ' ') && item[0] != '"' && item[0] != '\'';
        if (out->length > start)
            e = rule_text_add(out, ", ", 2, origin);
        if (!e && quote)
            e = rule_text_add(out, "\"", 1, origin);
        if (!e)
            e = rule_text_add(out, item, strlen(item), origin);
        if (!e && quote)
            e = rule_text_add(out, "\"", 1, origin);
    }
    return e;
}

/* Puts the items where `out` ends, with one blank around them; *end is where the text goes on, *from where the name is looked for again.
 * An empty list takes a comma with it. */
static int put_list(const struct rule_list *list, const struct rule_text *in, struct rule_text *out, size_t *end, size_t *from)
{
    uint32_t origin = in->tracked ? in->origin[*end - 1] & ~ORIGIN_INSERTED : 0;
    bool empty = true;
    while (out->length && is_blank(out->bytes[out->length - 1]))
        out->length--;
    while (*end < in->length && is_blank(in->bytes[*end]))
        ++*end;
    for (uint32_t i = 0; empty && i < list->n_compiled; i++)
        empty = !list->compiled[i][0];
    if (empty && out->length && out->bytes[out->length - 1] == ',')
        out->length--;
    else if (empty && *end < in->length && in->bytes[*end] == ',')
        ++*end;
    *from = out->length ? *end : *end + 1; /* one byte late behind a list that begins the text, as the reference does it */
    int e = out->length ? rule_text_add(out, " ", 1, origin) : 0;
    if (!e)
        e = add_items(out, list, origin);
    return e ? e : rule_text_add(out, " ", 1, origin);
}

/* One list, wherever its name stands between delimiters. */
static int put_in(struct rule_list *list, const struct rule_text *in, struct rule_text *out)
{
    size_t length = strlen(list->name), copied = 0, from = 0;
    int e = 0;
    rule_text_begin(out, in->tracked);
    while (!e && from < in->length) {
        const char *found = memmem(in->bytes + from, in->length - from, list->name, length);
        if (!found)
            break;
        size_t start = (size_t)(found - in->bytes), end = start + length;
        from = start + 1;
        if ((start && !is_delimiter(in->bytes[start - 1])) || (end < in->length && !is_delimiter(in->bytes[end])))
            continue;
        e = rule_text_copy(out, in, copied, start);
        if (!e)
            e = put_list(list, in, out, &end, &from);
        copied = end;
        list->used = true;
    }
    return e ? e : rule_text_copy(out, in, copied, in->length);
}

int rule_lists_substitute(struct rule_load *load, bool track, struct rule_text **out)
{
    struct rule_text *in = &load->work[0], *to = &load->work[1], *swap;
    struct wanted wanted = { 0 };
    uint32_t n = load->next.n_lists;
    int e = rule_text_start(in, &load->source, track);
    want_words(load, &wanted, in->bytes, in->length);
    for (uint32_t i = 0; i < load->n_odd_lists; i++)
        want(&wanted, load->odd_lists[i]);
    for (uint32_t i = next_wanted(&wanted, 0, n); !e && i < n; i = next_wanted(&wanted, i + 1, n)) {
        struct rule_list *list = &load->next.lists[i];
        bool before = list->used;
        list->used = false;
        e = put_in(list, in, to);
        for (uint32_t k = 0; !e && list->used && k < list->n_compiled; k++)
            want_words(load, &wanted, list->compiled[k], strlen(list->compiled[k]));
        list->used |= before;
        swap = in;
        in = to;
        to = swap;
    }
    *out = in;
    return e;
}
