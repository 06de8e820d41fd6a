#include "agent/ctl/finding_view.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/text.h"

#define WIDE_COLUMNS 140 /* from here on a finding is one line */

enum { ID_COLUMNS = 9, SEVERITY_COLUMNS = 9, AGO_COLUMNS = 9, TIME_COLUMNS = 20, COUNT_COLUMNS = 6, TYPE_COLUMNS = 46, PLACE_COLUMNS = 26 };

static bool list_is_wide(const struct ctl *ctl)
{
    return !ctl->term.width || ctl->term.width >= WIDE_COLUMNS;
}

void finding_place(const json_t *row, char *to, size_t size)
{
    const char *name = row_string(row, "container_name"), *family = row_string(row, "task_family");
    const char *task = row_string(row, "task_id"), *id = row_string(row, "container_id");
    if (*name && *family)
        snprintf(to, size, "%s/%s", family, name);
    else if (*name && *task)
        snprintf(to, size, "%s (%.8s)", name, task);
    else if (*name || *id)
        snprintf(to, size, "%.*s", *name ? 256 : 12, *name ? name : id);
    else
        snprintf(to, size, "host");
}

/* "2026-11-22T23:59:42.123Z" to "2026-11-22 23:59:42" */
static void short_time(const char *iso, char to[24])
{
    snprintf(to, 24, "%.19s", iso);
    if (strlen(to) > 10)
        to[10] = ' ';
}

void finding_list_head(const struct ctl *ctl)
{
    const struct terminal *t = &ctl->term;
    terminal_cell(t, STYLE_BOLD, ID_COLUMNS, "ID");
    terminal_cell(t, STYLE_BOLD, SEVERITY_COLUMNS, "SEVERITY");
    terminal_cell(t, STYLE_BOLD, AGO_COLUMNS, "SEEN");
    if (list_is_wide(ctl))
        terminal_cell(t, STYLE_BOLD, TIME_COLUMNS, "LAST (UTC)");
    terminal_cell(t, STYLE_BOLD, -(COUNT_COLUMNS - 1), "COUNT");
    terminal_cell(t, STYLE_PLAIN, 1, "");
    if (!list_is_wide(ctl)) {
        terminal_last(t, STYLE_BOLD, ID_COLUMNS + SEVERITY_COLUMNS + AGO_COLUMNS + COUNT_COLUMNS, "TYPE");
        return;
    }
    terminal_cell(t, STYLE_BOLD, TYPE_COLUMNS, "TYPE");
    terminal_cell(t, STYLE_BOLD, PLACE_COLUMNS, "WHERE");
    terminal_last(t, STYLE_BOLD, ID_COLUMNS + SEVERITY_COLUMNS + AGO_COLUMNS + COUNT_COLUMNS + TIME_COLUMNS + TYPE_COLUMNS + PLACE_COLUMNS, "WHAT");
}

void finding_list_row(const struct ctl *ctl, const json_t *finding)
{
    const struct terminal *t = &ctl->term;
    const char *severity = row_string(finding, "severity");
    char ago[16], when[24], place[600], number[24], id[ID_COLUMNS], line[2048];
    snprintf(id, sizeof id, "%.8s", row_string(finding, "id"));
    terminal_ago(ago, row_time(finding, "last_seen"), ctl->now_wall_ns);
    short_time(row_string(finding, "last_seen"), when);
    finding_place(finding, place, sizeof place);
    terminal_cell(t, STYLE_PLAIN, ID_COLUMNS, id);
    terminal_cell(t, terminal_severity_style(severity), SEVERITY_COLUMNS - 1, severity);
    terminal_cell(t, STYLE_PLAIN, 1, "");
    terminal_cell(t, STYLE_PLAIN, AGO_COLUMNS, ago);
    int used = ID_COLUMNS + SEVERITY_COLUMNS + AGO_COLUMNS + COUNT_COLUMNS;
    if (list_is_wide(ctl)) {
        terminal_cell(t, STYLE_DIM, TIME_COLUMNS, when);
        used += TIME_COLUMNS + TYPE_COLUMNS + PLACE_COLUMNS;
    }
    terminal_cell(t, STYLE_PLAIN, -(COUNT_COLUMNS - 1), row_text(finding, "count", number));
    terminal_cell(t, STYLE_PLAIN, 1, "");
    if (list_is_wide(ctl)) {
        terminal_cell(t, STYLE_BOLD, TYPE_COLUMNS - 1, row_string(finding, "type"));
        terminal_cell(t, STYLE_PLAIN, 1, "");
        terminal_cell(t, STYLE_PLAIN, PLACE_COLUMNS - 1, place);
        terminal_cell(t, STYLE_PLAIN, 1, "");
        terminal_last(t, STYLE_PLAIN, used, row_string(finding, "title"));
        return;
    }
    terminal_last(t, STYLE_BOLD, used, row_string(finding, "type"));
    snprintf(line, sizeof line, "%s  %s: %s", when, place, row_string(finding, "title"));
    terminal_cell(t, STYLE_PLAIN, ID_COLUMNS, "");
    terminal_last(t, STYLE_PLAIN, ID_COLUMNS, line);
}

/* ---- one in full ---------------------------------------------------------------------------------------------------- */

static void show_seen(const struct ctl *ctl, const json_t *finding, const char *name, const char *column)
{
    char ago[16], line[64];
    terminal_ago(ago, row_time(finding, column), ctl->now_wall_ns);
    snprintf(line, sizeof line, "%s (%s)", row_string(finding, column), ago);
    terminal_pair(&ctl->term, name, *row_string(finding, column) ? line : "");
}

static void show_columns(const struct ctl *ctl, const json_t *row, const char *const (*columns)[2])
{
    char number[24];
    for (; (*columns)[0]; columns++)
        terminal_pair(&ctl->term, (*columns)[0], row_text(row, (*columns)[1], number));
}

static void show_head(const struct ctl *ctl, const json_t *finding)
{
    static const char *const columns[][2] = { { "id", "id" }, { "rule", "rule" }, { "MITRE ATT&CK", "mitre" }, { "status", "status" },
                                              { "suppressed by", "suppressed_by" },
                                              { "seen", "count" }, { NULL, NULL } };
    const char *severity = row_string(finding, "severity");
    const struct terminal *t = &ctl->term;
    terminal_cell(t, terminal_severity_style(severity), 0, severity);
    terminal_cell(t, STYLE_PLAIN, 2, "");
    terminal_cell(t, STYLE_BOLD, 0, row_string(finding, "type"));
    fputc('\n', t->out);
    terminal_wrap(t, 0, row_string(finding, "title"));
    fputc('\n', t->out);
    show_columns(ctl, finding, columns);
    show_seen(ctl, finding, "first seen", "first_seen");
    show_seen(ctl, finding, "last seen", "last_seen");
}

static void show_place(const struct ctl *ctl, const json_t *finding)
{
    static const char *const columns[][2] = { { "host", "host" },           { "cluster", "cluster" },     { "task", "task_arn" },
                                              { "task id", "task_id" },     { "task family", "task_family" }, { "service", "service" },
                                              { "container", "container_name" }, { "container id", "container_id" }, { "image", "image" },
                                              { "image id", "image_id" },   { NULL, NULL } };
    terminal_heading(&ctl->term, "Where");
    show_columns(ctl, finding, columns);
    if (!*row_string(finding, "container_id"))
        terminal_pair(&ctl->term, "container", "none: on the host itself");
}

/* A process of the lineage on one line: "sh[4711] root  sh -c ..." */
static void lineage_line(const json_t *process, char *to, size_t size)
{
    char pid[24], uid[24];
    const char *cmdline = row_string(process, "cmdline"), *exe = row_string(process, "exe"), *user = row_text(process, "uid", uid);
    snprintf(to, size, "%s[%s]  uid %s  %s", *row_string(process, "comm") ? row_string(process, "comm") : text_basename(exe),
             row_text(process, "pid", pid), *user ? user : "?", *cmdline ? cmdline : exe);
}

/* Oldest first, each child below its parent; the acting process is the last. */
static void show_lineage(const struct ctl *ctl, const json_t *finding)
{
    const json_t *lineage = json_object_get(finding, "lineage");
    const struct terminal *t = &ctl->term;
    char line[9000];
    size_t n = json_array_size(lineage);
    if (!n)
        return;
    terminal_heading(t, "Lineage");
    for (size_t i = 0; i < n; i++) {
        int indent = 2 + (i ? 3 * (int)(i - 1) : 0);
        lineage_line(json_array_get(lineage, n - 1 - i), line, sizeof line);
        fprintf(t->out, "%*s", indent, "");
        if (i)
            fputs("└─ ", t->out);
        terminal_last(t, i + 1 == n ? STYLE_BOLD : STYLE_PLAIN, indent + (i ? 3 : 0), line);
    }
}

/* A fact as text: a text as it is, an object as "key value, key value", everything else as JSON. */
static void put_fact(struct text_out *out, const json_t *value)
{
    const char *key, *separator = "";
    json_t *member;
    if (json_is_string(value)) {
        text_out_printf(out, "%s", json_string_value(value));
    } else if (json_is_object(value)) {
        json_object_foreach((json_t *)value, key, member) {
            text_out_printf(out, "%s%s ", separator, key);
            put_fact(out, member);
            separator = ", ";
        }
    } else {
        char *dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        text_out_printf(out, "%s", dumped ? dumped : "");
        free(dumped);
    }
}

static void show_facts(const struct ctl *ctl, const json_t *facts)
{
    char line[16384];
    struct text_out out;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)facts, key, value) {
        text_out_init(&out, line, sizeof line);
        put_fact(&out, value);
        terminal_pair(&ctl->term, key, line);
    }
}

static void show_evidence(const struct ctl *ctl, const json_t *finding, const json_t *evidence)
{
    const struct terminal *t = &ctl->term;
    char line[128];
    size_t n = json_array_size(evidence);
    if (!n) {
        if (json_object_size(json_object_get(finding, "evidence"))) {
            terminal_heading(t, "Evidence");
            show_facts(ctl, json_object_get(finding, "evidence"));
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(evidence, i);
        char pid[24];
        snprintf(line, sizeof line, "Evidence %zu of %lld: %s, pid %s", i + 1, (long long)row_number(finding, "count"), row_string(row, "time"),
                 row_text(row, "pid", pid));
        terminal_heading(t, line);
        if (strcmp(row_string(row, "cmdline"), row_string(finding, "cmdline")))
            terminal_pair(t, "command line", row_string(row, "cmdline"));
        show_facts(ctl, json_object_get(row, "evidence"));
    }
}

/* Two minutes on either side. */
static void time_beside(const json_t *finding, const char *column, int64_t seconds, char to[32])
{
    text_time(to, row_time(finding, column) + (uint64_t)(seconds * (int64_t)NS_PER_SECOND));
    strcpy(to + 19, "Z");
}

static void show_next(const struct ctl *ctl, const json_t *finding)
{
    const struct terminal *t = &ctl->term;
    const char *container = row_string(finding, "container_id");
    char since[32], until[32];
    if (*row_string(finding, "advice")) {
        terminal_heading(t, "What to check next");
        terminal_wrap(t, 2, row_string(finding, "advice"));
    }
    if (!ctl->db)
        return;
    time_beside(finding, "first_seen", -120, since);
    time_beside(finding, "last_seen", 120, until);
    terminal_heading(t, "The raw events around it");
    fprintf(t->out, "  ecsguardctl events --since %s --until %s%s%.12s\n", since, until, *container ? " --container " : "", container);
    if (row_number(finding, "exec_id"))
        fprintf(t->out,
                "  sqlite3 -readonly %s \\\n    \"SELECT time,kind,pid,cmdline,path,dst,dport FROM events WHERE exec_id=%lld ORDER BY id\"\n",
                ctl->db_path, (long long)row_number(finding, "exec_id"));
}

void finding_show(const struct ctl *ctl, const json_t *finding, const json_t *evidence)
{
    static const char *const columns[][2] = { { "pid", "pid" }, { "user", "user" },       { "name", "comm" },
                                              { "executable", "exe" }, { "command line", "cmdline" }, { NULL, NULL } };
    show_head(ctl, finding);
    if (*row_string(finding, "description")) {
        terminal_heading(&ctl->term, "What was seen");
        terminal_wrap(&ctl->term, 2, row_string(finding, "description"));
    }
    show_place(ctl, finding);
    terminal_heading(&ctl->term, "Process");
    show_columns(ctl, finding, columns);
    show_lineage(ctl, finding);
    show_evidence(ctl, finding, evidence);
    show_next(ctl, finding);
}
