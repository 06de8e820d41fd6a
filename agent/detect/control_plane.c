/* A container that reaches for the control plane of ECS: the names that only the ECS agent has a use for, and the agent's own ports on the host. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/detect/ancestry.h"
#include "agent/detect/dns_step.h"
#include "agent/detect/flow_step.h"
#include "agent/detect/repeats.h"
#include "common/clock.h"
#include "common/text.h"


struct state {
    uint64_t paid_ns;
    struct repeats repeats;
};

static const char *agent_port(uint16_t port)
{
    switch (port) {
    case 51678:
        return "introspection: all tasks of the host";
    case 51679:
        return "metadata and credentials of tasks";
    case 51680:
        return "measurements of the agent";
    }
    return NULL;
}

/* Where the ECS agent gets its orders (ecs-a-1.REGION) and sends its measurements (ecs-t-1.REGION). The API itself is ecs.REGION, which any task may use. */
static bool is_agent_name(const char *name, size_t size)
{
    static const char *const zones[] = { ".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".on.aws" };
    if (size < 6 || (strncasecmp(name, "ecs-a-", 6) && strncasecmp(name, "ecs-t-", 6)))
        return false;
    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++)
        if (dns_name_ends(name, size, zones[i]))
            return true;
    return false;
}

static void on_name(struct detection *d, const struct detector *self, const struct step *s)
{
    char key[256];
    const struct event *ev = s->ev;
    if (ev->dns_op != DNS_QUERY || !s->container || s->container->role == CONTAINER_ROLE_ECS_AGENT ||
        !is_agent_name(event_text(ev, ev->dns_name), ev->dns_name.len))
        return;
    text_copy(key, sizeof key, event_text(ev, ev->dns_name), ev->dns_name.len);
    for (char *c = key; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
    struct state *state = detection_state(d, self);
    uint32_t times = repeat_due(&state->repeats, d, s->container->id, key, ev->time_ns);
    if (!times)
        return;
    struct finding *f = detection_begin(d, self, s->process, s->process ? s->process->image : NULL, s->container->id, ev->time_ns, s->event_id);
    f->severity = SEVERITY_MEDIUM;
    finding_printf(f, FT_DESCRIPTION, "%s asked for the name %s, which only the ECS agent has a use for.",
                   s->process ? s->process->comm : "A process (not identified)",
                   key);
    json_t *e = json_object();
    evidence_text(e, "name", key, strlen(key));
    json_object_set_new(e, "times", json_integer(times));
    json_object_set_new(e, "process_known", json_boolean(s->process != NULL));
    if (s->process)
        json_object_set_new(e, "process_by", json_string(owner_words(event_owner(ev))));
    detection_end(d, f, key, e);
}

static void on_flow(struct detection *d, const struct detector *self, const struct step *s)
{
    struct flow_view view;
    if (s->ev->flow_phase != FLOW_NEW || s->ev->proto != IPPROTO_TCP || !agent_port(s->ev->dport) || !flow_view_of(d, s, &view))
        return;
    if (!s->container || s->container->role != CONTAINER_ROLE_WORKLOAD || view.direction != DIRECTION_OUT || address_is_public(&view.far))
        return;
    struct state *state = detection_state(d, self);
    if (flow_may_ask(&state->paid_ns, s->ev->time_ns))
        flow_wait(d, self, s, &view);
}

static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    enum owner_by by;
    enum severity severity;
    char key[80], address[46];
    struct state *state = detection_state(d, p->detector);
    uint64_t again = flow_wait_more(p, now_ns);
    if (again)
        return again;
    struct process *process = flow_process(d, p, &by);
    const char *why = process && by == OWNER_SOCKET ? unexpected_user(d, process, &severity) : NULL;
    if (!why)
        return 0;
    int32_t container = flow_container_id(p, process);
    address_format(&p->dst, address);
    snprintf(key, sizeof key, "%s:%u", address, p->dport);
    uint32_t times = repeat_due(&state->repeats, d, container, key, p->time_ns);
    if (!times)
        return 0;
    struct finding *f = detection_begin(d, p->detector, process, process->image, container, p->time_ns, p->event_id);
    finding_printf(f, FT_DESCRIPTION, "%s connected to port %u of %s, the ECS agent's (%s): %s.", process->comm, p->dport, address,
                   agent_port(p->dport), why);
    json_t *e = json_object();
    json_object_set_new(e, "service", json_string(agent_port(p->dport)));
    json_object_set_new(e, "why", json_string(why));
    json_object_set_new(e, "times", json_integer(times));
    evidence_address(e, "local", &p->src, p->sport);
    evidence_address(e, "remote", &p->dst, p->dport);
    json_object_set_new(e, "process_by", json_string(owner_words(by)));
    json_object_set_new(e, "ancestry", json_string(ancestry_words(ancestry_of(d, process))));
    detection_end(d, f, key, e);
    return 0;
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    if (s->ev->kind == EVENT_DNS)
        on_name(d, self, s);
    else if (s->ev->kind == EVENT_FLOW)
        on_flow(d, self, s);
}

const struct detector detector_control_plane = {
    .rule = "control_plane_access",
    .type = "Discovery:Runtime/ControlPlaneAccess",
    .severity = SEVERITY_LOW,
    .mitre = "TA0007 T1613 TA0006 T1552.005",
    .title = "A container reaches for the control plane of ECS",
    .condition = "A container other than the ECS agent's asks in DNS for ecs-a-*, or ecs-t-*, the endpoints from which the ECS agent gets "
                 "its orders (medium). Or it connects to "
                 "port 51678, 51679 or 51680 of an address that is not public by an unexpected process: a new or fileless binary; or a "
                 "tool, a shell or code of a command "
                 "line that another program of the task started, or that was put in from outside (low).",
    .limits = "Programs of the task that ask the ECS agent by themselves, as service discovery does, are silent. Sessions of SSM and calls "
              "of the ECS API (ecs.REGION) are "
              "not told: tasks may use both. A process that is not found to hold the socket is taken for an expected one.",
    .advice = "Whoever poses as the ECS agent gets the credentials of every task on the host. Does this task have the instance's role: "
              "look at what else it connected to, and at "
              "InstanceMetadataAccess findings. Else a tool of yours for looking around.",
    .needs = FILL_FLOW,
    .helps = FILL_DNS | FILL_EXEC | FILL_CGROUP,
    .on = ON(DNS) | ON(FLOW),
    .event = event,
    .due = due,
    .state_bytes = sizeof(struct state),
};
