/* Code that runs without a file that stays: memfd_create(2), a file in shared memory, a file deleted before it was executed. */
#include <string.h>

#include "agent/detect/detector.h"
#include "common/text.h"

enum form { FORM_NONE, FORM_MEMFD, FORM_SHM, FORM_DELETED };

static enum form form_of(const struct image *image)
{
    const char *exe = image_text(image, image->exe);
    if (text_has_prefix(exe, "/memfd:"))
        return FORM_MEMFD;
    if (text_has_prefix(exe, "/dev/shm/") || text_has_prefix(exe, "/run/shm/"))
        return FORM_SHM;
    if (image->has_file && image->nlink == 0 && text_has_suffix(exe, " (deleted)"))
        return FORM_DELETED;
    return FORM_NONE;
}

static bool same_file(const struct image *a, const struct image *b)
{
    return a && b && a->has_file && b->has_file && a->dev == b->dev && a->ino == b->ino;
}

/* runc copies itself to a memfd and runs that copy, so that a container cannot overwrite it: the process ran the real runc on the host
 * right before, or was started by a runtime outside of its container. Neither can be had from inside a container. */
static bool is_runtime_clone(struct detection *d, const struct step *s)
{
    const struct process *parent = proctree_parent(d->tree, s->process);
    if (s->previous && image_is_runtime(s->previous) && (!s->process->container || s->process->entered))
        return true;
    const struct image *starter = image_then(d, parent);
    return starter && parent->container == 0 && image_is_runtime(starter) &&
           text_has_prefix(process_exe(s->process), "/memfd:runc_cloned");
}

/* A program whose file was replaced by an update and that starts itself again through /proc/self/exe: the code already ran. */
static bool is_self_restart(struct detection *d, const struct step *s)
{
    const struct process *parent = proctree_parent(d->tree, s->process);
    return same_file(s->process->image, s->previous) || same_file(s->process->image, image_then(d, parent));
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    static const char *const what[] = { "", "an anonymous memory file (memfd_create)", "a file in shared memory (/dev/shm)",
                                        "a file that was deleted before it was executed" };
    static const char *const names[] = { "", "memfd", "shm", "deleted" };
    if (!s->process || !s->process->image)
        return;
    enum form form = form_of(s->process->image);
    if (form == FORM_NONE || (form == FORM_MEMFD && is_runtime_clone(d, s)) || (form == FORM_DELETED && is_self_restart(d, s)))
        return;
    const struct image *image = s->process->image;
    struct finding *f = detection_begin(d, self, s->process, image, s->container ? s->container->id : 0, s->ev->time_ns, s->event_id);
    char path[1024];
    struct text_out out;
    text_out_init(&out, path, sizeof path);
    text_escape(&out, image_text(image, image->exe), image->exe.len);
    finding_printf(f, FT_DESCRIPTION, "Process %d executes %s: %s.", s->process->pid, what[form], path);
    json_t *e = json_object();
    json_object_set_new(e, "form", json_string(names[form]));
    evidence_text(e, "path", image_text(image, image->exe), image->exe.len);
    if (s->previous && s->previous->exe.len)
        evidence_text(e, "previous_exe", image_text(s->previous, s->previous->exe), s->previous->exe.len);
    detection_end(d, f, image_text(image, image->exe), e);
}

const struct detector detector_fileless = {
    .rule = "fileless_execution",
    .type = "DefenseEvasion:Runtime/FilelessExecution",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0005 T1620 T1027.011",
    .title = "A process runs code that has no file on disk",
    .advice = "While it lives, save the code: cp /proc/PID/exe /root/sample. Look at the parent that brought it and at its connections: "
              "ecsguardctl events --pid PID.",
    .condition = "A program is executed whose file is a memfd, lies in /dev/shm or /run/shm, or was deleted before it was executed; not a container "
                 "runtime's own sealed copy, and not a process that runs its own deleted file again.",
    .limits = "Code that is only mapped into memory (a loader in the process itself, a library from a memfd) is not an execution and is not seen.",
    .needs = FILL_EXEC,
    .on = ON(EXEC),
    .event = event,
};
