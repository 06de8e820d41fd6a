/* ecsguardctl dns */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/ctl/filter.h"
#include "agent/ctl/finding_view.h"
#include "common/dns_code.h"

#define DEFAULT_LIMIT 100
#define DEFAULT_TOP 20
#define WIDE_COLUMNS 120 /* from here on there is room for the date and the container */

enum { TIME = 13, WIDE_TIME = 24, PROCESS = 18, PLACE = 22, TYPE = 7, COUNT = 9 };

static const struct option options[] = { CTL_OPTIONS, { "since", required_argument, NULL, 's' }, { "task", required_argument, NULL, 't' },
                                         { "container", required_argument, NULL, 'c' }, { "limit", required_argument, NULL, 'n' },
                                         { "name", required_argument, NULL, 'N' }, { "type", required_argument, NULL, 'T' },
                                         { "top", no_argument, NULL, 'o' }, { NULL, 0, NULL, 0 } };

struct listing {
    struct ctl *ctl;
    struct filter filter;
    const char *name;
    bool top, wide;
    int64_t limit; /* 0 = none */
    uint64_t n;
};

/* A name without wildcards stands for all below it, too. */
static void add_name(const char *name, struct sql *sql)
{
    sql_add(sql, " AND (lower(name) GLOB lower(?)");
    sql_bind_text(sql, name);
    if (!strpbrk(name, "*?[")) {
        sql_add(sql, " OR lower(name) GLOB lower('*.'||?)");
        sql_bind_text(sql, name);
    }
    sql_add(sql, ")");
}

static void add_conditions(const struct listing *l, struct sql *sql)
{
    char since[32], other[DNS_CODE_BYTES];
    uint16_t type;
    if (l->filter.since_ns) {
        text_time(since, l->filter.since_ns);
        sql_add(sql, " AND time >= ?");
        sql_bind_text(sql, since);
    }
    if (l->filter.type && !dns_type_parse(l->filter.type, &type)) {
        sql_add(sql, " AND type = ?");
        sql_bind_text(sql, dns_type_name(type, other));
    }
    if (l->name)
        add_name(l->name, sql);
    filter_add_place(&l->filter, sql);
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

static void list_head(const struct listing *l)
{
    const struct terminal *t = &l->ctl->term;
    terminal_cell(t, STYLE_BOLD, l->wide ? WIDE_TIME : TIME, "TIME (UTC)");
    terminal_cell(t, STYLE_BOLD, PROCESS, "PROCESS");
    if (l->wide)
        terminal_cell(t, STYLE_BOLD, PLACE, "WHERE");
    terminal_cell(t, STYLE_BOLD, TYPE, "TYPE");
    terminal_last(t, STYLE_BOLD, (l->wide ? WIDE_TIME + PLACE : TIME) + PROCESS + TYPE, "NAME");
}

/* "name -> result records"; each record without the name that the line says already. */
static void describe_answer(const json_t *row, struct text_out *out)
{
    const char *name = row_string(row, "name"), *at = row_string(row, "answer"), *rcode = row_string(row, "rcode");
    size_t skip = strlen(name);
    bool ok = !strcmp(rcode, "NOERROR");
    text_out_printf(out, " -> %s%s", !ok ? rcode : *at ? "" : "no such records", !ok && *at ? " " : "");
    while (*at) {
        const char *end = strstr(at, "; "), *record = at;
        size_t size = end ? (size_t)(end - at) + 2 : strlen(at);
        if (skip < size && !strncasecmp(at, name, skip) && at[skip] == ' ')
            record += skip + 1;
        text_out_bytes(out, record, (size_t)(at + size - record));
        at += size;
    }
}

static void list_line(const struct listing *l, const json_t *row)
{
    static char what[65536];
    const struct terminal *t = &l->ctl->term;
    char time[32], process[64] = "-", pid[16], place[600];
    struct text_out out;
    snprintf(time, sizeof time, "%s", row_string(row, "time"));
    if (strlen(time) > 23) {
        time[10] = ' ';
        time[23] = 0;
    }
    if (row_number(row, "pid")) { /* the name is cut, never the number */
        int n = snprintf(pid, sizeof pid, "[%lld]", (long long)row_number(row, "pid"));
        snprintf(process, sizeof process, "%.*s%s", PROCESS - 1 - n, row_string(row, "comm"), pid);
    }
    text_out_init(&out, what, sizeof what);
    text_out_printf(&out, "%s", *row_string(row, "name") ? row_string(row, "name") : "(no name)");
    if (row_number(row, "names"))
        text_out_printf(&out, " %s (%lld messages, %lld names)", row_string(row, "op"), (long long)row_number(row, "messages"),
                        (long long)row_number(row, "names"));
    else if (!strcmp(row_string(row, "op"), "answer"))
        describe_answer(row, &out);
    if (row_number(row, "truncated"))
        text_out_printf(&out, " (cut)");
    if (row_number(row, "forwarded"))
        text_out_printf(&out, " (forwarded to %s)", row_string(row, "server"));
    finding_place(row, place, sizeof place);
    terminal_cell(t, STYLE_DIM, l->wide ? WIDE_TIME : TIME, l->wide || strlen(time) < 12 ? time : time + 11);
    terminal_cell(t, STYLE_PLAIN, PROCESS - 1, process);
    terminal_cell(t, STYLE_PLAIN, 1, "");
    if (l->wide) {
        terminal_cell(t, STYLE_PLAIN, PLACE - 1, place);
        terminal_cell(t, STYLE_PLAIN, 1, "");
    }
    terminal_cell(t, STYLE_CYAN, TYPE - 1, row_string(row, "type"));
    terminal_cell(t, STYLE_PLAIN, 1, "");
    terminal_last(t, STYLE_PLAIN, (l->wide ? WIDE_TIME + PLACE : TIME) + PROCESS + TYPE, what);
}

static void top_head(const struct listing *l)
{
    const struct terminal *t = &l->ctl->term;
    terminal_cell(t, STYLE_BOLD, -COUNT + 1, "QUERIES");
    terminal_cell(t, STYLE_BOLD, -COUNT, "NO NAME");
    terminal_cell(t, STYLE_PLAIN, 2, "");
    terminal_cell(t, STYLE_BOLD, 10, "LATEST");
    terminal_cell(t, STYLE_BOLD, PLACE, "WHERE");
    terminal_last(t, STYLE_BOLD, 2 * COUNT + 11 + PLACE, "NAME");
}

static void top_line(const struct listing *l, const json_t *row)
{
    const struct terminal *t = &l->ctl->term;
    char count[24], ago[16] = "", place[600];
    finding_place(row, place, sizeof place);
    if (row_time(row, "latest"))
        terminal_ago(ago, row_time(row, "latest"), l->ctl->now_wall_ns);
    terminal_cell(t, STYLE_BOLD, -COUNT + 1, row_text(row, "queries", count));
    terminal_cell(t, STYLE_PLAIN, -COUNT, row_text(row, "no_name", count));
    terminal_cell(t, STYLE_PLAIN, 2, "");
    terminal_cell(t, STYLE_DIM, 10, ago);
    terminal_cell(t, STYLE_PLAIN, PLACE - 1, place);
    terminal_cell(t, STYLE_PLAIN, 1, "");
    terminal_last(t, STYLE_PLAIN, 2 * COUNT + 11 + PLACE, row_string(row, "name"));
}

static int take_row(json_t *row, void *arg)
{
    struct listing *l = arg;
    l->n++;
    if (l->ctl->json)
        ctl_print_json(l->ctl, row, false);
    else if (l->top)
        top_line(l, row);
    else
        list_line(l, row);
    return 0;
}

/* ---- the command -------------------------------------------------------------------------------------------------- */

/* The newest, the oldest of them first. */
static void select_list(const struct listing *l, struct sql *sql)
{
    sql_init(sql, "SELECT * FROM (SELECT * FROM dns WHERE 1");
    add_conditions(l, sql);
    sql_add(sql, " ORDER BY id DESC");
    if (l->limit) {
        sql_add(sql, " LIMIT ?");
        sql_bind_number(sql, l->limit);
    }
    sql_add(sql, ") ORDER BY id");
}

static void select_top(const struct listing *l, struct sql *sql)
{
    sql_init(sql, "SELECT sum(iif(op='query',messages,0)) AS queries,sum(iif(op='answer' AND rcode='NXDOMAIN',messages,0)) AS no_name,max(time) AS latest,lower(name) AS name,"
                  "container_name,container_id,task_family,task_id FROM dns WHERE name IS NOT NULL AND NOT forwarded");
    add_conditions(l, sql);
    sql_add(sql, " GROUP BY container_id,lower(name) ORDER BY queries DESC,name");
    if (l->limit) {
        sql_add(sql, " LIMIT ?");
        sql_bind_number(sql, l->limit);
    }
}

static int list(struct listing *l)
{
    struct sql sql;
    int status = ctl_db_open(l->ctl);
    if (status)
        return status;
    if (l->top)
        select_top(l, &sql);
    else
        select_list(l, &sql);
    if (!l->ctl->json && l->top)
        top_head(l);
    else if (!l->ctl->json)
        list_head(l);
    status = ctl_db_each(l->ctl, &sql, take_row, l);
    sql_fini(&sql);
    if (!status && !l->ctl->json && !l->n)
        fputs("No DNS messages.\n", stdout);
    if (!status && !l->ctl->json && l->filter.limit < 0 && l->limit && l->n == (uint64_t)l->limit)
        fprintf(stderr, l->top ? "The %d most frequent; --limit 0 lists all.\n" : "The %d newest; --limit 0 or --since lists more.\n",
                (int)l->limit);
    return status;
}

int ctl_dns(struct ctl *ctl, int argc, char **argv)
{
    struct listing l = { .ctl = ctl };
    uint16_t type;
    int option, status;
    filter_init(&l.filter);
    while ((option = ctl_getopt(ctl, "dns", argc, argv, options, &status)) >= 0) {
        if (option == 'N')
            l.name = optarg;
        else if (option == 'o')
            l.top = true;
        else if (filter_option(&l.filter, ctl, "dns", option, optarg))
            return CTL_USAGE;
    }
    if (option == CTL_DONE)
        return status;
    if (optind < argc)
        return ctl_misuse("dns", "takes no argument: '%s'", argv[optind]);
    if (l.filter.type && dns_type_parse(l.filter.type, &type))
        return ctl_misuse("dns", "--type %s: needs a type of records, as A, TXT or TYPE65534", l.filter.type);
    l.wide = !ctl->term.width || ctl->term.width >= WIDE_COLUMNS;
    l.limit = l.filter.limit >= 0 ? l.filter.limit : l.top ? DEFAULT_TOP : ctl->json || l.filter.since_ns ? 0 : DEFAULT_LIMIT;
    return list(&l);
}
