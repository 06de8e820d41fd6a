/* Programs that were over before their exec was read: /proc told nothing of them, but the file sensor told which file of the container was opened for
 * execution. Both are put together a moment later. Pure.
 *
 * The kernel opens for one exec the program, of a script then its interpreter, and of what is linked dynamically the loader (ld.so). So the file is
 * the last one opened that is no loader; it is known when all that belongs to the exec was read, LIMIT_LATE_EXEC_NS after it. */
#ifndef ECSGUARD_LATE_EXEC_H
#define ECSGUARD_LATE_EXEC_H

#include "common/event.h"

struct late_exec_wait {
    int64_t exec_id; /* row of the exec */
    uint64_t time_ns; /* of the exec */
    int32_t pid;
};

union late_exec_file;

struct late_exec {
    struct late_exec_wait waits[LIMIT_LATE_EXECS]; /* a circle */
    uint64_t first, next;
    union late_exec_file *files; /* by pid */
    uint64_t n_found, n_lost; /* execs whose file was found; those that never will be */
};

int late_exec_init(struct late_exec *l); /* 0 or -ENOMEM */
void late_exec_fini(struct late_exec *l);

/* Each file event, and each exec event (its row is `id`). */
void late_exec_see(struct late_exec *l, const struct event *ev, int64_t id);

/* An exec without file whose time has come: false when none is. `*file` gets what was opened for it (valid until the next late_exec_see()), an event
 * with path and stat; or NULL. */
bool late_exec_next(struct late_exec *l, uint64_t now_ns, struct late_exec_wait *exec, const struct event **file);
uint64_t late_exec_due(const struct late_exec *l); /* UINT64_MAX = nothing waits */

#endif
