#include "tests/conformance/values.h"

#include <stdio.h>
#include <string.h>

#define PLACES_MAX 64

static enum value_answer places_get(struct named_source *s, const struct rule_field *field, struct value *out)
{
    struct value *items = arena_new(s->arena, PLACES_MAX * sizeof *items);
    uint32_t n = 0;
    char place[64];
    for (int i = 1; field->scope == FIELD_SCOPE_ANY_ANCESTOR && i < PLACES_MAX; i++) {
        snprintf(place, sizeof place, "%s[%d]", field->name, i);
        n += s->get(s, place, field, &items[n]) == VALUE_GOT;
    }
    for (int i = 0; field->scope == FIELD_SCOPE_EITHER_END && i < 2; i++) {
        snprintf(place, sizeof place, "fd.%c%s", "cs"[i], strcmp(field->name, "fd.net") ? strchr(field->name, '.') + 1 : "ip");
        n += s->get(s, place, field, &items[n]) == VALUE_GOT;
    }
    *out = (struct value){ .type = n ? items[0].type : field->type, .is_list = true, .list = { items, n } };
    return n ? VALUE_GOT : VALUE_MISSING;
}

static enum value_answer source_get(struct value_source *source, const struct field_ref *ref, struct value *out)
{
    struct named_source *s = (struct named_source *)source;
    const struct rule_field *field = ref->field;
    char name[256];
    if (field->scope != FIELD_SCOPE_ONE && !ref->argument && !s->is_whole)
        return places_get(s, field, out);
    if (!ref->argument)
        return s->get(s, field->name, field, out);
    bool dotted = field->dotted && ref->index < 0;
    snprintf(name, sizeof name, "%s%s%.*s%s", field->name, dotted ? "." : "[", (int)ref->argument_length, ref->argument, dotted ? "" : "]");
    return s->get(s, name, field, out);
}

void named_source_init(struct named_source *source,
                       enum value_answer (*get)(struct named_source *source, const char *name, const struct rule_field *field,
                                                struct value *out),
                       struct arena *arena)
{
    source->source.get = source_get;
    source->get = get;
    source->arena = arena;
}
