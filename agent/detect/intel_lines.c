/* The formats of one entry a line. */
#include <string.h>

#include "agent/detect/intel_parts.h"

/* On a trusted list a name is only itself. */
static enum name_meaning meaning_of(const struct intel_reader *r)
{
    return r->source.trusted ? NAME_ONLY : NAME_AND_BELOW;
}

static void comment_read(struct intel_reader *r, struct span comment)
{
    static const char key[] = "category:";
    comment = span_trim(comment);
    if (comment.size < sizeof key - 1 || memcmp(comment.at, key, sizeof key - 1))
        return;
    reader_set_category(r, span_trim((struct span){ comment.at + sizeof key - 1, comment.size - (sizeof key - 1) }));
}

/* "ENTRY [, CATEGORY] [# comment]" */
void plain_read(struct intel_reader *r, struct span line)
{
    char own[INTEL_CATEGORY_MAX];
    struct span rest, category;
    const char *why = NULL;
    if (line.size && *line.at == '#')
        comment_read(r, (struct span){ line.at + 1, line.size - 1 });
    line = span_cut(line, '#', &rest);
    line = span_cut(line, ';', &rest);
    bool has_category = memchr(line.at, ',', line.size) != NULL;
    struct span entry = span_trim(span_cut(line, ',', &category));
    if (!entry.size && !has_category)
        return;
    category = span_trim(category);
    if (has_category && !intel_category_is_valid(category.at, category.size))
        why = "bad category";
    if (has_category && !why) {
        memcpy(own, category.at, category.size);
        own[category.size] = 0;
    }
    if (!why)
        why = entry_add(r, entry, meaning_of(r), has_category ? own : NULL);
    if (why)
        reader_refuse(r, r->line, why);
}

/* Names that each hosts file has for the host itself. */
static bool is_own_name(struct span name)
{
    static const char *const names[] = { "localhost.localdomain", "localhost4.localdomain4", "localhost6.localdomain6",
                                         "ip6-localhost.localdomain", "0.0.0.0" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (span_is(name, names[i]))
            return true;
    return !memchr(name.at, '.', name.size);
}

static struct span next_word(struct span *line)
{
    *line = span_trim(*line);
    size_t n = 0;
    while (n < line->size && line->at[n] != ' ' && line->at[n] != '\t')
        n++;
    struct span word = { line->at, n };
    line->at += n;
    line->size -= n;
    return word;
}

static bool is_nowhere(struct span address)
{
    return span_is(address, "0.0.0.0") || span_is(address, "127.0.0.1") || span_is(address, "::") || span_is(address, "::1");
}

/* "0.0.0.0 NAME... [# comment]": the names themselves, not what is below them */
void hosts_read(struct intel_reader *r, struct span line)
{
    struct span rest, name;
    if (line.size && *line.at == '#')
        comment_read(r, (struct span){ line.at + 1, line.size - 1 });
    line = span_trim(span_cut(line, '#', &rest));
    if (!line.size)
        return;
    if (!is_nowhere(next_word(&line))) {
        /* its own entries and those of the network it was made in */
        reader_refuse(r, r->line, "a hosts file lists names at 0.0.0.0, 127.0.0.1, :: or ::1 only");
        return;
    }
    while ((name = next_word(&line)).size) {
        const char *why = is_own_name(name) ? NULL : entry_add(r, name, NAME_ONLY, NULL);
        if (why)
            reader_refuse(r, r->line, why);
    }
}

/* "ADDRESS#RELIABILITY#RISK#ACTIVITY[;ACTIVITY]#COUNTRY#CITY#LATITUDE,LONGITUDE#N" */
void alienvault_read(struct intel_reader *r, struct span line)
{
    char own[INTEL_CATEGORY_MAX];
    struct span rest;
    if (!line.size || *line.at == '#')
        return;
    struct span entry = span_trim(span_cut(line, '#', &rest));
    span_cut(rest, '#', &rest);
    span_cut(rest, '#', &rest);
    struct span activity = span_trim(span_cut(rest, '#', &rest));
    const char *why = entry_add(r, entry, meaning_of(r), activity.size ? category_of_words(activity, own) : NULL);
    if (why)
        reader_refuse(r, r->line, why);
}
