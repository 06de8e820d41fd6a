/* proc.* and thread.*: arguments, environment, ids, descriptors and capabilities of the process that acts. */
#include "agent/detect/rules/field_subject.h"

#include "agent/detect/rules/text_find.h"

GETTER(process_args)
{
    struct subject s;
    if (!subject_self(c, &s))
        return VALUE_MISSING;
    struct span words = words_rest(subject_argv(&s));
    if (ref->index < 0)
        return words_join(c, words, out);
    for (int64_t i = 0; words.data[0] || words.length; i++) {
        const struct span word = words_first(words);
        if (i == ref->index)
            return value_text(out, word.data, word.length);
        if (word.length >= words.length)
            break;
        words.data += word.length + 1;
        words.length -= word.length + 1;
    }
    return VALUE_MISSING;
}

/* The value of the first word "NAME=VALUE". */
static enum value_answer get_variable(struct span all, const struct field_ref *ref, struct value *out)
{
    const char *end = all.data + all.length, *p = all.data;
    while (p < end && (p = text_find(p, (size_t)(end - p), ref->argument, ref->argument_length))) {
        const char *value = p + ref->argument_length + 1;
        if (value <= end && value[-1] == '=' && (p == all.data || !p[-1]))
            return value_text(out, value, words_first((struct span){ value, (size_t)(end - value) }).length);
        p++;
    }
    return VALUE_MISSING;
}

/* Of the environment only the event itself knows. */
GETTER(process_env)
{
    const struct event *ev = c->ev;
    if (ev->kind != EVENT_EXEC || !event_knows(ev, F_ENVIRON))
        return VALUE_MISSING;
    struct span all = { event_text(ev, ev->environ), ev->environ.len };
    all.length -= all.length && all.data[all.length - 1] == 0;
    if (ref->argument)
        return get_variable(all, ref, out);
    return ref->words_apart ? value_text(out, all.data, all.length) : words_join(c, all, out);
}

/* ---- numbers ---- */

bool subject_uid(const struct field_context *c, uint32_t *uid)
{
    const struct event *ev = c->ev;
    if (c->class == CLASS_SETUID && c->process) {
        *uid = c->process->was_uid;
        return true;
    }
    if (c->class != CLASS_SETUID && event_knows(ev, F_EUID)) {
        *uid = ev->euid;
        return true;
    }
    *uid = c->process ? c->process->euid : 0;
    return c->process && c->process->has_ids;
}

bool subject_gid(const struct field_context *c, uint32_t *gid)
{
    if (event_knows(c->ev, F_EGID)) {
        *gid = c->ev->egid;
        return true;
    }
    *gid = c->process ? c->process->egid : 0;
    return c->process && c->process->has_ids;
}

static bool is_shell(struct span name)
{
    static const char *const shells[] = { "bash", "csh", "ksh", "sh", "tcsh", "zsh", "dash", "ash", "fish" };
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++)
        if (name.length == strlen(shells[i]) && memcmp(name.data, shells[i], name.length) == 0)
            return true;
    return false;
}

static enum value_answer login_shell(const struct field_context *c, struct value *out)
{
    int32_t found = 0;
    const struct process *p = c->process;
    for (int i = 0; p && i < LIMIT_LINEAGE; i++, p = proctree_parent(c->tree, p)) {
        const struct subject s = subject_of(c, p);
        if (is_shell(subject_comm(&s)))
            found = p->pid;
    }
    return found ? value_int(out, found) : VALUE_MISSING;
}

static enum value_answer count_args(struct span words, bool lengths, struct value *out)
{
    uint64_t n = words.length != 0, length = words.length;
    for (size_t i = 0; i < words.length; i++)
        if (!words.data[i]) {
            n++;
            length--;
        }
    return value_uint(out, lengths ? length : n);
}

static enum value_answer get_tty(const struct subject *s, struct value *out)
{
    if (event_is_known(s->ev, F_TTY))
        return value_uint(out, s->ev->tty);
    return s->image && s->image->has_tty ? value_uint(out, s->image->tty) : VALUE_MISSING;
}

static enum value_answer positive(struct value *out, int32_t number)
{
    return number > 0 ? value_int(out, number) : VALUE_MISSING;
}

GETTER(process_number)
{
    struct subject s;
    const struct process *p = c->process;
    const intptr_t which = ref->field->which;
    if (which == NUMBER_PIDNS_START)
        return c->container && c->container->started_wall_ns ? value_uint(out, c->container->started_wall_ns) : VALUE_MISSING;
    if (!subject_self(c, &s))
        return VALUE_MISSING;
    if (which == NUMBER_TTY)
        return get_tty(&s, out);
    if (which == NUMBER_ARGS || which == NUMBER_ARGS_LENGTH)
        return count_args(words_rest(subject_argv(&s)), which == NUMBER_ARGS_LENGTH, out);
    if (!p)
        return VALUE_MISSING;
    switch (which) {
    case NUMBER_SID:
        return positive(out, p->sid);
    case NUMBER_PGID:
        return positive(out, p->pgid);
    case NUMBER_VPGID:
        return positive(out, p->vpgid ? p->vpgid : p->container ? 0 : p->pgid);
    case NUMBER_RUID:
        return p->has_ids ? value_uint(out, p->uid) : VALUE_MISSING;
    case NUMBER_LOGIN_SHELL:
        return login_shell(c, out);
    case NUMBER_IS_SID_LEADER:
        return p->sid > 0 ? value_bool(out, p->sid == p->pid) : VALUE_MISSING;
    case NUMBER_IS_PGID_LEADER: /* the same in every pid namespace */
        return p->pgid > 0 ? value_bool(out, p->pgid == p->pid) : VALUE_MISSING;
    }
    return VALUE_MISSING;
}

GETTER(process_text)
{
    struct subject s;
    struct text_out text;
    if (!subject_self(c, &s))
        return VALUE_MISSING;
    if (ref->field->which == TEXT_CGROUP)
        return s.ev ? value_event_text(out, s.ev, F_CGROUP, s.ev->cgroup) : VALUE_MISSING;
    struct span cwd = { "", 0 };
    if (event_is_known(s.ev, F_CWD))
        cwd = (struct span){ event_text(s.ev, s.ev->cwd), s.ev->cwd.len };
    else if (s.image)
        cwd = (struct span){ image_text(s.image, s.image->cwd), s.image->cwd.len };
    if (!cwd.length)
        return VALUE_MISSING;
    if (cwd.data[cwd.length - 1] == '/')
        return value_text(out, cwd.data, cwd.length);
    scratch_begin(c, &text);
    text_out_bytes(&text, cwd.data, cwd.length);
    text_out_bytes(&text, "/", 1);
    return scratch_end(c, &text, out);
}

/* ---- namespaces, descriptors, capabilities ---- */

GETTER(process_namespace)
{
    struct subject s;
    if (!c->host || !subject_self(c, &s))
        return VALUE_MISSING;
    uint64_t own[3] = { 0, 0, 0 };
    const uint64_t host[3] = { c->host->mntns, c->host->netns, c->host->pidns };
    const intptr_t which = ref->field->which;
    if (event_is_known(s.ev, F_MNTNS)) {
        own[NAMESPACE_MNT] = s.ev->mntns;
        own[NAMESPACE_NET] = s.ev->netns;
        own[NAMESPACE_PID] = s.ev->pidns;
    } else if (s.image && s.image->has_namespaces) {
        own[NAMESPACE_MNT] = s.image->mntns;
        own[NAMESPACE_NET] = s.image->netns;
        own[NAMESPACE_PID] = s.image->pidns;
    }
    return own[which] && host[which] ? value_bool(out, own[which] == host[which]) : VALUE_MISSING;
}

static struct span stdio_link(const struct subject *s, intptr_t fd)
{
    static const enum event_field fields[3] = { F_STDIN, F_STDOUT, F_STDERR };
    if (event_is_known(s->ev, fields[fd])) {
        const struct text links[3] = { s->ev->stdin_link, s->ev->stdout_link, s->ev->stderr_link };
        return (struct span){ event_text(s->ev, links[fd]), links[fd].len };
    }
    if (!s->image)
        return (struct span){ "", 0 };
    const struct text links[3] = { s->image->stdin_link, s->image->stdout_link, s->image->stderr_link };
    return (struct span){ image_text(s->image, links[fd]), links[fd].len };
}

/* The kind of what a link of /proc/PID/fd shows. Which family a socket is of is known of the one that was looked at only. */
static const char *link_type(const struct subject *s, intptr_t fd, struct span link)
{
    static const struct {
        const char *begin, *type;
    } types[] = { { "pipe:", "pipe" },
                  { "anon_inode:[eventfd", "event" },
                  { "anon_inode:[eventpoll", "eventpoll" },
                  { "anon_inode:[signalfd", "signalfd" },
                  { "anon_inode:[timerfd", "timerfd" },
                  { "anon_inode:inotify", "inotify" },
                  { "/memfd:", "memfd" },
                  { "/", "file" } };
    if (span_begins(link, "socket:")) {
        if (!event_is_known(s->ev, F_FD) || s->ev->fd != fd || !event_knows(s->ev, F_SRC))
            return "socket";
        return s->ev->src.family == 6 ? "ipv6" : "ipv4";
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (span_begins(link, types[i].begin))
            return types[i].type;
    return "other";
}

GETTER(process_stdio)
{
    struct subject s;
    const intptr_t fd = ref->field->which & 3;
    if (!subject_self(c, &s))
        return VALUE_MISSING;
    const struct span link = stdio_link(&s, fd);
    if (!link.length)
        return VALUE_MISSING;
    return ref->field->which >= STDIO_NAME ? value_text(out, link.data, link.length) : value_name(out, link_type(&s, fd, link));
}

GETTER(process_fd_types)
{
    struct subject s;
    if (!subject_self(c, &s) || ref->index > 2)
        return VALUE_MISSING;
    struct value *items = scratch_take(c, 3 * sizeof *items);
    uint32_t n = 0;
    for (intptr_t fd = 0; items && fd < 3; fd++) {
        const struct span link = stdio_link(&s, fd);
        if (!link.length || (ref->index >= 0 && ref->index != fd))
            continue;
        items[n] = (struct value){ .type = VALUE_TEXT };
        n += value_name(&items[n], link_type(&s, fd, link)) == VALUE_GOT;
    }
    out->is_list = true;
    out->list.items = items;
    out->list.n = n;
    return n ? VALUE_GOT : VALUE_MISSING;
}

GETTER(process_capabilities)
{
    static const char *const names[] = {
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
        "CAP_SETPCAP",
        "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
        "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
        "CAP_SYS_NICE",
        "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
        "CAP_SETFCAP",
        "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON",
        "CAP_BPF",
        "CAP_CHECKPOINT_RESTORE",
    };
    struct subject s;
    struct text_out text;
    uint64_t sets[3];
    if (!subject_self(c, &s))
        return VALUE_MISSING;
    if (event_is_known(s.ev, F_CAP_EFFECTIVE)) {
        sets[CAPABILITY_EFFECTIVE] = s.ev->cap_effective;
        sets[CAPABILITY_PERMITTED] = s.ev->cap_permitted;
        sets[CAPABILITY_INHERITABLE] = s.ev->cap_inheritable;
    } else if (s.image && s.image->has_capabilities) {
        sets[CAPABILITY_EFFECTIVE] = s.image->cap_effective;
        sets[CAPABILITY_PERMITTED] = s.image->cap_permitted;
        sets[CAPABILITY_INHERITABLE] = s.image->cap_inheritable;
    } else {
        return VALUE_MISSING;
    }
    scratch_begin(c, &text);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (sets[ref->field->which] >> i & 1) {
            text_out_bytes(&text, " ", text.length != 0);
            text_out_bytes(&text, names[i], strlen(names[i]));
        }
    return scratch_end(c, &text, out);
}
