#include "agent/sensors/file_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/sensors/fan_mark.h"
#include "agent/sensors/file_layers.h"
#include "agent/sensors/file_library.h"
#include "agent/sensors/file_procfs.h"
#include "agent/sensors/file_sensitive.h"
#include "agent/sensors/mountinfo.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

#define SENSITIVE_DELAY_NS (30 * NS_PER_MS) /* entrypoints start some 300 ms after the mount */
#define CONTENT_MASK (FAN_OPEN_EXEC | FAN_CLOSE_WRITE)

/* The whole text of `fd`, from its start, into fs->mountinfo. */
static bool read_mountinfo(struct file_sensor *fs, int fd)
{
    size_t n = 0;
    ssize_t got = 0;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return false;
    while (n < LIMIT_MOUNTINFO_BYTES - 1 && (got = read(fd, fs->mountinfo + n, LIMIT_MOUNTINFO_BYTES - 1 - n)) > 0)
        n += (size_t)got;
    fs->mountinfo[n] = 0;
    return got == 0;
}

static bool changed(const struct file_sensor *fs)
{
    struct pollfd p = { fs->mountinfo_fd, POLLPRI, 0 };
    return poll(&p, 1, 0) > 0;
}

static void mark_failed(struct file_sensor *fs, enum file_group group, const char *what, int error)
{
    fs->mark_failures++;
    sensor_state(&fs->stats[group], SENSOR_DEGRADED, "%llu mounts of containers are not watched, the last (%s) because of fanotify_mark: %s",
                 (unsigned long long)fs->mark_failures, what, strerror(error));
}

/* Marks the file system of `path` if that is the one we mean: another may have been mounted over it, it may be unmounted, or the process have
 * gone. All by one descriptor: what is unmounted between two looks at a path would have us mark the host's file system below. */
static bool mark_mount(struct file_sensor *fs, enum file_group group, const char *path, uint64_t dev, uint64_t mask, const char *what)
{
    struct stat st;
    int fd = fs->group_fd[group] < 0 ? -1 : open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_meant = !fstat(fd, &st) && st.st_dev == dev;
    int error = is_meant ? fan_mark(fs->group_fd[group], FAN_MARK_FILESYSTEM, mask, fd) : 0;
    close(fd);
    if (error)
        mark_failed(fs, group, what, -error);
    return is_meant && !error;
}

/* An overlay of the host's mount table (owner 0) or of a container's own. */
static void overlay_seen(struct file_sensor *fs, const struct mountinfo *mount, int32_t owner)
{
    char upperdir[LIMIT_PATH_BYTES], real[PATH_MAX], path[LIMIT_PATH_BYTES + 32];
    int error = mountinfo_upperdir(mount, upperdir, sizeof upperdir);
    if (error || !realpath(upperdir, real)) /* a path with symbolic links is not the one that events show */
        real[0] = 0;
    if (owner && file_scope_by_dev(&fs->scope, mount->dev) && !file_scope_by_dev(&fs->scope, mount->dev)->gone_ns)
        return;
    struct overlay *o = file_scope_overlay(&fs->scope, mount->dev, mount->mount_point, real, owner);
    if (!o || o->marked)
        return;
    if (owner)
        snprintf(path, sizeof path, "/proc/%d/root%s", owner, mount->mount_point);
    else
        snprintf(path, sizeof path, "%s", mount->mount_point);
    o->marked = mark_mount(fs, FILE_GROUP_OVERLAY, path, mount->dev, CONTENT_MASK, "overlay");
    /* What its image holds: before the container runs, but not while the mount may be one of image setup, which is undone at once and
     * would find itself busy. */
    if (o->marked)
        file_layers_remark_at(fs, o, clock_monotonic_ns() + SENSITIVE_DELAY_NS);
}

/* A pseudo file system that containers share with the host, if it is not marked yet. */
static void shared_mount_seen(struct file_sensor *fs, const struct mountinfo *mount, const char *path)
{
    struct container_mark mark = { .dev = mount->dev, .kind = MARK_CGROUP };
    if (file_mounts_mark_of(fs, mount->dev, &mark))
        return;
    file_mounts_keep(fs, &mark);
    mark_mount(fs, FILE_GROUP_PROCFS, path, mount->dev, file_procfs_mask(fs, &mark), mount->fs_type);
}

static bool is_cgroup(const struct mountinfo *mount)
{
    return !strcmp(mount->fs_type, "cgroup") || !strcmp(mount->fs_type, "cgroup2");
}

void file_mounts_refresh(struct file_sensor *fs, bool force)
{
    struct mountinfo mount;
    if ((!changed(fs) && !force) || !read_mountinfo(fs, fs->mountinfo_fd))
        return;
    char *text = fs->mountinfo;
    bool remote = false;
    file_scope_begin(&fs->scope);
    for (char *line; (line = mountinfo_line(&text));)
        if (mountinfo_parse(line, &mount))
            sensor_count(&fs->stats[FILE_GROUP_OVERLAY].malformed, 1);
        else if (mountinfo_is_remote(&mount))
            remote = true;
        else if (!strcmp(mount.fs_type, "overlay"))
            overlay_seen(fs, &mount, 0);
        else if (is_cgroup(&mount))
            shared_mount_seen(fs, &mount, mount.mount_point);
    file_scope_end(&fs->scope, clock_monotonic_ns());
    file_library_tell_limit(fs);
    fs->host_remote = remote;
}

bool file_mounts_mark_of(struct file_sensor *fs, uint64_t dev, struct container_mark *mark)
{
    bool found = false;
    pthread_mutex_lock(&fs->marks_lock);
    for (int i = fs->n_marks - 1; i >= 0 && !found; i--) /* the newest first: device numbers are used again */
        if (fs->marks[i].dev == dev) {
            *mark = fs->marks[i];
            found = true;
        }
    pthread_mutex_unlock(&fs->marks_lock);
    return found;
}

void file_mounts_keep(struct file_sensor *fs, const struct container_mark *mark)
{
    pthread_mutex_lock(&fs->marks_lock);
    /* Device numbers of gone file systems are used again: the newest owner counts. */
    for (int i = 0; i < fs->n_marks; i++)
        if (fs->marks[i].dev == mark->dev) {
            fs->marks[i] = *mark;
            pthread_mutex_unlock(&fs->marks_lock);
            return;
        }
    if (fs->n_marks == LIMIT_CONTAINER_MARKS) /* the oldest leaves; the first is the host's own /proc */
        memmove(fs->marks + 1, fs->marks + 2, sizeof *mark * (size_t)(--fs->n_marks - 1));
    fs->marks[fs->n_marks++] = *mark;
    pthread_mutex_unlock(&fs->marks_lock);
}

static void marks_remove(struct file_sensor *fs, int32_t pid)
{
    int kept = 0;
    pthread_mutex_lock(&fs->marks_lock);
    for (int i = 0; i < fs->n_marks; i++)
        if (fs->marks[i].pid != pid)
            fs->marks[kept++] = fs->marks[i];
    fs->n_marks = kept;
    pthread_mutex_unlock(&fs->marks_lock);
}

/* Everything writes to /dev/null: its events would cost more than all others. */
static void ignore_devices(struct file_sensor *fs, const char *dir)
{
    static const char *const names[] = { "null", "zero", "full", "random", "urandom", "tty" };
    char path[LIMIT_PATH_BYTES + 64];
    struct stat st;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            continue;
        int error = !fstat(fd, &st) && S_ISCHR(st.st_mode) ? fan_mark_ignored(fs->group_fd[FILE_GROUP_OVERLAY], CONTENT_MASK, fd) : 0;
        if (error)
            log_debug("file", "cannot ignore %s: %s", names[i], strerror(-error));
        close(fd);
    }
}

static void container_mount_seen(struct file_sensor *fs, const struct mountinfo *mount, struct container_mark mark)
{
    static const struct {
        const char *fs_type;
        enum mark_kind kind;
    } kinds[] = { { "proc", MARK_PROCFS }, { "tmpfs", MARK_TMPFS }, { "sysfs", MARK_SYSFS } };
    char path[LIMIT_PATH_BYTES + 32];
    snprintf(path, sizeof path, "/proc/%d/root%s", mark.pid, mount->mount_point);
    if (!strcmp(mount->fs_type, "overlay"))
        overlay_seen(fs, mount, mark.pid);
    if (is_cgroup(mount))
        shared_mount_seen(fs, mount, path);
    size_t i = 0;
    while (i < sizeof kinds / sizeof *kinds && strcmp(mount->fs_type, kinds[i].fs_type))
        i++;
    if (i == sizeof kinds / sizeof *kinds)
        return;
    mark.dev = mount->dev;
    mark.kind = kinds[i].kind;
    bool tmpfs = mark.kind == MARK_TMPFS;
    /* tmpfs below /proc and /sys only hides things */
    if (tmpfs && (text_has_prefix(mount->mount_point, "/proc/") || text_has_prefix(mount->mount_point, "/sys/")))
        return;
    if (tmpfs && !strcmp(mount->mount_point, "/dev"))
        ignore_devices(fs, path);
    uint64_t mask = tmpfs ? CONTENT_MASK : file_procfs_mask(fs, &mark);
    /* Kept first: the other thread may read an event before fanotify_mark() has returned here. */
    file_mounts_keep(fs, &mark);
    mark_mount(fs, tmpfs ? FILE_GROUP_OVERLAY : FILE_GROUP_PROCFS, path, mount->dev, mask, mount->fs_type);
}

/* The process has its own root: mark what is mounted there. */
static void container_ready(struct file_sensor *fs, int32_t pid)
{
    char path[40];
    struct stat st;
    struct mountinfo mount;
    struct container_mark mark = { .pid = pid };
    snprintf(path, sizeof path, "/proc/%d/ns/pid", pid);
    if (!stat(path, &st))
        mark.pidns = st.st_ino;
    snprintf(path, sizeof path, "/proc/%d/mountinfo", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    bool complete = read_mountinfo(fs, fd);
    close(fd);
    char *text = fs->mountinfo;
    int n = 0;
    bool one_mount = !complete; /* dead servers and FUSE programs may hold whoever looks into their mounts, for ever */
    for (char *line; complete && (line = mountinfo_line(&text)); n++) {
        if (mountinfo_parse(line, &mount))
            continue;
        one_mount |= mountinfo_is_remote(&mount);
        if (n < LIMIT_CONTAINER_MOUNTS * 4)
            container_mount_seen(fs, &mount, mark);
    }
    snprintf(path, sizeof path, "/proc/%d/root", pid);
    if (!fs->options.no_sensitive) /* what is mounted into it, and what lies behind symbolic links */
        file_sensitive_mark_root(fs, path, one_mount);
}

/* 1 = it has a /proc of its own, 0 = not yet, -ENOENT = it is gone. */
static int container_is_ready(int32_t pid)
{
    char path[40];
    struct stat own, st;
    snprintf(path, sizeof path, "/proc/%d/root", pid);
    if (lstat(path, &st))
        return -ENOENT;
    snprintf(path, sizeof path, "/proc/%d/root/proc", pid);
    if (stat("/proc", &own) || stat(path, &st))
        return 0;
    return st.st_dev != own.st_dev && st.st_ino == own.st_ino; /* the root of a procfs has the same inode number everywhere */
}

void file_mounts_add(struct file_sensor *fs, int32_t pid, uint64_t now_ns)
{
    int ready = container_is_ready(pid);
    if (ready > 0)
        container_ready(fs, pid);
    if (ready)
        return;
    if (fs->n_pending == LIMIT_PENDING_CONTAINERS) {
        mark_failed(fs, FILE_GROUP_PROCFS, "too many containers start at once", ENOSPC);
        return;
    }
    fs->pending[fs->n_pending++] = (struct pending_container){ pid, now_ns };
}

void file_mounts_retry(struct file_sensor *fs, uint64_t now_ns)
{
    for (int i = fs->n_pending - 1; i >= 0; i--) {
        struct pending_container p = fs->pending[i];
        int ready = container_is_ready(p.pid);
        bool late = now_ns - p.since_ns > LIMIT_PENDING_NS;
        if (ready > 0)
            container_ready(fs, p.pid);
        else if (!ready && late)
            log_info("file", "process %d never got a /proc of its own: writes to it are not seen", p.pid);
        if (ready || late)
            fs->pending[i] = fs->pending[--fs->n_pending];
    }
}

void file_mounts_remove(struct file_sensor *fs, int32_t pid, uint64_t now_ns)
{
    for (int i = fs->n_pending - 1; i >= 0; i--)
        if (fs->pending[i].pid == pid)
            fs->pending[i] = fs->pending[--fs->n_pending];
    marks_remove(fs, pid);
    file_scope_owner_gone(&fs->scope, pid, now_ns);
}
