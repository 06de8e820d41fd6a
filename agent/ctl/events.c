/* ecsguardctl events: for people, or as recorded events that a replay takes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/ctl/event_view.h"
#include "agent/ctl/filter.h"
#include "agent/ctl/finding_view.h"
#include "agent/ctl/recording.h"
#include "common/clock.h"
#include "common/event_json.h"
#include "common/text.h"
#include "storage/query.h"

#define DEFAULT_LIMIT 100
#define FOLLOW_MS 300
#define NAMES 256 /* remembered names of images and containers: ~250 KiB */

static const struct option options[] = { CTL_OPTIONS, FILTER_OPTIONS, { "until", required_argument, NULL, 'u' },
                                         { "pid", required_argument, NULL, 'p' }, { "kind", required_argument, NULL, 'k' },
                                         { "no-context", no_argument, NULL, 'x' }, { NULL, 0, NULL, 0 } };

/* A name for a row id, looked up once. */
struct name {
    int64_t id;
    char text[500];
};

struct listing {
    struct ctl *ctl;
    struct name images[NAMES], containers[NAMES];
    int64_t last_id;
    uint64_t n;
};

static int name_of_image(json_t *row, void *arg)
{
    snprintf(((struct name *)arg)->text, sizeof((struct name *)arg)->text, "%s", row_string(row, "comm"));
    return 1;
}

static int name_of_container(json_t *row, void *arg)
{
    finding_place(row, ((struct name *)arg)->text, sizeof((struct name *)arg)->text);
    return 1;
}

static const char *name_find(struct ctl *ctl, struct name *names, int64_t id, const char *select, int (*take)(json_t *row, void *arg))
{
    struct name *name = &names[(uint64_t)id % NAMES];
    struct sql sql;
    if (name->id == id)
        return name->text;
    name->id = id;
    name->text[0] = 0;
    sql_init(&sql, select);
    sql_bind_number(&sql, id);
    ctl_db_each(ctl, &sql, take, name);
    sql_fini(&sql);
    return name->text;
}

static int list_event(void *arg, const struct stamp *stamp, const struct event *ev)
{
    struct listing *l = arg;
    const char *comm = event_text(ev, ev->comm), *place = "host";
    l->n++;
    l->last_id = stamp->id;
    if (l->ctl->json)
        return recording_print(l->ctl->term.out, stamp, ev);
    if (!*comm && stamp->exec_id)
        comm = name_find(l->ctl, l->images, stamp->exec_id, "SELECT comm FROM processes WHERE id = ?", name_of_image);
    if (stamp->container)
        place = name_find(l->ctl, l->containers, stamp->container,
                          "SELECT container_name, container_id, task_family, task_id FROM container WHERE id = ?", name_of_container);
    event_list_row(l->ctl, ev, comm, place);
    return 0;
}

static int query_filter(const struct filter *f, const struct ctl *ctl, struct query_events_filter *q)
{
    const char *task = f->task ? text_basename(f->task) : NULL; /* of an ARN the id */
    bool all = ctl->json || f->since_ns || f->until_ns;
    if (f->task && f->container)
        return ctl_misuse("events", "--task and --container exclude each other");
    *q = (struct query_events_filter){ .kinds = f->kind_bits,
                                       .since_ns = f->since_ns,
                                       .until_ns = f->until_ns,
                                       .container = f->container ? f->container : task,
                                       .pid = f->pid > 0 ? (int32_t)f->pid : 0,
                                       .limit = f->limit >= 0 ? f->limit : all ? 0 : DEFAULT_LIMIT,
                                       .newest = true };
    return 0;
}

static int list_query(struct listing *l, const struct query_events_filter *q)
{
    int result = query_events(l->ctl->db, q, list_event, l);
    if (result >= 0)
        return CTL_OK;
    ctl_db_complain(l->ctl, result);
    return CTL_FAILED;
}

/* The newest event's id, where a list that came out empty goes on from. */
static int last_id(json_t *row, void *arg)
{
    *(int64_t *)arg = row_number(row, "id");
    return 1;
}

static int list_follow(struct listing *l, struct query_events_filter *q)
{
    struct timespec pause = { 0, FOLLOW_MS * (long)NS_PER_MS };
    struct sql sql;
    int status = CTL_OK;
    if (!l->n) {
        sql_init(&sql, "SELECT max(id) AS id FROM events");
        status = ctl_db_each(l->ctl, &sql, last_id, &l->last_id);
        sql_fini(&sql);
    }
    q->limit = 0;
    q->since_ns = 0;
    while (!status && !fflush(stdout)) {
        nanosleep(&pause, NULL);
        q->after_id = l->last_id;
        status = list_query(l, q);
    }
    return status;
}

static int list(struct listing *l, const struct filter *f, bool context)
{
    struct query_events_filter q;
    int status = query_filter(f, l->ctl, &q);
    if (!status)
        status = ctl_db_open(l->ctl);
    if (!status && l->ctl->json && context && !f->follow)
        status = recording_context(l->ctl, &q);
    if (!status && !l->ctl->json)
        event_list_head(l->ctl);
    if (!status)
        status = list_query(l, &q);
    if (!status && !l->ctl->json && !l->n && !f->follow)
        fputs("No events.\n", stdout);
    if (!status && !l->ctl->json && q.limit == DEFAULT_LIMIT && l->n == DEFAULT_LIMIT && f->limit < 0 && !f->follow)
        fprintf(stderr, "The %d newest; --limit 0 or --since lists more.\n", DEFAULT_LIMIT);
    return status || !f->follow ? status : list_follow(l, &q);
}

int ctl_events(struct ctl *ctl, int argc, char **argv)
{
    struct listing *l;
    struct filter f;
    bool context = true;
    int option, status;
    filter_init(&f);
    while ((option = ctl_getopt(ctl, "events", argc, argv, options, &status)) >= 0) {
        if (option == 'x')
            context = false;
        else if (filter_option(&f, ctl, "events", option, optarg))
            return CTL_USAGE;
    }
    if (option == CTL_DONE)
        return status;
    if (optind < argc)
        return ctl_misuse("events", "takes no argument: '%s'", argv[optind]);
    l = calloc(1, sizeof *l);
    if (!l)
        return CTL_FAILED;
    l->ctl = ctl;
    status = list(l, &f, context);
    free(l);
    return status;
}
