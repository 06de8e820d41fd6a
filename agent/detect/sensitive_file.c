/* Changes of sensitive files, reported only together with other suspicious activity: alone they are what administrators and services do.
 *
 * A change is a file of the list below that is created, written, renamed (to or from), linked or deleted. It is remembered for 15 minutes, and
 * reported when another finding of the same task (or of the host's own processes) of medium severity or above lies within 15 minutes of it,
 * before or after. The finding names the latest change and up to 25 other paths. Three types, by what the file is for:
 * defence evasion (logs, audit configuration, shell history), persistence (ssh keys, login scripts, accounts, scheduled commands, start-up),
 * privilege escalation (sudoers, PAM and what else decides who may do what).
 *
 * Silent: package managers and account tools of the system at their own work, dockerd and containerd (they unpack images), log rotation, cron
 * itself, services that write their own logs
 * (deletion and renaming count, writing counts only from shells and file tools), a shell that saves its own history.
 *
 * Limits: truncation is seen as a write; reading is not a change; changes of files that no sensor watches (volumes) are not seen. */
#include <string.h>

#include "agent/detect/detector.h"
#include "common/clock.h"
#include "common/text.h"

#define WINDOW_NS (15 * 60 * NS_PER_SECOND)
#define RELATED_PATHS 25

enum purpose { PURPOSE_EVASION, PURPOSE_PERSISTENCE, PURPOSE_PRIVILEGE };
enum kind { KIND_PLAIN, KIND_LOG, KIND_HISTORY };

/* Paths as the container sees them; * any characters. */
static const struct {
    enum purpose purpose;
    enum kind kind;
    const char *pattern;
} files[] = {
    { PURPOSE_EVASION, KIND_LOG, "/var/log/?*" },
    { PURPOSE_EVASION, KIND_PLAIN, "/etc/audit/?*" },
    { PURPOSE_EVASION, KIND_PLAIN, "/etc/rsyslog.conf" },
    { PURPOSE_EVASION, KIND_PLAIN, "/etc/rsyslog.d/?*" },
    { PURPOSE_EVASION, KIND_PLAIN, "/etc/systemd/journald.conf*" },
    { PURPOSE_EVASION, KIND_PLAIN, "/etc/selinux/config" },
    { PURPOSE_EVASION, KIND_PLAIN, "/etc/ld.so.preload" },
    { PURPOSE_EVASION, KIND_HISTORY, "*/.bash_history" },
    { PURPOSE_EVASION, KIND_HISTORY, "*/.zsh_history" },
    { PURPOSE_EVASION, KIND_HISTORY, "*/.ash_history" },
    { PURPOSE_EVASION, KIND_HISTORY, "*/.sh_history" },
    { PURPOSE_EVASION, KIND_HISTORY, "*/.python_history" },
    { PURPOSE_EVASION, KIND_HISTORY, "*/.mysql_history" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "*/.ssh/authorized_keys*" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "*/.ssh/rc" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/ssh/sshd_config*" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "*/.bashrc" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "*/.bash_profile" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "*/.bash_login" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "*/.bash_logout" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "*/.profile" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "*/.zshrc" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "*/.zprofile" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/profile" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/profile.d/?*" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/bash.bashrc" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/bashrc" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/passwd" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/shadow" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/group" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/gshadow" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/crontab" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/anacrontab" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/cron.*/?*" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/crontabs/?*" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/var/spool/cron/?*" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/rc.local" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/rc.d/?*" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/init.d/?*" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/inittab" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/systemd/system/?*" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/usr/lib/systemd/system/?*" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/lib/systemd/system/?*" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "*/.config/systemd/user/?*" },
    { PURPOSE_PERSISTENCE, KIND_PLAIN, "/etc/update-motd.d/?*" },
    { PURPOSE_PRIVILEGE, KIND_PLAIN, "/etc/sudoers" },
    { PURPOSE_PRIVILEGE, KIND_PLAIN, "/etc/sudoers.d/?*" },
    { PURPOSE_PRIVILEGE, KIND_PLAIN, "/etc/doas.conf" },
    { PURPOSE_PRIVILEGE, KIND_PLAIN, "/etc/pam.conf" },
    { PURPOSE_PRIVILEGE, KIND_PLAIN, "/etc/pam.d/?*" },
    { PURPOSE_PRIVILEGE, KIND_PLAIN, "/etc/security/?*" },
    { PURPOSE_PRIVILEGE, KIND_PLAIN, "/lib/security/?*" },
    { PURPOSE_PRIVILEGE, KIND_PLAIN, "/lib*/security/pam_?*" },
    { PURPOSE_PRIVILEGE, KIND_PLAIN, "/usr/lib*/security/pam_?*" },
    { PURPOSE_PRIVILEGE, KIND_PLAIN, "/etc/login.defs" },
    { PURPOSE_PRIVILEGE, KIND_PLAIN, "/etc/nsswitch.conf" },
    { PURPOSE_PRIVILEGE, KIND_PLAIN, "/etc/polkit-1/?*" },
};

struct change {
    uint64_t time_ns; /* 0 = free */
    enum purpose purpose;
    int32_t container, pid;
    uint64_t start_ns;
    int64_t event_id;
    struct image *image; /* reference; NULL = unknown */
    uint8_t op;
    bool reported;
    char task_id[65];
    char path[256]; /* the end of a longer one is cut */
};

struct state {
    struct change changes[LIMIT_SENSITIVE_CHANGES];
};

static void state_fini(struct detection *d, void *memory)
{
    struct state *state = memory;
    for (int i = 0; i < LIMIT_SENSITIVE_CHANGES; i++)
        image_release(d->tree, state->changes[i].image);
}

static const struct detector *detector_of(enum purpose purpose)
{
    switch (purpose) {
    case PURPOSE_EVASION:
        break;
    case PURPOSE_PERSISTENCE:
        return &detector_sensitive_persistence;
    case PURPOSE_PRIVILEGE:
        return &detector_sensitive_privilege;
    }
    return &detector_sensitive_evasion;
}

/* ---- what is a change --------------------------------------------------------------------------------------------- */

/* Most files that change are none of the list: told apart without looking at each pattern. */
static bool may_be_listed(const char *path)
{
    static const char *const places[] = { "/etc/", "/var/log/", "/var/spool/cron/", "/lib", "/usr/lib" };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (text_has_prefix(path, places[i]))
            return true;
    return strstr(path, "/.") != NULL;
}

static int find_file(const char *path)
{
    if (!may_be_listed(path))
        return -1;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (suppress_glob(files[i].pattern, path))
            return (int)i;
    return -1;
}

static bool image_is_one_of(const struct image *image, const char *const *names)
{
    char name[64];
    image_name(image, name, sizeof name);
    for (; *names; names++)
        if (!strcmp(name, *names))
            return true;
    return false;
}

/* Programs whose work these changes are, as the system has them. */
static bool is_upkeep(struct detection *d, const struct process *p)
{
    static const char *const names[] = { "dpkg", "apt", "apt-get", "unattended-upgrade", "rpm", "yum", "dnf", "dnf5", "microdnf", "apk", "zypper",
                                         "logrotate", "cron", "crond", "anacron", "busybox-crond", "rsyslogd", "syslog-ng", "systemd-journald",
                                         "systemd-journal", "systemd-logind", "systemd-update-utmp", "auditd", "sshd", "login", "cloud-init",
                                         "dockerd", "containerd", NULL }; /* these unpack images */
    const int32_t container = p ? p->container : 0;
    /* Not beyond the container: what runs in it was all started by a runtime. */
    for (int depth = 0; p && depth < 6 && p->container == container; depth++, p = proctree_parent(d->tree, p)) {
        const struct image *image = image_then(d, p);
        if (!image || !image_is_system(image) || !image_is_one_of(image, names))
            continue;
        /* what cron and sshd start is not their own work; what a package manager and log rotation start is */
        static const char *const alone[] = { "cron", "crond", "anacron", "sshd", "login", NULL };
        if (depth == 0 || !image_is_one_of(image, alone))
            return true;
    }
    return false;
}

static bool is_file_tool(const struct image *image)
{
    static const char *const names[] = { "rm", "mv", "cp", "tee", "truncate", "shred", "dd", "sed", "awk", "gawk", "mawk", "vi", "vim", "vim.basic", "nano",
                                         "ed", "ln", "touch", "busybox", "toybox", "python", "python2", "python3", "perl", "install", "utmpdump", NULL };
    char name[64];
    image_name(image, name, sizeof name);
    return image_is_shell(image) || image_is_one_of(image, names) || text_has_prefix(name, "python3.");
}

static bool is_change(const struct event *ev, enum kind kind, const struct image *image)
{
    switch ((enum file_op)ev->file_op) {
    case FILE_DELETE:
    case FILE_MOVE:
        return true;
    case FILE_CREATE: /* what is written will be closed; a link is made by this alone */
        return kind == KIND_PLAIN || event_knows(ev, F_LINK_TARGET);
    case FILE_CLOSE_WRITE:
    case FILE_MODIFY:
        return kind == KIND_PLAIN || (kind == KIND_LOG ? is_file_tool(image) : !image_is_shell(image));
    case FILE_ATTRIB:
    case FILE_OPEN_EXEC:
    case FILE_OPEN:
        break;
    }
    return false;
}

/* ---- reporting ---------------------------------------------------------------------------------------------------- */

static bool near(uint64_t a_ns, uint64_t b_ns)
{
    return (a_ns > b_ns ? a_ns - b_ns : b_ns - a_ns) <= WINDOW_NS;
}

static bool is_suspicious(const struct signal *g)
{
    return g->severity >= SEVERITY_MEDIUM && !text_has_suffix(g->type, "SensitiveFileModified");
}

/* What a rule says of the very same event is no other activity. */
static bool change_beside(const struct change *c, const struct signal *g)
{
    return c->time_ns && is_suspicious(g) && g->event_id != c->event_id && near(c->time_ns, g->last_ns) &&
           signals_share_task(c->container, c->task_id, g->container, g->task_id);
}

static const char *op_name(uint8_t op)
{
    static const char *const names[] = { "", "created", "deleted", "renamed", "", "written", "", "written", "" };
    return op < sizeof names / sizeof names[0] ? names[op] : "";
}

/* The latest change of this purpose beside `g`, with the others as its company. */
static void report(struct detection *d, struct state *state, struct change *main_change, const struct signal *g)
{
    json_t *e = json_object(), *paths = json_array(), *beside = json_object();
    for (int i = 0; i < LIMIT_SENSITIVE_CHANGES; i++) {
        struct change *c = &state->changes[i];
        if (c->purpose != main_change->purpose || !change_beside(c, g))
            continue;
        c->reported = true;
        if (c != main_change && json_array_size(paths) < RELATED_PATHS)
            json_array_append_new(paths, json_string(c->path)); /* escaped when it was noted */
    }
    struct process *p = main_change->pid ? proctree_find(d->tree, main_change->pid) : NULL;
    if (p && p->start_ns != main_change->start_ns)
        p = NULL;
    struct finding *f = detection_begin(d, detector_of(main_change->purpose), p, main_change->image, main_change->container, main_change->time_ns,
                                        main_change->event_id);
    json_object_set_new(e, "operation", json_string(op_name(main_change->op)));
    json_object_set_new(e, "path", json_string(main_change->path));
    json_object_set_new(e, "related_paths", paths);
    json_object_set_new(beside, "finding", json_string(g->id));
    evidence_text(beside, "type", g->type, strlen(g->type));
    evidence_time(beside, "time", g->wall_ns);
    json_object_set_new(e, "beside", beside);
    finding_printf(f, FT_DESCRIPTION, "%s was %s, %zu related files changed, and %s was found %s.", main_change->path, op_name(main_change->op),
                   json_array_size(paths), g->type, main_change->container ? "in the same task" : "on the same host");
    detection_end(d, f, "", e);
}

static bool signal_seen(struct detection *d, const struct detector *self, const struct signal *g)
{
    struct state *state = detection_state(d, self);
    for (int purpose = PURPOSE_EVASION; is_suspicious(g) && purpose <= PURPOSE_PRIVILEGE; purpose++) {
        struct change *latest = NULL;
        for (int i = 0; i < LIMIT_SENSITIVE_CHANGES; i++) {
            struct change *c = &state->changes[i];
            if ((int)c->purpose == purpose && !c->reported && change_beside(c, g) && (!latest || c->time_ns > latest->time_ns))
                latest = c;
        }
        if (!latest)
            continue;
        if (!detection_has_room(d))
            return false;
        report(d, state, latest, g);
    }
    return true;
}

/* ---- events ------------------------------------------------------------------------------------------------------- */

/* The entry of this path in this container; else the oldest, cleared. */
static struct change *change_of(struct detection *d, struct state *state, enum purpose purpose, int32_t container, const char *path)
{
    struct change *c = &state->changes[0];
    for (int i = 0; i < LIMIT_SENSITIVE_CHANGES; i++) {
        struct change *other = &state->changes[i];
        if (other->time_ns && other->container == container && other->purpose == purpose && !strcmp(other->path, path))
            return other;
        if (other->time_ns < c->time_ns)
            c = other;
    }
    image_release(d->tree, c->image);
    memset(c, 0, sizeof *c);
    return c;
}

static struct change *note(struct detection *d, struct state *state, const struct step *s, enum purpose purpose, const char *path, size_t length)
{
    char shown[sizeof ((struct change *)0)->path];
    struct text_out out;
    int32_t container = s->container ? s->container->id : 0;
    text_out_init(&out, shown, sizeof shown);
    text_escape(&out, path, length);
    struct change *c = change_of(d, state, purpose, container, shown);
    bool goes_on = c->time_ns && c->op == s->ev->file_op && c->pid == s->process->pid && near(c->time_ns, s->ev->time_ns);
    image_release(d->tree, c->image);
    *c = (struct change){ .time_ns = s->ev->time_ns, .purpose = purpose, .container = container, .pid = s->process->pid,
                          .start_ns = s->process->start_ns, .event_id = s->event_id, .image = s->process->image, .op = s->ev->file_op,
                          .reported = goes_on && c->reported };
    if (c->image)
        c->image->refs++;
    if (s->container)
        memcpy(c->task_id, s->container->task_id, sizeof c->task_id);
    memcpy(c->path, shown, sizeof c->path);
    return c;
}

static void look_at(struct detection *d, const struct detector *self, const struct step *s, struct text path)
{
    const char *name = event_text(s->ev, path);
    int i = s->ev->file_op == FILE_OPEN_EXEC || s->ev->file_op == FILE_OPEN || s->ev->file_op == FILE_ATTRIB ? -1 : find_file(name);
    if (i < 0 || !is_change(s->ev, files[i].kind, s->process->image) || is_upkeep(d, s->process))
        return;
    struct state *state = detection_state(d, self);
    struct change *c = note(d, state, s, files[i].purpose, name, path.len);
    const struct signal *latest = NULL;
    for (int j = 0; j < LIMIT_SIGNALS && d->signals->numbers[j]; j++) {
        const struct signal *g = &d->signals->slots[j];
        if (change_beside(c, g) && (!latest || g->number > latest->number))
            latest = g;
    }
    if (latest && !c->reported && detection_has_room(d))
        report(d, state, c, latest);
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    if (!s->process || !s->process->image)
        return;
    look_at(d, self, s, s->ev->path);
    if (s->ev->file_op == FILE_MOVE) /* what was there is gone */
        look_at(d, self, s, s->ev->old_path);
}

#define ADVICE                                                                                                                                 \
    "Read the file and compare it with the image (docker diff CONTAINER). The finding named in the evidence is what made this change suspicious: begin there."

/* One looks at the files for all; the others lend type and words. */
const struct detector detector_sensitive_evasion = {
    .rule = "sensitive_file_evasion",
    .type = "DefenseEvasion:Runtime/SensitiveFileModified",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0005 T1070 T1562.001",
    .title = "Logs, audit configuration or shell history were changed beside other suspicious activity",
    .condition = "Logs, audit configuration or shell history are written, renamed, linked or deleted, and another finding of medium "
                 "severity or above of the same task lies within 15 minutes. Not: package managers, log rotation, services that write "
                 "their own logs, a shell that saves its history.",
    .limits = "Files that no sensor watches (volumes) are not seen; the latest 256 changes are remembered.",
    .advice = ADVICE,
    .needs = FILL_FILE,
    .on = ON(FILE),
    .event = event,
    .signal = signal_seen,
    .state_bytes = sizeof(struct state),
    .state_fini = state_fini,
};

const struct detector detector_sensitive_persistence = {
    .rule = "sensitive_file_persistence",
    .type = "Persistence:Runtime/SensitiveFileModified",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0003 T1098 T1546.004 T1053.003 T1037",
    .title = "Keys, accounts, login scripts or scheduled commands were changed beside other suspicious activity",
    .condition = "SSH keys, login scripts, accounts, scheduled commands or start-up files are written, renamed, linked or deleted, and "
                 "another finding of medium severity or above of the same task lies within 15 minutes. Not: package managers, cron "
                 "itself.",
    .limits = "As for DefenseEvasion:Runtime/SensitiveFileModified.",
    .advice = ADVICE,
    .needs = FILL_FILE,
};

const struct detector detector_sensitive_privilege = {
    .rule = "sensitive_file_privilege",
    .type = "PrivilegeEscalation:Runtime/SensitiveFileModified",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0004 TA0006 T1548.003 T1556.003",
    .title = "Files that decide who may do what were changed beside other suspicious activity",
    .condition = "sudoers, PAM and other files that decide who may do what are written, renamed, linked or deleted, and another finding "
                 "of medium severity or above of the same task lies within 15 minutes. Not: package managers.",
    .limits = "As for DefenseEvasion:Runtime/SensitiveFileModified.",
    .advice = ADVICE,
    .needs = FILL_FILE,
};
