#include "agent/ctl/filter.h"

#include <string.h>

#include "common/event.h"
#include "common/finding.h"
#include "common/text.h"

void filter_init(struct filter *f)
{
    *f = (struct filter){ .pid = -1, .limit = -1 };
}

static int option_time(const struct ctl *ctl, const char *command, const char *name, const char *value, uint64_t *ns)
{
    if (!ctl_time(value, ctl->now_wall_ns, ns))
        return 0;
    return ctl_misuse(command, "--%s %s: needs a time, as 15m, 24h, 7d or 2026-11-22T10:00:00Z", name, value);
}

static int option_number(const char *command, const char *name, const char *value, int64_t *number)
{
    uint64_t n;
    if (text_to_u64(value, strlen(value), &n) || n > INT32_MAX)
        return ctl_misuse(command, "--%s %s: needs a number from 0 to %d", name, value, INT32_MAX);
    *number = (int64_t)n;
    return 0;
}

/* Calls `each` with every piece between commas; stops at the first that it refuses. */
static int list_each(const char *list, int (*each)(const char *piece, void *arg), void *arg)
{
    while (*list) {
        char piece[64];
        size_t n = strcspn(list, ",");
        if (n && (!text_copy(piece, sizeof piece, list, n) || each(piece, arg)))
            return -1;
        list += n + (list[n] == ',');
    }
    return 0;
}

static int severity_bit(const char *piece, void *arg)
{
    uint32_t *bits = arg;
    size_t n = strcspn(piece, "+");
    for (int i = SEVERITY_INFO; i <= SEVERITY_CRITICAL; i++) {
        const char *name = severity_name((enum severity)i);
        if (strlen(name) != n || strncmp(piece, name, n))
            continue;
        *bits |= piece[n] ? 0x1fu >> i << i : 1u << i;
        return piece[n] && piece[n + 1] ? -1 : 0;
    }
    return -1;
}

static int kind_bit(const char *piece, void *arg)
{
    for (int i = 1; i < EVENT_KIND_MAX; i++)
        if (!strcmp(piece, event_kind_name((enum event_kind)i))) {
            *(uint32_t *)arg |= 1u << i;
            return 0;
        }
    return -1;
}

int filter_option(struct filter *f, const struct ctl *ctl, const char *command, int option, const char *value)
{
    switch (option) {
    case 's':
        return option_time(ctl, command, "since", value, &f->since_ns);
    case 'u':
        return option_time(ctl, command, "until", value, &f->until_ns);
    case 'n':
        return option_number(command, "limit", value, &f->limit);
    case 'p':
        return option_number(command, "pid", value, &f->pid);
    case 't':
        f->task = value;
        return 0;
    case 'c':
        f->container = value;
        return 0;
    case 'S':
        if (!list_each(value, severity_bit, &f->severity_bits) && f->severity_bits)
            return 0;
        return ctl_misuse(command, "--severity %s: needs info, low, medium, high or critical; \"high+\" is high and above", value);
    case 'T':
        f->type = value;
        return 0;
    case 'k':
        if (!list_each(value, kind_bit, &f->kind_bits) && f->kind_bits)
            return 0;
        return ctl_misuse(command, "--kind %s: is no kind of event; ecsguard-events(5) lists them", value);
    case 'f':
        f->follow = true;
        return 0;
    case 'x':
        f->status = FILTER_STATUS_SUPPRESSED;
        return 0;
    case 'a':
        f->status = FILTER_STATUS_ALL;
        return 0;
    }
    return CTL_USAGE;
}

/* A parameter that GLOB takes as "begins with". */
static void bind_prefix(struct sql *sql, const char *prefix)
{
    char glob[2048];
    struct text_out out;
    text_out_init(&out, glob, sizeof glob);
    for (const char *p = prefix; *p && !out.cut; p++)
        text_out_printf(&out, strchr("*?[", *p) ? "[%c]" : "%c", *p);
    text_out_printf(&out, "*");
    sql_bind_text(sql, glob);
}

void filter_add_prefix(struct sql *sql, const char *column, const char *prefix)
{
    sql_add(sql, " AND %s GLOB ?", column);
    bind_prefix(sql, prefix);
}

void filter_add_place(const struct filter *f, struct sql *sql)
{
    if (f->task) {
        sql_add(sql, " AND (task_arn = ? OR task_id GLOB ?)");
        sql_bind_text(sql, f->task);
        bind_prefix(sql, f->task);
    }
    if (f->container) {
        sql_add(sql, " AND (container_name = ? OR container_id GLOB ?)");
        sql_bind_text(sql, f->container);
        bind_prefix(sql, f->container);
    }
}

void filter_add_severity(const struct filter *f, struct sql *sql)
{
    const char *separator = " AND severity IN (";
    if (!f->severity_bits)
        return;
    for (int i = SEVERITY_INFO; i <= SEVERITY_CRITICAL; i++)
        if (f->severity_bits >> i & 1) {
            sql_add(sql, "%s'%s'", separator, severity_name((enum severity)i));
            separator = ",";
        }
    sql_add(sql, ")");
}
