/* What the agent may do: checked before anything is opened, cut down to a reasoned list before the first thread starts, and held by
 * one instance at a time. */
#ifndef ECSGUARD_PRIVILEGES_H
#define ECSGUARD_PRIVILEGES_H

#include <stdbool.h>
#include <sys/capability.h>

struct privilege {
    cap_value_t cap;
    const char *name;
    bool required; /* without it the agent refuses to start; the others cost what `reason` says */
    const char *reason;
};

/* The capabilities that are kept, and why; ends with a NULL name. systemd/ecsguard.service.in grants the same ones. */
extern const struct privilege privileges_kept[];

/* Says in one log line what `what` (the program's name) lacks. 0, or -EPERM. */
int privileges_require(const char *what);

/* Keeps privileges_kept as far as they are held, drops all others for good (permitted, effective, inheritable, ambient, bounding)
 * and sets no_new_privs. Capabilities belong to threads (capabilities(7)), so this comes before the first thread: -EBUSY if there
 * is another one. 0 or -errno. */
int privileges_drop(void);

/* One agent per host: makes `run_dir` (0755) if it is absent and locks its ecsguardd.lock, with our pid inside. The descriptor to keep open
 * until the end; -EEXIST if another instance holds the lock (logged with its pid); or -errno (logged). Logs when the instance before had no orderly end. */
int privileges_lock(const char *run_dir);
/* At an orderly end: empties the lock file, which tells the next start that it was one. */
void privileges_unlock(int fd);

#endif
