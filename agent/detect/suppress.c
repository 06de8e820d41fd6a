#include "agent/detect/suppress.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/yaml_reader.h"

enum column_type { COLUMN_TEXT, COLUMN_NUMBER, COLUMN_SEVERITY, COLUMN_TIME };

enum column_place { PLACE_FINDING, PLACE_CONTAINER, PLACE_OTHER };

static void get_id(const struct finding *f, const struct suppress_facts *facts, struct text_out *out)
{
    (void)facts;
    text_out_printf(out, "%s", f->id);
}

static void get_host(const struct finding *f, const struct suppress_facts *facts, struct text_out *out)
{
    (void)f;
    text_out_printf(out, "%s", facts->host ? facts->host : "");
}

static void get_cluster(const struct finding *f, const struct suppress_facts *facts, struct text_out *out)
{
    (void)f;
    const char *own = facts->container ? facts->container->cluster : "";
    const char *cluster = own[0] || !facts->cluster ? own : facts->cluster;
    text_escape(out, cluster, strlen(cluster));
}

static void get_user(const struct finding *f, const struct suppress_facts *facts, struct text_out *out)
{
    (void)facts;
    if (f->uid == 0)
        text_out_printf(out, "root");
    else if (f->uid != UINT32_MAX)
        text_out_printf(out, "%u", f->uid);
}

static void get_severity(const struct finding *f, const struct suppress_facts *facts, struct text_out *out)
{
    (void)facts;
    text_out_printf(out, "%s", severity_name((enum severity)f->severity));
}

static void get_time(const struct finding *f, const struct suppress_facts *facts, struct text_out *out)
{
    char text[32];
    (void)facts;
    text_time(text, f->wall_ns);
    text_out_printf(out, "%s", text);
}

static void get_pid(const struct finding *f, const struct suppress_facts *facts, struct text_out *out)
{
    (void)facts;
    text_out_printf(out, "%d", f->pid);
}

static void get_uid(const struct finding *f, const struct suppress_facts *facts, struct text_out *out)
{
    (void)facts;
    text_out_printf(out, "%u", f->uid);
}

/* The columns of the view `findings`. */
static const struct column {
    const char *name;
    enum column_type type;
    enum column_place place;
    size_t at; /* enum finding_text, or offset of a text in struct container_facts */
    void (*get)(const struct finding *f, const struct suppress_facts *facts, struct text_out *out); /* PLACE_OTHER */
} columns[] = {
    { "id", COLUMN_TEXT, PLACE_OTHER, 0, get_id },
    { "type", COLUMN_TEXT, PLACE_FINDING, FT_TYPE, NULL },
    { "rule", COLUMN_TEXT, PLACE_FINDING, FT_RULE, NULL },
    { "severity", COLUMN_SEVERITY, PLACE_OTHER, 0, get_severity },
    { "title", COLUMN_TEXT, PLACE_FINDING, FT_TITLE, NULL },
    { "description", COLUMN_TEXT, PLACE_FINDING, FT_DESCRIPTION, NULL },
    { "first_seen", COLUMN_TIME, PLACE_OTHER, 0, get_time },
    { "last_seen", COLUMN_TIME, PLACE_OTHER, 0, get_time },
    { "host", COLUMN_TEXT, PLACE_OTHER, 0, get_host },
    { "cluster", COLUMN_TEXT, PLACE_OTHER, 0, get_cluster },
    { "task_arn", COLUMN_TEXT, PLACE_CONTAINER, offsetof(struct container_facts, task_arn), NULL },
    { "task_id", COLUMN_TEXT, PLACE_CONTAINER, offsetof(struct container_facts, task_id), NULL },
    { "task_family", COLUMN_TEXT, PLACE_CONTAINER, offsetof(struct container_facts, family), NULL },
    { "task_revision", COLUMN_TEXT, PLACE_CONTAINER, offsetof(struct container_facts, revision), NULL },
    { "service", COLUMN_TEXT, PLACE_CONTAINER, offsetof(struct container_facts, service), NULL },
    { "container_name", COLUMN_TEXT, PLACE_CONTAINER, offsetof(struct container_facts, name), NULL },
    { "container_id", COLUMN_TEXT, PLACE_CONTAINER, offsetof(struct container_facts, container_id), NULL },
    { "image", COLUMN_TEXT, PLACE_CONTAINER, offsetof(struct container_facts, image), NULL },
    { "image_id", COLUMN_TEXT, PLACE_CONTAINER, offsetof(struct container_facts, image_id), NULL },
    { "pid", COLUMN_NUMBER, PLACE_OTHER, 0, get_pid },
    { "uid", COLUMN_NUMBER, PLACE_OTHER, 0, get_uid },
    { "user", COLUMN_TEXT, PLACE_OTHER, 0, get_user },
    { "comm", COLUMN_TEXT, PLACE_FINDING, FT_COMM, NULL },
    { "exe", COLUMN_TEXT, PLACE_FINDING, FT_EXE, NULL },
    { "cmdline", COLUMN_TEXT, PLACE_FINDING, FT_CMDLINE, NULL },
    { "mitre", COLUMN_TEXT, PLACE_FINDING, FT_MITRE, NULL },
    { "advice", COLUMN_TEXT, PLACE_FINDING, FT_ADVICE, NULL },
    { "lineage", COLUMN_TEXT, PLACE_FINDING, FT_LINEAGE, NULL },
    { "evidence", COLUMN_TEXT, PLACE_FINDING, FT_EVIDENCE, NULL },
};
#define N_COLUMNS (sizeof columns / sizeof columns[0])

/* Columns that the database makes of several occurrences, or that say what the filters said. */
static const char *const later_columns[] = { "status", "count", "revision", "event_id", "exec_id", "evidence_dropped", "suppressed_by", NULL };

/* `matches` stands behind no shorter operator; two characters before one. */
static const struct {
    const char *text;
    enum suppress_operator operator;
} operators[] = {
    { "!=", SUPPRESS_NE }, { ">=", SUPPRESS_GE }, { "<=", SUPPRESS_LE }, { "=", SUPPRESS_EQ },
    { ">", SUPPRESS_GT },  { "<", SUPPRESS_LT },  { "matches ", SUPPRESS_MATCHES },
};
#define OPERATORS "= != > >= < <= matches"

/* ---- parsing ------------------------------------------------------------------------------------------------------ */

static int refuse_column(struct yaml_reader *r, const char *word)
{
    char list[1024], shown[128];
    struct text_out names, text;
    text_out_init(&names, list, sizeof list);
    for (size_t i = 0; i < N_COLUMNS; i++)
        text_out_printf(&names, "%s%s", i ? ", " : "", columns[i].name);
    text_out_init(&text, shown, sizeof shown);
    text_escape(&text, word, strlen(word));
    for (const char *const *later = later_columns; *later; later++)
        if (!strcmp(word, *later))
            return yaml_reader_refuse(r, "\"%s\" is known only after a finding was stored; columns to filter by are %s", shown, list);
    return yaml_reader_refuse(r, "\"%s\" is no column of findings; columns are %s", shown, list);
}

static int severity_rank(const char *text)
{
    for (int i = SEVERITY_INFO; i <= SEVERITY_CRITICAL; i++)
        if (!strcmp(text, severity_name((enum severity)i)))
            return i;
    return -1;
}

/* The value as a number, for columns that compare as one. */
static int value_number(enum column_type type, const char *value, int64_t *number)
{
    uint64_t unsigned_value = 0;
    int error = 0;
    *number = 0;
    switch (type) {
    case COLUMN_TEXT:
        return 0;
    case COLUMN_NUMBER:
        error = text_to_u64(value, strlen(value), &unsigned_value);
        break;
    case COLUMN_SEVERITY:
        *number = severity_rank(value);
        return *number < 0 ? -EINVAL : 0;
    case COLUMN_TIME:
        error = text_to_time(value, &unsigned_value);
        break;
    }
    *number = (int64_t)unsigned_value;
    return error || *number < 0 ? -EINVAL : 0;
}

static const char *const needs[] = { "a text", "a number", "info, low, medium, high or critical", "a time like 2026-11-22T23:59:42Z" };

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " ");
}

/* Takes the operator off `*at`. */
static int parse_operator(const char **at, uint8_t *operator)
{
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
        if (text_has_prefix(*at, operators[i].text)) {
            *at = skip_blanks(*at + strlen(operators[i].text));
            *operator = (uint8_t)operators[i].operator;
            return 0;
        }
    return -EINVAL;
}

static int keep_value(struct suppress *s, const char *value, uint32_t *offset)
{
    size_t size = strlen(value);
    while (size && value[size - 1] == ' ')
        size--;
    if (size + 1 > sizeof s->texts - s->n_text_bytes)
        return -ENOSPC;
    *offset = s->n_text_bytes;
    memcpy(s->texts + s->n_text_bytes, value, size);
    s->texts[s->n_text_bytes + size] = 0;
    s->n_text_bytes += (uint32_t)size + 1;
    return 0;
}

static int parse_condition(struct yaml_reader *r, struct suppress *s)
{
    struct suppress_condition c = { 0 };
    char word[32];
    const char *text = yaml_reader_text(r);
    if (!text)
        return yaml_reader_refuse(r, "a condition is one line: COLUMN OPERATOR VALUE");
    text = skip_blanks(text);
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz_");
    bool fits = text_copy(word, sizeof word, text, n);
    while (c.column < N_COLUMNS && strcmp(word, columns[c.column].name))
        c.column++;
    if (!n || !fits || c.column == N_COLUMNS)
        return refuse_column(r, n ? word : text);
    const struct column *column = &columns[c.column];
    text = skip_blanks(text + n);
    if (parse_operator(&text, &c.operator))
        return yaml_reader_refuse(r, "no operator after \"%s\"; operators are " OPERATORS, word);
    if (s->n_conditions == LIMIT_SUPPRESS_CONDITIONS || keep_value(s, text, &c.value))
        return yaml_reader_refuse(r, "the filters are larger than %d conditions or %d bytes of values", LIMIT_SUPPRESS_CONDITIONS,
                                  LIMIT_SUPPRESS_TEXT_BYTES);
    if (c.operator != SUPPRESS_MATCHES && value_number(column->type, s->texts + c.value, &c.number))
        return yaml_reader_refuse(r, "%s compares with %s", word, needs[column->type]);
    s->conditions[s->n_conditions++] = c;
    return 0;
}

static int parse_when(struct yaml_reader *r, struct suppress *s, struct suppress_filter *f)
{
    if (r->event.type == YAML_SCALAR_EVENT) {
        f->n = 1;
        return parse_condition(r, s);
    }
    if (r->event.type != YAML_SEQUENCE_START_EVENT)
        return yaml_reader_refuse(r, "when: a list of conditions is allowed here");
    for (;;) {
        int error = yaml_reader_next(r);
        if (error || r->event.type == YAML_SEQUENCE_END_EVENT)
            return error;
        if ((error = parse_condition(r, s)))
            return error;
        f->n++;
    }
}

static bool name_is_good(const char *name)
{
    return name && *name && strlen(name) < LIMIT_SUPPRESS_NAME_BYTES && text_is_plain(name, strlen(name)) && !strchr(name, '"');
}

static int parse_name(struct yaml_reader *r, const struct suppress *s, struct suppress_filter *f)
{
    const char *name = yaml_reader_text(r);
    if (!name_is_good(name))
        return yaml_reader_refuse(r, "name: 1 to %d printable characters without \" and \\ are allowed", LIMIT_SUPPRESS_NAME_BYTES - 1);
    for (uint32_t i = 0; i < s->n_filters; i++)
        if (!strcmp(s->filters[i].name, name))
            return yaml_reader_refuse(r, "there are two filters named \"%s\"", name);
    strcpy(f->name, name);
    return 0;
}

static int parse_entry(struct yaml_reader *r, struct suppress *s, struct suppress_filter *f)
{
    const char *key = yaml_reader_text(r);
    char shown[128];
    yaml_mark_t mark = r->event.start_mark;
    bool is_name = key && !strcmp(key, "name"), is_when = key && !strcmp(key, "when"), is_reason = key && !strcmp(key, "reason");
    yaml_reader_show(r, shown);
    int error = yaml_reader_next(r);
    if (error)
        return error;
    if (is_reason) /* for people */
        return yaml_reader_text(r) ? 0 : yaml_reader_refuse(r, "reason: a line of text is allowed");
    if ((is_name && f->name[0]) || (is_when && f->n))
        return yaml_reader_refuse_at(r, mark, "%s stands twice in one filter", shown);
    if (is_name)
        return parse_name(r, s, f);
    if (is_when)
        return parse_when(r, s, f);
    return yaml_reader_refuse_at(r, mark, "unknown key \"%s\"; a filter has name, when and, if you like, reason", shown);
}

static int parse_filter(struct yaml_reader *r, struct suppress *s)
{
    yaml_mark_t mark = r->event.start_mark;
    if (s->n_filters == LIMIT_SUPPRESS_FILTERS)
        return yaml_reader_refuse(r, "more than %d filters", LIMIT_SUPPRESS_FILTERS);
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return yaml_reader_refuse(r, "a filter has the keys name and when");
    struct suppress_filter *f = &s->filters[s->n_filters];
    *f = (struct suppress_filter){ .first = s->n_conditions };
    for (;;) {
        int error = yaml_reader_next(r);
        if (error)
            return error;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            break;
        if ((error = parse_entry(r, s, f)))
            return error;
    }
    if (!f->name[0] || !f->n) /* a filter without conditions would hide everything */
        return yaml_reader_refuse_at(r, mark, "a filter needs %s", f->name[0] ? "at least one condition in when" : "a name");
    s->n_filters++;
    return 0;
}

static int parse_filters(struct yaml_reader *r, struct suppress *s)
{
    if (yaml_reader_is_null(r))
        return 0;
    if (r->event.type != YAML_SEQUENCE_START_EVENT)
        return yaml_reader_refuse(r, "suppress: a list of filters is allowed here");
    for (;;) {
        int error = yaml_reader_next(r);
        if (error || r->event.type == YAML_SEQUENCE_END_EVENT)
            return error;
        if ((error = parse_filter(r, s)))
            return error;
    }
}

static int parse_file(struct yaml_reader *r, struct suppress *s)
{
    int error = yaml_reader_begin(r);
    if (error)
        return error == 1 ? 0 : error;
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return yaml_reader_refuse(r, "only \"key: value\" lines are allowed here");
    for (;;) {
        if ((error = yaml_reader_next(r)))
            return error;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            return yaml_reader_end(r);
        const char *key = yaml_reader_text(r);
        bool ours = key && !strcmp(key, "suppress");
        if (ours && s->n_filters)
            return yaml_reader_refuse(r, "suppress stands twice; put its filters together");
        if (!ours && (error = yaml_reader_skip(r))) /* a key may be a list in YAML */
            return error;
        if ((error = yaml_reader_next(r)) || (error = ours ? parse_filters(r, s) : yaml_reader_skip(r)))
            return error;
    }
}

int suppress_parse(struct suppress *s, const char *name, const char *data, size_t size, struct text_out *error)
{
    struct yaml_reader r;
    memset(s, 0, sizeof *s);
    int result = yaml_reader_init(&r, name, data, size, error);
    if (result)
        return result;
    result = parse_file(&r, s);
    yaml_reader_fini(&r);
    if (result)
        memset(s, 0, sizeof *s);
    return result;
}

/* ---- matching ----------------------------------------------------------------------------------------------------- */

/* Without recursion: on a mismatch, the latest star takes one more character. */
bool suppress_glob(const char *pattern, const char *text)
{
    const char *star = NULL, *from = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            from = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++from;
        } else {
            return false;
        }
    }
    return !pattern[strspn(pattern, "*")];
}

static const char *column_text(const struct column *column, const struct finding *f, const struct suppress_facts *facts, struct text_out *out)
{
    switch (column->place) {
    case PLACE_FINDING:
        return finding_get(f, (enum finding_text)column->at);
    case PLACE_CONTAINER:
        if (facts->container) {
            const char *text = (const char *)facts->container + column->at;
            text_escape(out, text, strlen(text)); /* as the view shows it */
        }
        break;
    case PLACE_OTHER:
        column->get(f, facts, out);
        break;
    }
    return out->buf;
}

static int compare(const struct suppress_condition *c, const struct column *column, const char *text, const char *value)
{
    int64_t number;
    if (column->type == COLUMN_TEXT)
        return strcmp(text, value);
    value_number(column->type, text, &number);
    return (number > c->number) - (number < c->number);
}

static bool condition_holds(const struct suppress *s, const struct suppress_condition *c, const struct finding *f,
                            const struct suppress_facts *facts)
{
    char buffer[4 * 513];
    struct text_out out;
    const struct column *column = &columns[c->column];
    const char *value = s->texts + c->value;
    text_out_init(&out, buffer, sizeof buffer);
    const char *text = column_text(column, f, facts, &out);
    if (c->operator == SUPPRESS_MATCHES)
        return suppress_glob(value, text);
    int order = compare(c, column, text, value);
    switch ((enum suppress_operator)c->operator) {
    case SUPPRESS_EQ:
        return order == 0;
    case SUPPRESS_NE:
        return order != 0;
    case SUPPRESS_GT:
        return order > 0;
    case SUPPRESS_GE:
        return order >= 0;
    case SUPPRESS_LT:
        return order < 0;
    case SUPPRESS_LE:
        return order <= 0;
    case SUPPRESS_MATCHES:
        break;
    }
    return false;
}

const struct suppress_filter *suppress_match(struct suppress *s, const struct finding *f, const struct suppress_facts *facts)
{
    for (uint32_t i = 0; s && i < s->n_filters; i++) {
        struct suppress_filter *filter = &s->filters[i];
        uint32_t n = 0;
        while (n < filter->n && condition_holds(s, &s->conditions[filter->first + n], f, facts))
            n++;
        if (n < filter->n)
            continue;
        filter->n_matched++;
        return filter;
    }
    return NULL;
}

void suppress_keep_counts(struct suppress *s, const struct suppress *before)
{
    for (uint32_t i = 0; i < s->n_filters; i++)
        for (uint32_t j = 0; j < before->n_filters; j++)
            if (!strcmp(s->filters[i].name, before->filters[j].name))
                s->filters[i].n_matched = before->filters[j].n_matched;
}
