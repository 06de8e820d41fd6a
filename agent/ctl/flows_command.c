/* ecsguardctl flows */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "agent/ctl/filter.h"
#include "agent/ctl/finding_view.h"
#include "common/event.h"

#define DEFAULT_LIMIT 100
#define DEFAULT_TOP 20
#define WIDE_COLUMNS 140 /* from here on each thing has a column of its own */

enum { TIME = 13, WIDE_TIME = 24, PROCESS = 18, PLACE = 22, DIRECTION = 6, PROTO = 6, BYTES = 11, COUNT = 8, AGO = 10, NARROW = 12 };

static const struct option options[] = { CTL_OPTIONS, { "since", required_argument, NULL, 's' }, { "task", required_argument, NULL, 't' },
                                         { "container", required_argument, NULL, 'c' }, { "limit", required_argument, NULL, 'n' },
                                         { "until", required_argument, NULL, 'u' }, { "to", required_argument, NULL, 'T' },
                                         { "direction", required_argument, NULL, 'd' }, { "top", no_argument, NULL, 'o' }, { NULL, 0, NULL, 0 } };

struct listing {
    struct ctl *ctl;
    struct filter filter;
    const char *to, *direction;
    bool top, wide;
    int64_t limit; /* 0 = none */
    uint64_t n;
};

/* The far end as the container sees it, its own port of what came in, and bytes by who sent them. */
#define FAR "CASE direction WHEN 'in' THEN src ELSE dst END"
#define PORT "CASE direction WHEN 'in' THEN coalesce(reply_sport,dport) ELSE dport END"
#define SENT "CASE direction WHEN 'in' THEN bytes_in ELSE bytes_out END"
#define GOT "CASE direction WHEN 'in' THEN bytes_out ELSE bytes_in END"

/* ---- which -------------------------------------------------------------------------------------------------------- */

static bool is_network(const char *text)
{
    char address[46];
    struct address a;
    size_t n = strcspn(text, "/");
    return n < sizeof address && text_copy(address, sizeof address, text, n) && !address_parse(address, &a);
}

/* An address or network, before or after NAT; or a name, without wildcards all below it, too. */
static void add_to(const char *to, struct sql *sql)
{
    if (is_network(to)) {
        sql_add(sql, " AND (in_network(" FAR ",?) OR (direction IS NOT 'in' AND in_network(reply_src,?)))");
        sql_bind_text(sql, to);
        sql_bind_text(sql, to);
        return;
    }
    sql_add(sql, " AND (lower(domain) GLOB lower(?)");
    sql_bind_text(sql, to);
    if (!strpbrk(to, "*?[")) {
        sql_add(sql, " OR lower(domain) GLOB lower('*.'||?)");
        sql_bind_text(sql, to);
    }
    sql_add(sql, ")");
}

static void add_time(struct sql *sql, const char *condition, uint64_t ns)
{
    char time[32];
    if (!ns)
        return;
    text_time(time, ns);
    sql_add(sql, " AND begin %s ?", condition);
    sql_bind_text(sql, time);
}

static void add_conditions(const struct listing *l, struct sql *sql)
{
    add_time(sql, ">=", l->filter.since_ns);
    add_time(sql, "<", l->filter.until_ns);
    if (l->direction) {
        sql_add(sql, " AND direction = ?");
        sql_bind_text(sql, l->direction);
    }
    if (l->to)
        add_to(l->to, sql);
    filter_add_place(&l->filter, sql);
}

static void add_limit(const struct listing *l, struct sql *sql)
{
    if (!l->limit)
        return;
    sql_add(sql, " LIMIT ?");
    sql_bind_number(sql, l->limit);
}

/* The newest, the oldest of them first. */
static void select_list(const struct listing *l, struct sql *sql)
{
    sql_init(sql, "SELECT * FROM (SELECT * FROM flows WHERE 1");
    add_conditions(l, sql);
    sql_add(sql, " ORDER BY id DESC");
    add_limit(l, sql);
    sql_add(sql, ") ORDER BY id");
}

/* The process is not known of every flow: those that are known are named for all to the same place. */
static void select_top(const struct listing *l, struct sql *sql)
{
    sql_init(sql, "SELECT sum(flows) AS flows,sum(" SENT ") AS bytes_sent,sum(" GOT ") AS bytes_received,max(begin) AS latest,direction,proto,"
                  "domain," FAR " AS address," PORT " AS port,max(ports) AS ports,group_concat(DISTINCT comm) AS processes,"
                  "container_name,container_id,task_family,task_id FROM flows WHERE 1");
    add_conditions(l, sql);
    sql_add(sql, " GROUP BY container_id,direction,proto,coalesce(domain," FAR ")," PORT
                 " ORDER BY ifnull(bytes_sent,0)+ifnull(bytes_received,0) DESC,flows DESC");
    add_limit(l, sql);
}

/* ---- how ---------------------------------------------------------------------------------------------------------- */

static const char *proto_name(int64_t proto, char number[8])
{
    switch (proto) {
    case IPPROTO_TCP:
        return "tcp";
    case IPPROTO_UDP:
        return "udp";
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
        return "icmp";
    }
    snprintf(number, 8, "%d", (int)(uint8_t)proto);
    return number;
}

static bool has_ports(const json_t *row)
{
    int64_t proto = row_number(row, "proto");
    return proto != IPPROTO_ICMP && proto != IPPROTO_ICMPV6;
}

static void put_end(struct text_out *out, const json_t *row, const char *address, const char *port)
{
    const char *text = row_string(row, address);
    bool with_port = has_ports(row) && json_is_integer(json_object_get(row, port));
    text_out_printf(out, with_port && strchr(text, ':') ? "[%s]" : "%s", *text ? text : "many");
    if (with_port)
        text_out_printf(out, ":%lld", (long long)row_number(row, port));
}

static void cell_bytes(const struct terminal *t, const json_t *row, const char *column)
{
    char bytes[16] = "-";
    if (json_is_integer(json_object_get(row, column)))
        terminal_bytes(bytes, (uint64_t)row_number(row, column));
    terminal_cell(t, STYLE_PLAIN, -BYTES, bytes);
}

static void list_head(const struct listing *l)
{
    const struct terminal *t = &l->ctl->term;
    terminal_cell(t, STYLE_BOLD, l->wide ? WIDE_TIME : TIME, "TIME (UTC)");
    terminal_cell(t, STYLE_BOLD, PROCESS, "PROCESS");
    if (!l->wide) {
        terminal_last(t, STYLE_BOLD, TIME + PROCESS, "FLOW");
        return;
    }
    terminal_cell(t, STYLE_BOLD, PLACE, "WHERE");
    terminal_cell(t, STYLE_BOLD, DIRECTION, "DIR");
    terminal_cell(t, STYLE_BOLD, PROTO - 1, "PROTO");
    terminal_cell(t, STYLE_BOLD, -BYTES, "SENT");
    terminal_cell(t, STYLE_BOLD, -BYTES, "RECEIVED");
    terminal_last(t, STYLE_BOLD, WIDE_TIME + PROCESS + PLACE + DIRECTION + PROTO - 1 + 2 * BYTES, "  FROM -> TO");
}

static const char *direction_name(const json_t *row)
{
    return *row_string(row, "direction") ? row_string(row, "direction") : "-";
}

static void put_bytes(struct text_out *out, const json_t *row, const char *column, const char *word)
{
    char bytes[16];
    if (!json_is_integer(json_object_get(row, column)))
        return;
    terminal_bytes(bytes, (uint64_t)row_number(row, column));
    text_out_printf(out, ", %s %s", word, bytes);
}

/* "10.0.0.2:40000 -> 203.0.113.7:443 www.example.com, 2.1 s"; where there is little room, without our end and with what wide lines have in
 * columns: "out tcp 203.0.113.7:443 www.example.com, sent 2 KiB". */
static void describe(const json_t *row, bool wide, struct text_out *out)
{
    char number[8];
    bool in = !strcmp(row_string(row, "direction"), "in");
    if (!wide)
        text_out_printf(out, "%s %s ", direction_name(row), proto_name(row_number(row, "proto"), number));
    if (wide || in)
        put_end(out, row, "src", "sport");
    if (wide)
        text_out_printf(out, " -> ");
    if (wide || !in)
        put_end(out, row, "dst", "dport");
    if (*row_string(row, "domain"))
        text_out_printf(out, " %s", row_string(row, "domain"));
    if (!strcmp(row_string(row, "phase"), "burst"))
        text_out_printf(out, ", %lld flows", (long long)row_number(row, "flows"));
    if (row_number(row, "ports") > 1)
        text_out_printf(out, " to %lld ports", (long long)row_number(row, "ports"));
    if (row_number(row, "addresses") > 1)
        text_out_printf(out, " %s %lld addresses", !strcmp(row_string(row, "direction"), "in") ? "from" : "at",
                        (long long)row_number(row, "addresses"));
    if (!wide) {
        put_bytes(out, row, "sent", "sent");
        put_bytes(out, row, "received", "got");
    }
    if (json_is_integer(json_object_get(row, "duration_ms")))
        text_out_printf(out, ", %.1f s", (double)row_number(row, "duration_ms") / 1000);
}

static void set_sent(json_t *row, const char *sent, const char *got)
{
    bool in = !strcmp(row_string(row, "direction"), "in");
    json_object_set(row, sent, json_object_get(row, in ? "bytes_in" : "bytes_out"));
    json_object_set(row, got, json_object_get(row, in ? "bytes_out" : "bytes_in"));
}

/* "curl[123]": the name is cut, never the number; "~" when the process is only likely. */
static void describe_process(const json_t *row, char *to, size_t size)
{
    char pid[16];
    const char *owner = row_string(row, "owner");
    if (!row_number(row, "pid")) {
        snprintf(to, size, "-");
        return;
    }
    int n = snprintf(pid, sizeof pid, "[%lld]", (long long)row_number(row, "pid"));
    bool likely = *owner && strcmp(owner, "socket");
    snprintf(to, size, "%s%.*s%s", likely ? "~" : "", PROCESS - 1 - n - likely, row_string(row, "comm"), pid);
}

static void list_line(const struct listing *l, json_t *row)
{
    const struct terminal *t = &l->ctl->term;
    char time[32], process[64], place[600], what[4096], number[8];
    struct text_out out;
    snprintf(time, sizeof time, "%s", row_string(row, "begin"));
    if (strlen(time) > 23) {
        time[10] = ' ';
        time[23] = 0;
    }
    set_sent(row, "sent", "received");
    describe_process(row, process, sizeof process);
    finding_place(row, place, sizeof place);
    text_out_init(&out, what, sizeof what);
    describe(row, l->wide, &out);
    terminal_cell(t, STYLE_DIM, l->wide ? WIDE_TIME : TIME, l->wide || strlen(time) < 12 ? time : time + 11);
    terminal_cell(t, STYLE_PLAIN, PROCESS - 1, process);
    terminal_cell(t, STYLE_PLAIN, 1, "");
    if (!l->wide) {
        terminal_last(t, STYLE_PLAIN, TIME + PROCESS, what);
        return;
    }
    terminal_cell(t, STYLE_PLAIN, PLACE - 1, place);
    terminal_cell(t, STYLE_PLAIN, 1, "");
    terminal_cell(t, STYLE_CYAN, DIRECTION, direction_name(row));
    terminal_cell(t, STYLE_PLAIN, PROTO - 1, proto_name(row_number(row, "proto"), number));
    cell_bytes(t, row, "sent");
    cell_bytes(t, row, "received");
    terminal_cell(t, STYLE_PLAIN, 2, "");
    terminal_last(t, STYLE_PLAIN, WIDE_TIME + PROCESS + PLACE + DIRECTION + PROTO + 1 + 2 * BYTES, what);
}

/* Columns that both have; a narrow line has direction and protocol in its text. */
static int top_width(const struct listing *l)
{
    return 2 * BYTES + COUNT + 1 + (l->wide ? 1 + AGO + PLACE + PROCESS + DIRECTION + PROTO : 2 * NARROW);
}

static void top_head(const struct listing *l)
{
    const struct terminal *t = &l->ctl->term;
    terminal_cell(t, STYLE_BOLD, -BYTES, "SENT");
    terminal_cell(t, STYLE_BOLD, -BYTES, "RECEIVED");
    terminal_cell(t, STYLE_BOLD, -COUNT, "FLOWS");
    terminal_cell(t, STYLE_PLAIN, l->wide ? 2 : 1, "");
    if (l->wide)
        terminal_cell(t, STYLE_BOLD, AGO, "LATEST");
    terminal_cell(t, STYLE_BOLD, l->wide ? PLACE : NARROW, "WHERE");
    terminal_cell(t, STYLE_BOLD, l->wide ? PROCESS : NARROW, "PROCESS");
    if (l->wide) {
        terminal_cell(t, STYLE_BOLD, DIRECTION, "DIR");
        terminal_cell(t, STYLE_BOLD, PROTO, "PROTO");
    }
    terminal_last(t, STYLE_BOLD, top_width(l), "FAR END");
}

static void describe_far(const json_t *row, bool wide, struct text_out *out)
{
    char number[8];
    bool in = !strcmp(row_string(row, "direction"), "in");
    if (!wide)
        text_out_printf(out, "%s %s ", direction_name(row), proto_name(row_number(row, "proto"), number));
    if (*row_string(row, "domain"))
        text_out_printf(out, "%s ", row_string(row, "domain"));
    put_end(out, row, "address", in ? "" : "port");
    if (in && has_ports(row) && row_number(row, "port"))
        text_out_printf(out, " to port %lld", (long long)row_number(row, "port"));
    if (row_number(row, "ports") > 1)
        text_out_printf(out, " (%lld ports)", (long long)row_number(row, "ports"));
}

static void top_line(const struct listing *l, const json_t *row)
{
    const struct terminal *t = &l->ctl->term;
    char count[24], ago[16] = "", place[600], what[2048], number[8];
    const char *processes = row_string(row, "processes");
    struct text_out out;
    finding_place(row, place, sizeof place);
    if (row_time(row, "latest"))
        terminal_ago(ago, row_time(row, "latest"), l->ctl->now_wall_ns);
    text_out_init(&out, what, sizeof what);
    describe_far(row, l->wide, &out);
    cell_bytes(t, row, "bytes_sent");
    cell_bytes(t, row, "bytes_received");
    terminal_cell(t, STYLE_PLAIN, -COUNT, row_text(row, "flows", count));
    terminal_cell(t, STYLE_PLAIN, l->wide ? 2 : 1, "");
    if (l->wide)
        terminal_cell(t, STYLE_DIM, AGO, ago);
    terminal_cell(t, STYLE_PLAIN, (l->wide ? PLACE : NARROW) - 1, place);
    terminal_cell(t, STYLE_PLAIN, 1, "");
    terminal_cell(t, STYLE_PLAIN, (l->wide ? PROCESS : NARROW) - 1, *processes ? processes : "-");
    terminal_cell(t, STYLE_PLAIN, 1, "");
    if (l->wide) {
        terminal_cell(t, STYLE_CYAN, DIRECTION, direction_name(row));
        terminal_cell(t, STYLE_PLAIN, PROTO, proto_name(row_number(row, "proto"), number));
    }
    terminal_last(t, STYLE_PLAIN, top_width(l), what);
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
        fputs("No flows.\n", stdout);
    if (!status && !l->ctl->json && l->filter.limit < 0 && l->limit && l->n == (uint64_t)l->limit)
        fprintf(stderr, l->top ? "The %d largest; --limit 0 lists all.\n" : "The %d newest; --limit 0 or --since lists more.\n", (int)l->limit);
    return status;
}

static bool is_direction(const char *text)
{
    return !strcmp(text, "out") || !strcmp(text, "in") || !strcmp(text, "local");
}

int ctl_flows(struct ctl *ctl, int argc, char **argv)
{
    struct listing l = { .ctl = ctl };
    int option, status;
    filter_init(&l.filter);
    while ((option = ctl_getopt(ctl, "flows", argc, argv, options, &status)) >= 0) {
        if (option == 'T')
            l.to = optarg;
        else if (option == 'd')
            l.direction = optarg;
        else if (option == 'o')
            l.top = true;
        else if (filter_option(&l.filter, ctl, "flows", option, optarg))
            return CTL_USAGE;
    }
    if (option == CTL_DONE)
        return status;
    if (optind < argc)
        return ctl_misuse("flows", "takes no argument: '%s'", argv[optind]);
    if (l.direction && !is_direction(l.direction))
        return ctl_misuse("flows", "--direction %s: needs out, in or local", l.direction);
    l.wide = !ctl->term.width || ctl->term.width >= WIDE_COLUMNS;
    l.limit = l.filter.limit >= 0 ? l.filter.limit : l.top ? DEFAULT_TOP : ctl->json || l.filter.since_ns ? 0 : DEFAULT_LIMIT;
    return list(&l);
}
