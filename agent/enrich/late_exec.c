#include "agent/enrich/late_exec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

#define BEFORE_NS 1000000000ull /* the program is opened this long before its exec is done, at most */

union late_exec_file {
    struct event event;
    char bytes[sizeof(struct event) + LIMIT_LATE_EXEC_PATH]; /* the path is its text */
};

int late_exec_init(struct late_exec *l)
{
    memset(l, 0, sizeof *l);
    l->files = calloc(LIMIT_LATE_EXEC_FILES, sizeof *l->files);
    return l->files ? 0 : -ENOMEM;
}

void late_exec_fini(struct late_exec *l)
{
    free(l->files);
    l->files = NULL;
}

static union late_exec_file *slot_of(const struct late_exec *l, int32_t pid)
{
    return &l->files[(uint32_t)pid % LIMIT_LATE_EXEC_FILES];
}

static bool is_loader(const char *path)
{
    const char *name = text_basename(path);
    return !strncmp(name, "ld-", 3) || !strncmp(name, "ld.so", 5) || !strncmp(name, "ld64.so", 7);
}

static void note_file(struct late_exec *l, const struct event *ev)
{
    char path[LIMIT_LATE_EXEC_PATH];
    if (!ev->path.len || ev->path.len >= sizeof path || !event_knows(ev, F_INO))
        return;
    memcpy(path, event_text(ev, ev->path), ev->path.len);
    path[ev->path.len] = 0;
    if (is_loader(path))
        return;
    struct event *to = &slot_of(l, ev->pid)->event;
    event_init(to, EVENT_FILE, SOURCE_PIPELINE, ev->time_ns);
    to->text_max = LIMIT_LATE_EXEC_PATH;
    event_set(to, F_PID, pid, ev->pid);
    event_set(to, F_DEV, dev, ev->dev);
    event_set(to, F_INO, ino, ev->ino);
    event_set(to, F_MODE, mode, ev->mode);
    event_set(to, F_FILE_UID, file_uid, ev->file_uid);
    event_set(to, F_NLINK, nlink, ev->nlink);
    event_set(to, F_SIZE, file_size, ev->file_size);
    event_set(to, F_CTIME_WALL_NS, ctime_wall_ns, ev->ctime_wall_ns);
    event_set(to, F_MTIME_WALL_NS, mtime_wall_ns, ev->mtime_wall_ns);
    event_set_text(to, F_EXE, path, ev->path.len);
}

static void note_exec(struct late_exec *l, const struct event *ev, int64_t id)
{
    if (l->next - l->first == LIMIT_LATE_EXECS) {
        l->first++;
        l->n_lost++;
    }
    l->waits[l->next++ % LIMIT_LATE_EXECS] = (struct late_exec_wait){ .exec_id = id, .time_ns = ev->time_ns, .pid = ev->pid };
}

void late_exec_see(struct late_exec *l, const struct event *ev, int64_t id)
{
    if (ev->kind == EVENT_FILE && ev->file_op == FILE_OPEN_EXEC && event_knows(ev, F_PID))
        note_file(l, ev);
    else if (ev->kind == EVENT_EXEC && !event_knows(ev, F_EXE))
        note_exec(l, ev, id);
}

bool late_exec_next(struct late_exec *l, uint64_t now_ns, struct late_exec_wait *exec, const struct event **file)
{
    if (late_exec_due(l) > now_ns)
        return false;
    *exec = l->waits[l->first++ % LIMIT_LATE_EXECS];
    const struct event *opened = &slot_of(l, exec->pid)->event;
    bool fits = event_knows(opened, F_PID) && opened->pid == exec->pid && opened->time_ns + BEFORE_NS > exec->time_ns &&
                opened->time_ns < exec->time_ns + LIMIT_LATE_EXEC_NS;
    *file = fits ? opened : NULL;
    l->n_found += fits;
    l->n_lost += !fits;
    return true;
}

uint64_t late_exec_due(const struct late_exec *l)
{
    return l->first == l->next ? UINT64_MAX : l->waits[l->first % LIMIT_LATE_EXECS].time_ns + LIMIT_LATE_EXEC_NS;
}
