#include "agent/sensors/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/sensors/procfs_decode.h"
#include "common/clock.h"
#include "common/event_fields.h"
#include "common/text.h"

int procfs_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int open_own(int context)
{
    if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "subset", "pid", 0) || syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
        return -errno;
    int fd = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    return fd < 0 ? -errno : fd;
}

int procfs_open_own(void)
{
    int context = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
    if (context < 0)
        return -errno;
    int fd = open_own(context);
    close(context);
    return fd;
}

int procfs_open_process(int procdir, int32_t pid)
{
    char name[16];
    snprintf(name, sizeof name, "%d", (int)pid);
    int fd = openat(procdir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* One file in one read(2): /proc texts are complete in it while the buffer is large enough. */
static ssize_t read_file(int dir, const char *name, char *to, size_t size)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, to, size);
    int error = errno;
    close(fd);
    return n < 0 ? -error : n;
}

static size_t field_room(struct event *ev, enum event_field field, char **to)
{
    size_t room;
    *to = event_text_room(ev, &room);
    return room < event_fields[field].text_max ? room : event_fields[field].text_max;
}

static void read_link_field(int dir, const char *name, enum event_field field, struct event *ev)
{
    char *to;
    size_t room = field_room(ev, field, &to);
    ssize_t n = room ? readlinkat(dir, name, to, room) : -1;
    if (n > 0)
        event_text_done(ev, field, (size_t)n);
}

/* A program without arguments and one without memory (a zombie, a kernel thread) both read as empty: the executable tells. */
static void take_cmdline(int dir, const char *cmdline, const char *exe, struct event *ev, struct procfs_scratch *scratch)
{
    char *to;
    size_t room = field_room(ev, F_CMDLINE, &to);
    ssize_t n = room ? read_file(dir, cmdline, to, room) : -ENOSPC;
    scratch->is_gone = n == -ENOENT || n == -ESRCH;
    scratch->is_zombie = n == 0 && faccessat(dir, exe, F_OK, 0);
    if (n > 0 || (n == 0 && !scratch->is_zombie))
        event_text_done(ev, F_CMDLINE, (size_t)n);
}

static void read_cmdline(int dir, struct event *ev, struct procfs_scratch *scratch)
{
    take_cmdline(dir, "cmdline", "exe", ev, scratch);
}

static uint64_t wall_ns(struct statx_timestamp t)
{
    return t.tv_sec < 0 ? 0 : (uint64_t)t.tv_sec * NS_PER_SECOND + t.tv_nsec;
}

static void take_exe_file(int dir, const char *exe, struct event *ev, struct procfs_scratch *scratch)
{
    struct statx st;
    /* DONT_SYNC: never wait for a network file system. */
    scratch->exe_mount_id = 0;
    if (statx(dir, exe, AT_STATX_DONT_SYNC, STATX_BASIC_STATS | STATX_MNT_ID, &st))
        return;
    event_set(ev, F_DEV, dev, makedev(st.stx_dev_major, st.stx_dev_minor));
    event_set(ev, F_INO, ino, st.stx_ino);
    event_set(ev, F_MODE, mode, st.stx_mode);
    event_set(ev, F_FILE_UID, file_uid, st.stx_uid);
    event_set(ev, F_NLINK, nlink, st.stx_nlink);
    event_set(ev, F_SIZE, file_size, st.stx_size);
    event_set(ev, F_CTIME_WALL_NS, ctime_wall_ns, wall_ns(st.stx_ctime));
    event_set(ev, F_MTIME_WALL_NS, mtime_wall_ns, wall_ns(st.stx_mtime));
    if (st.stx_mask & STATX_MNT_ID)
        scratch->exe_mount_id = st.stx_mnt_id;
}

static void read_exe_file(int dir, struct event *ev, struct procfs_scratch *scratch)
{
    take_exe_file(dir, "exe", ev, scratch);
}

static void read_exe(int dir, struct event *ev, struct procfs_scratch *scratch)
{
    (void)scratch;
    read_link_field(dir, "exe", F_EXE, ev);
}

static void read_stdio(int dir, struct event *ev, struct procfs_scratch *scratch)
{
    (void)scratch;
    read_link_field(dir, "fd/0", F_STDIN, ev);
    read_link_field(dir, "fd/1", F_STDOUT, ev);
    read_link_field(dir, "fd/2", F_STDERR, ev);
}

static void read_socket(int dir, struct event *ev, struct procfs_scratch *scratch)
{
    (void)dir, (void)scratch;
    const struct text links[3] = { ev->stdin_link, ev->stdout_link, ev->stderr_link };
    for (int fd = 0; fd < 3; fd++) {
        uint64_t inode;
        if (!procfs_parse_link(event_text(ev, links[fd]), links[fd].len, "socket", &inode))
            continue;
        int sock = procfs_take_socket(ev->pid, fd, inode);
        if (sock < 0)
            continue;
        int r = procfs_describe_socket(sock, ev);
        close(sock);
        if (r)
            continue;
        event_set(ev, F_FD, fd, fd);
        return;
    }
}

static void read_environ(int dir, struct event *ev, struct procfs_scratch *scratch)
{
    ssize_t n = read_file(dir, "environ", scratch->bytes, sizeof scratch->bytes);
    if (n < 0 || (n == 0 && scratch->is_zombie))
        return;
    event_set_text(ev, F_ENVIRON, scratch->bytes, procfs_bound_environ(scratch->bytes, (size_t)n));
}

/* The directory itself always belongs to the effective ids, also when the program may not be dumped (set-user-ID), unlike
 * the files in it (task_dump_owner() in fs/proc/base.c). */
static void read_owner(int dir, struct event *ev, struct procfs_scratch *scratch)
{
    struct stat st;
    (void)scratch;
    if (fstat(dir, &st))
        return;
    event_set(ev, F_EUID, euid, st.st_uid);
    event_set(ev, F_EGID, egid, st.st_gid);
}

/* stat counts from boot and includes suspend; events do not. */
static uint64_t ticks_to_monotonic_ns(uint64_t ticks)
{
    uint64_t since_boot = ticks * (NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK));
    uint64_t monotonic = clock_monotonic_ns(); /* first, so that the difference is never negative */
    uint64_t suspended = clock_ns(CLOCK_BOOTTIME) - monotonic;
    return since_boot > suspended ? since_boot - suspended : 0;
}

static void read_stat(int dir, struct event *ev, struct procfs_scratch *scratch)
{
    struct procfs_stat st;
    ssize_t n = read_file(dir, "stat", scratch->bytes, sizeof scratch->bytes);
    if (n <= 0 || procfs_parse_stat(scratch->bytes, (size_t)n, &st))
        return;
    event_set_text(ev, F_COMM, st.comm, st.comm_size);
    event_set(ev, F_PPID, ppid, st.ppid);
    event_set(ev, F_PGID, pgid, st.pgid);
    event_set(ev, F_SID, sid, st.sid);
    event_set(ev, F_TTY, tty, st.tty);
    event_set(ev, F_START_NS, start_ns, ticks_to_monotonic_ns(st.start_ticks));
}

static void read_cwd(int dir, struct event *ev, struct procfs_scratch *scratch)
{
    (void)scratch;
    read_link_field(dir, "cwd", F_CWD, ev);
}

static void read_cgroup(int dir, struct event *ev, struct procfs_scratch *scratch)
{
    const char *path;
    size_t path_size;
    ssize_t n = read_file(dir, "cgroup", scratch->bytes, sizeof scratch->bytes);
    if (n > 0 && !procfs_pick_cgroup(scratch->bytes, (size_t)n, &path, &path_size))
        event_set_text(ev, F_CGROUP, path, path_size);
}

static bool read_namespace(int dir, const char *name, const char *kind, uint64_t *number)
{
    char link[64];
    ssize_t n = readlinkat(dir, name, link, sizeof link);
    return n > 0 && procfs_parse_link(link, (size_t)n, kind, number);
}

static void read_namespaces(int dir, struct event *ev, struct procfs_scratch *scratch)
{
    uint64_t number;
    (void)scratch;
    if (read_namespace(dir, "ns/mnt", "mnt", &number))
        event_set(ev, F_MNTNS, mntns, number);
    if (read_namespace(dir, "ns/net", "net", &number))
        event_set(ev, F_NETNS, netns, number);
    if (read_namespace(dir, "ns/pid", "pid", &number))
        event_set(ev, F_PIDNS, pidns, number);
}

static void read_loginuid(int dir, struct event *ev, struct procfs_scratch *scratch)
{
    uint64_t uid;
    ssize_t n = read_file(dir, "loginuid", scratch->bytes, sizeof scratch->bytes);
    if (n > 0 && !text_to_u64(scratch->bytes, (size_t)n, &uid) && uid <= UINT32_MAX)
        event_set(ev, F_LOGINUID, loginuid, (uint32_t)uid);
}

static void read_status(int dir, struct event *ev, struct procfs_scratch *scratch)
{
    struct procfs_status st;
    ssize_t n = read_file(dir, "status", scratch->bytes, sizeof scratch->bytes);
    if (n <= 0 || procfs_parse_status(scratch->bytes, (size_t)n, &st))
        return;
    event_set(ev, F_UID, uid, st.uid);
    event_set(ev, F_EUID, euid, st.euid);
    event_set(ev, F_GID, gid, st.gid);
    event_set(ev, F_EGID, egid, st.egid);
    if (st.vpid > 0)
        event_set(ev, F_VPID, vpid, st.vpid);
    if (st.vpgid > 0)
        event_set(ev, F_VPGID, vpgid, st.vpgid);
    if (!st.has_capabilities)
        return;
    event_set(ev, F_CAP_EFFECTIVE, cap_effective, st.cap_effective);
    event_set(ev, F_CAP_PERMITTED, cap_permitted, st.cap_permitted);
    event_set(ev, F_CAP_INHERITABLE, cap_inheritable, st.cap_inheritable);
}

/* What dies with the process first. */
static const struct {
    unsigned what;
    void (*read)(int dir, struct event *ev, struct procfs_scratch *scratch);
} readers[] = {
    { PROCFS_CMDLINE, read_cmdline },
    { PROCFS_EXE_FILE, read_exe_file },
    { PROCFS_EXE, read_exe },
    { PROCFS_STDIO, read_stdio },
    { PROCFS_SOCKET, read_socket },
    { PROCFS_ENVIRON, read_environ },
    { PROCFS_OWNER, read_owner },
    { PROCFS_STAT, read_stat },
    { PROCFS_CWD, read_cwd },
    { PROCFS_CGROUP, read_cgroup },
    { PROCFS_NAMESPACES, read_namespaces },
    { PROCFS_LOGINUID, read_loginuid },
    { PROCFS_STATUS, read_status },
};

void procfs_read(int dir, unsigned what, struct event *ev, struct procfs_scratch *scratch)
{
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++)
        if (what & readers[i].what)
            readers[i].read(dir, ev, scratch);
}

int procfs_read_image(int procdir, int32_t pid, struct event *ev, struct procfs_scratch *scratch)
{
    char cmdline[24], exe[24];
    snprintf(cmdline, sizeof cmdline, "%d/cmdline", (int)pid);
    snprintf(exe, sizeof exe, "%d/exe", (int)pid);
    take_cmdline(procdir, cmdline, exe, ev, scratch);
    if (scratch->is_gone)
        return -ENOENT;
    take_exe_file(procdir, exe, ev, scratch);
    return 0;
}

int procfs_read_process(int procdir, int32_t pid, unsigned what, struct event *ev, struct procfs_scratch *scratch)
{
    event_set(ev, F_PID, pid, pid);
    int dir = procfs_open_process(procdir, pid);
    if (dir < 0)
        return dir;
    procfs_read(dir, what, ev, scratch);
    close(dir);
    return 0;
}

int procfs_take_socket(int32_t pid, int fd, uint64_t inode)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return -errno;
    int sock = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    int error = errno;
    close(pidfd);
    if (sock < 0)
        return -error;
    struct stat st;
    if (!fstat(sock, &st) && S_ISSOCK(st.st_mode) && st.st_ino == inode)
        return sock;
    close(sock);
    return -ENOENT;
}

/* False for an unset address (an unconnected socket has no peer). */
static bool take_address(const struct sockaddr_storage *from, struct address *address, uint16_t *port)
{
    memset(address, 0, sizeof *address);
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;
        address->family = 4;
        memcpy(address->bytes, &in->sin_addr, 4);
        *port = ntohs(in->sin_port);
        return true;
    }
    if (from->ss_family != AF_INET6)
        return false;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
    bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
    address->family = mapped ? 4 : 6;
    memcpy(address->bytes, in6->sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
    *port = ntohs(in6->sin6_port);
    return true;
}

static int socket_option(int sock, int name)
{
    int value = -1;
    socklen_t size = sizeof value;
    return getsockopt(sock, SOL_SOCKET, name, &value, &size) ? -1 : value;
}

int procfs_describe_socket(int sock, struct event *ev)
{
    int domain = socket_option(sock, SO_DOMAIN), proto = socket_option(sock, SO_PROTOCOL);
    struct sockaddr_storage ss;
    struct address address;
    uint16_t port;
    socklen_t size = sizeof ss;
    if ((domain != AF_INET && domain != AF_INET6) || proto < 0 || proto > UINT8_MAX)
        return -EAFNOSUPPORT;
    event_set(ev, F_PROTO, proto, (uint8_t)proto);
    if (!getsockname(sock, (struct sockaddr *)&ss, &size) && take_address(&ss, &address, &port)) {
        event_set(ev, F_SRC, src, address);
        event_set(ev, F_SPORT, sport, port);
    }
    size = sizeof ss;
    if (!getpeername(sock, (struct sockaddr *)&ss, &size) && take_address(&ss, &address, &port)) {
        event_set(ev, F_DST, dst, address);
        event_set(ev, F_DPORT, dport, port);
    }
    uint8_t state; /* the first byte of struct tcp_info */
    size = sizeof state;
    if (proto == IPPROTO_TCP && !getsockopt(sock, IPPROTO_TCP, TCP_INFO, &state, &size) && size == sizeof state)
        event_set(ev, F_TCP_STATE, tcp_state, state);
    return 0;
}
