/* Processes as fields see them: the one that acts, its ancestors, its session's and group's leaders. Their texts. */
#include "agent/detect/rules/field_subject.h"

#include "agent/detect/rules/text_find.h"

#define UNKNOWN "<NA>" /* what the reference says of a process it knows nothing of */

/* ---- subjects ---- */

bool subject_self(const struct field_context *c, struct subject *s)
{
    const char *comm = c->process ? process_comm_at(c->process, c->ev->time_ns) : NULL;
    *s = (struct subject){ c->process, c->image, comm, c->ev->kind == EVENT_EXEC ? c->ev : NULL };
    return s->process || s->image || s->ev;
}

struct subject subject_of(const struct field_context *c, const struct process *process)
{
    const uint64_t time_ns = c->ev->time_ns;
    if (!process)
        return (struct subject){ 0 };
    return (struct subject){ process, process_image_at(process, time_ns), process_comm_at(process, time_ns), NULL };
}

bool subject_ancestor(const struct field_context *c, int64_t level, struct subject *s)
{
    const struct process *p = c->process;
    if (level == 0)
        return subject_self(c, s);
    for (int64_t i = 0; p && i < level; i++)
        p = i < LIMIT_LINEAGE ? proctree_parent(c->tree, p) : NULL;
    *s = subject_of(c, p);
    return p != NULL;
}

/* The session's leader; when it is gone, the oldest ancestor that is left of its session. */
static bool subject_session(const struct field_context *c, struct subject *s)
{
    const struct process *p = c->process;
    if (!p || p->sid <= 0)
        return false;
    const struct process *leader = p->sid == p->pid ? p : proctree_find(c->tree, p->sid);
    for (int i = 0; !leader && i < LIMIT_LINEAGE; i++) {
        const struct process *parent = proctree_parent(c->tree, p);
        if (!parent || parent->sid != p->sid)
            break;
        p = parent;
    }
    if (!leader)
        leader = p;
    if (leader == c->process)
        return subject_self(c, s);
    *s = subject_of(c, leader);
    return true;
}

static bool subject_group(const struct field_context *c, struct subject *s)
{
    const struct process *p = c->process;
    const struct process *leader = !p || p->pgid <= 0 ? NULL : p->pgid == p->pid ? p : proctree_find(c->tree, p->pgid);
    if (leader && leader == p)
        return subject_self(c, s);
    *s = subject_of(c, leader);
    return leader != NULL;
}

/* ---- texts of one process ---- */

struct span subject_argv(const struct subject *s)
{
    if (event_is_known(s->ev, F_CMDLINE))
        return (struct span){ event_text(s->ev, s->ev->cmdline), s->ev->cmdline.len };
    if (s->image)
        return (struct span){ image_text(s->image, s->image->cmdline), s->image->cmdline.len };
    return (struct span){ "", 0 };
}

struct span words_first(struct span argv)
{
    const char *nul = memchr(argv.data, 0, argv.length);
    return (struct span){ argv.data, nul ? (size_t)(nul - argv.data) : argv.length };
}

/* The arguments behind the first word, without the NUL at their end. */
struct span words_rest(struct span argv)
{
    const size_t first = words_first(argv).length;
    if (first + 1 >= argv.length)
        return (struct span){ "", 0 };
    struct span rest = { argv.data + first + 1, argv.length - first - 1 };
    rest.length -= rest.data[rest.length - 1] == 0;
    return rest;
}

struct span subject_comm(const struct subject *s)
{
    if (event_is_known(s->ev, F_COMM))
        return (struct span){ event_text(s->ev, s->ev->comm), s->ev->comm.len };
    if (s->comm)
        return (struct span){ s->comm, strnlen(s->comm, LIMIT_COMM_BYTES) };
    return (struct span){ "", 0 };
}

struct span subject_exe_link(const struct subject *s)
{
    if (event_is_known(s->ev, F_EXE))
        return (struct span){ event_text(s->ev, s->ev->exe), s->ev->exe.len };
    return s->image ? (struct span){ image_text(s->image, s->image->exe), s->image->exe.len } : (struct span){ "", 0 };
}

bool exe_is_memfd(const struct subject *s)
{
    return span_begins(subject_exe_link(s), "/memfd:");
}

/* As the reference writes it: "memfd:name" for files in memory, no mark of deletion. */
static enum value_answer get_exepath(const struct subject *s, struct value *out)
{
    struct span exe = subject_exe_link(s);
    if (!exe.length)
        return VALUE_MISSING;
    if (span_ends(exe, EXE_DELETED_MARK))
        exe.length -= strlen(EXE_DELETED_MARK);
    const bool memfd = exe_is_memfd(s);
    return value_text(out, exe.data + memfd, exe.length - memfd);
}

/* Words ended by NUL with blanks between them, behind `to`. */
static void blanks_for_nuls(char *to, struct span words)
{
    memcpy(to, words.data, words.length);
    text_blank_nuls(to, words.length);
    to[words.length] = 0;
}

/* `first` and the words behind it; as they are where nothing has to be put together. */
static enum value_answer joined(struct field_context *c, struct span first, struct span words, struct value *out)
{
    if (!words.length)
        return first.length ? value_text(out, first.data, first.length) : value_name(out, UNKNOWN);
    char *text = scratch_take(c, first.length + 1 + words.length + 1);
    if (!text)
        return VALUE_MISSING;
    memcpy(text, first.data, first.length);
    text[first.length] = ' ';
    blanks_for_nuls(text + first.length + 1, words);
    return value_text(out, text, first.length + 1 + words.length);
}

enum value_answer words_join(struct field_context *c, struct span words, struct value *out)
{
    if (words_first(words).length == words.length)
        return value_text(out, words.data, words.length);
    char *text = scratch_take(c, words.length + 1);
    if (!text)
        return VALUE_MISSING;
    blanks_for_nuls(text, words);
    return value_text(out, text, words.length);
}

/* ---- numbers of one process ---- */

static bool pid_of(const struct field_context *c, const struct subject *s, int32_t *pid)
{
    (void)c;
    *pid = s->process ? s->process->pid : event_is_known(s->ev, F_PID) ? s->ev->pid : 0;
    return *pid != 0;
}

/* Read from /proc where everything is read. Else: a container's first process is 1, and on the host a pid is a pid. */
static enum value_answer get_vpid(const struct field_context *c, const struct subject *s, struct value *out)
{
    const struct process *p = s->process;
    if (p && p->vpid)
        return value_int(out, p->vpid);
    if (!p || (p->container && !c->container))
        return VALUE_MISSING;
    if (!p->container)
        return value_int(out, p->pid);
    return c->container->init_pid == p->pid && c->container->id == p->container ? value_int(out, 1) : VALUE_MISSING;
}

static enum value_answer get_age(const struct field_context *c, const struct subject *s, struct value *out)
{
    if (!s->process || !s->process->start_ns)
        return VALUE_MISSING;
    const uint64_t start_ns = s->process->start_ns;
    return value_uint(out, c->ev->time_ns > start_ns ? c->ev->time_ns - start_ns : 0);
}

enum value_answer subject_property(struct field_context *c, const struct subject *s, enum process_property which, struct value *out)
{
    static const struct span nothing = { "", 0 };
    int32_t pid;
    switch (which) {
    case PROCESS_NAME:
        return joined(c, subject_comm(s), nothing, out);
    case PROCESS_EXE:
        return joined(c, words_first(subject_argv(s)), nothing, out);
    case PROCESS_EXEPATH:
        return get_exepath(s, out);
    case PROCESS_ARGS:
        return words_join(c, words_rest(subject_argv(s)), out);
    case PROCESS_CMDLINE:
        return joined(c, subject_comm(s), words_rest(subject_argv(s)), out);
    case PROCESS_EXELINE:
        return joined(c, words_first(subject_argv(s)), words_rest(subject_argv(s)), out);
    case PROCESS_PID:
        return pid_of(c, s, &pid) ? value_int(out, pid) : VALUE_MISSING;
    case PROCESS_DURATION:
        return get_age(c, s, out);
    case PROCESS_START:
        return s->process && s->process->start_ns ? value_uint(out, s->process->start_ns + (uint64_t)c->wall_offset_ns) : VALUE_MISSING;
    case PROCESS_VPID:
        return get_vpid(c, s, out);
    }
    return VALUE_MISSING;
}

static enum value_answer unknown_process(enum process_property which, struct value *out)
{
    const bool named = which == PROCESS_NAME || which == PROCESS_EXE || which == PROCESS_CMDLINE || which == PROCESS_EXELINE;
    return named ? value_name(out, UNKNOWN) : VALUE_MISSING;
}

GETTER(process_self)
{
    struct subject s;
    const enum process_property which = (enum process_property)ref->field->which;
    return subject_self(c, &s) ? subject_property(c, &s, which, out) : unknown_process(which, out);
}

GETTER(process_parent)
{
    struct subject s;
    const enum process_property which = (enum process_property)ref->field->which;
    if (subject_ancestor(c, 1, &s))
        return subject_property(c, &s, which, out);
    if (which != PROCESS_PID)
        return VALUE_MISSING;
    const int32_t ppid = c->process ? c->process->ppid : event_knows(c->ev, F_PPID) ? c->ev->ppid : 0;
    return ppid ? value_int(out, ppid) : VALUE_MISSING;
}

/* Those of all ancestors, or of one. */
GETTER(process_ancestor)
{
    struct subject s;
    const enum process_property which = (enum process_property)ref->field->which;
    if (ref->index >= 0)
        return subject_ancestor(c, ref->index, &s) ? subject_property(c, &s, which, out) : VALUE_MISSING;
    struct value *items = scratch_take(c, LIMIT_LINEAGE * sizeof *items);
    const struct process *p = items ? proctree_parent(c->tree, c->process) : NULL;
    uint32_t n = 0;
    for (int i = 0; p && i < LIMIT_LINEAGE; i++, p = proctree_parent(c->tree, p)) {
        s = subject_of(c, p);
        items[n] = (struct value){ .type = ref->field->type };
        n += subject_property(c, &s, which, &items[n]) == VALUE_GOT;
    }
    out->is_list = true;
    out->list.items = items;
    out->list.n = n;
    return n ? VALUE_GOT : VALUE_MISSING;
}

GETTER(process_session)
{
    struct subject s;
    return subject_session(c, &s) ? subject_property(c, &s, (enum process_property)ref->field->which, out) : VALUE_MISSING;
}

GETTER(process_group)
{
    struct subject s;
    return subject_group(c, &s) ? subject_property(c, &s, (enum process_property)ref->field->which, out) : VALUE_MISSING;
}

GETTER(process_target)
{
    const bool attached = c->ev->kind == EVENT_SYSCALL && c->class == CLASS_PTRACE;
    const int32_t pid = event_knows(c->ev, F_TARGET_PID) ? c->ev->target_pid : attached ? (int32_t)c->ev->arg1 : 0;
    const struct process *p = pid > 0 ? proctree_find(c->tree, pid) : NULL;
    const struct subject s = subject_of(c, p);
    if (p)
        return subject_property(c, &s, (enum process_property)ref->field->which, out);
    return pid > 0 && ref->field->which == PROCESS_PID ? value_int(out, pid) : VALUE_MISSING;
}

GETTER(process_previous)
{
    const struct subject s = { .image = c->previous };
    if (!c->previous)
        return VALUE_MISSING;
    const struct span argv = subject_argv(&s);
    return ref->field->which == PROCESS_EXEPATH ? get_exepath(&s, out) : joined(c, words_first(argv), words_rest(argv), out);
}
