/* Drift: a process of a container loaded a library that was written after the container started.
 *
 * The file sensor marks each library as it is written and tells who opens it, and whether the opener mapped its code. A process that ended
 * before that could be seen may only have read the file: the programs that copy, pack, link and list are left out then. Libraries that a
 * package manager installed are the business of the rule on package managers. */
#include <stdio.h>
#include <string.h>

#include "agent/detect/detector.h"
#include "common/clock.h"
#include "common/text.h"

#define WAIT_ORIGIN_NS (60 * NS_PER_MS)   /* the writer's event comes on another group's queue */
#define WAIT_FACTS_NS (3 * NS_PER_SECOND) /* start time of a container just born */
#define CLOCK_SLACK_NS (20 * NS_PER_MS)   /* as in new_binary.c */

/* What pending.note holds. */
struct note {
    uint64_t ctime_wall_ns;
    bool loaded; /* else not known */
    char path[200];
};

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (!strcmp(name, *names))
            return true;
    return false;
}

/* Programs that open libraries without loading them. */
static bool only_reads(const struct image *image)
{
    static const char *const readers[] = { "cat", "cp", "mv", "install", "tar", "bsdtar", "gzip", "xz", "zip", "unzip", "cpio", "rsync", "scp",
                                           "dd", "head", "tail", "tee", "sed", "grep", "find", "file", "od", "xxd", "strings", "cmp", "diff",
                                           "md5sum", "sha1sum", "sha256sum", "sha512sum", "b2sum", "cksum", "ld", "ld.bfd", "ld.gold", "ld.lld",
                                           "lld", "collect2", "gcc", "g++", "cc1", "cc1plus", "clang", "as", "ar", "nm", "strip", "objcopy",
                                           "objdump", "readelf", "patchelf", "ldconfig", "ldconfig.real", "busybox", "toybox", "dpkg", "dpkg-deb",
                                           "rpm", "apk", "chmod", "chown", "ls", "stat", "du", "git", "runc", "dockerd", NULL };
    char name[64];
    image_name(image, name, sizeof name);
    return is_one_of(name, readers);
}

static bool is_package_manager(const char *exe)
{
    static const char *const names[] = { "dpkg", "dpkg-deb", "apt", "apt-get", "rpm", "yum", "dnf", "dnf5", "microdnf", "tdnf", "zypper", "apk",
                                         "pacman", "opkg", NULL };
    return (text_has_prefix(exe, "/usr/") || text_has_prefix(exe, "/bin/") || text_has_prefix(exe, "/sbin/")) &&
           is_one_of(text_basename(exe), names);
}

static json_t *writer_of(const struct detection *d, const struct file_origin *origin, int32_t container)
{
    json_t *w = json_object();
    json_object_set_new(w, "pid", json_integer(origin->pid));
    json_object_set_new(w, "event", json_integer(origin->exec_id));
    evidence_text(w, "exe", origin->exe, strlen(origin->exe));
    evidence_text(w, "cmdline", origin->cmdline, strlen(origin->cmdline));
    evidence_time(w, "time", origin->time_ns + (uint64_t)d->wall_offset_ns);
    json_object_set_new(w, "inside_container", json_boolean(origin->container == container));
    return w;
}

static void report(struct detection *d, const struct pending *p, const struct container_facts *c, const struct note *note,
                   const struct file_origin *origin)
{
    char path[1024], exe[256] = "", when[32];
    struct text_out out;
    struct finding *f = detection_begin(d, p->detector, pending_process(d, p), p->image, p->container, p->time_ns, p->event_id);
    json_t *e = json_object();
    text_out_init(&out, path, sizeof path);
    text_escape(&out, note->path, strlen(note->path));
    text_time(when, note->ctime_wall_ns);
    evidence_text(e, "path", note->path, strlen(note->path));
    evidence_time(e, "changed", note->ctime_wall_ns);
    evidence_time(e, "container_started", c->started_wall_ns);
    json_object_set_new(e, "code_mapped", note->loaded ? json_true() : json_null());
    if (origin) {
        json_object_set_new(e, "writer", writer_of(d, origin, c->id));
        text_out_init(&out, exe, sizeof exe);
        text_escape(&out, origin->exe, strlen(origin->exe));
    }
    const char *what = note->loaded ? "loaded by the process" : "opened by a process that ended at once";
    if (origin)
        finding_printf(f, FT_DESCRIPTION, "The library %s was written at %s by %s (pid %d), after the container started, and was %s.", path, when,
                       exe[0] ? exe : "an unknown process", origin->pid, what);
    else
        finding_printf(f, FT_DESCRIPTION, "The library %s was written at %s, after the container started, and was %s.", path, when, what);
    detection_end(d, f, note->path, e);
}

static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    struct note note;
    memcpy(&note, p->note, sizeof note);
    const struct container_facts *c = container_by_id(d->containers, p->container);
    if (!c || !p->image)
        return 0;
    if (!c->started_wall_ns)
        return now_ns < p->time_ns + WAIT_FACTS_NS && now_ns < p->deadline_ns ? now_ns + 20 * NS_PER_MS : 0;
    if (note.ctime_wall_ns <= c->started_wall_ns + CLOCK_SLACK_NS)
        return 0; /* put there before it started */
    const struct file_origin *origin = file_origins_find(d->origins, p->container, note.path, strlen(note.path));
    if (!origin && now_ns < p->time_ns + WAIT_ORIGIN_NS && now_ns < p->deadline_ns)
        return now_ns + 10 * NS_PER_MS;
    if (origin && (is_package_manager(origin->exe) || (origin->pid == p->pid && !note.loaded)))
        return 0;
    report(d, p, c, &note, origin);
    return 0;
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    const struct event *ev = s->ev;
    _Static_assert(sizeof(struct note) <= sizeof ((struct pending *)0)->note, "note");
    if (ev->file_op != FILE_OPEN || !event_knows(ev, F_NEW_LIBRARY) || !ev->new_library)
        return;
    if (!s->container || !s->process || !s->process->image || !event_knows(ev, F_CTIME_WALL_NS))
        return;
    struct note note = { .ctime_wall_ns = ev->ctime_wall_ns, .loaded = event_knows(ev, F_LOADED) && ev->loaded };
    const struct image *image = s->process->image;
    if (event_knows(ev, F_LOADED) ? !ev->loaded : only_reads(image))
        return;
    text_copy(note.path, sizeof note.path, event_text(ev, ev->path), sizeof note.path);
    if (!strcmp(image_text(image, image->exe), note.path))
        return; /* the program itself: new_binary.c */
    struct pending *p = detection_wait(d, self, s, ev->time_ns + 10 * NS_PER_MS);
    p->deadline_ns = ev->time_ns + WAIT_FACTS_NS;
    memcpy(p->note, &note, sizeof note);
}

const struct detector detector_new_library = {
    .rule = "new_library_loaded",
    .type = "Execution:Runtime/NewLibraryLoaded",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0002 T1129 TA0005 T1574.006",
    .title = "A container loaded a library that was written after it started",
    .advice = "Look at the writer and at how the library came to be loaded: LD_PRELOAD, /etc/ld.so.preload, a plugin, an extension module "
              "installed at run time? Keep a copy (docker cp) and compare with the image (docker diff CONTAINER).",
    .condition = "A process of a container opens a shared library whose inode changed after the container started, and has mapped its "
                 "code. Where the process ended too early to look, programs that only copy, pack, link or list files are left out. Not: "
                 "libraries that a package manager installed.",
    .limits = "Only libraries that the file sensor saw being written are watched: those of volumes that it does not watch are not seen. "
              "Code that a program maps from an unlinked or anonymous file is no library.",
    .needs = FILL_FILE | FILL_CGROUP,
    .on = ON(FILE),
    .event = event,
    .due = due,
};
