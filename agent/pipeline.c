#include "agent/pipeline.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/detector.h"
#include "common/clock.h"

struct pipeline {
    struct proctree tree;
    struct container_table containers;
    struct file_origins origins;
    struct detection detection;
    int64_t next_event_id;
    uint64_t n_bad_cgroups;
};

struct pipeline *pipeline_new(const struct pipeline_options *options)
{
    struct pipeline *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    if (proctree_init(&p->tree, LIMIT_PROCESSES, LIMIT_IMAGE_BYTES) ||
        container_table_init(&p->containers, LIMIT_CONTAINERS, options->next_container_id) ||
        file_origins_init(&p->origins, LIMIT_FILE_ORIGINS) || detection_init(&p->detection)) {
        pipeline_free(p);
        return NULL;
    }
    p->next_event_id = options->next_event_id > 0 ? options->next_event_id : 1;
    p->detection.tree = &p->tree;
    p->detection.containers = &p->containers;
    p->detection.origins = &p->origins;
    p->detection.intel = options->intel;
    return p;
}

void pipeline_free(struct pipeline *p)
{
    if (!p)
        return;
    detection_fini(&p->detection);
    file_origins_fini(&p->origins);
    container_table_fini(&p->containers);
    proctree_fini(&p->tree);
    free(p);
}

void pipeline_set_wall_offset(struct pipeline *p, int64_t offset_ns)
{
    p->detection.wall_offset_ns = offset_ns;
}

/* ---- which container ---------------------------------------------------------------------------------------------- */

static void tell_container(struct outcome *out, const struct container_facts *c)
{
    if (out->n_containers < LIMIT_OUTCOME_CONTAINERS)
        out->containers[out->n_containers++] = c;
}

/* A process is in the container of its cgroup; the cgroup is read when the process was caught early, else it is its parent's. */
static void place_process(struct pipeline *p, const struct event *ev, struct process *process, struct outcome *out)
{
    struct cgroup_identity identity;
    bool created;
    if (!event_knows(ev, F_CGROUP) || !process)
        return;
    if (cgroup_identify(event_text(ev, ev->cgroup), ev->cgroup.len, &identity) < 0) {
        p->n_bad_cgroups++;
        return;
    }
    process->container_known = true;
    if (!identity.is_container) {
        process->container = 0;
        return;
    }
    struct container_facts *c = container_enter(&p->containers, &identity, &created);
    if (created) {
        c->init_pid = process->pid;
        tell_container(out, c);
    }
    process->entered = process->container != c->id;
    process->container = c->id;
}

/* A runtime puts its child into the container's group by a move that we read, or by clone3(CLONE_INTO_CGROUP), of which nobody tells. When
 * an exec right behind a runtime was read without its group: ask. */
static void ask_cgroup(struct pipeline *p, const struct event *ev, const struct process *process, const struct image *previous)
{
    if (ev->kind != EVENT_EXEC || event_knows(ev, F_CGROUP) || !process || process->container)
        return;
    const struct process *parent = proctree_parent(&p->tree, process);
    if (!image_is_runtime(previous) && !(parent && image_is_runtime(parent->image)))
        return;
    struct request ask = { .kind = REQUEST_CGROUP, .pid = process->pid };
    detection_request(&p->detection, &ask);
}

static void end_container(struct pipeline *p, const struct event *ev, struct container_facts *c)
{
    c->ended_wall_ns = ev->time_ns + (uint64_t)p->detection.wall_offset_ns;
}

static struct container_facts *apply_container(struct pipeline *p, const struct event *ev, struct outcome *out)
{
    bool created, changed;
    struct container_facts *c = container_apply(&p->containers, ev, &created, &changed);
    if (!c)
        return NULL;
    if (ev->container_phase == CONTAINER_END)
        end_container(p, ev, c);
    if (changed || ev->container_phase == CONTAINER_END)
        tell_container(out, c);
    return c;
}

/* A file belongs to the container whose layer or file system holds it, whoever touches it (docker cp is a host process). */
static struct container_facts *file_container(struct pipeline *p, const struct event *ev, const struct process *process)
{
    struct container_facts *c = NULL;
    if (ev->host_path.len > ev->path.len && ev->path.len)
        c = container_by_upperdir(&p->containers, event_text(ev, ev->host_path), (size_t)(ev->host_path.len - ev->path.len));
    if (!c && event_knows(ev, F_DEV))
        c = container_by_root_dev(&p->containers, ev->dev);
    return c || !process ? c : container_by_id(&p->containers, process->container);
}

static struct container_facts *flow_container(struct pipeline *p, const struct event *ev)
{
    struct container_facts *c = event_knows(ev, F_NSID) ? container_by_nsid(&p->containers, ev->nsid) : NULL;
    if (!c)
        c = container_by_address(&p->containers, &ev->src);
    return c ? c : container_by_address(&p->containers, &ev->reply_src);
}

static struct container_facts *container_of(struct pipeline *p, const struct event *ev, const struct process *process, struct outcome *out)
{
    switch ((enum event_kind)ev->kind) {
    case EVENT_CONTAINER:
        return apply_container(p, ev, out);
    case EVENT_FILE:
        return file_container(p, ev, process);
    case EVENT_FLOW:
        return flow_container(p, ev);
    case EVENT_NONE:
    case EVENT_FORK:
    case EVENT_EXEC:
    case EVENT_EXIT:
    case EVENT_UID:
    case EVENT_GID:
    case EVENT_SID:
    case EVENT_PTRACE:
    case EVENT_COMM:
    case EVENT_PROCESS:
    case EVENT_CGROUP:
    case EVENT_SOCKETS:
    case EVENT_LOSS:
    case EVENT_KIND_MAX:
        break;
    }
    return process ? container_by_id(&p->containers, process->container) : NULL;
}

/* ---- what is kept ------------------------------------------------------------------------------------------------- */

/* Everything is stored but what other rows say as well. The fork of a process that then executes or exits is in its exec and exit
 * rows (parent, start time); forks inside containers are kept, because a forked child acts in its own name there. Of the steps that a TCP
 * connection takes between its first packet and its end only one tells something: that it was established. */
static bool is_stored(const struct event *ev, const struct container_facts *c)
{
    if (ev->kind == EVENT_FORK)
        return c != NULL;
    if (ev->kind == EVENT_FLOW && ev->flow_phase == FLOW_UPDATE && ev->proto == IPPROTO_TCP)
        return ev->tcp_state == TCP_ESTABLISHED;
    return true;
}

static void set_stamp(struct pipeline *p, const struct event *ev, const struct process *process, const struct container_facts *c,
                      int64_t id, struct outcome *out)
{
    out->store = is_stored(ev, c);
    out->stamp.id = id;
    out->stamp.exec_id = process && process->image ? process->image->exec_id : 0;
    out->stamp.parent_id = process ? process->parent_exec_id : 0;
    out->stamp.container = c ? c->id : 0;
    out->stamp.wall_offset_ns = p->detection.wall_offset_ns;
}

/* ---- the pipeline ------------------------------------------------------------------------------------------------- */

static void outcome_clear(struct outcome *out)
{
    out->store = false;
    out->n_containers = out->n_findings = out->n_requests = 0;
}

void pipeline_event(struct pipeline *p, const struct event *ev, struct outcome *out)
{
    int64_t id = p->next_event_id++;
    struct image *previous;

    outcome_clear(out);
    struct process *process = proctree_apply(&p->tree, ev, id, &previous);
    place_process(p, ev, process, out);
    struct container_facts *container = container_of(p, ev, process, out);
    if (ev->kind == EVENT_FILE)
        file_origins_note(&p->origins, container ? container->id : 0, ev, process);

    p->detection.out = out;
    ask_cgroup(p, ev, process, previous);
    struct step step = { .ev = ev, .process = process, .previous = previous, .container = container, .event_id = id };
    detection_event(&p->detection, &step);

    set_stamp(p, ev, process, container, id, out);
    image_release(&p->tree, previous);
}

bool pipeline_tick(struct pipeline *p, uint64_t now_ns, struct outcome *out)
{
    outcome_clear(out);
    proctree_expire(&p->tree, now_ns);
    p->detection.out = out;
    return detection_tick(&p->detection, now_ns);
}

void pipeline_count(const struct pipeline *p, struct pipeline_counters *out)
{
    *out = (struct pipeline_counters){ .n_processes = p->tree.n_live,
                                       .n_processes_evicted = p->tree.n_evicted,
                                       .n_containers_evicted = p->containers.n_evicted,
                                       .n_origins_evicted = p->origins.n_evicted,
                                       .n_images_cut = p->tree.n_images_cut,
                                       .n_images_lost = p->tree.n_images_lost,
                                       .n_forced = p->detection.n_forced,
                                       .n_bad_cgroups = p->n_bad_cgroups,
                                       .n_conflicts = p->containers.n_conflicts };
    for (uint32_t i = 0; i < p->containers.n_used; i++)
        out->n_containers += !p->containers.slots[i].ended_wall_ns;
}

size_t pipeline_processes(const struct pipeline *p, int32_t container, int32_t *pids, size_t max)
{
    return proctree_members(&p->tree, container, pids, max);
}

const struct container_facts *pipeline_container(const struct pipeline *p, uint32_t i)
{
    return i < p->containers.n_used ? &p->containers.slots[i] : NULL;
}

uint64_t pipeline_next_due(const struct pipeline *p)
{
    return detection_next_due(&p->detection);
}
