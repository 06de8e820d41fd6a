/* Writes to /proc. One event is read at a time: if its file cannot be opened any more (the target process is gone), the kernel says so
 * for the first event of a read only, and drops it silently behind others. */
#include "agent/sensors/file_procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/sensors/fan_decode.h"
#include "agent/sensors/file_layers.h"
#include "agent/sensors/file_mounts.h"
#include "agent/sensors/file_overlay.h"
#include "agent/sensors/proc_entry.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

#define READER_NICE (-10)
#define PID_SCAN_INTERVAL_NS (50 * NS_PER_MS)
#ifndef NS_GET_TGID_FROM_PIDNS
#define NS_GET_TGID_FROM_PIDNS _IOR(0xb7, 0x7, int) /* Linux 6.11 */
#endif

static const char lost_reason[] = "the target process of a /proc write was gone before the event was read";

uint64_t file_procfs_mask(const struct file_sensor *fs)
{
    return FAN_MODIFY | FAN_CLOSE_WRITE | (fs->options.proc_opens ? FAN_OPEN : 0);
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
    struct container_mark host = { .procfs = true };
    if (!stat("/proc/self/ns/pid", &st))
        host.pidns = st.st_ino;
    if (stat("/proc", &st) || fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, file_procfs_mask(fs), AT_FDCWD, "/proc")) {
        sensor_state(&fs->stats[FILE_GROUP_PROCFS], SENSOR_DEGRADED, "writes to the host's /proc are not seen: fanotify_mark: %s",
                     strerror(errno));
        return;
    }
    host.dev = st.st_dev;
    file_mounts_keep(fs, &host);
    sensor_state(&fs->stats[FILE_GROUP_PROCFS], SENSOR_OK, "%s", "");
}

/* The pid namespace of a process (inode number), 0 if it is gone. */
static uint64_t pidns_of(int32_t pid)
{
    char path[40];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/ns/pid", pid);
    return stat(path, &st) ? 0 : st.st_ino;
}

static int32_t nspid_of(int32_t pid)
{
    char path[40], status[4096];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, status, sizeof status - 1);
    if (fd >= 0)
        close(fd);
    status[n > 0 ? n : 0] = 0;
    return proc_status_nspid(status);
}

/* By the kernel; 0 if it cannot. */
static int32_t translate_by_kernel(int32_t member, int32_t nspid)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/ns/pid", member);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    int host = ioctl(fd, NS_GET_TGID_FROM_PIDNS, nspid);
    close(fd);
    return host > 0 ? host : 0;
}

/* By looking at the host's processes: old kernels. At most 20 times a second. */
static int32_t translate_by_scan(uint64_t pidns, int32_t nspid)
{
    static uint64_t last_ns; /* one thread */
    struct dirent *entry;
    int32_t found = 0;
    DIR *proc = log_due(&last_ns, clock_monotonic_ns(), PID_SCAN_INTERVAL_NS) ? opendir("/proc") : NULL;
    for (int n = 0; proc && !found && n < LIMIT_PID_SCAN && (entry = readdir(proc));) {
        int32_t pid = atoi(entry->d_name);
        if (pid <= 0)
            continue;
        n++;
        if (nspid_of(pid) == nspid && pidns_of(pid) == pidns)
            found = pid;
    }
    if (proc)
        closedir(proc);
    return found;
}

/* The host's number of process `nspid` of the namespace that `mark` shows; 0 if it cannot be known. */
static int32_t host_pid(const struct container_mark *mark, int32_t writer, int32_t nspid)
{
    if (!mark->pid)
        return nspid;
    int32_t member = pidns_of(writer) == mark->pidns ? writer : mark->pid;
    int32_t pid = member == writer || pidns_of(member) == mark->pidns ? translate_by_kernel(member, nspid) : 0;
    if (pid)
        return pid;
    if (member == writer && nspid_of(writer) == nspid)
        return writer;
    return translate_by_scan(mark->pidns, nspid);
}

static void emit(struct file_sensor *fs, enum file_op op, int32_t pid, int32_t target, const struct proc_entry *entry, const struct stat *st,
                 uint64_t now_ns)
{
    struct sensor *s = &fs->sensors[FILE_GROUP_PROCFS];
    struct event *ev = sensor_event(s, EVENT_FILE, now_ns, LIMIT_PATH_BYTES + 1);
    if (!ev)
        return;
    event_set(ev, F_FILE_OP, file_op, (uint8_t)op);
    event_set(ev, F_PID, pid, pid);
    if (target)
        event_set(ev, F_TARGET_PID, target_pid, target);
    const char *tail = entry->tail + (entry->tail[0] == '/');
    event_set_path(ev, F_PATH, entry->pid ? "/proc" : "", tail, strlen(tail));
    event_set(ev, F_DEV, dev, st->st_dev);
    event_set(ev, F_INO, ino, st->st_ino);
    sensor_commit(s, ev);
}

static void procfs_event(struct file_sensor *fs, const struct fan_event *e, uint64_t now_ns)
{
    char path[LIMIT_PATH_BYTES];
    struct proc_entry entry;
    struct container_mark mark;
    struct stat st;
    if (fd_path(e->fd, path, sizeof path) < 0 || fstat(e->fd, &st) || !file_mounts_mark_of(fs, st.st_dev, &mark))
        return;
    proc_entry_parse(path, &entry);
    int32_t target = entry.pid ? host_pid(&mark, e->pid, entry.pid) : 0;
    if (target == e->pid && proc_entry_is_own_noise(entry.file))
        return;
    if (e->mask & FAN_OPEN)
        emit(fs, FILE_OPEN, e->pid, target, &entry, &st, now_ns);
    if (e->mask & FAN_MODIFY) /* a close in the same event adds nothing */
        emit(fs, FILE_MODIFY, e->pid, target, &entry, &st, now_ns);
    else if (e->mask & FAN_CLOSE_WRITE)
        emit(fs, FILE_CLOSE_WRITE, e->pid, target, &entry, &st, now_ns);
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
        procfs_event(fs, &e, clock_monotonic_ns());
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
