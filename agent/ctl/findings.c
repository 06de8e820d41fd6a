/* ecsguardctl findings */
#include <string.h>
#include <time.h>

#include "agent/ctl/filter.h"
#include "agent/ctl/finding_view.h"
#include "common/clock.h"
#include "common/text.h"

#define DEFAULT_LIMIT 50
#define EVIDENCE_SHOWN 10
#define FOLLOW_MS 300

static const struct option options[] = { CTL_OPTIONS, FILTER_OPTIONS, { "severity", required_argument, NULL, 'S' },
                                         { "type", required_argument, NULL, 'T' }, { "suppressed", no_argument, NULL, 'x' },
                                         { "all", no_argument, NULL, 'a' }, { NULL, 0, NULL, 0 } };

static void add_conditions(const struct filter *f, struct sql *sql)
{
    char since[32];
    if (f->since_ns) {
        text_time(since, f->since_ns);
        sql_add(sql, " AND last_seen >= ?");
        sql_bind_text(sql, since);
    }
    if (f->type) {
        sql_add(sql, " AND type GLOB ?");
        sql_bind_text(sql, f->type);
    }
    if (f->status != FILTER_STATUS_ALL)
        sql_add(sql, f->status == FILTER_STATUS_SUPPRESSED ? " AND status = 'suppressed'" : " AND status <> 'suppressed'");
    filter_add_place(f, sql);
    filter_add_severity(f, sql);
}

struct listing {
    struct ctl *ctl;
    int64_t revision; /* the newest that was printed */
    uint64_t n;
};

static int list_row(json_t *row, void *arg)
{
    struct listing *l = arg;
    if (row_number(row, "revision") > l->revision)
        l->revision = row_number(row, "revision");
    l->n++;
    if (l->ctl->json)
        ctl_print_json(l->ctl, row, false);
    else
        finding_list_row(l->ctl, row);
    return 0;
}

static int list_follow(struct listing *l, const struct filter *f)
{
    struct timespec pause = { 0, FOLLOW_MS * (long)NS_PER_MS };
    int status = CTL_OK;
    while (!status && !fflush(stdout)) {
        struct sql sql;
        nanosleep(&pause, NULL);
        l->ctl->now_wall_ns = clock_ns(CLOCK_REALTIME);
        sql_init(&sql, "SELECT * FROM findings WHERE revision > ?");
        sql_bind_number(&sql, l->revision);
        add_conditions(f, &sql);
        sql_add(&sql, " ORDER BY revision");
        status = ctl_db_each(l->ctl, &sql, list_row, l);
        sql_fini(&sql);
    }
    return status;
}

/* The newest, oldest of them first with --follow, so that the list goes on in order. */
static int list(struct ctl *ctl, const struct filter *f)
{
    struct listing l = { .ctl = ctl };
    int64_t limit = f->limit < 0 ? DEFAULT_LIMIT : f->limit ? f->limit : INT32_MAX;
    struct sql sql;
    sql_init(&sql, f->follow ? "SELECT * FROM (SELECT * FROM findings WHERE 1" : "SELECT * FROM findings WHERE 1");
    add_conditions(f, &sql);
    sql_add(&sql, " ORDER BY last_seen DESC, revision DESC LIMIT ?%s", f->follow ? ") ORDER BY last_seen, revision" : "");
    sql_bind_number(&sql, limit);
    int status = ctl_db_open(ctl);
    if (!status && !ctl->json)
        finding_list_head(ctl);
    if (!status)
        status = ctl_db_each(ctl, &sql, list_row, &l);
    sql_fini(&sql);
    if (!status && !ctl->json && !l.n && !f->follow)
        fputs(f->status == FILTER_STATUS_SUPPRESSED ? "No suppressed findings.\n" : "No findings.\n", stdout);
    if (!status && !ctl->json && f->limit < 0 && l.n == DEFAULT_LIMIT && !f->follow)
        fprintf(stderr, "The %d newest; --limit 0 lists all.\n", DEFAULT_LIMIT);
    return status || !f->follow ? status : list_follow(&l, f);
}

static int show_found(struct ctl *ctl, json_t *finding)
{
    struct sql sql;
    sql_init(&sql, "SELECT * FROM evidence WHERE finding_id = ? ORDER BY id DESC LIMIT ?");
    sql_bind_text(&sql, row_string(finding, "id"));
    sql_bind_number(&sql, ctl->json ? INT32_MAX : EVIDENCE_SHOWN);
    json_t *evidence = ctl_db_rows(ctl, &sql);
    sql_fini(&sql);
    if (!evidence)
        return CTL_FAILED;
    if (ctl->json) {
        json_object_set(finding, "occurrences", evidence);
        ctl_print_json(ctl, finding, true);
    } else {
        finding_show(ctl, finding, evidence);
    }
    json_decref(evidence);
    return CTL_OK;
}

static int show(struct ctl *ctl, const char *id)
{
    struct sql sql;
    int status = CTL_FAILED;
    if (ctl_db_open(ctl))
        return CTL_FAILED;
    sql_init(&sql, "SELECT * FROM findings WHERE 1");
    filter_add_prefix(&sql, "id", id);
    sql_add(&sql, " LIMIT 10");
    json_t *rows = ctl_db_rows(ctl, &sql);
    sql_fini(&sql);
    if (json_array_size(rows) == 1) {
        status = show_found(ctl, json_array_get(rows, 0));
    } else if (rows && !json_array_size(rows)) {
        ctl_complain("no finding's id begins with '%s'", id);
    } else if (rows) {
        ctl_complain("several findings' ids begin with '%s': give more of the id", id);
        for (size_t i = 0; i < json_array_size(rows); i++)
            fprintf(stderr, "  %s  %s\n", row_string(json_array_get(rows, i), "id"), row_string(json_array_get(rows, i), "type"));
    }
    json_decref(rows);
    return status;
}

int ctl_findings(struct ctl *ctl, int argc, char **argv)
{
    struct filter f;
    int option, status;
    filter_init(&f);
    while ((option = ctl_getopt(ctl, "findings", argc, argv, options, &status)) >= 0)
        if (filter_option(&f, ctl, "findings", option, optarg))
            return CTL_USAGE;
    if (option == CTL_DONE)
        return status;
    const char *verb = optind < argc ? argv[optind] : "list";
    if (!strcmp(verb, "list") && optind + 1 >= argc)
        return list(ctl, &f);
    if (!strcmp(verb, "show") && optind + 2 == argc && *argv[optind + 1])
        return show(ctl, argv[optind + 1]);
    if (!strcmp(verb, "show"))
        return ctl_misuse("findings", "show needs the id of one finding, or its beginning");
    return ctl_misuse("findings", "there is no 'findings %s'", !strcmp(verb, "list") ? argv[optind + 1] : verb);
}
