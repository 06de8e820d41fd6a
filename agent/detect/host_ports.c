/* A container that connects to a port by which the host is managed: at an address of the host, such as the gateway of its bridge. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/flow_step.h"
#include "agent/detect/repeats.h"
#include "common/text.h"

struct listener {
    uint16_t port; /* 0 = free */
    int32_t pid;
    struct address address; /* where; unspecified = everywhere */
    char comm[LIMIT_COMM_BYTES];
};

struct state {
    struct listener listeners[LIMIT_HOST_LISTENERS]; /* TCP, of the host's own namespace */
    uint32_t n; /* seen so far: the oldest leaves */
    bool seen;  /* the sensor tells of the host's */
    struct repeats repeats;
};

static const struct managed {
    uint16_t port;
    bool gives_root; /* whoever gets through is root on the host */
    const char *name;
} managed[] = {
    { 22, false, "ssh" },           { 2375, true, "Docker's API" },        { 2376, true, "Docker's API over TLS" },
        { 2377, false, "Docker's swarm" },
    { 4243, true, "Docker's API" }, { 10250, true, "the kubelet's API" }, { 10255, false, "the kubelet's API" },   { 2379, false, "etcd" },
    { 2380, false, "etcd" },        { 6443, false, "the Kubernetes API" },
};

/* Programs that manage a host, wherever they listen. */
static const char *manager(const char *comm)
{
    static const struct {
        const char *comm, *name;
    } managers[] = { { "dockerd", "Docker's API" }, { "containerd", "containerd" }, { "sshd", "ssh" }, { "kubelet", "the kubelet's API" },
                     { "cockpit-tls", "cockpit" },
                     { "cockpit-ws", "cockpit" }, { "amazon-ssm-agen", "the SSM agent" }, { "libvirtd", "libvirt" } };
    for (size_t i = 0; i < sizeof managers / sizeof managers[0]; i++)
        if (!strcmp(managers[i].comm, comm))
            return managers[i].name;
    return NULL;
}

static const struct managed *managed_find(uint16_t port)
{
    for (size_t i = 0; i < sizeof managed / sizeof managed[0]; i++)
        if (managed[i].port == port)
            return &managed[i];
    return NULL;
}

/* ---- who listens on the host -------------------------------------------------------------------------------------- */

static struct listener *listener_find(struct state *state, uint16_t port)
{
    for (int i = 0; i < LIMIT_HOST_LISTENERS; i++)
        if (state->listeners[i].port == port)
            return &state->listeners[i];
    return NULL;
}

static void take_listener(struct state *state, const struct step *s)
{
    const struct event *ev = s->ev;
    if (!event_knows(ev, F_NSID) || ev->nsid != -1 || ev->proto != IPPROTO_TCP)
        return;
    state->seen = true;
    struct listener *l = listener_find(state, ev->sport);
    if (ev->listen_phase == LISTEN_END) {
        if (l)
            *l = (struct listener){ 0 };
        return;
    }
    if (!l)
        l = listener_find(state, 0);
    if (!l)
        l = &state->listeners[state->n++ % LIMIT_HOST_LISTENERS];
    *l = (struct listener){ .port = ev->sport, .pid = event_knows(ev, F_PID) ? ev->pid : 0, .address = ev->src };
    if (s->process)
        text_copy(l->comm, sizeof l->comm, s->process->comm, strlen(s->process->comm));
}

/* ---- flows -------------------------------------------------------------------------------------------------------- */

/* The destination is the host itself, and not a port that it hands on to a container. */
static bool is_to_host(const struct detection *d, const struct flow_view *view)
{
    return address_is_host(d, &view->far) && !address_is_loopback(&view->far) &&
           (address_equal(&view->far, &view->far_real) || address_is_host(d, &view->far_real) || address_is_loopback(&view->far_real));
}

/* What this port is for, or NULL. A port of the table that a proxy of Docker's holds is a container's. */
static const char *port_name(struct state *state, uint16_t port, bool *gives_root)
{
    const struct managed *m = managed_find(port);
    const struct listener *l = listener_find(state, port);
    const char *by_listener = l ? manager(l->comm) : NULL;
    *gives_root = by_listener ? !strcmp(l->comm, "dockerd") || !strcmp(l->comm, "containerd") : m && m->gives_root;
    if (by_listener)
        return by_listener;
    return m && !(l && !strcmp(l->comm, "docker-proxy")) ? m->name : NULL;
}

/* registry/name without tag and digest. */
static bool is_admin(const struct detection *d, const struct container_facts *c)
{
    char repository[sizeof c->image];
    memcpy(repository, c->image, sizeof repository);
    char *digest = strchr(repository, '@');
    if (digest)
        *digest = 0;
    char *slash = strrchr(repository, '/'), *tag = strchr(slash ? slash : repository, ':');
    if (tag)
        *tag = 0;
    return rules_list_has(d, "user_known_host_admin_repositories", repository);
}

static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    enum owner_by by;
    bool gives_root;
    char address[46], key[80];
    struct state *state = detection_state(d, p->detector);
    uint64_t again = flow_wait_more(p, now_ns);
    if (again)
        return again;
    const char *name = port_name(state, p->dport, &gives_root);
    struct process *process = flow_process(d, p, &by);
    int32_t container = flow_container_id(p, process);
    const struct container_facts *c = container_by_id(d->containers, container);
    if (!name || !c || c->role == CONTAINER_ROLE_ECS_AGENT || is_admin(d, c))
        return 0;
    const struct listener *l = listener_find(state, p->dport);
    struct finding *f = detection_begin(d, p->detector, process, process ? process->image : NULL, container, p->time_ns, p->event_id);
    f->severity = state->seen && !l ? SEVERITY_LOW : gives_root ? SEVERITY_HIGH : SEVERITY_MEDIUM;
    address_format(&p->dst, address);
    finding_printf(f, FT_DESCRIPTION, "%s connected to port %u of the host (%s): %s, %s%s.",
                   process ? process->comm : "A process (not identified)", p->dport, address, name,
                   l ? "where listens " : state->seen ? "but nobody listens there" : "whoever listens there",
                       l ? l->comm[0] ? l->comm : "an unknown process" : "");
    json_t *e = json_object();
    json_object_set_new(e, "service", json_string(name));
    evidence_address(e, "local", &p->src, p->sport);
    evidence_address(e, "remote", &p->dst, p->dport);
    if (l) {
        evidence_text(e, "listener", l->comm, strlen(l->comm));
        json_object_set_new(e, "listener_pid", json_integer(l->pid));
        evidence_address(e, "listener_address", &l->address, l->port);
    } else if (state->seen) {
        json_object_set_new(e, "listener", json_null());
    }
    json_object_set_new(e, "process_known", json_boolean(process != NULL));
    if (process)
        json_object_set_new(e, "process_by", json_string(owner_words(by)));
    snprintf(key, sizeof key, "%s:%u", address, p->dport);
    detection_end(d, f, key, e);
    return 0;
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    bool gives_root;
    char key[32];
    struct flow_view view;
    const struct event *ev = s->ev;
    if (ev->kind == EVENT_LISTEN)
        take_listener(detection_state(d, self), s);
    if (ev->kind != EVENT_FLOW || ev->flow_phase != FLOW_NEW || ev->proto != IPPROTO_TCP || !s->container || !address_is_host(d, &ev->dst))
        return;
    struct state *state = detection_state(d, self);
    if (!port_name(state, ev->dport, &gives_root) || !flow_view_of(d, s, &view) || view.direction != DIRECTION_OUT || !is_to_host(d, &view))
        return;
    snprintf(key, sizeof key, "%u", ev->dport);
    if (repeat_due(&state->repeats, d, s->container->id, key, ev->time_ns))
        flow_wait(d, self, s, &view);
}

const struct detector detector_host_ports = {
    .rule = "host_management_port",
    .type = "LateralMovement:Runtime/HostManagementPort",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0008 T1021 TA0004 T1611",
    .title = "A container connected to a port by which the host is managed",
    .condition = "A TCP connection from a container to an address of the host's own interfaces, that is not handed on to another "
                 "container: to ssh (22), Docker's API (2375, 2376, "
                 "4243), swarm (2377), the kubelet (10250, 10255), etcd (2379, 2380) or Kubernetes (6443), or to any port on which "
                 "dockerd, containerd, sshd, kubelet, "
                 "cockpit, libvirtd or the SSM agent listens. High where it means root on the host, low where nobody listens. Left out: "
                 "the ECS agent, and images of the "
                 "rules' list user_known_host_admin_repositories.",
    .limits = "Containers in the host's network namespace are told only where their process is known. The ECS agent's own ports have a "
              "detector of their own "
              "(control_plane_access).",
    .advice = "Has this task any reason to manage its host? If Docker's API is open over TCP, close it: whoever reaches it is root. Else "
              "look at the process and its lineage.",
    .needs = FILL_FLOW,
    .helps = FILL_LISTEN,
    .on = ON(LISTEN) | ON(FLOW),
    .event = event,
    .due = due,
    .state_bytes = sizeof(struct state),
};
