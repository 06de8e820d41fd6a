/* ecsguardctl containers */
#include <string.h>

#include "agent/ctl/finding_view.h"

static const struct option options[] = { CTL_OPTIONS, { "all", no_argument, NULL, 'a' }, { NULL, 0, NULL, 0 } };

struct listing {
    struct ctl *ctl;
    uint64_t n;
};

static void list_head(const struct terminal *t)
{
    terminal_cell(t, STYLE_BOLD, 13, "ID");
    terminal_cell(t, STYLE_BOLD, 8, "STATE");
    terminal_cell(t, STYLE_BOLD, 9, "STARTED");
    terminal_cell(t, STYLE_BOLD, 10, "TASK");
    terminal_cell(t, STYLE_BOLD, 26, "NAME");
    terminal_last(t, STYLE_BOLD, 66, "IMAGE");
}

static int list_row(json_t *row, void *arg)
{
    struct listing *l = arg;
    const struct terminal *t = &l->ctl->term;
    char id[13], task[9], place[600], ago[16] = "";
    l->n++;
    if (l->ctl->json) {
        ctl_print_json(l->ctl, row, false);
        return 0;
    }
    snprintf(id, sizeof id, "%s", row_string(row, "container_id"));
    snprintf(task, sizeof task, "%s", row_string(row, "task_id"));
    finding_place(row, place, sizeof place);
    if (row_time(row, "started"))
        terminal_ago(ago, row_time(row, "started"), l->ctl->now_wall_ns);
    terminal_cell(t, STYLE_PLAIN, 13, id);
    terminal_cell(t, !strcmp(row_string(row, "state"), "running") ? STYLE_GREEN : STYLE_DIM, 8, row_string(row, "state"));
    terminal_cell(t, STYLE_PLAIN, 9, ago);
    terminal_cell(t, STYLE_PLAIN, 10, *task ? task : "-");
    terminal_cell(t, STYLE_BOLD, 25, place);
    terminal_cell(t, STYLE_PLAIN, 1, "");
    terminal_last(t, STYLE_PLAIN, 66, row_string(row, "image"));
    return 0;
}

int ctl_containers(struct ctl *ctl, int argc, char **argv)
{
    struct listing l = { .ctl = ctl };
    struct sql sql;
    bool all = false;
    int option, status;
    while ((option = ctl_getopt(ctl, "containers", argc, argv, options, &status)) >= 0)
        all |= option == 'a';
    if (option == CTL_DONE)
        return status;
    if (optind < argc)
        return ctl_misuse("containers", "takes no argument: '%s'", argv[optind]);
    status = ctl_db_open(ctl);
    if (status)
        return status;
    sql_init(&sql, "SELECT * FROM containers");
    sql_add(&sql, "%s ORDER BY id", all ? "" : " WHERE state = 'running'");
    if (!ctl->json)
        list_head(&ctl->term);
    status = ctl_db_each(ctl, &sql, list_row, &l);
    sql_fini(&sql);
    if (!status && !ctl->json && !l.n)
        fputs(all ? "No containers.\n" : "No running containers; --all lists the ended ones.\n", stdout);
    return status;
}
