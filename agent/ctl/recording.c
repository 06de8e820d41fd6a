#include "agent/ctl/recording.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/event_fields.h"
#include "common/event_json.h"
#include "common/text.h"

int recording_print(FILE *out, const struct stamp *stamp, const struct event *ev)
{
    static char line[LIMIT_EVENT_JSON_BYTES];
    int n = event_to_json(ev, stamp, stamp ? stamp->wall_offset_ns : 0, line, sizeof line - 1);
    if (n < 0)
        return n;
    line[n] = '\n';
    return fwrite(line, 1, (size_t)n + 1, out) == (size_t)n + 1 ? 0 : -EIO;
}

/* A process that acts in the recorded time: `pid` runs the image of row `exec_id` (a fork runs its parent's). */
struct actor {
    int64_t exec_id;
    int32_t pid;
};

#define PIDS (1 << 22) /* PID_MAX_LIMIT of 64-bit kernels */

struct context {
    struct ctl *ctl;
    uint8_t *born; /* bit per pid: its fork is in the recorded time */
    struct actor *actors;
    size_t n_actors, max_actors, n_sorted;
    int32_t *containers;
    size_t n_containers, max_containers;
    int64_t first_id; /* of the recorded time */
    uint64_t first_ns;
    int error;
};

static int compare_actors(const void *a, const void *b)
{
    const struct actor *x = a, *y = b;
    if (x->exec_id != y->exec_id)
        return x->exec_id < y->exec_id ? -1 : 1;
    return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static void actors_sort(struct context *c)
{
    size_t n = 0;
    if (c->n_actors)
        qsort(c->actors, c->n_actors, sizeof *c->actors, compare_actors);
    for (size_t i = 0; i < c->n_actors; i++)
        if (!n || compare_actors(&c->actors[i], &c->actors[n - 1]))
            c->actors[n++] = c->actors[i];
    c->n_actors = c->n_sorted = n;
}

static int context_actor(struct context *c, int64_t exec_id, int32_t pid)
{
    struct actor actor = { exec_id, pid };
    if (!exec_id || exec_id >= c->first_id)
        return 0;
    if (c->n_sorted && bsearch(&actor, c->actors, c->n_sorted, sizeof actor, compare_actors))
        return 0;
    /* the same few processes act again and again: sort what is new before the array doubles */
    if (c->n_actors >= 64 && c->n_actors == c->max_actors)
        actors_sort(c);
    if (array_grow((void **)&c->actors, c->n_actors, &c->max_actors, sizeof actor))
        return -ENOMEM;
    c->actors[c->n_actors++] = actor;
    return 0;
}

static int context_container(struct context *c, int32_t id)
{
    for (size_t i = 0; i < c->n_containers; i++)
        if (c->containers[i] == id)
            return 0;
    if (!id)
        return 0;
    if (array_grow((void **)&c->containers, c->n_containers, &c->max_containers, sizeof id))
        return -ENOMEM;
    c->containers[c->n_containers++] = id;
    return 0;
}

static int collect(void *arg, const struct stamp *stamp, const struct event *ev)
{
    struct context *c = arg;
    if (!c->first_id) {
        c->first_id = stamp->id;
        c->first_ns = ev->time_ns;
    }
    uint32_t pid = (uint32_t)ev->pid % PIDS;
    int error = context_container(c, stamp->container);
    if (ev->kind == EVENT_FORK)
        c->born[pid / 8] |= (uint8_t)(1u << pid % 8);
    if (!error && !(c->born[pid / 8] >> pid % 8 & 1))
        error = context_actor(c, stamp->exec_id, ev->pid);
    if (!error && stamp->parent_id)
        error = context_actor(c, stamp->parent_id, ev->ppid);
    return error;
}

/* One stored event by its id. */
static int event_by_id(struct context *c, int64_t id, query_event_fn *event, void *arg)
{
    struct query_events_filter filter = { .kinds = 1u << EVENT_EXEC | 1u << EVENT_PROCESS, .after_id = id - 1, .limit = 1 };
    return query_events(c->ctl->db, &filter, event, arg);
}

struct wanted {
    struct context *c;
    struct actor actor;
};

static int collect_ancestor(void *arg, const struct stamp *stamp, const struct event *ev)
{
    struct wanted *w = arg;
    if (stamp->id != w->actor.exec_id)
        return 0; /* the row is gone: too old */
    int error = context_container(w->c, stamp->container);
    return error ? error : context_actor(w->c, stamp->parent_id, ev->ppid);
}

static int print_process(void *arg, const struct stamp *stamp, const struct event *ev)
{
    static union event_buffer copy;
    struct wanted *w = arg;
    if (stamp->id != w->actor.exec_id)
        return 0;
    memcpy(&copy, ev, ev->size);
    copy.event.kind = EVENT_PROCESS;
    if (w->actor.pid && w->actor.pid != ev->pid) { /* forked from the process that executed the image; when is not recorded */
        event_set(&copy.event, F_PPID, ppid, ev->pid);
        event_set(&copy.event, F_PID, pid, w->actor.pid);
        copy.event.known[F_START_NS >> 6] &= ~(1ull << (F_START_NS & 63));
    }
    return recording_print(w->c->ctl->term.out, stamp, &copy.event);
}

/* Every actor's parent, its parent and so on, until nothing new comes. */
static int collect_ancestors(struct context *c)
{
    size_t before;
    int error = 0;
    do {
        actors_sort(c);
        before = c->n_actors;
        for (size_t i = 0; i < before && !error; i++) {
            struct wanted w = { c, c->actors[i] };
            error = event_by_id(c, w.actor.exec_id, collect_ancestor, &w);
        }
        actors_sort(c);
    } while (!error && c->n_actors > before);
    return error;
}

static void set_texts(struct event *ev, const json_t *row)
{
    static const enum event_field fields[] = { F_CONTAINER_ID, F_RUNTIME,  F_TASK_ID,     F_TASK_ARN, F_CLUSTER,  F_FAMILY,  F_REVISION,
                                               F_SERVICE,      F_CONTAINER_NAME, F_DOCKER_NAME, F_IMAGE,    F_IMAGE_ID, F_UPPERDIR };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        char bytes[LIMIT_PATH_BYTES];
        const char *text = row_string(row, event_fields[fields[i]].name);
        int n = text_unescape(text, strlen(text), bytes, sizeof bytes);
        if (n > 0)
            event_set_text(ev, fields[i], bytes, (size_t)n);
    }
}

static void set_numbers(struct event *ev, const json_t *row)
{
    static const enum event_field fields[] = { F_MNTNS, F_NETNS, F_PIDNS, F_ROOT_DEV, F_STARTED_WALL_NS };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        uint64_t value = (uint64_t)row_number(row, event_fields[fields[i]].name);
        if (!value)
            continue;
        memcpy((char *)ev + event_fields[fields[i]].offset, &value, sizeof value);
        event_know(ev, fields[i]);
    }
    if (!json_is_null(json_object_get(row, "nsid")) && row_number(row, "nsid") != -2) /* -2: unknown */
        event_set(ev, F_NSID, nsid, (int32_t)row_number(row, "nsid"));
    if (row_number(row, "privileged"))
        event_set(ev, F_PRIVILEGED, privileged, 1);
    if (row_number(row, "role"))
        event_set(ev, F_CONTAINER_ROLE, container_role, (uint8_t)row_number(row, "role"));
    if (row_number(row, "init_pid"))
        event_set(ev, F_PID, pid, (int32_t)row_number(row, "init_pid"));
    struct address address;
    if (*row_string(row, "address") && !address_parse(row_string(row, "address"), &address))
        event_set(ev, F_SRC, src, address);
}

/* All that is known about a container that began before the recorded time, as one event at its start. */
static int print_container(json_t *row, void *arg)
{
    static union event_buffer buffer;
    struct context *c = arg;
    struct event *ev = &buffer.event;
    uint64_t started = (uint64_t)row_number(row, "started");
    if (started >= c->first_ns)
        return 0; /* its start is in the recording itself */
    event_init(ev, EVENT_CONTAINER, SOURCE_CGROUP, started ? started : c->first_ns - 1);
    event_set(ev, F_CONTAINER_PHASE, container_phase, CONTAINER_START);
    set_texts(ev, row);
    set_numbers(ev, row);
    c->error = recording_print(c->ctl->term.out, NULL, ev);
    return c->error;
}

static int print_containers(struct context *c)
{
    int status = CTL_OK;
    for (size_t i = 0; i < c->n_containers && !status; i++) {
        struct sql sql;
        sql_init(&sql, "SELECT * FROM container WHERE id = ?");
        sql_bind_number(&sql, c->containers[i]);
        status = ctl_db_each(c->ctl, &sql, print_container, c);
        sql_fini(&sql);
    }
    return status ? status : c->error ? CTL_FAILED : CTL_OK;
}

int recording_context(struct ctl *ctl, const struct query_events_filter *filter)
{
    struct context c = { .ctl = ctl, .born = calloc(PIDS / 8, 1) };
    int status = CTL_OK, error = c.born ? query_events(ctl->db, filter, collect, &c) : -ENOMEM;
    if (!error)
        error = collect_ancestors(&c);
    if (!error)
        status = print_containers(&c);
    for (size_t i = 0; i < c.n_actors && !error && !status; i++) {
        struct wanted w = { &c, c.actors[i] };
        error = event_by_id(&c, w.actor.exec_id, print_process, &w);
    }
    free(c.born);
    free(c.actors);
    free(c.containers);
    if (error < 0) {
        ctl_db_complain(ctl, error);
        status = CTL_FAILED;
    }
    return status;
}
