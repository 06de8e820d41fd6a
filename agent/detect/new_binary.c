/* Drift: a container runs a binary that was created or changed after the container started.
 *
 * The proof is the executable's inode: a file of the image keeps the change time it got when the image was unpacked; creating,
 * writing, renaming, chmod and the copy-up of an image's own file all give a change time after the start. So the decision needs no
 * walk through the layers and no race with file events; those only name who wrote the file, and are waited for briefly. */
#include <stdio.h>
#include <string.h>

#include "agent/detect/detector.h"
#include "common/clock.h"
#include "common/text.h"

#define WAIT_ORIGIN_NS (60 * NS_PER_MS)  /* file events are read within ms; the writer is often the same script */
#define WAIT_FACTS_NS (10 * NS_PER_SECOND) /* root device and start time of a container just born, on a busy host */
/* stat times come from the kernel's coarse clock, start times from 10 ms ticks. */
#define CLOCK_SLACK_NS (20 * NS_PER_MS)

static bool facts_known(const struct container_facts *c)
{
    return c->root_dev && c->started_wall_ns;
}

static bool is_new(const struct container_facts *c, const struct image *image, const struct file_origin *origin)
{
    if (image->ctime_wall_ns <= c->started_wall_ns + CLOCK_SLACK_NS)
        return false;
    /* Other file systems (volumes, tmpfs): only what this container itself wrote; a volume may be maintained from outside. */
    return image->dev == c->root_dev || (origin && origin->container == c->id);
}

static const struct file_origin *origin_of(const struct detection *d, const struct pending *p)
{
    return file_origins_find(d->origins, p->container, image_text(p->image, p->image->exe), p->image->exe.len);
}

static void report(struct detection *d, const struct pending *p, const struct container_facts *c, const struct file_origin *origin)
{
    char path[1024], when[32];
    struct text_out out;
    const struct image *image = p->image;
    struct finding *f = detection_begin(d, p->detector, pending_process(d, p), image, p->container, p->time_ns, p->event_id);
    json_t *e = json_object();
    text_out_init(&out, path, sizeof path);
    text_escape(&out, image_text(image, image->exe), image->exe.len);
    text_time(when, image->ctime_wall_ns);
    evidence_text(e, "path", image_text(image, image->exe), image->exe.len);
    evidence_time(e, "changed", image->ctime_wall_ns);
    evidence_time(e, "container_started", c->started_wall_ns);
    json_object_set_new(e, "upper_layer", json_boolean(image->dev == c->root_dev));
    if (!origin) {
        finding_printf(f, FT_DESCRIPTION, "%s was created or changed at %s, after the container started, and was executed. Who wrote it was not seen.",
                       path, when);
    } else {
        char exe[256];
        text_out_init(&out, exe, sizeof exe);
        text_escape(&out, origin->exe, strlen(origin->exe));
        json_t *w = json_object();
        json_object_set_new(w, "pid", json_integer(origin->pid));
        json_object_set_new(w, "event", json_integer(origin->exec_id));
        evidence_text(w, "exe", origin->exe, strlen(origin->exe));
        evidence_text(w, "cmdline", origin->cmdline, strlen(origin->cmdline));
        evidence_time(w, "time", origin->time_ns + (uint64_t)d->wall_offset_ns);
        json_object_set_new(w, "inside_container", json_boolean(origin->container == c->id));
        json_object_set_new(e, "writer", w);
        if (origin->is_copy_up)
            json_object_set_new(e, "image_file_modified", json_true());
        finding_printf(f, FT_DESCRIPTION, "%s was %s at %s by %s (pid %d), after the container started, and was executed.", path,
                       origin->is_copy_up ? "changed (it is the image's own file)" : "written", when, exe[0] ? exe : "an unknown process",
                           origin->pid);
    }
    detection_end(d, f, image_text(image, image->exe), e);
}

bool container_builds(const struct detection *d, const struct container_facts *c)
{
    return c->family[0] && rules_list_has(d, "build_task_families", c->family);
}

int new_binary_is(const struct detection *d, const struct pending *p, uint64_t now_ns, uint64_t *again_ns)
{
    const struct container_facts *c = container_by_id(d->containers, p->container);
    if (!c || !p->image)
        return 0;
    if (!facts_known(c)) {
        *again_ns = now_ns + 20 * NS_PER_MS;
        return now_ns < p->time_ns + WAIT_FACTS_NS && now_ns < p->deadline_ns ? -1 : 0;
    }
    const struct file_origin *origin = origin_of(d, p);
    *again_ns = now_ns + 10 * NS_PER_MS;
    if (!origin && now_ns < p->time_ns + WAIT_ORIGIN_NS && now_ns < p->deadline_ns)
        return -1;
    return is_new(c, p->image, origin);
}

bool new_binary_may_be(const struct detection *d, const struct step *s)
{
    if (!s->container || !s->process || !s->process->image)
        return false;
    const struct image *image = s->process->image;
    if (!image->has_file || !image->exe.len)
        return false;
    if (s->container->started_wall_ns && image->ctime_wall_ns <= s->container->started_wall_ns + CLOCK_SLACK_NS)
        return false; /* the usual case: a file of the image */
    const struct process *parent = proctree_parent(d->tree, s->process);
    return !image_is_runtime(image) || (parent && parent->container == s->process->container); /* not the runtime on its way into the container */
}

static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    uint64_t again_ns;
    int is = new_binary_is(d, p, now_ns, &again_ns);
    if (is < 0)
        return again_ns;
    const struct container_facts *c = container_by_id(d->containers, p->container);
    if (is && !container_builds(d, c))
        report(d, p, c, origin_of(d, p));
    return 0;
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    if (!new_binary_may_be(d, s))
        return;
    struct pending *p = detection_wait(d, self, s, s->ev->time_ns + 10 * NS_PER_MS);
    p->deadline_ns = s->ev->time_ns + WAIT_FACTS_NS;
}

const struct detector detector_new_binary = {
    .rule = "new_binary_executed",
    .type = "Execution:Runtime/NewBinaryExecuted",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0002 T1204 TA0005 T1036",
    .title = "A container ran a binary that was created or changed after it started",
    .advice = "Look at the writer and its lineage: a deployment tool, a package manager or a person? Compare the file with the image "
              "(docker diff CONTAINER), keep a copy (docker cp), and see what the process did next: ecsguardctl events --pid PID.",
    .condition = "A container executes a file whose inode changed after the container's first start: created, written, renamed, chmod-ed, "
                 "or an image "
                 "file changed in place. On volumes and tmpfs only files that the container itself wrote. Left out: task families of the list "
                 "build_task_families.",
    .limits = "A script run by an interpreter counts by the interpreter's file, not by the script's. ld.so FILE shows ld.so. The writer is "
              "named when its "
              "file event was seen.",
    .needs = FILL_EXEC | FILL_CGROUP,
    .helps = FILL_FILE,
    .on = ON(EXEC),
    .event = event,
    .due = due,
};
