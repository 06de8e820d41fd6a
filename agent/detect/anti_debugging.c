/* A program that asks to be traced by its parent (PTRACE_TRACEME) so that no debugger can attach to it. Debuggers start programs the same way, but
 * then the traced process executes one at once; a program that only wants the place taken goes on as it is. */
#include <stdio.h>

#include "agent/detect/detector.h"
#include "common/clock.h"
#include "common/text.h"

#define WAIT_EXEC_NS (500 * NS_PER_MS) /* gdb and strace take a few ms from the one to the other */

enum stage { STAGE_WAITS, STAGE_EXECUTED };

static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    (void)now_ns;
    struct process *process = pending_process(d, p);
    if (p->stage == STAGE_EXECUTED || !process)
        return 0;
    struct process *parent = proctree_parent(d->tree, process);
    struct finding *f = detection_begin(d, p->detector, process, p->image, p->container, p->time_ns, p->event_id);
    finding_printf(f, FT_DESCRIPTION, "Process %d (%s) asked to be traced by its parent (PTRACE_TRACEME) and then executed no program, as what a "
                   "debugger starts would: nobody else can attach to it now.", process->pid, process->comm);
    json_t *e = json_object();
    if (parent)
        json_object_set_new(e, "parent", evidence_process(d, parent));
    detection_end(d, f, p->image ? image_text(p->image, p->image->exe) : "", e);
    return 0;
}

static void decide_at_exec(struct detection *d, const struct detector *self, const struct step *s)
{
    struct pending *p = detection_pending(d, self, s->process);
    if (!p)
        return;
    p->stage = STAGE_EXECUTED;
    detection_decide(d, p, s->ev->time_ns);
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    if (s->ev->kind == EVENT_EXEC && s->process)
        decide_at_exec(d, self, s);
    if (!step_is_syscall(s, "ptrace") || !s->process || !event_knows(s->ev, F_ARG0) || s->ev->arg0 != 0)
        return;
    if (detection_pending(d, self, s->process))
        return; /* some try again and again */
    struct pending *p = detection_wait(d, self, s, s->ev->time_ns + WAIT_EXEC_NS);
    p->deadline_ns = p->due_ns;
}

const struct detector detector_anti_debugging = {
    .rule = "ptrace_anti_debugging",
    .type = "DefenseEvasion:Runtime/PtraceAntiDebugging",
    .severity = SEVERITY_LOW,
    .mitre = "TA0005 T1622",
    .title = "A program protects itself from debuggers",
    .advice = "Few programs do this: some licence checks, and malware. Does the image ship this program? Look at where it came from and what it does.",
    .condition = "A process calls ptrace(PTRACE_TRACEME) and executes no program within half a second, as what a debugger starts would "
                 "do.",
    .limits = "Needs the system call sensor (sensors.syscalls), which is off by default. A program that executes another one after the "
              "call is taken for a debugger's start. Calls by the 32-bit entry are not seen.",
    .needs = FILL_TRACEFS,
    .on = ON(EXEC) | ON(SYSCALL),
    .event = event,
    .due = due,
};
