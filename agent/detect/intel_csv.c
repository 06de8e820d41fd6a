/* Comma-separated values with a first line that names the columns (RFC 4180; blanks around fields are ignored, as the services write them). */
#include <string.h>

#include "agent/detect/intel_parts.h"

enum column { COLUMN_IGNORED, COLUMN_ENTRY, COLUMN_TYPE, COLUMN_CATEGORY };

/* Names as span_word() writes them. Not here, on purpose: columns of URLs, whose hosts are often shared with the harmless, and of senders
 * and sources, which are no places to connect to. */
static const struct {
    const char *name;
    enum column column;
} names[] = {
    { "indicator", COLUMN_ENTRY },   { "indicatorvalue", COLUMN_ENTRY }, { "ioc", COLUMN_ENTRY },        { "iocvalue", COLUMN_ENTRY },
    { "value", COLUMN_ENTRY },       { "observable", COLUMN_ENTRY },     { "entry", COLUMN_ENTRY },      { "address", COLUMN_ENTRY },
    { "ip", COLUMN_ENTRY },          { "ipaddress", COLUMN_ENTRY },      { "dstip", COLUMN_ENTRY },      { "ipv4", COLUMN_ENTRY },
    { "ipv6", COLUMN_ENTRY },        { "cidr", COLUMN_ENTRY },           { "network", COLUMN_ENTRY },    { "netblock", COLUMN_ENTRY },
    { "domain", COLUMN_ENTRY },      { "domainname", COLUMN_ENTRY },     { "host", COLUMN_ENTRY },       { "hostname", COLUMN_ENTRY },
    { "fqdn", COLUMN_ENTRY },        { "sha256", COLUMN_ENTRY },         { "sha256hash", COLUMN_ENTRY }, { "filehashsha256", COLUMN_ENTRY },
    { "type", COLUMN_TYPE },         { "indicatortype", COLUMN_TYPE },   { "ioctype", COLUMN_TYPE },     { "category", COLUMN_CATEGORY },
    { "threat", COLUMN_CATEGORY },   { "threattype", COLUMN_CATEGORY },  { "class", COLUMN_CATEGORY },   { "classification", COLUMN_CATEGORY },
};

static enum column column_of(struct span field)
{
    char word[32];
    span_word(field, word, sizeof word);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(word, names[i].name))
            return names[i].column;
    return COLUMN_IGNORED;
}

/* The next field, without its quotes; a quote inside quotes is written twice, which no entry contains. False behind the last one. */
static bool next_field(struct span *record, struct span *field)
{
    if (!record->at)
        return false;
    struct span s = *record;
    while (s.size && (*s.at == ' ' || *s.at == '\t'))
        s.at++, s.size--;
    bool quoted = s.size && *s.at == '"';
    size_t n = 0;
    if (quoted) {
        s.at++, s.size--;
        while (n < s.size && (s.at[n] != '"' || (n + 1 < s.size && s.at[n + 1] == '"')))
            n += s.at[n] == '"' ? 2 : 1;
    } else {
        while (n < s.size && s.at[n] != ',')
            n++;
    }
    *field = span_trim((struct span){ s.at, n });
    const char *comma = memchr(s.at + n, ',', s.size - n);
    *record = comma ? (struct span){ comma + 1, s.size - (size_t)(comma - s.at) - 1 } : (struct span){ NULL, 0 };
    return true;
}

bool csv_read_header(struct intel_reader *r, struct span line)
{
    struct span field;
    uint32_t n = 0;
    bool has_entry = false;
    if (!memchr(line.at, ',', line.size)) /* a single column is a plain list with a heading */
        return false;
    while (next_field(&line, &field)) {
        enum column column = column_of(field);
        has_entry |= column == COLUMN_ENTRY;
        if (n < INTEL_COLUMNS)
            r->columns[n++] = (uint8_t)column;
    }
    r->n_columns = n;
    return has_entry;
}

/* Indicators that are no addresses, domains or SHA-256: nothing is wrong with them. */
static bool is_other_type(struct span type)
{
    static const char *const others[] = { "url", "uri", "email", "md5", "sha1", "imphash", "pehash", "mutex", "filepath", "filename", "cve",
                                          "yara", "ja3", "bitcoin",
                                          "asn", "useragent", "registry", "ssdeep", "certificate" };
    char word[64];
    span_word(type, word, sizeof word);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strstr(word, others[i]))
            return true;
    return false;
}

/* "198.51.100.1:8080", as some services write a place to connect to. */
static struct span without_port(struct span s)
{
    const char *colon = memchr(s.at, ':', s.size);
    if (!colon || memchr(colon + 1, ':', s.size - (size_t)(colon - s.at) - 1))
        return s;
    for (const char *c = colon + 1; c < s.at + s.size; c++)
        if (*c < '0' || *c > '9')
            return s;
    return (struct span){ s.at, (size_t)(colon - s.at) };
}

void csv_read(struct intel_reader *r, struct span record)
{
    struct span entries[INTEL_COLUMNS], field, category = { NULL, 0 };
    char own[INTEL_CATEGORY_MAX];
    uint32_t n = 0, i = 0;
    bool other = false;
    if (!span_trim(record).size || *record.at == '#')
        return;
    for (; next_field(&record, &field); i++) {
        enum column column = i < r->n_columns ? (enum column)r->columns[i] : COLUMN_IGNORED;
        if (column == COLUMN_ENTRY && field.size)
            entries[n++] = field;
        if (column == COLUMN_CATEGORY && field.size && !category.at)
            category = field;
        other |= column == COLUMN_TYPE && is_other_type(field);
    }
    if (other || !n) {
        r->n_other++;
        return;
    }
    const char *name = category.at ? category_of_words(category, own) : NULL;
    if (name == own && r->source.category_set) /* words that we do not know: what was chosen for the list says more */
        name = NULL;
    for (i = 0; i < n; i++) {
        const char *why = entry_add(r, without_port(entries[i]), r->source.trusted ? NAME_ONLY : NAME_AND_BELOW, name);
        if (why)
            reader_refuse(r, r->first_line, why);
    }
}
