/* Writes to /proc and other pseudo file systems, opens of some /proc files. One event is read at a time: if its file cannot be opened any more (the target process is gone), the kernel says so
 * for the first event of a read only, and drops it silently behind others. */
#include "agent/sensors/file_procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/sensors/fan_decode.h"
#include "agent/sensors/file_layers.h"
#include "agent/sensors/file_mounts.h"
#include "agent/sensors/file_overlay.h"
#include "agent/sensors/pidns.h"
#include "agent/sensors/proc_entry.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

#define READER_NICE (-10)

static const char lost_reason[] = "what a /proc or cgroup file is about was gone before its event was read";

/* Opens of the host's own /proc are too many: each ps, each exporter reads hundreds of files. */
uint64_t file_procfs_mask(const struct file_sensor *fs, const struct container_mark *mark)
{
    switch (mark->kind) {
    case MARK_PROCFS:
        return FAN_MODIFY | FAN_CLOSE_WRITE | (mark->pid && !fs->options.no_proc_opens ? FAN_OPEN : 0);
    case MARK_CGROUP:
    case MARK_SYSFS:
        return FAN_MODIFY;
    case MARK_TMPFS:
        break;
    }
    return 0;
}

void file_procfs_open(struct file_sensor *fs)
{
    bool reports_errors;
    struct stat st;
    int fd = fan_open_with_files(&reports_errors);
    fs->group_fd[FILE_GROUP_PROCFS] = fd < 0 ? -1 : fd;
    if (fd < 0) {
        sensor_state(&fs->stats[FILE_GROUP_PROCFS], SENSOR_OFF, "writes to /proc files are not seen: fanotify_init: %s", strerror(-fd));
        return;
    }
    struct container_mark host = { .kind = MARK_PROCFS };
    /* Ours may be another than the host's: systemd gives services one of their own. */
    if (!stat("/proc/1/ns/mnt", &st) || !stat("/proc/self/ns/mnt", &st))
        fs->host_mntns = st.st_ino;
    if (!stat("/proc/self/ns/pid", &st))
        host.pidns = st.st_ino;
    if (stat("/proc", &st) || fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, file_procfs_mask(fs, &host), AT_FDCWD, "/proc")) {
        sensor_state(&fs->stats[FILE_GROUP_PROCFS], SENSOR_DEGRADED, "writes to the host's /proc are not seen: fanotify_mark: %s",
                     strerror(errno));
        return;
    }
    host.dev = st.st_dev;
    file_mounts_keep(fs, &host);
    sensor_state(&fs->stats[FILE_GROUP_PROCFS], SENSOR_OK, "%s", "");
}

/* The host's number of process `nspid` of the namespace that `mark` shows; 0 if it cannot be known. */
static int32_t host_pid(const struct container_mark *mark, int32_t writer, int32_t nspid)
{
    static uint64_t next_scan_ns; /* one thread */
    if (!mark->pid)
        return nspid;
    int32_t member = pidns_of(writer) == mark->pidns ? writer : mark->pid;
    return pidns_host_pid(mark->pidns, member, nspid, &next_scan_ns);
}

/* `target`: the process that the entry is about, 0 = none. */
static void emit(struct file_sensor *fs, enum file_op op, int32_t pid, int32_t target, const char *prefix, const char *path,
                 const struct stat *st, uint64_t now_ns)
{
    struct sensor *s = &fs->sensors[FILE_GROUP_PROCFS];
    struct event *ev = sensor_event(s, EVENT_FILE, now_ns, LIMIT_PATH_BYTES + 1);
    if (!ev)
        return;
    event_set(ev, F_FILE_OP, file_op, (uint8_t)op);
    event_set(ev, F_PID, pid, pid);
    if (target)
        event_set(ev, F_TARGET_PID, target_pid, target);
    event_set_path(ev, F_PATH, prefix, path, path ? strlen(path) : 0);
    event_set(ev, F_DEV, dev, st->st_dev);
    event_set(ev, F_INO, ino, st->st_ino);
    sensor_commit(s, ev);
}

static void procfs_event(struct file_sensor *fs, const struct fan_event *e, const struct container_mark *mark, const char *path,
                         const struct stat *st, uint64_t now_ns)
{
    struct proc_entry entry;
    proc_entry_parse(path, &entry);
    int32_t target = entry.pid ? host_pid(mark, e->pid, entry.pid) : 0;
    if (target == e->pid && proc_entry_is_own_noise(entry.file))
        return;
    const char *prefix = entry.pid ? "/proc" : "", *tail = entry.tail + (entry.tail[0] == '/');
    if ((e->mask & FAN_OPEN) && proc_entry_open_matters(&entry, target == e->pid))
        emit(fs, FILE_OPEN, e->pid, target, prefix, tail, st, now_ns);
    if (e->mask & FAN_MODIFY) /* a close in the same event adds nothing */
        emit(fs, FILE_MODIFY, e->pid, target, prefix, tail, st, now_ns);
    else if (e->mask & FAN_CLOSE_WRITE)
        emit(fs, FILE_CLOSE_WRITE, e->pid, target, prefix, tail, st, now_ns);
}

/* Most opens are of files that say nothing: they end here, before anything is looked up. */
static bool is_dull_open(const struct fan_event *e, const char *path)
{
    struct proc_entry entry;
    if (e->mask & (FAN_MODIFY | FAN_CLOSE_WRITE))
        return false;
    proc_entry_parse(path, &entry);
    return !proc_entry_open_matters(&entry, false);
}

/* Runtimes allow each new container its devices, a dozen writes each; they do it from the host's mount namespace. */
static bool is_runtimes_work(const struct file_sensor *fs, int32_t pid, const char *path)
{
    char link[40];
    struct stat st;
    snprintf(link, sizeof link, "/proc/%d/ns/mnt", pid);
    return text_has_suffix(path, "/devices.allow") && !stat(link, &st) && st.st_ino == fs->host_mntns;
}

static void pseudo_event(struct file_sensor *fs, const struct fan_event *e, uint64_t now_ns)
{
    char path[LIMIT_PATH_BYTES];
    struct container_mark mark;
    struct stat st;
    if (fd_path(e->fd, path, sizeof path) < 0 || is_dull_open(e, path) || fstat(e->fd, &st) || !file_mounts_mark_of(fs, st.st_dev, &mark))
        return;
    switch (mark.kind) {
    case MARK_PROCFS:
        procfs_event(fs, e, &mark, path, &st, now_ns);
        break;
    case MARK_CGROUP:
        if (cgroup_file_matters(path) && !is_runtimes_work(fs, e->pid, path))
            emit(fs, FILE_MODIFY, e->pid, 0, path, NULL, &st, now_ns);
        break;
    case MARK_SYSFS:
        if (sysfs_file_matters(path))
            emit(fs, FILE_MODIFY, e->pid, 0, path, NULL, &st, now_ns);
        break;
    case MARK_TMPFS:
        break;
    }
}

/* One event. False if none waits. */
static bool procfs_read(struct file_sensor *fs)
{
    struct fanotify_event_metadata meta;
    struct sensor *s = &fs->sensors[FILE_GROUP_PROCFS];
    struct fan_event e;
    ssize_t n = read(fs->group_fd[FILE_GROUP_PROCFS], &meta, sizeof meta);
    if (n < 0 && errno == EAGAIN)
        return false;
    struct bytes left = bytes_of(&meta, n < 0 ? 0 : (size_t)n);
    int status = fan_event_next(&left, &e);
    if (n < 0)
        sensor_lost(s, 1, lost_reason);
    else if (status <= 0)
        sensor_count(&s->stats->malformed, 1);
    else if (e.mask & FAN_Q_OVERFLOW)
        sensor_lost(s, 1, "the kernel's queue of /proc events was full");
    else if (e.fd < 0)
        sensor_lost(s, 1, lost_reason);
    else if (e.pid != fs->own_pid)
        pseudo_event(fs, &e, clock_monotonic_ns());
    if (status > 0 && e.fd >= 0)
        close(e.fd);
    return true;
}

void file_procfs_run(struct file_sensor *fs)
{
    struct pollfd fds[] = { { fs->stop_fd, POLLIN, 0 }, { fs->group_fd[FILE_GROUP_PROCFS], POLLIN, 0 } };
    if (setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), READER_NICE))
        log_info("file", "cannot raise the priority of the /proc event reader: more of its events will be lost");
    while (!fs->stopping) {
        if (poll(fds, 2, -1) > 0 && (fds[1].revents & POLLIN))
            while (!fs->stopping && procfs_read(fs))
                continue;
    }
}
