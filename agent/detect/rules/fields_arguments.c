/* evt.arg.*: arguments of the system call that the reference would have seen, as far as our event tells them. */
#include "agent/detect/rules/field_getters.h"

#include <string.h>
#include <sys/stat.h>

#include "agent/detect/rules/user_names.h"

#define N(array) (sizeof array / sizeof array[0])

struct number_name {
    uint64_t number;
    const char *name;
};

static enum value_answer named_number(struct field_context *c, const struct number_name *names, size_t n, uint64_t number,
                                      struct value *out)
{
    struct text_out text;
    for (size_t i = 0; i < n; i++)
        if (names[i].number == number)
            return value_name(out, names[i].name);
    scratch_begin(c, &text);
    text_out_printf(&text, "%llu", (unsigned long long)number);
    return scratch_end(c, &text, out);
}

/* ---- flags ---- */

static enum value_answer exec_flags(struct field_context *c, struct value *out)
{
    static const struct bit_name names[] = { { 1, "EXE_WRITABLE" }, { 2, "EXE_UPPER_LAYER" }, { 4, "EXE_FROM_MEMFD" },
                                             { 8, "EXE_LOWER_LAYER" } };
    struct subject self;
    bool writable = false, upper = false;
    if (!subject_self(c, &self))
        return VALUE_MISSING;
    const bool memfd = exe_is_memfd(&self);
    exe_is_writable(c, &self, &writable);
    const enum value_answer layer = memfd ? VALUE_MISSING : exe_in_upper_layer(c, &self, &upper);
    if (layer == VALUE_WAIT)
        return VALUE_WAIT;
    const bool lower = layer == VALUE_GOT && c->container && !upper;
    return scratch_bits(c, writable | upper << 1 | memfd << 2 | lower << 3, names, N(names), out);
}

/* Was there something in the file, that this write cut off? */
static bool was_emptied(const struct field_context *c)
{
    const struct event *ev = c->ev;
    if (!event_knows(ev, F_SIZE) || ev->file_size || !event_knows(ev, F_MODE) || !S_ISREG(ev->mode))
        return false;
    const struct file_origin *origin =
        c->origins ? file_origins_find(c->origins, c->container ? c->container->id : 0, event_text(ev, ev->path), ev->path.len) : NULL;
    return !origin || !origin->never_filled;
}

/* What the call must have asked for; the flags themselves are not told. An empty file after writing was emptied by it, if it ever was not. */
static enum value_answer open_flags(const struct field_context *c, struct value *out)
{
    const struct event *ev = c->ev;
    if (c->class == CLASS_CREATE)
        return value_name(out, "O_CREAT|O_WRONLY");
    if (ev->file_op == FILE_OPEN)
        return value_name(out, event_knows(ev, F_MODE) && S_ISDIR(ev->mode) ? "O_DIRECTORY|O_RDONLY" : "O_RDONLY");
    return value_name(out, was_emptied(c) ? "O_TRUNC|O_WRONLY" : "O_WRONLY");
}

static enum value_answer clone_flags(struct field_context *c, uint64_t bits, struct value *out)
{
    static const struct bit_name names[] = {
        { 0x00000080, "CLONE_NEWTIME" }, { 0x00000100, "CLONE_VM" },        { 0x00000200, "CLONE_FS" },      { 0x00000400, "CLONE_FILES" },
        { 0x00020000, "CLONE_NEWNS" },   { 0x02000000, "CLONE_NEWCGROUP" }, { 0x04000000, "CLONE_NEWUTS" },  { 0x08000000, "CLONE_NEWIPC" },
        { 0x10000000, "CLONE_NEWUSER" }, { 0x20000000, "CLONE_NEWPID" },    { 0x40000000, "CLONE_NEWNET" },
    };
    return scratch_bits(c, bits, names, N(names), out);
}

static enum value_answer memfd_flags(struct field_context *c, uint64_t bits, struct value *out)
{
    static const struct bit_name names[] = { { 1, "MFD_CLOEXEC" }, { 2, "MFD_ALLOW_SEALING" }, { 4, "MFD_HUGETLB" },
                                             { 8, "MFD_NOEXEC_SEAL" }, { 16, "MFD_EXEC" } };
    return scratch_bits(c, bits, names, N(names), out);
}

static enum value_answer mount_flags(struct field_context *c, uint64_t bits, struct value *out)
{
    static const struct bit_name names[] = { { 1, "RDONLY" },     { 2, "NOSUID" },     { 4, "NODEV" },       { 8, "NOEXEC" },
                                             { 32, "REMOUNT" },   { 4096, "BIND" },    { 8192, "MOVE" },     { 16384, "REC" },
                                             { 1u << 18, "PRIVATE" }, { 1u << 19, "SLAVE" }, { 1u << 20, "SHARED" } };
    return scratch_bits(c, bits, names, N(names), out);
}

/* The number of the argument that holds flags, for system calls that are told with their arguments. */
static bool syscall_flags(const struct field_context *c, uint64_t *bits)
{
    const struct event *ev = c->ev;
    if (ev->kind != EVENT_SYSCALL)
        return false;
    if (c->class == CLASS_UNSHARE || c->class == CLASS_USERFAULTFD)
        *bits = ev->arg0;
    else if (c->class == CLASS_MEMFD_CREATE)
        *bits = ev->arg1;
    else if (c->class == CLASS_MOUNT && strcmp(event_text(ev, ev->syscall), "mount") == 0)
        *bits = ev->arg3;
    else
        return false;
    return true;
}

static enum value_answer get_flags(struct field_context *c, struct value *out)
{
    uint64_t bits;
    if (c->class == CLASS_EXEC)
        return exec_flags(c, out);
    if (c->class == CLASS_OPEN || c->class == CLASS_CREATE)
        return open_flags(c, out);
    if (!syscall_flags(c, &bits))
        return VALUE_MISSING;
    if (c->class == CLASS_MEMFD_CREATE)
        return memfd_flags(c, bits, out);
    return c->class == CLASS_MOUNT ? mount_flags(c, bits, out) : clone_flags(c, bits, out);
}

/* ---- mode ---- */

static enum value_answer get_mode(struct field_context *c, struct value *out)
{
    static const struct bit_name names[] = {
        { S_IXOTH, "S_IXOTH" }, { S_IWOTH, "S_IWOTH" }, { S_IROTH, "S_IROTH" }, { S_IXGRP, "S_IXGRP" }, { S_IWGRP, "S_IWGRP" },
        { S_IRGRP, "S_IRGRP" },
        { S_IXUSR, "S_IXUSR" }, { S_IWUSR, "S_IWUSR" }, { S_IRUSR, "S_IRUSR" }, { S_ISVTX, "S_ISVTX" }, { S_ISGID, "S_ISGID" },
        { S_ISUID, "S_ISUID" },
    };
    struct text_out text;
    if (c->ev->kind != EVENT_FILE || !event_knows(c->ev, F_MODE))
        return VALUE_MISSING;
    if (c->class == CLASS_CHMOD)
        return scratch_bits(c, c->ev->mode & 07777, names, N(names), out);
    if (c->class != CLASS_CREATE && c->class != CLASS_MKDIR)
        return VALUE_MISSING;
    scratch_begin(c, &text);
    text_out_printf(&text, "0%o", c->ev->mode & 07777u);
    return scratch_end(c, &text, out);
}

/* ---- names of files ---- */

static enum value_answer path_of(const struct field_context *c, uint64_t classes, struct value *out)
{
    return classes >> c->class & 1 ? value_event_text(out, c->ev, F_PATH, c->ev->path) : VALUE_MISSING;
}

#define IN(class) (1ull << CLASS_##class)

static enum value_answer get_exepath(struct field_context *c, struct value *out)
{
    struct subject self;
    return c->class == CLASS_EXEC && subject_self(c, &self) ? subject_property(c, &self, PROCESS_EXEPATH, out) : VALUE_MISSING;
}

static enum value_answer get_name(struct field_context *c, struct value *out)
{
    return path_of(c, IN(OPEN) | IN(CREATE) | IN(UNLINK), out);
}

static enum value_answer get_path(struct field_context *c, struct value *out)
{
    return path_of(c, IN(MKDIR) | IN(UNLINK) | IN(RMDIR), out);
}

static enum value_answer get_filename(struct field_context *c, struct value *out)
{
    return c->class == CLASS_EXEC ? get_exepath(c, out) : path_of(c, IN(CHMOD), out);
}

static enum value_answer get_oldpath(struct field_context *c, struct value *out)
{
    return c->class == CLASS_RENAME || c->class == CLASS_LINK ? value_event_text(out, c->ev, F_OLD_PATH, c->ev->old_path) : VALUE_MISSING;
}

static enum value_answer get_newpath(struct field_context *c, struct value *out)
{
    return path_of(c, IN(RENAME) | IN(LINK), out);
}

static enum value_answer get_linkpath(struct field_context *c, struct value *out)
{
    return path_of(c, IN(SYMLINK), out);
}

static enum value_answer get_target(struct field_context *c, struct value *out)
{
    return c->class == CLASS_SYMLINK ? value_event_text(out, c->ev, F_LINK_TARGET, c->ev->link_target) : VALUE_MISSING;
}

/* ---- ids: by name where they have one ---- */

static bool ids_of(const struct field_context *c, enum event_argument a, uint32_t *id)
{
    const struct event *ev = c->ev;
    const bool setuid = c->class == CLASS_SETUID, setgid = c->class == CLASS_SETGID, exec = c->class == CLASS_EXEC;
    switch ((int)a) {
    case ARG_UID:
    case ARG_EUID:
        *id = ev->euid;
        return (setuid || (exec && a == ARG_UID)) && event_knows(ev, F_EUID);
    case ARG_RUID:
        *id = ev->uid;
        return setuid && event_knows(ev, F_UID);
    case ARG_GID:
    case ARG_EGID:
        *id = ev->egid;
        return (setgid || (exec && a == ARG_GID)) && event_knows(ev, F_EGID);
    case ARG_RGID:
        *id = ev->gid;
        return setgid && event_knows(ev, F_GID);
    case ARG_LOGINUID:
        *id = ev->loginuid;
        return exec && event_knows(ev, F_LOGINUID);
    }
    return false;
}

static enum value_answer get_id(struct field_context *c, enum event_argument a, bool group, struct value *out)
{
    struct text_out text;
    uint32_t id;
    if (!ids_of(c, a, &id))
        return VALUE_MISSING;
    const char *name = !c->users ? NULL : group ? user_names_group(c->users, id) : user_names_user(c->users, id);
    if (name)
        return value_name(out, name);
    scratch_begin(c, &text);
    text_out_printf(&text, "%u", id);
    return scratch_end(c, &text, out);
}

/* ---- ptrace, bpf, sockets, namespaces ---- */

static enum value_answer get_request(struct field_context *c, struct value *out)
{
    static const struct number_name names[] = {
        { 0, "PTRACE_TRACEME" },   { 1, "PTRACE_PEEKTEXT" },  { 2, "PTRACE_PEEKDATA" },   { 3, "PTRACE_PEEKUSR" },
           { 4, "PTRACE_POKETEXT" },
        { 5, "PTRACE_POKEDATA" },  { 6, "PTRACE_POKEUSR" },   { 7, "PTRACE_CONT" },       { 8, "PTRACE_KILL" },
              { 9, "PTRACE_SINGLESTEP" },
        { 12, "PTRACE_GETREGS" },  { 13, "PTRACE_SETREGS" },  { 14, "PTRACE_GETFPREGS" }, { 15, "PTRACE_SETFPREGS" },
        { 16, "PTRACE_ATTACH" },
        { 17, "PTRACE_DETACH" },   { 24, "PTRACE_SYSCALL" },  { 0x4200, "PTRACE_SETOPTIONS" }, { 0x4204, "PTRACE_GETREGSET" },
        { 0x4205, "PTRACE_SETREGSET" }, { 0x4206, "PTRACE_SEIZE" }, { 0x4207, "PTRACE_INTERRUPT" },
    };
    if (c->class != CLASS_PTRACE)
        return VALUE_MISSING;
    return c->ev->kind == EVENT_PTRACE ? value_name(out, "PTRACE_ATTACH") : named_number(c, names, N(names), c->ev->arg0, out);
}

static enum value_answer get_cmd(struct field_context *c, struct value *out)
{
    static const struct number_name names[] = {
        { 0, "BPF_MAP_CREATE" },      { 1, "BPF_MAP_LOOKUP_ELEM" }, { 2, "BPF_MAP_UPDATE_ELEM" }, { 3, "BPF_MAP_DELETE_ELEM" },
        { 4, "BPF_MAP_GET_NEXT_KEY" }, { 5, "BPF_PROG_LOAD" },      { 6, "BPF_OBJ_PIN" },         { 7, "BPF_OBJ_GET" },
        { 8, "BPF_PROG_ATTACH" },     { 9, "BPF_PROG_DETACH" },     { 10, "BPF_PROG_TEST_RUN" },  { 17, "BPF_RAW_TRACEPOINT_OPEN" },
        { 18, "BPF_BTF_LOAD" },       { 28, "BPF_LINK_CREATE" },
    };
    return c->class == CLASS_BPF ? named_number(c, names, N(names), c->ev->arg0, out) : VALUE_MISSING;
}

static enum value_answer get_domain(struct field_context *c, struct value *out)
{
    static const struct number_name names[] = { { 1, "AF_UNIX" },  { 2, "AF_INET" },    { 10, "AF_INET6" }, { 16, "AF_NETLINK" },
                                                { 17, "AF_PACKET" }, { 38, "AF_ALG" },  { 40, "AF_VSOCK" }, { 44, "AF_XDP" } };
    return c->class == CLASS_SOCKET ? named_number(c, names, N(names), c->ev->arg0, out) : VALUE_MISSING;
}

static enum value_answer get_tuple(struct field_context *c, struct value *out)
{
    struct text_out text;
    struct flow_end client, server;
    if (!flow_ends(c, &client, &server))
        return VALUE_MISSING;
    scratch_begin(c, &text);
    flow_print(&text, c);
    return scratch_end(c, &text, out);
}

static enum value_answer get_mount(const struct field_context *c, enum event_argument a, struct value *out)
{
    const struct event *ev = c->ev;
    if (ev->kind != EVENT_MOUNT)
        return VALUE_MISSING;
    if (a == ARG_DEV)
        return value_event_text(out, ev, F_MOUNT_SOURCE, ev->mount_source);
    return a == ARG_DIR ? value_event_text(out, ev, F_PATH, ev->path) : value_event_text(out, ev, F_FS_TYPE, ev->fs_type);
}

/* ---- numbers ---- */

static bool exit_number(const struct event *ev, enum event_argument a, int64_t *number)
{
    const bool signal = event_knows(ev, F_EXIT_SIGNAL) && ev->exit_signal;
    if (ev->kind != EVENT_EXIT || (a != ARG_STATUS && a != ARG_RET && a != ARG_SIG))
        return false;
    *number = a == ARG_SIG ? ev->exit_signal : a == ARG_RET ? ev->exit_code : signal ? ev->exit_signal : ev->exit_code << 8;
    return true;
}

static bool exec_number(const struct event *ev, enum event_argument a, int64_t *number)
{
    static const struct {
        enum event_argument argument;
        enum event_field field;
    } fields[] = { { ARG_TTY, F_TTY }, { ARG_PGID, F_PGID }, { ARG_EXE_INO, F_INO }, { ARG_EXE_INO_CTIME, F_CTIME_WALL_NS },
                   { ARG_EXE_INO_MTIME, F_MTIME_WALL_NS }, { ARG_CAP_EFFECTIVE, F_CAP_EFFECTIVE }, { ARG_CAP_PERMITTED, F_CAP_PERMITTED },
                   { ARG_CAP_INHERITABLE, F_CAP_INHERITABLE } };
    const uint64_t values[] = { ev->tty, (uint64_t)ev->pgid, ev->ino, ev->ctime_wall_ns, ev->mtime_wall_ns,
                                ev->cap_effective, ev->cap_permitted, ev->cap_inheritable };
    for (size_t i = 0; i < N(fields); i++)
        if (fields[i].argument == a && event_knows(ev, fields[i].field)) {
            *number = (int64_t)values[i];
            return true;
        }
    return false;
}

/* An argument that is a plain number. */
static bool number_of(const struct field_context *c, enum event_argument a, int64_t *number)
{
    const struct event *ev = c->ev;
    const bool made = c->class == CLASS_EXEC || c->class == CLASS_CLONE;
    if (exit_number(ev, a, number) || (c->class == CLASS_EXEC && exec_number(ev, a, number)))
        return true;
    if (a == ARG_RES) {
        *number = c->class == CLASS_CLONE ? ev->pid : 0;
        return true;
    }
    if (a == ARG_FD && (c->class == CLASS_DUP || ev->kind == EVENT_UNIX || ev->kind == EVENT_SOCKETS)) {
        *number = ev->fd;
        return event_knows(ev, F_FD);
    }
    if (a == ARG_PID && c->class == CLASS_PTRACE) {
        *number = ev->kind == EVENT_PTRACE ? ev->target_pid : (int64_t)ev->arg1;
        return true;
    }
    if (a == ARG_PID && c->class == CLASS_VM_WRITE) {
        *number = (int64_t)ev->arg0;
        return ev->kind == EVENT_SYSCALL;
    }
    if ((a == ARG_PROTO || a == ARG_TYPE) && c->class == CLASS_SOCKET) {
        *number = (int64_t)(a == ARG_PROTO ? ev->arg2 : ev->arg1);
        return ev->kind == EVENT_SYSCALL;
    }
    *number = a == ARG_PTID ? ev->ppid : ev->pid;
    return made && ((a == ARG_PTID && event_knows(ev, F_PPID)) || ((a == ARG_PID || a == ARG_TID) && event_knows(ev, F_PID)));
}

static enum value_answer number_text(struct field_context *c, int64_t number, struct value *out)
{
    struct text_out text;
    scratch_begin(c, &text);
    text_out_printf(&text, "%lld", (long long)number);
    return scratch_end(c, &text, out);
}

static enum value_answer exec_text(struct field_context *c, enum event_argument a, struct value *out)
{
    struct subject self;
    if (c->class != CLASS_EXEC || !subject_self(c, &self))
        return VALUE_MISSING;
    if (a == ARG_CWD)
        return value_event_text(out, c->ev, F_CWD, c->ev->cwd);
    return subject_property(c, &self, a == ARG_EXE ? PROCESS_EXE : a == ARG_COMM ? PROCESS_NAME : PROCESS_ARGS, out);
}

enum value_answer argument_text(struct field_context *c, enum event_argument a, struct value *out)
{
    int64_t number;
    out->type = VALUE_TEXT;
    out->is_list = false;
    switch (a) {
    case ARG_NAME:
        return get_name(c, out);
    case ARG_PATH:
        return get_path(c, out);
    case ARG_PATHNAME:
    case ARG_TRUSTED_EXEPATH:
        return get_exepath(c, out);
    case ARG_FILENAME:
        return get_filename(c, out);
    case ARG_OLDPATH:
        return get_oldpath(c, out);
    case ARG_NEWPATH:
        return get_newpath(c, out);
    case ARG_TARGET:
        return get_target(c, out);
    case ARG_LINKPATH:
        return get_linkpath(c, out);
    case ARG_FLAGS:
        return get_flags(c, out);
    case ARG_MODE:
        return get_mode(c, out);
    case ARG_UID:
    case ARG_EUID:
    case ARG_RUID:
    case ARG_LOGINUID:
        return get_id(c, a, false, out);
    case ARG_GID:
    case ARG_EGID:
    case ARG_RGID:
        return get_id(c, a, true, out);
    case ARG_REQUEST:
        return get_request(c, out);
    case ARG_EXE:
    case ARG_COMM:
    case ARG_CWD:
    case ARG_ARGS:
        return exec_text(c, a, out);
    case ARG_TUPLE:
        return get_tuple(c, out);
    case ARG_DOMAIN:
        return get_domain(c, out);
    case ARG_CMD:
        return get_cmd(c, out);
    case ARG_NSTYPE:
        return c->class == CLASS_SETNS ? clone_flags(c, c->ev->arg1, out) : VALUE_MISSING;
    case ARG_TYPE:
        if (c->class == CLASS_SOCKET)
            return number_of(c, a, &number) ? number_text(c, number, out) : VALUE_MISSING;
        return get_mount(c, a, out);
    case ARG_DEV:
    case ARG_DIR:
        return get_mount(c, a, out);
    case ARG_CAP_EFFECTIVE:
    case ARG_CAP_PERMITTED:
    case ARG_CAP_INHERITABLE:
    case ARG_FD:
    case ARG_PID:
    case ARG_TID:
    case ARG_PTID:
    case ARG_TTY:
    case ARG_PGID:
    case ARG_EXE_INO:
    case ARG_EXE_INO_CTIME:
    case ARG_EXE_INO_MTIME:
    case ARG_PROTO:
    case ARG_SIG:
    case ARG_RET:
    case ARG_STATUS:
    case ARG_RES:
        return number_of(c, a, &number) ? number_text(c, number, out) : VALUE_MISSING;
    case ARG_NONE:
    case ARG_MAX:
        return VALUE_MISSING;
    }
    return VALUE_MISSING;
}

/* The number behind a text, where there is one. */
static bool raw_number(const struct field_context *c, enum event_argument a, uint64_t *number)
{
    const struct event *ev = c->ev;
    uint32_t id;
    int64_t plain;
    if (ids_of(c, a, &id)) {
        *number = id;
        return true;
    }
    if (number_of(c, a, &plain)) {
        *number = (uint64_t)plain;
        return true;
    }
    if (a == ARG_MODE && ev->kind == EVENT_FILE && event_knows(ev, F_MODE)) {
        *number = ev->mode & 07777;
        return true;
    }
    if (ev->kind != EVENT_SYSCALL)
        return false;
    *number = a == ARG_NSTYPE ? ev->arg1 : ev->arg0;
    return (a == ARG_FLAGS && syscall_flags(c, number)) || (a == ARG_REQUEST && c->class == CLASS_PTRACE) ||
           (a == ARG_CMD && c->class == CLASS_BPF) || (a == ARG_DOMAIN && c->class == CLASS_SOCKET) ||
           (a == ARG_NSTYPE && c->class == CLASS_SETNS);
}

enum value_answer argument_raw(struct field_context *c, enum event_argument a, struct value *out)
{
    uint64_t number;
    enum value_type type;
    const char *name = event_argument_name(a);
    if (!event_argument_find(name, strlen(name), &type))
        return VALUE_MISSING;
    if (type == VALUE_TEXT || type == VALUE_PATH || type == VALUE_BYTES) {
        const enum value_answer answer = argument_text(c, a, out);
        out->type = type;
        return answer;
    }
    out->type = type;
    return raw_number(c, a, &number) ? value_uint(out, number) : VALUE_MISSING;
}
