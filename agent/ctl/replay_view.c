#include "agent/ctl/replay_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/ctl/finding_view.h"
#include "common/text.h"

static void set_text(json_t *row, const char *column, const char *text)
{
    char safe[4 * LIMIT_FINDING_TEXT_BYTES + 1];
    terminal_safe(safe, sizeof safe, text);
    json_object_set_new(row, column, *text ? json_string(safe) : json_null());
}

static void set_time(json_t *row, const char *column, uint64_t wall_ns)
{
    char text[32];
    text_time(text, wall_ns);
    set_text(row, column, text);
}

/* A text that holds JSON. */
static void set_json(json_t *row, const char *column, const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    if (value)
        json_object_set_new(row, column, value);
    else
        set_text(row, column, text);
}

static void set_container(json_t *row, const struct container_facts *c)
{
    set_text(row, "cluster", c->cluster);
    set_text(row, "task_arn", c->task_arn);
    set_text(row, "task_id", c->task_id);
    set_text(row, "task_family", c->family);
    set_text(row, "service", c->service);
    set_text(row, "container_name", c->name);
    set_text(row, "container_id", c->container_id);
    set_text(row, "image", c->image);
    set_text(row, "image_id", c->image_id);
}

/* In the shape of the view `findings`, as far as a replay knows. */
static json_t *finding_row(const struct replay_finding *found, const char *host)
{
    static const struct {
        const char *column;
        enum finding_text text;
    } texts[] = { { "type", FT_TYPE },     { "rule", FT_RULE }, { "title", FT_TITLE }, { "description", FT_DESCRIPTION }, { "advice", FT_ADVICE },
                  { "mitre", FT_MITRE },   { "comm", FT_COMM }, { "exe", FT_EXE },     { "cmdline", FT_CMDLINE } };
    const struct finding *f = found->finding;
    char user[16];
    json_t *row = json_object();
    set_text(row, "id", f->id);
    set_text(row, "status", *finding_get(f, FT_SUPPRESSED_BY) ? "suppressed" : "open");
    set_text(row, "suppressed_by", finding_get(f, FT_SUPPRESSED_BY));
    set_text(row, "severity", severity_name((enum severity)f->severity));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        set_text(row, texts[i].column, finding_get(f, texts[i].text));
    json_object_set_new(row, "count", json_integer((json_int_t)found->count));
    set_time(row, "first_seen", found->first_wall_ns);
    set_time(row, "last_seen", found->last_wall_ns);
    set_text(row, "host", host);
    set_container(row, &found->container);
    json_object_set_new(row, "pid", json_integer(f->pid));
    snprintf(user, sizeof user, "%u", f->uid);
    set_text(row, "user", f->uid ? user : "root");
    set_json(row, "lineage", finding_get(f, FT_LINEAGE));
    set_json(row, "evidence", finding_get(f, FT_EVIDENCE));
    return row;
}

void replay_view_print(struct ctl *ctl, const struct replay *r, bool verbose)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    if (!ctl->json && !verbose && r->n_findings)
        finding_list_head(ctl);
    for (size_t i = 0; i < r->n_findings; i++) {
        json_t *row = finding_row(&r->findings[i], host);
        if (ctl->json)
            ctl_print_json(ctl, row, false);
        else if (verbose)
            finding_show(ctl, row, NULL);
        else
            finding_list_row(ctl, row);
        if (verbose && !ctl->json)
            fputc('\n', stdout);
        json_decref(row);
    }
    fflush(stdout);
    if (r->n_findings_dropped)
        fprintf(stderr, "%llu more findings were not kept (at most %d)\n", (unsigned long long)r->n_findings_dropped, LIMIT_REPLAY_FINDINGS);
}

int replay_view_load(struct replay *r, const char *path)
{
    bool standard = !strcmp(path, "-");
    FILE *in = standard ? stdin : fopen(path, "re");
    if (!in) {
        ctl_complain("cannot open %s: %s", path, strerror(errno));
        return CTL_FAILED;
    }
    int error = replay_load(r, in, standard ? "stdin" : path, stderr);
    if (!standard)
        fclose(in);
    if (error == -EFBIG)
        ctl_complain("%s holds more than %u MiB of events: replay a shorter time", path, LIMIT_REPLAY_BYTES >> 20);
    else if (error)
        ctl_complain("cannot read %s: %s", path, strerror(-error));
    return error ? CTL_FAILED : CTL_OK;
}
