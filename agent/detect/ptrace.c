/* Code injection through ptrace(2): a process attaches to one that it did not start. (PTRACE_TRACEME leaves no event.) */
#include <stdio.h>

#include "agent/detect/detector.h"

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    if (!s->process)
        return;
    struct process *tracer = s->process, *target = proctree_find(d->tree, s->ev->target_pid);
    /* A debugger attaches to its own child; a crash handler or leak checker is a fork of the process that it looks at. */
    if (!target || target == tracer || proctree_is_ancestor(d->tree, tracer, target))
        return;
    if (proctree_parent(d->tree, tracer) == target && tracer->image == target->image)
        return;
    int32_t container = tracer->container ? tracer->container : target->container;
    struct finding *f = detection_begin(d, self, tracer, tracer->image, container, s->ev->time_ns, s->event_id);
    if (!container)
        f->severity = SEVERITY_LOW; /* on the host it is mostly a person with a debugger */
    finding_printf(f, FT_DESCRIPTION, "Process %d (%s) attached with ptrace to process %d (%s), which it did not start.", tracer->pid, tracer->comm,
                   target->pid, target->comm);
    json_t *e = json_object();
    json_object_set_new(e, "target", evidence_process(d, target));
    json_object_set_new(e, "same_container", json_boolean(tracer->container == target->container));
    char key[LIMIT_PATH_BYTES * 2 + 2];
    snprintf(key, sizeof key, "%s\n%s", process_exe(tracer), process_exe(target));
    detection_end(d, f, key, e);
}

const struct detector detector_ptrace = {
    .rule = "process_injection_ptrace",
    .type = "DefenseEvasion:Runtime/ProcessInjection.Ptrace",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0005 TA0004 T1055.008",
    .title = "A process took control of another one with ptrace",
    .advice = "Is somebody debugging? If not, treat the target as compromised: look at what it did afterwards, and where the tracer came from.",
    .condition = "A process attaches with ptrace (ATTACH or SEIZE) to a process that it did not start and whose fork it is not.",
    .limits = "A tracer that starts its target itself is an ordinary debugger here. PTRACE_TRACEME is seen only by the syscall sensor.",
    .needs = FILL_PROC,
    .on = ON(PTRACE),
    .event = event,
};
