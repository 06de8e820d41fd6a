/* Arguments of events by name: what evt.arg.NAME and evt.rawarg.NAME may say. */
#ifndef ECSGUARD_RULES_EVENT_ARGUMENTS_H
#define ECSGUARD_RULES_EVENT_ARGUMENTS_H

#include "agent/detect/rules/value.h"

/* Those that our events can have. */
enum event_argument {
    ARG_NONE,
    ARG_FD, ARG_NAME, ARG_PATH, ARG_PATHNAME, ARG_FILENAME, ARG_OLDPATH, ARG_NEWPATH, ARG_TARGET, ARG_LINKPATH, ARG_FLAGS, ARG_MODE,
    ARG_UID, ARG_EUID, ARG_RUID, ARG_GID, ARG_EGID, ARG_RGID, ARG_REQUEST, ARG_PID, ARG_TID, ARG_PTID, ARG_EXE, ARG_COMM, ARG_CWD, ARG_TTY,
    ARG_PGID, ARG_LOGINUID, ARG_CAP_INHERITABLE, ARG_CAP_PERMITTED, ARG_CAP_EFFECTIVE, ARG_EXE_INO, ARG_EXE_INO_CTIME, ARG_EXE_INO_MTIME,
    ARG_TRUSTED_EXEPATH, ARG_ARGS,
    ARG_TUPLE, ARG_DOMAIN, ARG_TYPE, ARG_PROTO, ARG_CMD, ARG_NSTYPE, ARG_DEV, ARG_DIR, ARG_SIG, ARG_RET, ARG_STATUS, ARG_RES,
    ARG_MAX,
};

/* True if some event of the reference has an argument of this name; *type is what evt.rawarg compares it as. */
bool event_argument_find(const char *name, size_t length, enum value_type *type);
enum event_argument event_argument_number(const char *name, size_t length); /* ARG_NONE if our events cannot have it */
const char *event_argument_name(enum event_argument argument);

#endif
