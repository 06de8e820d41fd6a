/* Events with an open descriptor, on containers' overlays and tmpfs mounts and on single files. */
#include "agent/sensors/file_overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include "agent/sensors/fan_decode.h"
#include "agent/sensors/fan_mark.h"
#include "agent/sensors/file_layers.h"
#include "agent/sensors/file_library.h"
#include "agent/sensors/file_mounts.h"
#include "agent/sensors/file_sensitive.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

#ifndef AT_HANDLE_CONNECTABLE
#define AT_HANDLE_CONNECTABLE 0x002 /* Linux 6.13 */
#endif
#ifndef FAN_REPORT_FD_ERROR
#define FAN_REPORT_FD_ERROR 0x00002000 /* Linux 6.13 */
#endif

/* Each event of one read(2) is an open descriptor until it is looked at: stay far below the usual limit of 1024. */
#define READ_EVENTS 256

/* All that can be told of a file. */
#define FILE_EVENTS (FAN_OPEN | FAN_OPEN_EXEC | FAN_ACCESS | FAN_MODIFY | FAN_CLOSE)

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
    int fd = fs->group_fd[FILE_GROUP_OVERLAY];
    if (fd >= 0 && fanotify_mark(fd, FAN_MARK_ADD, mask, AT_FDCWD, path) && errno != ENOENT && errno != ENOTDIR)
        log_warn("file", "cannot watch %s: %s", path, strerror(errno));
}

void file_overlay_ignore_own(struct file_sensor *fs)
{
    for (int i = 0; fs->options.own_files && fs->options.own_files[i]; i++) {
        int fd = fs->group_fd[FILE_GROUP_OVERLAY] < 0 ? -1 : open(fs->options.own_files[i], O_PATH | O_CLOEXEC); /* to close one ends no lock */
        int error = fd < 0 ? 0 : fan_mark_ignored(fs->group_fd[FILE_GROUP_OVERLAY], FILE_EVENTS, fd);
        if (error)
            log_warn("file", "cannot ignore %s: %s", fs->options.own_files[i], strerror(-error));
        if (fd >= 0)
            close(fd);
    }
}

void file_overlay_watch_host(struct file_sensor *fs)
{
    for (int i = 0; fs->options.watch_files && fs->options.watch_files[i]; i++)
        file_overlay_watch(fs, fs->options.watch_files[i], FAN_MODIFY | FAN_CLOSE_WRITE);
    if (!fs->options.no_sensitive)
        file_sensitive_mark_root(fs, "/", fs->host_remote);
}

/* A handle that leads back to the file's name, if the kernel can make one. Without, the name is found while it is in its cache. */
static int handle_of(int file, struct file_handle *handle)
{
    char link[40];
    int mount_id;
    unsigned room = handle->handle_bytes;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file); /* AT_EMPTY_PATH and AT_HANDLE_CONNECTABLE exclude each other */
    if (!name_to_handle_at(AT_FDCWD, link, handle, &mount_id, AT_SYMLINK_FOLLOW | AT_HANDLE_CONNECTABLE))
        return 0;
    handle->handle_bytes = room;
    return name_to_handle_at(AT_FDCWD, link, handle, &mount_id, AT_SYMLINK_FOLLOW) ? -errno : 0;
}

/* The host's path of an open file on one of its own file systems, whatever mount it was opened through. 0: not known. */
static int host_path(const struct file_sensor *fs, int file, const struct stat *st, char *out, size_t size)
{
    union {
        struct file_handle head;
        uint8_t bytes[FAN_HANDLE_MAX];
    } handle;
    for (int i = 0; i < fs->n_filesystems; i++) {
        if (fs->filesystems[i].dev != st->st_dev)
            continue;
        handle.head.handle_bytes = FAN_HANDLE_MAX - sizeof handle.head;
        if (handle_of(file, &handle.head))
            return 0;
        int fd = open_by_handle_at(fs->filesystems[i].mount_fd, &handle.head, O_PATH | O_CLOEXEC);
        if (fd < 0)
            return 0;
        int n = fd_path(fd, out, size);
        close(fd);
        return n > 1 ? n : 0; /* "/": an inode without a name */
    }
    return 0;
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

static struct event *event_begin(struct file_sensor *fs, enum file_op op, int32_t pid, uint64_t now_ns, const char *path, const struct stat *st)
{
    struct event *ev = sensor_event(&fs->sensors[FILE_GROUP_OVERLAY], EVENT_FILE, now_ns, 2 * (LIMIT_PATH_BYTES + 1));
    if (!ev) {
        file_rescan_request(fs);
        return NULL;
    }
    const struct overlay *o = file_scope_by_dev(&fs->scope, st->st_dev);
    event_set(ev, F_FILE_OP, file_op, (uint8_t)op);
    event_set(ev, F_PID, pid, pid);
    if (o)
        set_overlay_paths(ev, o, path);
    else
        event_set_path(ev, F_PATH, path, NULL, 0);
    event_set_stat(ev, st);
    return ev;
}

static void emit(struct file_sensor *fs, enum file_op op, int32_t pid, uint64_t now_ns, const struct opened *file)
{
    char host[LIMIT_PATH_BYTES];
    struct event *ev = event_begin(fs, op, pid, now_ns, file->path, &file->st);
    if (!ev)
        return;
    int n = event_knows(ev, F_HOST_PATH) ? 0 : host_path(fs, file->fd, &file->st, host, sizeof host);
    if (n > 0)
        event_set_text(ev, F_HOST_PATH, host, (size_t)n);
    sensor_commit(&fs->sensors[FILE_GROUP_OVERLAY], ev);
}

void file_overlay_tell_load(struct file_sensor *fs, const struct pending_load *load, int loaded)
{
    struct event *ev = event_begin(fs, FILE_OPEN, load->pid, clock_monotonic_ns(), load->path, &load->st);
    if (!ev)
        return;
    event_set(ev, F_NEW_LIBRARY, new_library, 1);
    if (loaded >= 0)
        event_set(ev, F_LOADED, loaded, loaded > 0);
    sensor_commit(&fs->sensors[FILE_GROUP_OVERLAY], ev);
}

/* A marked file was opened or read. A program's execution is told as such. */
static void open_event(struct file_sensor *fs, const struct fan_event *e, const struct opened *file, uint64_t now_ns)
{
    bool told = false;
    if (file_library_is_new(fs, file)) {
        if (!(e->mask & FAN_OPEN) || (e->mask & FAN_OPEN_EXEC))
            return;
        told = file_library_opened(fs, file, e->pid, now_ns);
    } else {
        told = !file_sensitive_is_read(fs, e->mask, e->pid, file, now_ns);
    }
    if (!told)
        emit(fs, FILE_OPEN, e->pid, now_ns, file);
}

static void file_event(struct file_sensor *fs, const struct fan_event *e, uint64_t now_ns)
{
    static const struct {
        uint64_t bit;
        enum file_op op;
    } ops[] = { { FAN_MODIFY, FILE_MODIFY }, { FAN_CLOSE_WRITE, FILE_CLOSE_WRITE }, { FAN_OPEN_EXEC, FILE_OPEN_EXEC } };
    struct opened file = { .fd = e->fd };
    int n = fstat(e->fd, &file.st) || !S_ISREG(file.st.st_mode) ? -1 : fd_path(e->fd, file.path, sizeof file.path);
    if (n < 0)
        return; /* a device node, FIFO or directory */
    if (!file.st.st_nlink && text_has_suffix(file.path, " (deleted)"))
        file.path[n - (int)strlen(" (deleted)")] = 0;
    if (e->mask & SENSITIVE_MASK)
        open_event(fs, e, &file, now_ns);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (e->mask & ops[i].bit)
            emit(fs, ops[i].op, e->pid, now_ns, &file);
    if (e->mask & FAN_CLOSE_WRITE)
        file_library_written(fs, &file);
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
