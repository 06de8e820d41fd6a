/* Owns the process's capabilities and the lock of the one instance. */
#include "agent/privileges.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

const struct privilege privileges_kept[] = {
    {CAP_SYS_ADMIN, "CAP_SYS_ADMIN", true, "fanotify marks on the file systems of new containers, entering their network namespaces"},
    {CAP_NET_ADMIN, "CAP_NET_ADMIN", true, "process events, conntrack dumps, nft tables, large socket buffers, also when a socket is opened again"},
    {CAP_SYS_PTRACE, "CAP_SYS_PTRACE", true, "reading exe, cwd, environ, fd and ns links of other users' processes in /proc"},
    {CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", true, "open_by_handle_at(2) on fanotify file handles and control group ids, reading files whatever their mode"},
    {CAP_NET_BROADCAST, "CAP_NET_BROADCAST", false, "conntrack and nft events of all network namespaces on one socket (NETLINK_LISTEN_ALL_NSID)"},
    {CAP_SYS_NICE, "CAP_SYS_NICE", false, "real-time readers, which see the command line of processes that exit at once"},
    {0, NULL, false, NULL},
};

static bool cap_held(cap_t caps, cap_value_t cap)
{
    cap_flag_value_t value = CAP_CLEAR;
    return cap_get_flag(caps, cap, CAP_EFFECTIVE, &value) == 0 && value == CAP_SET;
}

static void names_append(char *names, size_t size, const char *name)
{
    size_t used = strlen(names);
    snprintf(names + used, size - used, "%s%s", used ? ", " : "", name);
}

int privileges_require(const char *what)
{
    cap_t caps = cap_get_proc();
    if (!caps)
        return -errno;
    char missing[256] = "";
    for (const struct privilege *p = privileges_kept; p->name; p++) {
        if (cap_held(caps, p->cap))
            continue;
        if (p->required)
            names_append(missing, sizeof missing, p->name);
        else if (geteuid() == 0)
            log_warn("privileges", "%s is missing: %s", p->name, p->reason);
    }
    cap_free(caps);
    if (!missing[0])
        return 0;
    log_error("privileges", "%s must run as root: user %u lacks %s", what, (unsigned)geteuid(), missing);
    return -EPERM;
}

/* Threads of this process, or -errno. */
static int threads_count(void)
{
    DIR *dir = opendir("/proc/self/task");
    if (!dir)
        return -errno;
    int n = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

static bool cap_kept(cap_value_t cap)
{
    for (const struct privilege *p = privileges_kept; p->name; p++)
        if (p->cap == cap)
            return true;
    return false;
}

/* Needs CAP_SETPCAP unless the bounding set is small enough already, as under our systemd unit. */
static int bounding_drop(void)
{
    int held;
    for (cap_value_t cap = 0; (held = cap_get_bound(cap)) >= 0; cap++)
        if (held && !cap_kept(cap) && cap_drop_bound(cap) < 0)
            return -errno;
    return 0;
}

static int caps_keep(cap_t old, cap_t new)
{
    for (const struct privilege *p = privileges_kept; p->name; p++) {
        if (!cap_held(old, p->cap))
            continue;
        if (cap_set_flag(new, CAP_PERMITTED, 1, &p->cap, CAP_SET) < 0 || cap_set_flag(new, CAP_EFFECTIVE, 1, &p->cap, CAP_SET) < 0)
            return -errno;
    }
    return cap_set_proc(new) < 0 ? -errno : 0;
}

int privileges_drop(void)
{
    int n = threads_count();
    if (n < 0)
        return n;
    if (n != 1) {
        log_error("privileges", "capabilities cannot be dropped: %d threads run already", n);
        return -EBUSY;
    }
    int rc = bounding_drop();
    cap_t old = cap_get_proc(), new = cap_init();
    if (!rc)
        rc = old && new ? caps_keep(old, new) : -ENOMEM;
    cap_free(old);
    cap_free(new);
    if (!rc && (cap_reset_ambient() < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0))
        rc = -errno;
    if (rc)
        log_error("privileges", "cannot drop capabilities: %s", strerror(-rc));
    return rc;
}

static void lock_refused(int fd, const char *path)
{
    char pid[16] = "";
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
    pid[n > 0 ? strspn(pid, "0123456789") : 0] = 0;
    log_error("privileges", "ecsguardd is running already (pid %s holds %s)", pid[0] ? pid : "unknown", path);
}

/* Locks and fills an open lock file. 0 or -errno. */
static int lock_take(int fd, const char *path)
{
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return -errno;
        lock_refused(fd, path);
        return -EEXIST;
    }
    char pid[16];
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
    pid[n > 0 ? strspn(pid, "0123456789") : 0] = 0;
    if (pid[0])
        log_warn("agent", "the agent before (pid %s) ended without stopping: killed, by the kernel for lack of memory (journalctl -k) or by somebody, "
                          "or it crashed", pid);
    int length = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0)
        return -errno;
    ssize_t written = pwrite(fd, pid, (size_t)length, 0);
    return written == length ? 0 : written < 0 ? -errno : -ENOSPC;
}

void privileges_unlock(int fd)
{
    if (ftruncate(fd, 0))
        log_warn("privileges", "cannot empty the lock file: %s", strerror(errno));
    close(fd);
}

int privileges_lock(const char *run_dir)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/ecsguardd.lock", run_dir) >= (int)sizeof path)
        return -ENAMETOOLONG;
    int fd = -1, rc = 0;
    if (mkdir(run_dir, 0755) < 0)
        rc = errno == EEXIST ? 0 : -errno;
    else if (chmod(run_dir, 0755) < 0) /* whatever the umask is */
        rc = -errno;
    /* never unlinked: a second instance could lock a new file while the first still holds the old one */
    if (!rc && (fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644)) < 0)
        rc = -errno;
    if (!rc)
        rc = lock_take(fd, path);
    if (rc && rc != -EEXIST)
        log_error("privileges", "cannot lock %s: %s", path, strerror(-rc));
    if (rc && fd >= 0)
        close(fd);
    return rc ? rc : fd;
}
