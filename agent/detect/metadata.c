/* Credentials and metadata services used by something that is not expected to: the instance metadata service, which has the role of the whole
 * host, and the ECS agent's service for tasks. SDKs use both all the time, start scripts ask for a region or a task's own metadata, and both stay
 * silent: which process it is decides, see unexpected_user().
 *
 * Limits: what a program of the task does by itself is expected, also when a server-side request was put into it (a name that leads
 * here is MetadataDNSRebind's matter); a process that is not found is taken for an expected one, but for containers of no task. */
#include "agent/detect/metadata.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/ancestry.h"
#include "agent/detect/flow_step.h"
#include "agent/detect/repeats.h"
#include "common/clock.h"

#define HTTP_PORT 80

extern const struct detector detector_instance_metadata, detector_task_credentials;

struct state {
    uint64_t paid_ns;
    struct repeats repeats;
};

/* A container that Docker or the ECS agent has described, and that is of no task. */
static bool is_of_no_task(const struct container_facts *c)
{
    return c && (c->from_docker || c->from_ecs) && !c->task_id[0] && !c->task_arn[0] && c->role == CONTAINER_ROLE_WORKLOAD;
}

static void report(struct detection *d, const struct pending *p, const struct process *process, enum owner_by by, const char *why,
                   enum severity severity)
{
    const struct metadata_service *service = metadata_service_find(&p->dst);
    struct state *state = detection_state(d, &detector_instance_metadata);
    int32_t container = flow_container_id(p, process);
    char exe[64] = "", key[128], address[46];
    if (process)
        image_name(process->image, exe, sizeof exe);
    address_format(&p->dst, address);
    snprintf(key, sizeof key, "%s %s", address, exe);
    uint32_t times = repeat_due(&state->repeats, d, container, key, p->time_ns);
    if (!times || !service)
        return;
    struct finding *f = detection_begin(d, p->detector, process, process ? process->image : NULL, container, p->time_ns, p->event_id);
    f->severity = (uint8_t)severity;
    finding_printf(f, FT_DESCRIPTION, "%s connected to %s (%s): %s.", process ? process->comm : "A process (not identified)", service->name,
                   address, why);
    json_t *e = json_object();
    json_object_set_new(e, "service", json_string(service->name));
    json_object_set_new(e, "why", json_string(why));
    json_object_set_new(e, "times", json_integer(times));
    evidence_address(e, "local", &p->src, p->sport);
    evidence_address(e, "remote", &p->dst, p->dport);
    json_object_set_new(e, "process_known", json_boolean(process != NULL));
    if (process) {
        json_object_set_new(e, "process_by", json_string(owner_words(by)));
        json_object_set_new(e, "ancestry", json_string(ancestry_words(ancestry_of(d, process))));
    }
    detection_end(d, f, key, e);
}

static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    enum owner_by by;
    enum severity severity = SEVERITY_MEDIUM;
    uint64_t again = flow_wait_more(p, now_ns);
    if (again)
        return again;
    struct process *process = flow_process(d, p, &by);
    const struct container_facts *c = container_by_id(d->containers, flow_container_id(p, process));
    if (!c || c->role != CONTAINER_ROLE_WORKLOAD)
        return 0;
    const char *why = process ? unexpected_user(d, process, &severity) : NULL;
    if (why && severity < SEVERITY_MEDIUM && by != OWNER_SOCKET)
        why = NULL; /* a health check beside an SDK must not be blamed */
    if (!why && p->detector == &detector_task_credentials && is_of_no_task(c))
        why = "the container is of no task";
    if (why)
        report(d, p, process, by, why, severity);
    return 0;
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    struct flow_view view;
    if (s->ev->flow_phase != FLOW_NEW || s->ev->dport != HTTP_PORT || s->ev->proto != IPPROTO_TCP)
        return;
    const struct metadata_service *service = metadata_service_find(&s->ev->dst);
    if (!service || !flow_view_of(d, s, &view) || view.direction == DIRECTION_IN ||
        (s->container && s->container->role == CONTAINER_ROLE_ECS_AGENT))
        return;
    struct state *state = detection_state(d, self);
    if (flow_may_ask(&state->paid_ns, s->ev->time_ns))
        flow_wait(d, service->kind == METADATA_INSTANCE ? self : &detector_task_credentials, s, &view);
}

#define UNEXPECTED                                                                                                                                  \
    "a new or fileless binary; or a tool, a shell or an interpreter with code on its command line that another program of the task started, or that was put in " \
    "from outside (docker exec, ECS Exec: low). What the start script starts and what the task's own programs do is expected, and so are the programs of the " \
    "rules' list user_known_metadata_readers."
#define UNEXPECTED_LIMITS                                                                                                                           \
    "A process that had closed its socket before it could be asked for is taken for an expected one; so is a program of the task that was made to do it. The " \
    "path that was asked for is not seen. At most 50 connections a second are looked at."

const struct detector detector_instance_metadata = {
    .rule = "instance_metadata_access",
    .type = "CredentialAccess:Runtime/InstanceMetadataAccess",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0006 T1552.005 TA0007 T1580",
    .title = "The instance metadata service was asked by an unexpected program of a container",
    .condition = "A TCP connection to port 80 of 169.254.169.254 or fd00:ec2::254 from a container other than the ECS agent's by an unexpected process: " UNEXPECTED,
    .limits = UNEXPECTED_LIMITS,
    .advice = "This service hands out the role of the whole host. Look in CloudTrail for that role's calls from other addresses. Block it "
              "for tasks (ECS_AWSVPC_BLOCK_IMDS, "
              "hop limit 1) if none needs it.",
    .needs = FILL_FLOW,
    .helps = FILL_EXEC | FILL_CGROUP,
    .on = ON(FLOW),
    .event = event,
    .due = due,
    .state_bytes = sizeof(struct state),
};

const struct detector detector_task_credentials = {
    .rule = "task_credentials_access",
    .type = "CredentialAccess:Runtime/TaskCredentialAccess",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0006 T1552.005",
    .title = "The task credentials service was asked by an unexpected program",
    .condition = "A TCP connection to port 80 of 169.254.170.2 (or 169.254.170.23, fd00:ec2::23) from a container that is of no task, as "
                 "Docker or the ECS agent say, or by an "
                 "unexpected process: " UNEXPECTED,
    .limits = UNEXPECTED_LIMITS,
    .advice = "The same service also gives a task its own metadata, which people look at. What was asked for stands in "
              "/var/log/ecs/audit.log on the host; the keys work "
              "elsewhere until they expire: look in CloudTrail for the task role's calls from other addresses.",
    .needs = FILL_FLOW,
    .helps = FILL_EXEC | FILL_CGROUP | FILL_FACTS,
    .due = due,
};
