#include "agent/detect/intel_sources.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/yaml_reader.h"
#include "common/clock.h"

#define INTERVAL_NS (6 * 3600 * NS_PER_SECOND)
#define INTERVAL_MIN_NS (60 * NS_PER_SECOND)
#define INTERVAL_MAX_NS (30 * 86400 * NS_PER_SECOND)

static bool parse_units(const char *text, const char *const *units, const uint64_t *factors, int n, uint64_t *value)
{
    size_t digits = strspn(text, "0123456789");
    if (text_to_u64(text, digits, value))
        return false;
    for (int i = 0; i < n; i++)
        if (!strcmp(text + digits, units[i]))
            return !__builtin_mul_overflow(*value, factors[i], value);
    return false;
}

/* ---- one key of a source ------------------------------------------------------------------------------------------ */

static bool copy(char *field, size_t size, const char *text)
{
    return text && *text && text_copy(field, size, text, strlen(text));
}

static bool take_name(struct intel_fetched_source *s, const char *text)
{
    return copy(s->name, sizeof s->name, text) && !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")];
}

static bool take_url(struct intel_fetched_source *s, const char *text)
{
    return copy(s->url, sizeof s->url, text) && text_has_prefix(text, "https://") && text[8] && !strchr("/:?#", text[8]) &&
           !strpbrk(text, " \"<>\\^`{|}#");
}

static bool take_category(struct intel_fetched_source *s, const char *text)
{
    return copy(s->category, sizeof s->category, text) && intel_category_is_valid(text, strlen(text));
}

static bool take_format(struct intel_fetched_source *s, const char *text)
{
    s->format = text ? intel_format_find(text, strlen(text)) : INTEL_FORMATS;
    return s->format != INTEL_FORMATS;
}

static bool take_trusted(struct intel_fetched_source *s, const char *text)
{
    s->trusted = text && !strcmp(text, "true");
    return text && (s->trusted || !strcmp(text, "false"));
}

static bool take_interval(struct intel_fetched_source *s, const char *text)
{
    static const char *const units[] = { "s", "m", "h", "d" };
    static const uint64_t factors[] = { NS_PER_SECOND, 60 * NS_PER_SECOND, 3600 * NS_PER_SECOND, 86400 * NS_PER_SECOND };
    return text && parse_units(text, units, factors, 4, &s->interval_ns) && s->interval_ns >= INTERVAL_MIN_NS &&
        s->interval_ns <= INTERVAL_MAX_NS;
}

static bool take_max_size(struct intel_fetched_source *s, const char *text)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB" };
    static const uint64_t factors[] = { 1, 1ull << 10, 1ull << 20, 1ull << 30 };
    return text && parse_units(text, units, factors, 4, &s->max_bytes) && s->max_bytes && s->max_bytes <= LIMIT_INTEL_FILE_BYTES;
}

static bool take_public_key(struct intel_fetched_source *s, const char *text)
{
    return copy(s->public_key, sizeof s->public_key, text) && text[0] == '/';
}

static bool take_ca_file(struct intel_fetched_source *s, const char *text)
{
    return copy(s->ca_file, sizeof s->ca_file, text) && text[0] == '/';
}

static bool take_header(struct intel_fetched_source *s, const char *text)
{
    size_t n = text ? strspn(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") : 0;
    return copy(s->header, sizeof s->header, text) && n && text[n] == ':' && text[n + 1] == ' ' && text[n + 2] &&
        (text[n + 2] != '@' || text[n + 3] == '/');
}

static const struct {
    const char *key;
    bool (*take)(struct intel_fetched_source *s, const char *text);
    const char *allowed;
} keys[] = {
    { "name", take_name, "letters, digits, - and _, at most 63" },
    { "url", take_url, "an https:// URL" },
    { "category", take_category, "a category: a-z, 0-9, - and _, at most 31" },
    { "format", take_format, "auto, plain, csv, hosts, alienvault or stix" },
    { "trusted", take_trusted, "true or false" },
    { "interval", take_interval, "a duration from 60s to 30d (units s, m, h, d)" },
    { "max_size", take_max_size, "a size from 1B to 1GiB (units B, KiB, MiB, GiB)" },
    { "public_key", take_public_key, "the absolute path of a PEM file" },
    { "ca_file", take_ca_file, "the absolute path of a PEM file" },
    { "header", take_header, "\"Name: value\" or \"Name: @/path\"" },
};
#define N_KEYS ((int)(sizeof keys / sizeof keys[0]))

/* ---- the list ----------------------------------------------------------------------------------------------------- */

static int parse_key(struct yaml_reader *r, struct intel_fetched_source *source, unsigned *seen)
{
    char shown[128];
    const char *key = yaml_reader_text(r);
    int i = 0;
    while (i < N_KEYS && (!key || strcmp(key, keys[i].key)))
        i++;
    yaml_reader_show(r, shown);
    if (i == N_KEYS)
        return yaml_reader_refuse(r, "unknown key \"%s\"; a source has name, url, category, format, trusted, interval, max_size, public_key, ca_file, header", shown);
    if (*seen & 1u << i)
        return yaml_reader_refuse(r, "%s stands twice in one source", shown);
    *seen |= 1u << i;
    int error = yaml_reader_next(r);
    if (!error && !keys[i].take(source, yaml_reader_text(r)))
        error = yaml_reader_refuse(r, "%s: %s is allowed", keys[i].key, keys[i].allowed);
    return error;
}

static int check_source(struct yaml_reader *r, yaml_mark_t mark, const struct intel_sources *s, const struct intel_fetched_source *source)
{
    if (!source->name[0] || !source->url[0])
        return yaml_reader_refuse_at(r, mark, "a source needs a %s", source->name[0] ? "url" : "name");
    for (uint32_t i = 0; i < s->n; i++)
        if (!strcmp(s->list[i].name, source->name))
            return yaml_reader_refuse_at(r, mark, "there are two sources named %s", source->name);
    return 0;
}

static int parse_source(struct yaml_reader *r, struct intel_sources *s)
{
    yaml_mark_t mark = r->event.start_mark;
    unsigned seen = 0;
    if (s->n == LIMIT_INTEL_SOURCES)
        return yaml_reader_refuse(r, "more than %d sources", LIMIT_INTEL_SOURCES);
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return yaml_reader_refuse(r, "a source has the keys name, url and, if you like, more");
    struct intel_fetched_source *source = &s->list[s->n];
    *source = (struct intel_fetched_source){ .interval_ns = INTERVAL_NS, .max_bytes = LIMIT_INTEL_FETCH_BYTES };
    for (;;) {
        int error = yaml_reader_next(r);
        if (!error && r->event.type == YAML_MAPPING_END_EVENT)
            break;
        if (error || (error = parse_key(r, source, &seen)))
            return error;
    }
    int error = check_source(r, mark, s, source);
    s->n += !error;
    return error;
}

static int parse_sources(struct yaml_reader *r, struct intel_sources *s)
{
    if (yaml_reader_is_null(r))
        return 0;
    if (r->event.type != YAML_SEQUENCE_START_EVENT)
        return yaml_reader_refuse(r, "intel.sources: a list of sources is allowed here");
    for (;;) {
        int error = yaml_reader_next(r);
        if (error || r->event.type == YAML_SEQUENCE_END_EVENT)
            return error;
        if ((error = parse_source(r, s)))
            return error;
    }
}

/* In a mapping: to the value of the key of that name, over all others. 1 = it was the last key. */
static int next_key(struct yaml_reader *r, const char *name)
{
    for (;;) {
        int error = yaml_reader_next(r);
        if (error || r->event.type == YAML_MAPPING_END_EVENT)
            return error ? error : 1;
        const char *key = yaml_reader_text(r);
        bool found = key && !strcmp(key, name);
        if (!found && (error = yaml_reader_skip(r)))
            return error;
        if ((error = yaml_reader_next(r)))
            return error;
        if (found)
            return 0;
        if ((error = yaml_reader_skip(r)))
            return error;
    }
}

static int parse_section(struct yaml_reader *r, struct intel_sources *s)
{
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return yaml_reader_is_null(r) ? 0 : yaml_reader_refuse(r, "intel: only \"key: value\" lines are allowed here");
    int error;
    while (!(error = next_key(r, "sources"))) {
        if (s->n)
            return yaml_reader_refuse(r, "intel.sources stands twice; put its sources together");
        if ((error = parse_sources(r, s)))
            return error;
    }
    return error == 1 ? 0 : error;
}

static int parse_file(struct yaml_reader *r, struct intel_sources *s)
{
    int error = yaml_reader_begin(r);
    if (error)
        return error == 1 ? 0 : error;
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return yaml_reader_refuse(r, "only \"key: value\" lines are allowed here");
    while (!(error = next_key(r, "intel")))
        if ((error = parse_section(r, s)))
            return error;
    return error == 1 ? yaml_reader_end(r) : error;
}

int intel_sources_parse(struct intel_sources *s, const char *name, const char *data, size_t size, struct text_out *error)
{
    struct yaml_reader r;
    s->n = 0;
    int result = yaml_reader_init(&r, name, data, size, error);
    if (result)
        return result;
    result = parse_file(&r, s);
    yaml_reader_fini(&r);
    if (result)
        s->n = 0;
    return result;
}
