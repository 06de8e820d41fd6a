/* Names of event arguments that evt.arg.NAME and evt.rawarg.NAME can ask for: those of the reference, so that a misspelt one is refused. */
#include "agent/detect/rules/event_arguments.h"

#include <string.h>

struct argument_names {
    enum value_type type;
    const char *const *names;
};

#define NAMES(...) (const char *const[]){ __VA_ARGS__, NULL }

static const struct argument_names groups[] = {
    { VALUE_TEXT,
      NAMES("arg2_str", "comm", "container_id", "cwd", "desc", "description", "exe", "home", "hostname", "id", "json", "key", "linkpath",
            "quotafilepath",
            "scope", "shell", "special", "tags", "target", "type", "value_charbuf") },
    { VALUE_PATH,
      NAMES("dir", "filename", "name", "newpath", "oldpath", "path", "pathname", "trusted_exepath") },
    { VALUE_BYTES, NAMES("addr", "args", "cgroups", "data", "env", "event_data", "fds", "img", "tuple", "uargs", "value_bytebuf") },
    { VALUE_INT,
      NAMES("aux", "cmd", "cur", "dirfd", "dpid", "fd", "fd1", "fd2", "fd_in", "fd_out", "fdin", "fdlimit", "fdout", "in_fd", "linkdirfd",
            "loginuid",
            "max", "maxevents", "mountfd", "newcur", "newdir", "newdirfd", "newfd", "newmax", "next", "nsems", "olddir", "olddirfd",
            "oldcur", "oldfd",
            "oldmax", "out_fd", "pgid", "pid", "pid_fd", "ptid", "reaper_tid", "res", "res_or_fd", "ret", "sem_op_0", "sem_op_1", "semid",
            "semnum",
            "sig", "spid", "status", "target_fd", "tid", "timeout", "tty", "vpid", "vtid") },
    { VALUE_UINT,
      NAMES("ID", "action", "arg", "arg2_int", "argument", "backlog", "cap_effective", "cap_inheritable", "cap_permitted", "clockid",
            "core", "cpu",
            "cpu_sys", "cpu_usr", "cq_entries", "dev", "dqb_bhardlimit", "dqb_bsoftlimit", "dqb_curspace", "dqb_ihardlimit",
            "dqb_isoftlimit",
            "egid", "entries", "euid", "event_type", "exe_ino", "gid", "initval", "ino", "ip", "len", "length", "mask", "min_complete",
            "mode",
            "nativeID", "nr_args", "nsops", "offin", "offout", "offset", "op", "optlen", "peer", "pgft_maj", "pgft_min", "pgoffset",
            "pidns_init_start_ts", "plugin ID", "plugin_id", "pos", "proto", "queuelen", "queuemax", "queuepct", "ratio", "rgid", "ruid",
            "sem_num_0", "sem_num_1", "sgid", "sigmask", "size", "source", "sq_entries", "sq_thread_cpu", "sq_thread_idle", "suid",
            "to_submit", "uid", "val", "vm_rss", "vm_size", "vm_swap") },
    { VALUE_FLAGS,
      NAMES("domain", "dqi_flags", "error", "features", "flags", "how", "level", "nstype", "opcode", "operation", "option", "optname",
            "prot",
            "quota_fmt", "quota_fmt_out", "request", "resolve", "resource", "sem_flg_0", "sem_flg_1", "semflg", "whence") },
    { VALUE_ABSTIME, NAMES("exe_ino_ctime", "exe_ino_mtime") },
    { VALUE_RELTIME, NAMES("dqb_btime", "dqb_itime", "dqi_bgrace", "dqi_igrace", "interval") },
};

static const char *const own[ARG_MAX] = {
    [ARG_NONE] = "",
    [ARG_FD] = "fd",
    [ARG_NAME] = "name",
    [ARG_PATH] = "path",
    [ARG_PATHNAME] = "pathname",
    [ARG_FILENAME] = "filename",
    [ARG_OLDPATH] = "oldpath",
    [ARG_NEWPATH] = "newpath",
    [ARG_TARGET] = "target",
    [ARG_LINKPATH] = "linkpath",
    [ARG_FLAGS] = "flags",
    [ARG_MODE] = "mode",
    [ARG_UID] = "uid",
    [ARG_EUID] = "euid",
    [ARG_RUID] = "ruid",
    [ARG_GID] = "gid",
    [ARG_EGID] = "egid",
    [ARG_RGID] = "rgid",
    [ARG_REQUEST] = "request",
    [ARG_PID] = "pid",
    [ARG_TID] = "tid",
    [ARG_PTID] = "ptid",
    [ARG_EXE] = "exe",
    [ARG_COMM] = "comm",
    [ARG_CWD] = "cwd",
    [ARG_TTY] = "tty",
    [ARG_PGID] = "pgid",
    [ARG_LOGINUID] = "loginuid",
    [ARG_CAP_INHERITABLE] = "cap_inheritable",
    [ARG_CAP_PERMITTED] = "cap_permitted",
    [ARG_CAP_EFFECTIVE] = "cap_effective",
    [ARG_EXE_INO] = "exe_ino",
    [ARG_EXE_INO_CTIME] = "exe_ino_ctime",
    [ARG_EXE_INO_MTIME] = "exe_ino_mtime",
    [ARG_TRUSTED_EXEPATH] = "trusted_exepath",
    [ARG_ARGS] = "args",
    [ARG_TUPLE] = "tuple",
    [ARG_DOMAIN] = "domain",
    [ARG_TYPE] = "type",
    [ARG_PROTO] = "proto",
    [ARG_CMD] = "cmd",
    [ARG_NSTYPE] = "nstype",
    [ARG_DEV] = "dev",
    [ARG_DIR] = "dir",
    [ARG_SIG] = "sig",
    [ARG_RET] = "ret",
    [ARG_STATUS] = "status",
    [ARG_RES] = "res",
};

static bool equals(const char *known, const char *name, size_t length)
{
    return strlen(known) == length && memcmp(known, name, length) == 0;
}

bool event_argument_find(const char *name, size_t length, enum value_type *type)
{
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        for (const char *const *known = groups[i].names; *known; known++)
            if (equals(*known, name, length)) {
                *type = groups[i].type;
                return true;
            }
    return false;
}

enum event_argument event_argument_number(const char *name, size_t length)
{
    for (int i = ARG_NONE + 1; i < ARG_MAX; i++)
        if (equals(own[i], name, length))
            return (enum event_argument)i;
    return ARG_NONE;
}

const char *event_argument_name(enum event_argument argument)
{
    return own[argument];
}
