/* Code injection through process_vm_writev(2): a process writes into the memory of another one. */
#include <stdio.h>
#include <string.h>

#include "agent/detect/detector.h"

/* The sensor translates the number that the caller gave; it cannot when the caller is gone. A host process gave the host's number. */
static int32_t target_pid(const struct step *s)
{
    if (event_knows(s->ev, F_TARGET_PID))
        return s->ev->target_pid;
    return s->process->container_known && !s->process->container ? (int32_t)s->ev->arg0 : 0;
}

/* Started side by side with the same arguments: members of one application, such as ranks of an MPI job, which pass messages this way. */
static bool are_siblings(struct detection *d, const struct process *a, const struct process *b)
{
    const struct process *parent = proctree_parent(d->tree, a);
    if (!parent || parent != proctree_parent(d->tree, b) || !a->image || !b->image)
        return false;
    return a->image == b->image || (!strcmp(process_exe(a), process_exe(b)) && a->image->cmdline.len == b->image->cmdline.len &&
                                    !memcmp(image_text(a->image, a->image->cmdline), image_text(b->image, b->image->cmdline), a->image->cmdline.len));
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    if (!step_is_syscall(s, "process_vm_writev") || !s->process || !event_knows(s->ev, F_ARG0))
        return;
    struct process *writer = s->process;
    int32_t pid = target_pid(s);
    struct process *target = pid ? proctree_find(d->tree, pid) : NULL;
    if (pid == writer->pid)
        return;
    /* a debugger, or a supervisor that serves the system calls of what it started */
    if (target && (proctree_is_ancestor(d->tree, writer, target) || are_siblings(d, writer, target)))
        return;
    struct finding *f = detection_begin(d, self, writer, writer->image, writer->container, s->ev->time_ns, s->event_id);
    json_t *e = json_object();
    if (target) {
        json_object_set_new(e, "target", evidence_process(d, target));
        json_object_set_new(e, "same_container", json_boolean(writer->container == target->container));
        finding_printf(f, FT_DESCRIPTION, "Process %d (%s) used process_vm_writev to write into the memory of process %d (%s), which it did not start.",
                       writer->pid, writer->comm, target->pid, target->comm);
    } else {
        f->severity = SEVERITY_MEDIUM; /* it may have been its own, or one that it started */
        json_object_set_new(e, "target_number", json_integer((json_int_t)s->ev->arg0));
        finding_printf(f, FT_DESCRIPTION, "Process %d (%s) used process_vm_writev to write into the memory of "
                       "process %lld, as it numbers it; which one that is is not known.", writer->pid, writer->comm, (long long)s->ev->arg0);
    }
    char key[LIMIT_PATH_BYTES * 2 + 2];
    snprintf(key, sizeof key, "%s\n%s", process_exe(writer), process_exe(target));
    detection_end(d, f, key, e);
}

const struct detector detector_vm_write = {
    .rule = "process_injection_vm_write",
    .type = "DefenseEvasion:Runtime/ProcessInjection.VirtualMemoryWrite",
    .severity = SEVERITY_HIGH,
    .mitre = "TA0005 TA0004 T1055",
    .title = "A process wrote into another process' memory with process_vm_writev",
    .advice = "Debuggers do this too. If nobody is debugging, treat the target as compromised and look at what it did afterwards.",
    .condition = "A process calls process_vm_writev with the pid of another process that it did not start and that is not the same "
                 "program started by the same parent. Medium when it is not known which process that is.",
    .limits = "Needs the system call sensor (sensors.syscalls), which is off by default. The call began; whether it succeeded is not "
              "known. Calls by the 32-bit entry are not seen.",
    .needs = FILL_TRACEFS,
    .on = ON(SYSCALL),
    .event = event,
};
