/* A process becomes root that was not. Two ways are seen: a setuid-root program is executed by a user (the kernel says UID first,
 * then EXEC, in one system call), or the ids change without any setuid program: a capability or a kernel exploit. */
#include <string.h>
#include <sys/stat.h>

#include "agent/detect/detector.h"
#include "common/clock.h"
#include "common/text.h"

#define WAIT_EXEC_NS (30 * NS_PER_MS) /* UID and EXEC of one execve(2) come within microseconds */

/* Setuid-root programs that ordinary systems ship and people use; trusted only as long as the file is not new in its container. */
static const char *const usual[] = { "sudo", "su", "doas", "passwd", "chsh", "chfn", "gpasswd", "newgrp", "mount", "umount", "ping", "ping6",
    "fusermount", "fusermount3", "crontab", "at", "chage", "expiry", "unix_chkpwd", "pam_timestamp_check", "ssh-keysign",
    "dbus-daemon-launch-helper", "polkit-agent-helper-1", "pkexec", "userhelper", "usernetctl", "traceroute6.iputils", "ssh-agent", "wall", "write",
    "newuidmap", "newgidmap", "exim4", "sendmail", "postdrop", "Xorg.wrap", NULL };

static bool is_usual(const struct image *image, const struct container_facts *c)
{
    char name[64];
    image_name(image, name, sizeof name);
    if (!image_is_system(image))
        return false;
    if (c && c->started_wall_ns && image->ctime_wall_ns > c->started_wall_ns)
        return false;
    for (const char *const *u = usual; *u; u++)
        if (!strcmp(name, *u))
            return true;
    return false;
}

static bool is_setuid_root(const struct image *image)
{
    return image && image->has_file && (image->mode & S_ISUID) && image->file_uid == 0;
}

enum stage { STAGE_WAITS, STAGE_EXECUTED };

static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    (void)now_ns;
    struct process *process = pending_process(d, p);
    const struct container_facts *c = container_by_id(d->containers, p->container);
    if (!process || !process->image)
        return 0;
    /* The first program executed after the change of ids is of the same execve(2) if it is setuid. Any other was executed afterwards. */
    bool executed = p->stage == STAGE_EXECUTED && is_setuid_root(process->image);
    const struct image *image = executed || !p->image ? process->image : p->image;
    char path[1024], user[16];
    struct text_out out;
    text_out_init(&out, path, sizeof path);
    text_escape(&out, image_text(image, image->exe), image->exe.len);
    memcpy(user, p->note, sizeof user);
    if (executed ? is_usual(image, c) : is_setuid_root(image))
        return 0;
    struct finding *f = detection_begin(d, p->detector, process, image, p->container, p->time_ns, p->event_id);
    json_t *e = json_object();
    json_object_set_new(e, "from_uid", json_string(user));
    json_object_set_new(e, "to_euid", json_integer(0));
    json_object_set_new(e, "through", json_string(executed ? "setuid" : "no setuid program"));
    evidence_text(e, "exe", image_text(image, image->exe), image->exe.len);
    if (executed)
        finding_printf(f, FT_DESCRIPTION, "User %s became root by executing the setuid-root program %s, which is not one of the usual ones.", user, path);
    else
        finding_printf(f, FT_DESCRIPTION, "A process of user %s (%s) became root without executing a setuid program: by a capability such as "
                       "cap_setuid, or by an exploit.", user, path);
    detection_end(d, f, image_text(image, image->exe), e);
    return 0;
}

static void decide_at_exec(struct detection *d, const struct detector *self, const struct step *s)
{
    struct pending *p = detection_pending(d, self, s->process);
    if (!p)
        return;
    p->stage = STAGE_EXECUTED;
    p->container = s->container ? s->container->id : p->container; /* docker exec -u: it may be known only now */
    detection_decide(d, p, s->ev->time_ns);
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    if (s->ev->kind == EVENT_EXEC && s->process)
        decide_at_exec(d, self, s);
    if (s->ev->kind != EVENT_UID || !s->process || !event_knows(s->ev, F_EUID) || s->ev->euid != 0)
        return;
    const struct process *p = s->process;
    if (!p->was_user)
        return;
    struct pending *w = detection_wait(d, self, s, s->ev->time_ns + WAIT_EXEC_NS);
    w->deadline_ns = w->due_ns;
    struct text_out out;
    text_out_init(&out, w->note, 16);
    text_out_printf(&out, "%u", p->was_uid);
}

const struct detector detector_elevation = {
    .rule = "elevation_to_root",
    .type = "PrivilegeEscalation:Runtime/ElevationToRoot",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0004 T1548.001 T1068",
    .title = "A process became root in an unusual way",
    .advice = "Does the image ship this setuid program? docker diff CONTAINER tells. Look at what ran as root afterwards: ecsguardctl events --pid PID.",
    .condition = "A process that was not root becomes root by executing a setuid-root program that is not one of the usual ones (sudo, su, mount, passwd, "
                 "...) or is new in its container, or its ids change to root's without any setuid program.",
    .limits = "A process that had root in its real or saved ids may come back to it: that is ordinary. A user namespace's own root is not the host's.",
    .helps = FILL_EXEC | FILL_PROC,
    .on = ON(EXEC) | ON(UID),
    .event = event,
    .due = due,
};
