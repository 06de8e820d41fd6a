/* Code injection through /proc/PID/mem: a write to the memory of another process. */
#include <stdio.h>
#include <string.h>

#include "agent/detect/detector.h"
#include "common/text.h"

/* "/proc/<digits>/mem" (or task/<digits>/mem below it). */
static bool is_mem(const char *path)
{
    return text_has_prefix(path, "/proc/") && text_has_suffix(path, "/mem") && path[6] >= '0' && path[6] <= '9';
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    if (s->ev->file_op != FILE_MODIFY || !s->process || !is_mem(event_text(s->ev, s->ev->path)))
        return;
    if (event_knows(s->ev, F_TARGET_PID) && s->ev->target_pid == s->process->pid)
        return; /* its own memory */
    struct process *target = event_knows(s->ev, F_TARGET_PID) ? proctree_find(d->tree, s->ev->target_pid) : NULL;
    struct finding *f = detection_begin(d, self, s->process, s->process->image, s->process->container, s->ev->time_ns, s->event_id);
    json_t *e = json_object();
    evidence_text(e, "path", event_text(s->ev, s->ev->path), s->ev->path.len);
    if (target) {
        json_object_set_new(e, "target", evidence_process(d, target));
        finding_printf(f, FT_DESCRIPTION, "Process %d (%s) wrote into the memory of process %d (%s) through %s.", s->process->pid, s->process->comm,
                       target->pid, target->comm, event_text(s->ev, s->ev->path));
    } else {
        finding_printf(f, FT_DESCRIPTION, "Process %d (%s) wrote into the memory of another process through %s (numbered as its container sees it).",
                       s->process->pid, s->process->comm, event_text(s->ev, s->ev->path));
    }
    char key[LIMIT_PATH_BYTES * 2 + 2];
    snprintf(key, sizeof key, "%s\n%s", process_exe(s->process), process_exe(target));
    detection_end(d, f, key, e);
}

const struct detector detector_proc_mem = {
    .rule = "process_injection_proc",
    .type = "DefenseEvasion:Runtime/ProcessInjection.Proc",
    .severity = SEVERITY_HIGH,
    .mitre = "TA0005 TA0004 T1055.009",
    .title = "A process wrote into another process' memory through /proc",
    .advice = "Debuggers do this too (gdb). If nobody is debugging, treat the target as compromised and look at what it did afterwards.",
    .condition = "A process in a container or on the host writes to /proc/PID/mem of another process that it did not start.",
    .limits = "A /proc mounted later inside a running container is not watched. The event is lost, and counted, when the target ends at once.",
    .needs = FILL_FILE,
    .on = ON(FILE),
    .event = event,
};
