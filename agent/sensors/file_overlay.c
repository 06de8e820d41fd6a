/* Events with an open descriptor, on containers' overlays and tmpfs mounts and on single files. */
#include "agent/sensors/file_overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include "agent/sensors/fan_decode.h"
#include "agent/sensors/file_layers.h"
#include "agent/sensors/file_mounts.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

#ifndef FAN_REPORT_FD_ERROR
#define FAN_REPORT_FD_ERROR 0x00002000 /* Linux 6.13 */
#endif

/* Each event of one read(2) is an open descriptor until it is looked at: stay far below the usual limit of 1024. */
#define READ_EVENTS 256

int fan_open_with_files(bool *reports_errors)
{
    unsigned flags = FAN_CLASS_NOTIF | FAN_UNLIMITED_MARKS | FAN_CLOEXEC | FAN_NONBLOCK;
    unsigned file_flags = O_RDONLY | O_LARGEFILE | O_CLOEXEC | O_NONBLOCK;
    int fd = fanotify_init(flags | FAN_REPORT_FD_ERROR, file_flags);
    *reports_errors = fd >= 0;
    if (fd < 0 && errno == EINVAL)
        fd = fanotify_init(flags, file_flags);
    return fd < 0 ? -errno : fd;
}

int fd_path(int fd, char *out, size_t size)
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, size - 1);
    if (n < 0)
        return -errno;
    out[n] = 0;
    return (int)n;
}

void file_overlay_open(struct file_sensor *fs)
{
    bool reports_errors;
    int fd = fan_open_with_files(&reports_errors);
    fs->group_fd[FILE_GROUP_OVERLAY] = fd < 0 ? -1 : fd;
    if (fd < 0)
        sensor_state(&fs->stats[FILE_GROUP_OVERLAY], SENSOR_OFF, "executions and writes in containers are not seen: fanotify_init: %s",
                     strerror(-fd));
    else
        sensor_state(&fs->stats[FILE_GROUP_OVERLAY], SENSOR_OK, "%s", "");
}

void file_overlay_watch(struct file_sensor *fs, const char *path, uint64_t mask)
{
    struct stat st;
    int fd = fs->group_fd[FILE_GROUP_OVERLAY];
    if (fd < 0 || stat(path, &st))
        return; /* not installed here */
    for (int i = 0; i < fs->n_watches; i++)
        if (fs->watches[i].dev == st.st_dev && fs->watches[i].ino == st.st_ino)
            return;
    if (fs->n_watches == LIMIT_FILE_WATCHES || fanotify_mark(fd, FAN_MARK_ADD, mask, AT_FDCWD, path)) {
        log_warn("file", "cannot watch %s: %s", path, fs->n_watches == LIMIT_FILE_WATCHES ? "too many files" : strerror(errno));
        return;
    }
    fs->watches[fs->n_watches++] = (struct file_watch){ st.st_dev, st.st_ino };
}

static bool is_watched(const struct file_sensor *fs, const struct stat *st)
{
    for (int i = 0; i < fs->n_watches; i++)
        if (fs->watches[i].dev == st->st_dev && fs->watches[i].ino == st->st_ino)
            return true;
    return false;
}

/* On an overlay the host path is known exactly if the file is in the writable layer: then it is not (or no longer) the image's. */
static void set_overlay_paths(struct event *ev, const struct overlay *o, const char *path)
{
    char host[2 * LIMIT_PATH_BYTES];
    struct stat st;
    if (path_is_below(path, o->mount_point, o->mount_point_len)) /* opened from the host's side */
        path += o->mount_point_len;
    event_set_path(ev, F_PATH, path, NULL, 0);
    int n = snprintf(host, sizeof host, "%s%s", o->upperdir, path);
    if (o->upperdir_len && n > 0 && (size_t)n < sizeof host && !lstat(host, &st))
        event_set_text(ev, F_HOST_PATH, host, (size_t)n);
}

static void emit(struct file_sensor *fs, enum file_op op, int32_t pid, uint64_t now_ns, const char *path, const struct stat *st)
{
    struct sensor *s = &fs->sensors[FILE_GROUP_OVERLAY];
    struct event *ev = sensor_event(s, EVENT_FILE, now_ns, 2 * (LIMIT_PATH_BYTES + 1));
    if (!ev) {
        file_rescan_request(fs);
        return;
    }
    const struct overlay *o = file_scope_by_dev(&fs->scope, st->st_dev);
    event_set(ev, F_FILE_OP, file_op, (uint8_t)op);
    event_set(ev, F_PID, pid, pid);
    if (o)
        set_overlay_paths(ev, o, path);
    else
        event_set_path(ev, F_PATH, path, NULL, 0);
    if (!o && is_watched(fs, st))
        event_set_path(ev, F_HOST_PATH, path, NULL, 0);
    event_set_stat(ev, st);
    sensor_commit(s, ev);
}

static void file_event(struct file_sensor *fs, const struct fan_event *e, uint64_t now_ns)
{
    static const struct {
        uint64_t bit;
        enum file_op op;
    } ops[] = { { FAN_MODIFY, FILE_MODIFY }, { FAN_CLOSE_WRITE, FILE_CLOSE_WRITE }, { FAN_OPEN, FILE_OPEN }, { FAN_OPEN_EXEC, FILE_OPEN_EXEC } };
    char path[LIMIT_PATH_BYTES];
    struct stat st;
    int n = fstat(e->fd, &st) || !S_ISREG(st.st_mode) ? -1 : fd_path(e->fd, path, sizeof path);
    if (n < 0)
        return; /* a device node, FIFO or directory */
    if (!st.st_nlink && text_has_suffix(path, " (deleted)"))
        path[n - (int)strlen(" (deleted)")] = 0;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (e->mask & ops[i].bit)
            emit(fs, ops[i].op, e->pid, now_ns, path, &st);
}

static void overlay_event(struct file_sensor *fs, const struct fan_event *e, uint64_t now_ns)
{
    if (e->mask & FAN_Q_OVERFLOW) {
        sensor_lost(&fs->sensors[FILE_GROUP_OVERLAY], 1, "the kernel's queue of container file events was full");
        file_rescan_request(fs);
        return;
    }
    if (e->fd < 0)
        sensor_lost(&fs->sensors[FILE_GROUP_OVERLAY], 1, "a file could not be opened any more when its event was read");
    else if (e->pid != fs->own_pid)
        file_event(fs, e, now_ns);
    if (e->fd >= 0)
        close(e->fd);
}

bool file_overlay_read(struct file_sensor *fs)
{
    struct fanotify_event_metadata buffer[READ_EVENTS];
    int fd = fs->group_fd[FILE_GROUP_OVERLAY];
    ssize_t n = fd < 0 ? 0 : read(fd, buffer, sizeof buffer);
    if (n < 0 && errno != EAGAIN && errno != EINTR) /* the event is gone: its file could not be opened, or we have too many open */
        sensor_lost(&fs->sensors[FILE_GROUP_OVERLAY], 1, "a file could not be opened any more when its event was read");
    if (n <= 0)
        return n < 0 && errno != EAGAIN;
    file_mounts_refresh(fs, false);
    struct bytes left = bytes_of(buffer, (size_t)n);
    struct fan_event e;
    uint64_t now_ns = clock_monotonic_ns();
    int status;
    while ((status = fan_event_next(&left, &e)) > 0)
        overlay_event(fs, &e, now_ns);
    if (status < 0)
        sensor_count(&fs->stats[FILE_GROUP_OVERLAY].malformed, 1);
    return true;
}
