#include "agent/pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "agent/detect/detector.h"
#include "agent/dns.h"
#include "agent/enrich/late_exec.h"
#include "agent/flows.h"
#include "common/clock.h"

struct pipeline {
    struct proctree tree;
    struct container_table containers;
    struct file_origins origins;
    struct late_exec late;
    union event_buffer late_event;
    struct dns dns;
    struct flows flows;
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
        file_origins_init(&p->origins, LIMIT_FILE_ORIGINS) || late_exec_init(&p->late) || dns_init(&p->dns, &p->tree, &p->containers) ||
        flows_init(&p->flows, &p->tree, &p->containers) || detection_init(&p->detection)) {
        pipeline_free(p);
        return NULL;
    }
    p->flows.names = &p->dns.names;
    p->flows.starts = &p->dns.owners;
    p->next_event_id = options->next_event_id > 0 ? options->next_event_id : 1;
    p->detection.tree = &p->tree;
    p->detection.containers = &p->containers;
    p->detection.origins = &p->origins;
    p->detection.names = &p->dns.names;
    p->detection.intel = options->intel;
    p->detection.rules_only = options->rules_only;
    p->detection.sequences = options->sequences;
    p->detection.suppress = options->suppress;
    if (options->detect)
        p->detection.options = *options->detect;
    if (options->host)
        p->detection.host = options->host;
    return p;
}

void pipeline_free(struct pipeline *p)
{
    if (!p)
        return;
    detection_fini(&p->detection);
    dns_fini(&p->dns);
    flows_fini(&p->flows);
    late_exec_fini(&p->late);
    file_origins_fini(&p->origins);
    container_table_fini(&p->containers);
    proctree_fini(&p->tree);
    free(p);
}

void pipeline_set_host(struct pipeline *p, const struct host_facts *host, const struct user_names *users, const char *host_name)
{
    p->detection.rules.host = host;
    p->detection.rules.users = users;
    p->detection.rules.host_name = host_name;
}

struct rules *pipeline_set_rules(struct pipeline *p, struct rules *rules)
{
    return rules_replace(&p->detection, rules);
}

const struct rules *pipeline_rules(const struct pipeline *p)
{
    return p->detection.rules.rules;
}

void pipeline_set_wall_offset(struct pipeline *p, int64_t offset_ns)
{
    p->detection.wall_offset_ns = offset_ns;
}

void pipeline_set_intel(struct pipeline *p, const struct intel *intel)
{
    p->detection.intel = intel;
}

void pipeline_set_sequences(struct pipeline *p, const struct sequences *sequences)
{
    p->detection.sequences = sequences;
}

void pipeline_set_suppress(struct pipeline *p, struct suppress *suppress)
{
    p->detection.suppress = suppress;
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
    if (!event_knows(ev, F_CGROUP) || !process || ev->kind == EVENT_SOCKETS || ev->kind == EVENT_LISTEN)
        return; /* of a socket the group may be that of who made it */
    if (cgroup_identify(event_text(ev, ev->cgroup), ev->cgroup.len, &identity) < 0) {
        p->n_bad_cgroups++;
        return;
    }
    process->container_known = true;
    if (!identity.is_container) {
        process->container = 0;
        process->entered = false;
        return;
    }
    struct container_facts *c = container_enter(&p->containers, &identity, &created);
    if (created) {
        c->init_pid = process->pid;
        tell_container(out, c);
    }
    if (process->container != c->id)
        process->entered = true; /* a later exec in the same container tells its group again: it stays so */
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

static struct container_facts *apply_container(struct pipeline *p, const struct event *ev, struct outcome *out)
{
    bool created, changed;
    struct container_facts *c = container_apply(&p->containers, ev, &created, &changed);
    if (!c)
        return NULL;
    if (ev->container_phase == CONTAINER_END)
        container_end(&p->containers, c, ev->time_ns + (uint64_t)p->detection.wall_offset_ns);
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

/* A socket belongs to the container of the process that holds it; else of the control group in which it was made; else of its network namespace,
 * which several containers may share. */
static struct container_facts *socket_container(struct pipeline *p, const struct event *ev, const struct process *process)
{
    struct cgroup_identity identity;
    struct container_facts *c = process ? container_by_id(&p->containers, process->container) : NULL;
    if (!c && event_knows(ev, F_CGROUP) && !cgroup_identify(event_text(ev, ev->cgroup), ev->cgroup.len, &identity) && identity.is_container)
        c = container_by_name(&p->containers, identity.container_id);
    return c || !event_knows(ev, F_NSID) ? c : container_by_nsid(&p->containers, ev->nsid);
}

static struct container_facts *container_of(struct pipeline *p, const struct event *ev, const struct process *process, struct outcome *out)
{
    switch ((enum event_kind)ev->kind) {
    case EVENT_CONTAINER:
        return apply_container(p, ev, out);
    case EVENT_FILE:
        return file_container(p, ev, process);
    case EVENT_FLOW:
        return NULL; /* flows_know() */
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
    case EVENT_LOSS:
    case EVENT_MOUNT:
    case EVENT_MODULE:
    case EVENT_HASH:
    case EVENT_KIND_MAX:
        break;
    case EVENT_SOCKETS:
    case EVENT_LISTEN:
    case EVENT_SYSCALL: /* a packet socket */
        return socket_container(p, ev, process);
    case EVENT_DNS:
    case EVENT_NETNS:
        return container_by_nsid(&p->containers, ev->nsid);
    case EVENT_UNIX: /* without its process, it names the first one of its container */
        process = process || !event_knows(ev, F_TARGET_PID) ? process : proctree_find(&p->tree, ev->target_pid);
        break;
    case EVENT_CPU:
        return container_by_name(&p->containers, event_text(ev, ev->container_id));
    }
    return process ? container_by_id(&p->containers, process->container) : NULL;
}

/* ---- what is kept ------------------------------------------------------------------------------------------------- */

/* Everything is stored but what other rows say as well. The fork of a process that then executes or exits is in its exec and exit
 * rows (parent, start time); forks inside containers are kept, because a forked child acts in its own name there. */
static bool is_stored(const struct event *ev, const struct container_facts *c)
{
    if (ev->kind == EVENT_FORK)
        return c != NULL;
    if (ev->kind == EVENT_NETNS)
        return ev->netns_op != NETNS_ADDRESS && ev->netns_op != NETNS_ADDRESS_GONE;
    if (ev->kind == EVENT_SOCKETS)
        return !event_knows(ev, F_FLOW_ID); /* the owner of a flow is in the flow's rows */
    return ev->kind != EVENT_CPU; /* a sample every few seconds says nothing alone */
}

static void set_stamp(struct pipeline *p, const struct process *process, const struct container_facts *c, int64_t id, struct outcome *out)
{
    out->stamp.id = id;
    out->stamp.exec_id = process && process->image ? process->image->exec_id : 0;
    out->stamp.parent_id = process ? process->parent_exec_id : 0;
    out->stamp.container = c ? c->id : 0;
    out->stamp.wall_offset_ns = p->detection.wall_offset_ns;
}

/* ---- the pipeline ------------------------------------------------------------------------------------------------- */

static void outcome_clear(struct outcome *out, const struct event *ev)
{
    out->store = false;
    out->event = ev;
    out->n_containers = out->n_findings = out->n_requests = 0;
}

/* What is stored of this step, and with whom. */
static void settle(struct pipeline *p, const struct step *step, struct outcome *out)
{
    struct container_facts *container = step->container;
    out->event = step->ev;
    out->store = is_stored(step->ev, container);
    if (step->ev->kind == EVENT_FLOW)
        flows_settle(&p->flows, step->ev, container, step->event_id, out);
    if (step->ev->kind == EVENT_DNS)
        out->store = dns_settle(&p->dns, step->ev, container, out->n_findings);
    if (step->ev->kind == EVENT_SOCKETS && event_knows(step->ev, F_FLOW_ID)) {
        const struct event *row = flows_answer(&p->flows, step->ev, step->process, &container);
        out->store = row != NULL;
        out->event = row ? row : step->ev;
    }
    set_stamp(p, step->process, container, step->event_id, out);
}

void pipeline_event(struct pipeline *p, const struct event *ev, struct outcome *out)
{
    int64_t id = p->next_event_id++;
    struct image *previous;

    outcome_clear(out, ev);
    struct process *process = proctree_apply(&p->tree, ev, id, &previous);
    place_process(p, ev, process, out);
    struct container_facts *container = container_of(p, ev, process, out);
    dns_see(&p->dns, ev, process, container);
    late_exec_see(&p->late, ev, id);
    if (ev->kind == EVENT_DNS)
        ev = dns_know(&p->dns, ev, &process, &container);
    if (ev->kind == EVENT_FILE)
        file_origins_note(&p->origins, container ? container->id : 0, ev, process);
    if (ev->kind == EVENT_FLOW)
        ev = flows_know(&p->flows, ev, &process, &container);
    if (ev->kind == EVENT_NETNS)
        netns_addresses_apply(&p->flows.addresses, ev);

    p->detection.out = out;
    ask_cgroup(p, ev, process, previous);
    struct step step = { .ev = ev, .process = process, .previous = previous, .container = container, .event_id = id };
    detection_event(&p->detection, &step);

    settle(p, &step, out);
    image_release(&p->tree, previous);
}

/* An exec that was read too late, now with its file: the detectors and rules look at it once more. True if there was one. */
static bool tell_late_exec(struct pipeline *p, uint64_t now_ns)
{
    struct late_exec_wait exec;
    const struct event *file;
    struct event *ev = &p->late_event.event;
    if (!detection_has_room(&p->detection) || !late_exec_next(&p->late, now_ns, &exec, &file))
        return false;
    struct process *process = file ? proctree_find(&p->tree, exec.pid) : NULL;
    if (!process || !process->image || process->image->exec_id != exec.exec_id || !proctree_set_file(&p->tree, process, file))
        return true;
    const struct image *image = process->image;
    memcpy(ev, file, file->size);
    ev->kind = EVENT_EXEC;
    ev->time_ns = exec.time_ns;
    ev->text_max = LIMIT_EVENT_TEXT_BYTES;
    if (image->cmdline.len)
        event_set_text(ev, F_CMDLINE, image_text(image, image->cmdline), image->cmdline.len);
    struct step step = { .ev = ev, .process = process, .container = container_by_id(&p->containers, process->container), .event_id = exec.exec_id };
    detection_event(&p->detection, &step);
    return true;
}

bool pipeline_tick(struct pipeline *p, uint64_t now_ns, struct outcome *out)
{
    struct process *process = NULL;
    struct container_facts *container = NULL;
    outcome_clear(out, NULL);
    proctree_expire(&p->tree, now_ns);
    p->detection.out = out;
    bool more = tell_late_exec(p, now_ns);
    more = detection_tick(&p->detection, now_ns) || more;
    out->event = flows_tick(&p->flows, now_ns, &process, &container);
    if (!out->event)
        out->event = dns_tick(&p->dns, now_ns, &process, &container);
    out->store = out->event;
    if (out->store)
        set_stamp(p, process, container, p->next_event_id++, out);
    return more || out->store;
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
                                       .n_forgotten = p->detection.n_forgotten,
                                       .n_not_compared = p->detection.n_not_compared,
                                       .n_rules_held = p->detection.rules.n_held_total,
                                       .n_rules_forced = p->detection.rules.n_held_forced,
                                       .n_rule_hits_dropped = rules_hits_dropped(&p->detection.rules),
                                       .n_rule_values_dropped = p->detection.rules.eval.n_scratch_full,
                                       .n_regex_given_up = p->detection.rules.eval.n_regex_limit,
                                       .n_late_execs = p->late.n_found,
                                       .n_execs_unknown = p->late.n_lost,
                                       .n_bad_cgroups = p->n_bad_cgroups,
                                       .n_conflicts = p->containers.n_conflicts,
                                       .n_dns_names = p->dns.names.n_names,
                                       .n_dns_names_evicted = p->dns.names.n_evicted,
                                       .n_dns_unasked = p->dns.n_unasked,
                                       .n_dns_folded = p->dns.bursts.n_folded,
                                       .n_dns_bursts = p->dns.bursts.n_bursts,
                                       .n_dns_unsummed = p->dns.bursts.n_unsummed,
                                       .n_flows_folded = p->flows.bursts.n_folded,
                                       .n_flow_bursts = p->flows.bursts.n_bursts,
                                       .n_flows_unsummed = p->flows.bursts.n_unsummed,
                                       .n_flows_evicted = p->flows.table.n_evicted,
                                       .n_owners_asked = p->flows.n_asked,
                                       .n_owners_found = p->flows.n_answered };
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
    uint64_t due = detection_next_due(&p->detection);
    const uint64_t others[] = { flows_due(&p->flows), dns_due(&p->dns), late_exec_due(&p->late) };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        due = others[i] < due ? others[i] : due;
    return due;
}
