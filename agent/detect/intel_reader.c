#include "agent/detect/intel_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/intel_parts.h"

static const char *const format_names[INTEL_FORMATS] = { "auto", "plain", "csv", "hosts", "alienvault", "stix" };

const char *intel_format_name(enum intel_format format)
{
    return format_names[format];
}

enum intel_format intel_format_find(const char *name, size_t length)
{
    int i = 0;
    while (i < INTEL_FORMATS && (strlen(format_names[i]) != length || memcmp(format_names[i], name, length)))
        i++;
    return (enum intel_format)i;
}

void intel_reader_init(struct intel_reader *r, struct intel *intel, const struct intel_source *source)
{
    memset(r, 0, sizeof *r);
    r->intel = intel;
    r->source = *source;
    r->format = source->format;
}

/* ---- which format ---- */

static bool is_digits(struct span s)
{
    size_t n = 0;
    while (n < s.size && s.at[n] >= '0' && s.at[n] <= '9')
        n++;
    return n && n == s.size;
}

static bool is_alienvault(struct span line)
{
    struct span rest;
    struct span entry = span_cut(line, '#', &rest);
    return entry.size && !memchr(entry.at, ' ', entry.size) && is_digits(span_cut(rest, '#', &rest)) && is_digits(span_cut(rest, '#', &rest));
}

static bool is_hosts(struct span line)
{
    static const char *const nowhere[] = { "0.0.0.0", "127.0.0.1", "::", "::1" };
    size_t n = 0;
    while (n < line.size && line.at[n] != ' ' && line.at[n] != '\t')
        n++;
    for (size_t i = 0; n < line.size && i < sizeof nowhere / sizeof nowhere[0]; i++)
        if (span_is((struct span){ line.at, n }, nowhere[i]))
            return true;
    return false;
}

/* By a line that is not empty. Some services write the names of the columns as a comment. True if the line is done. */
static bool find_format(struct intel_reader *r, struct span line)
{
    bool comment = *line.at == '#';
    struct span names = comment ? span_trim((struct span){ line.at + 1, line.size - 1 }) : line;
    if (csv_read_header(r, names) && (!comment || r->n_columns >= 4)) { /* a sentence has a comma or two */
        r->format = INTEL_CSV;
        return true;
    }
    r->n_columns = 0;
    if (comment || *line.at == ';')
        return false;
    r->format = is_alienvault(line) ? INTEL_ALIENVAULT : is_hosts(line) ? INTEL_HOSTS : INTEL_PLAIN;
    return false;
}

/* ---- lines ---- */

static void record_read(struct intel_reader *r, struct span line)
{
    switch (r->format) {
    case INTEL_AUTO: /* still only comments */
    case INTEL_PLAIN:
        plain_read(r, line);
        break;
    case INTEL_HOSTS:
        hosts_read(r, line);
        break;
    case INTEL_ALIENVAULT:
        alienvault_read(r, line);
        break;
    case INTEL_CSV:
        if (r->n_columns)
            csv_read(r, line);
        else if (line.size && *line.at != '#' && !csv_read_header(r, line)) {
            reader_refuse(r, r->first_line, "no column is called ip, domain, indicator, sha256 or alike");
            r->error = -EILSEQ;
        }
        break;
    case INTEL_STIX:
    case INTEL_FORMATS:
        break;
    }
}

static void line_read(struct intel_reader *r, struct span line)
{
    line = span_trim(line);
    if (r->format == INTEL_AUTO && line.size && find_format(r, line))
        return;
    record_read(r, line);
}

/* In a CSV, a line end may stand inside quotes. */
static bool is_whole(const struct intel_reader *r, struct span record)
{
    size_t quotes = 0;
    if (r->format != INTEL_CSV)
        return true;
    for (size_t i = 0; i < record.size; i++)
        quotes += record.at[i] == '"';
    return quotes % 2 == 0;
}

/* Keeps the beginning of a record until its end is there. Too long a one is told and skipped up to the end of its line. */
static int hold(struct intel_reader *r, const char *data, size_t size, bool at_line_end)
{
    if (!r->held)
        r->held = malloc(LIMIT_INTEL_LINE_BYTES);
    if (!r->held)
        return -ENOMEM;
    if (r->n_held + size > LIMIT_INTEL_LINE_BYTES) {
        reader_refuse(r, r->first_line, "too long a line, or a quote that does not end");
        r->n_held = 0;
        r->skipping = !at_line_end;
        return 0;
    }
    memcpy(r->held + r->n_held, data, size);
    r->n_held += (uint32_t)size;
    return 0;
}

/* One line with its end, or the last one. */
static int take_line(struct intel_reader *r, const char *data, size_t size, bool last)
{
    struct span record = { data, size };
    r->line++;
    if (r->skipping) {
        r->skipping = false;
        return 0;
    }
    if (!r->n_held)
        r->first_line = r->line;
    if (r->n_held) {
        int error = hold(r, data, size, true);
        if (error || !r->n_held)
            return error;
        record = (struct span){ r->held, r->n_held };
    }
    if (!last && !is_whole(r, record))
        return r->n_held ? 0 : hold(r, data, size, true);
    r->n_held = 0;
    line_read(r, record);
    return r->error == -ENOMEM || r->error == -EILSEQ ? r->error : 0;
}

static int feed_lines(struct intel_reader *r, const char *data, size_t size)
{
    while (size) {
        const char *end = memchr(data, '\n', size);
        size_t n = end ? (size_t)(end - data) + 1 : size;
        int error = 0;
        if (end) {
            error = take_line(r, data, n, false);
        } else if (!r->skipping) {
            if (!r->n_held)
                r->first_line = r->line + 1;
            error = hold(r, data, n, false);
        }
        if (error)
            return error;
        data += n;
        size -= n;
    }
    return 0;
}

/* ---- the whole ---- */

static int feed_stix(struct intel_reader *r, const char *data, size_t size, bool last)
{
    if (!r->stix && !(r->stix = stix_new(r)))
        return -ENOMEM;
    return stix_feed(r->stix, data, size, last);
}

/* XML begins with '<', behind blanks and a byte order mark; nothing else does. */
static void look_for_xml(struct intel_reader *r, const char **data, size_t *size)
{
    if (r->line || r->n_held)
        return;
    if (*size >= 3 && !memcmp(*data, "\xef\xbb\xbf", 3)) {
        *data += 3;
        *size -= 3;
    }
    struct span s = span_trim((struct span){ *data, *size });
    if (s.size && *s.at == '<')
        r->format = INTEL_STIX;
}

int intel_reader_feed(struct intel_reader *r, const char *data, size_t size)
{
    int error;
    if (r->error == -ENOMEM || r->error == -EILSEQ)
        return r->error;
    if (r->format == INTEL_AUTO)
        look_for_xml(r, &data, &size);
    if (r->format == INTEL_STIX)
        error = feed_stix(r, data, size, false);
    else
        error = feed_lines(r, data, size);
    if (error)
        r->error = error;
    return r->error;
}

int intel_reader_end(struct intel_reader *r)
{
    int error = r->error == -ENOSPC ? 0 : r->error;
    if (!error && r->format == INTEL_STIX)
        error = feed_stix(r, "", 0, true);
    else if (!error && r->n_held)
        error = take_line(r, "", 0, true);
    if (error)
        r->error = error;
    stix_free(r->stix);
    free(r->held);
    r->stix = NULL;
    r->held = NULL;
    return r->error;
}
