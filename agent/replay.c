#include "agent/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/event_json.h"

/* After the last event: every decision that waits for a fact is over by then. */
#define END_NS (10 * NS_PER_SECOND)

void replay_init(struct replay *r)
{
    *r = (struct replay){ 0 };
}

void replay_fini(struct replay *r)
{
    for (size_t i = 0; i < r->n_events; i++)
        free(r->events[i]);
    for (size_t i = 0; i < r->n_containers; i++)
        free(r->containers[i]);
    for (size_t i = 0; i < r->n_findings; i++)
        free(r->findings[i].finding);
    free(r->events);
    free(r->containers);
    free(r->findings);
}

static int replay_add(struct replay *r, const struct event *ev)
{
    if (r->n_bytes + ev->size > LIMIT_REPLAY_BYTES)
        return -EFBIG;
    if (array_grow((void **)&r->events, r->n_events, &r->max_events, sizeof *r->events))
        return -ENOMEM;
    struct event *copy = malloc(ev->size);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, ev, ev->size);
    r->events[r->n_events++] = copy;
    r->n_bytes += ev->size;
    return 0;
}

static bool line_is_blank(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!strchr(" \t\r", line[i]))
            return false;
    return true;
}

static int replay_line(struct replay *r, const char *line, size_t length, const char *name, uint64_t number, FILE *errors)
{
    static union event_buffer buffer;
    char error[256];
    if (line_is_blank(line, length))
        return 0;
    memset(&buffer.event, 0, sizeof buffer.event);
    /* wall offset 0: the pipeline's clock is the recording's wall clock */
    int result = event_from_json(line, length, &buffer, 0, error, sizeof error);
    if (!result)
        return replay_add(r, &buffer.event);
    if (result == -EINVAL) {
        fprintf(errors, "%s:%llu: %s\n", name, (unsigned long long)number, error);
        r->n_bad++;
        result = 0;
    }
    return result;
}

/* Reads up to the newline. Returns the length that the line has, which may be more than was kept; -1 at the end. */
static ssize_t line_read(FILE *in, char *line, size_t size)
{
    ssize_t n = 0;
    int c;
    while ((c = getc_unlocked(in)) != EOF && c != '\n') {
        if ((size_t)n < size)
            line[n] = (char)c;
        n++;
    }
    return c == EOF && !n ? -1 : n;
}

int replay_load(struct replay *r, FILE *in, const char *name, FILE *errors)
{
    size_t size = LIMIT_EVENT_JSON_BYTES + 1; /* one more, so that event_from_json() sees that it is too long */
    char *line = malloc(size);
    ssize_t n;
    int result = line ? 0 : -ENOMEM;
    for (uint64_t number = 1; !result && (n = line_read(in, line, size)) >= 0; number++)
        result = replay_line(r, line, (size_t)n < size ? (size_t)n : size, name, number, errors);
    if (!result && ferror(in))
        result = errno ? -errno : -EIO;
    free(line);
    return result;
}

struct ordered {
    const struct event *ev;
    size_t place; /* in the file: equal times keep their order */
};

static int compare_times(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    if (x->ev->time_ns != y->ev->time_ns)
        return x->ev->time_ns < y->ev->time_ns ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

static int replay_sort(struct replay *r)
{
    struct ordered *order = calloc(r->n_events + 1, sizeof *order);
    if (!order)
        return -ENOMEM;
    for (size_t i = 0; i < r->n_events; i++)
        order[i] = (struct ordered){ r->events[i], i };
    qsort(order, r->n_events, sizeof *order, compare_times);
    for (size_t i = 0; i < r->n_events; i++)
        r->events[i] = (struct event *)order[i].ev;
    free(order);
    return 0;
}

static struct container_facts *replay_container(struct replay *r, int32_t id)
{
    for (size_t i = r->n_containers; i-- > 0;)
        if (r->containers[i]->id == id)
            return r->containers[i];
    return NULL;
}

static int take_container(struct replay *r, const struct container_facts *facts)
{
    struct container_facts *known = replay_container(r, facts->id);
    if (!known) {
        if (array_grow((void **)&r->containers, r->n_containers, &r->max_containers, sizeof *r->containers))
            return -ENOMEM;
        known = malloc(sizeof *known);
        if (!known)
            return -ENOMEM;
        r->containers[r->n_containers++] = known;
    }
    *known = *facts;
    return 0;
}

static int take_finding(struct replay *r, const struct finding *f)
{
    for (size_t i = 0; i < r->n_findings; i++) {
        struct replay_finding *known = &r->findings[i];
        if (strcmp(known->finding->id, f->id))
            continue;
        known->count++;
        if (f->wall_ns > known->last_wall_ns)
            known->last_wall_ns = f->wall_ns;
        return 0;
    }
    if (r->n_findings == LIMIT_REPLAY_FINDINGS) {
        r->n_findings_dropped++;
        return 0;
    }
    if (array_grow((void **)&r->findings, r->n_findings, &r->max_findings, sizeof *r->findings))
        return -ENOMEM;
    struct replay_finding *added = &r->findings[r->n_findings];
    const struct container_facts *container = replay_container(r, f->container);
    *added = (struct replay_finding){ .count = 1, .first_wall_ns = f->wall_ns, .last_wall_ns = f->wall_ns };
    added->finding = malloc(f->size);
    if (!added->finding)
        return -ENOMEM;
    memcpy(added->finding, f, f->size);
    if (container)
        added->container = *container;
    r->n_findings++;
    return 0;
}

/* What the shell would do with an outcome. Requests are not answered here: the answers are in the recording. */
static int take_outcome(struct replay *r, const struct outcome *out)
{
    int result = 0;
    for (int i = 0; i < out->n_containers && !result; i++)
        result = take_container(r, out->containers[i]);
    for (int i = 0; i < out->n_findings && !result; i++)
        result = take_finding(r, out->findings[i]);
    return result;
}

static int replay_tick(struct replay *r, struct pipeline *p, uint64_t now_ns)
{
    static struct outcome out;
    bool more = true;
    int result = 0;
    while (!result && more) {
        more = pipeline_tick(p, now_ns, &out);
        result = take_outcome(r, &out);
    }
    return result;
}

/* The ticks between an event at `from_ns` and the next at `to_ns`, as the loop makes them; those at which nothing is due are left out,
 * so that a recording of days is replayed in seconds. */
static int replay_ticks(struct replay *r, struct pipeline *p, uint64_t from_ns, uint64_t to_ns)
{
    const uint64_t step = LIMIT_TICK_MS * NS_PER_MS;
    uint64_t now = from_ns, due;
    int result = 0;
    while (!result && (due = pipeline_next_due(p)) < to_ns) {
        now += due > now ? (due - now + step - 1) / step * step : step;
        if (now >= to_ns)
            break;
        result = replay_tick(r, p, now);
    }
    return result ? result : replay_tick(r, p, to_ns);
}

/* The recorded host's namespaces are those of its process 1. */
static void learn_host(struct replay *r, struct pipeline *p, const struct event *ev)
{
    if (ev->pid != 1 || !event_knows(ev, F_PID) || !event_knows(ev, F_MNTNS))
        return;
    r->host.mntns = ev->mntns;
    r->host.netns = ev->netns;
    r->host.pidns = ev->pidns;
    pipeline_set_host(p, &r->host, NULL, NULL);
}

int replay_event(struct replay *r, struct pipeline *p, const struct event *ev)
{
    static struct outcome out;
    int result = r->now_ns ? replay_ticks(r, p, r->now_ns, ev->time_ns) : 0;
    if (ev->time_ns > r->now_ns)
        r->now_ns = ev->time_ns;
    if (result)
        return result;
    learn_host(r, p, ev);
    pipeline_event(p, ev, &out);
    r->n_replayed++;
    return take_outcome(r, &out);
}

int replay_end(struct replay *r, struct pipeline *p)
{
    return r->now_ns ? replay_ticks(r, p, r->now_ns, r->now_ns + END_NS) : 0;
}

int replay_run(struct replay *r, struct pipeline *p)
{
    int result = replay_sort(r);
    pipeline_set_wall_offset(p, 0);
    for (size_t i = 0; i < r->n_events && !result; i++)
        result = replay_event(r, p, r->events[i]);
    return result ? result : replay_end(r, p);
}
