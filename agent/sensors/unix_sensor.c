#include "agent/sensors/unix_sensor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/sensors/mountinfo.h"
#include "agent/sensors/unix_decode.h"
#include "common/clock.h"
#include "common/text.h"
#include "common/thread.h"

#define TABLE_BYTES 32768 /* one datagram of the kernel's answer */
#define STRAIN_SHOWN_NS (60 * NS_PER_SECOND)

/* ---- which containers --------------------------------------------------------------------------------------------- */

static uint64_t inode_of(int32_t pid, const char *what)
{
    char path[40];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, what);
    return stat(path, &st) ? 0 : st.st_ino;
}

/* Whether a mount is, or holds, the socket of a runtime. */
static bool mount_reaches(int32_t pid, const struct mountinfo *mount)
{
    static const char *const below[] = { "docker.sock", "containerd/containerd.sock", "run/docker.sock", "run/containerd/containerd.sock",
                                         "podman/podman.sock", "crio/crio.sock" };
    char path[LIMIT_PATH_BYTES + 96];
    struct stat st;
    if (unix_name_is_runtime(mount->root, strlen(mount->root)) || unix_name_is_runtime(mount->mount_point, strlen(mount->mount_point)))
        return true;
    if (mountinfo_is_remote(mount) || !strcmp(mount->fs_type, "overlay") || !strcmp(mount->fs_type, "proc") || !strcmp(mount->fs_type, "sysfs"))
        return false;
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        snprintf(path, sizeof path, "/proc/%d/root%s/%s", pid, mount->mount_point, below[i]);
        if (!lstat(path, &st) && S_ISSOCK(st.st_mode))
            return true;
    }
    return false;
}

static bool container_reaches(int32_t pid)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/mountinfo", pid);
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    for (int n = 0; file && !found && n < LIMIT_KNOWN_MOUNTS && getline(&line, &size, file) > 0; n++) {
        struct mountinfo mount;
        line[strcspn(line, "\n")] = 0;
        found = !mountinfo_parse(line, &mount) && mount_reaches(pid, &mount);
    }
    free(line);
    if (file)
        fclose(file);
    return found;
}

/* A sock_diag socket in the network namespace of `pid`: only this thread goes there, and comes back at once. */
static int open_there(const struct unix_sensor *u, int32_t pid)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
    int netns = open(path, O_RDONLY | O_CLOEXEC);
    if (netns < 0)
        return -errno;
    int fd = setns(netns, CLONE_NEWNET) ? -errno : socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd == -1)
        fd = -errno;
    close(netns);
    if (setns(u->own_netns_fd, CLONE_NEWNET) && fd >= 0) { /* cannot be: we came from there */
        close(fd);
        fd = -EPERM;
    }
    return fd;
}

static void watch_close(struct unix_sensor *u, int i)
{
    close(u->watches[i].fd);
    close(u->watches[i].pidfd);
    memmove(&u->watches[i], &u->watches[--u->n_watches], sizeof u->watches[i]);
}

static void add(struct unix_sensor *u, int32_t pid)
{
    for (int i = 0; i < u->n_watches; i++)
        if (u->watches[i].pid == pid)
            return;
    if (!container_reaches(pid))
        return;
    if (u->n_watches == LIMIT_UNIX_WATCHES) {
        u->blind = true;
        sensor_state(&u->stats, SENSOR_DEGRADED, "connections to runtime sockets are not seen in some containers: more than %d can reach one",
                     LIMIT_UNIX_WATCHES);
        return;
    }
    struct unix_watch *w = &u->watches[u->n_watches];
    *w = (struct unix_watch){ .pid = pid, .pidfd = (int)syscall(SYS_pidfd_open, pid, 0), .mntns = inode_of(pid, "mnt") };
    w->fd = w->pidfd < 0 ? -ESRCH : open_there(u, pid);
    if (w->fd >= 0) {
        w->own_netns = inode_of(pid, "net") != inode_of(getpid(), "net");
        u->n_watches++;
        return;
    }
    if (w->pidfd >= 0)
        close(w->pidfd);
    if (w->fd != -ENOENT && w->fd != -ESRCH) {
        u->blind = true;
        sensor_state(&u->stats, SENSOR_DEGRADED, "connections to runtime sockets are not seen in some containers: %s", strerror(-w->fd));
    }
}

static void commands_run(struct unix_sensor *u)
{
    struct pid_command c;
    while (pid_commands_next(&u->commands, &c)) {
        if (c.add)
            add(u, c.pid);
        for (int i = u->n_watches - 1; !c.add && i >= 0; i--)
            if (u->watches[i].pid == c.pid)
                watch_close(u, i);
    }
}

/* ---- who is connected --------------------------------------------------------------------------------------------- */

/* The descriptor of `pid` that is this socket, or -1. */
static int find_fd(int32_t pid, uint32_t inode)
{
    char path[40], want[32], link[32];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    int length = snprintf(want, sizeof want, "socket:[%u]", inode), found = -1;
    DIR *dir = opendir(path);
    struct dirent *entry;
    for (int n = 0; dir && found < 0 && n < LIMIT_SOCKET_FDS && (entry = readdir(dir)); n++)
        if (readlinkat(dirfd(dir), entry->d_name, link, sizeof link) == length && !memcmp(link, want, (size_t)length))
            found = atoi(entry->d_name);
    if (dir)
        closedir(dir);
    return found;
}

/* The process of the container that holds the socket. A forked child may hold it as well: the first is taken. */
static int32_t find_owner(struct unix_watch *w, uint32_t inode, int *fd)
{
    int32_t owner = 0;
    if (w->last_owner && inode_of(w->last_owner, "mnt") == w->mntns && (*fd = find_fd(w->last_owner, inode)) >= 0)
        return w->last_owner;
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    for (int n = 0; proc && !owner && n < LIMIT_PID_SCAN && (entry = readdir(proc));) {
        int32_t pid = atoi(entry->d_name);
        if (pid <= 0)
            continue;
        n++;
        if (inode_of(pid, "mnt") == w->mntns && (*fd = find_fd(pid, inode)) >= 0)
            owner = pid;
    }
    if (proc)
        closedir(proc);
    w->last_owner = owner;
    return owner;
}

static bool is_known(const struct unix_watch *w, uint32_t inode)
{
    for (int i = 0; i < w->n_known; i++)
        if (w->known[i] == inode)
            return true;
    return false;
}

static bool may_search(const struct unix_sensor *u)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID) - u->round_cpu_ns < LIMIT_UNIX_OWNERS_NS;
}

static void connection(struct unix_sensor *u, struct unix_watch *w, const struct unix_socket *s)
{
    int fd = -1;
    bool search = may_search(u);
    int32_t owner = search ? find_owner(w, s->peer, &fd) : 0;
    if (!search) {
        u->n_unidentified++;
        u->strained_ns = clock_monotonic_ns();
    }
    if (!owner && !w->own_netns) { /* in the host's namespace it may be anybody's */
        if (!search)
            sensor_lost(&u->sensor, 1, "clients of a container runtime's socket came faster than their processes can be searched");
        return;
    }
    if (!owner && search) {
        sensor_lost(&u->sensor, 1, "a client of a container runtime's socket was gone before it was found");
        return;
    }
    struct event *ev = sensor_event(&u->sensor, EVENT_UNIX, clock_monotonic_ns(), 256);
    if (!ev)
        return;
    size_t length = s->name_len;
    while (length > 1 && !s->name[length - 1])
        length--;
    if (owner) {
        event_set(ev, F_PID, pid, owner);
        event_set(ev, F_FD, fd, fd);
    } else {
        event_set(ev, F_TARGET_PID, target_pid, w->pid);
    }
    event_set_text(ev, F_PATH, s->name, length);
    sensor_commit(&u->sensor, ev);
}

static int ask(int fd)
{
    struct {
        struct nlmsghdr head;
        struct unix_diag_req body;
    } request = { .head = { .nlmsg_len = sizeof request, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
                  .body = { .sdiag_family = AF_UNIX, .udiag_states = 1 << TCP_ESTABLISHED, .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER } };
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    return sendto(fd, &request, sizeof request, 0, (void *)&kernel, sizeof kernel) < 0 ? -errno : 0;
}

/* The table of one namespace. What was connected at the last look is not told again. */
static void look(struct unix_sensor *u, struct unix_watch *w)
{
    static _Alignas(8) char buffer[TABLE_BYTES]; /* one thread */
    uint32_t now_known[LIMIT_UNIX_CONNECTIONS];
    int n_now = 0, status = ask(w->fd);
    while (status >= 0 && status != 2) {
        ssize_t n = recv(w->fd, buffer, sizeof buffer, 0);
        if (n < 0)
            break;
        struct bytes datagram = bytes_of(buffer, (size_t)n);
        struct unix_socket s;
        while ((status = unix_decode_next(&datagram, &s)) == 1) {
            if (!s.peer || !s.name || !unix_name_is_runtime(s.name, s.name_len) || n_now == LIMIT_UNIX_CONNECTIONS)
                continue;
            now_known[n_now++] = s.peer;
            if (!is_known(w, s.peer))
                connection(u, w, &s);
        }
    }
    if (status == -EINVAL)
        sensor_count(&u->stats.malformed, 1);
    sensor_count(&u->n_looks, 1);
    memcpy(w->known, now_known, (size_t)n_now * sizeof *now_known);
    w->n_known = n_now;
}

static bool has_ended(const struct unix_watch *w)
{
    struct pollfd p = { w->pidfd, POLLIN, 0 };
    return poll(&p, 1, 0) > 0;
}

/* Says what a container's many sockets and connections take away, and for a while after, that it did. */
static void tell_strain(struct unix_sensor *u, uint64_t pause_ns)
{
    uint64_t now_ns = clock_monotonic_ns();
    if (pause_ns > 10 * LIMIT_UNIX_INTERVAL_NS)
        u->strained_ns = now_ns;
    if (!u->strained_ns || u->blind)
        return;
    if (u->strained_ns >= u->round_began_ns) {
        sensor_state(&u->stats, SENSOR_DEGRADED, "containers have so many unix sockets or connections to a runtime that they are looked at every "
                     "%llu ms only; processes of %llu clients were not searched", (unsigned long long)(pause_ns / NS_PER_MS),
                     (unsigned long long)u->n_unidentified);
    } else if (now_ns - u->strained_ns > STRAIN_SHOWN_NS) {
        u->strained_ns = 0;
        sensor_state(&u->stats, SENSOR_OK, "%s", "");
    }
}

/* One look at each table; returns when the next is due. */
static uint64_t look_at_all(struct unix_sensor *u)
{
    u->round_began_ns = clock_monotonic_ns();
    u->round_cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    for (int i = u->n_watches - 1; i >= 0 && !u->stopping; i--)
        if (has_ended(&u->watches[i]))
            watch_close(u, i);
        else
            look(u, &u->watches[i]);
    uint64_t pause_ns = (clock_ns(CLOCK_THREAD_CPUTIME_ID) - u->round_cpu_ns) * LIMIT_UNIX_SHARE;
    if (pause_ns < LIMIT_UNIX_INTERVAL_NS)
        pause_ns = LIMIT_UNIX_INTERVAL_NS;
    tell_strain(u, pause_ns);
    return clock_monotonic_ns() + pause_ns;
}

static void *run(void *arg)
{
    struct unix_sensor *u = arg;
    struct pollfd p = { u->commands.fd, POLLIN, 0 };
    uint64_t due_ns = 0;
    while (!u->stopping) {
        uint64_t now_ns = clock_monotonic_ns();
        int wait_ms = due_ns > now_ns ? (int)((due_ns - now_ns) / NS_PER_MS) + 1 : 0;
        poll(&p, 1, u->n_watches ? wait_ms : -1);
        commands_run(u);
        if (clock_monotonic_ns() >= due_ns)
            due_ns = look_at_all(u);
    }
    return NULL;
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

int unix_sensor_add(struct unix_sensor *u, int32_t pid)
{
    return pid_commands_send(&u->commands, true, pid);
}

int unix_sensor_remove(struct unix_sensor *u, int32_t pid)
{
    return pid_commands_send(&u->commands, false, pid);
}

int unix_sensor_open(struct unix_sensor *u, struct waker *waker)
{
    memset(u, 0, sizeof *u);
    u->commands.fd = -1;
    u->own_netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int error = u->own_netns_fd < 0 ? -errno : sensor_init(&u->sensor, SOURCE_UNIX, LIMIT_SMALL_RING_BYTES, &u->stats, waker);
    if (!error)
        error = pid_commands_init(&u->commands);
    if (!error) {
        sensor_state(&u->stats, SENSOR_OK, "%s", "");
        error = thread_start(&u->thread, run, u, "unix");
    }
    u->running = !error;
    if (error)
        unix_sensor_close(u);
    return error;
}

void unix_sensor_close(struct unix_sensor *u)
{
    if (u->running) {
        u->stopping = true;
        pid_commands_wake(&u->commands);
        pthread_join(u->thread, NULL);
        u->running = false;
    }
    while (u->n_watches)
        watch_close(u, u->n_watches - 1);
    if (u->own_netns_fd >= 0)
        close(u->own_netns_fd);
    u->own_netns_fd = -1;
    pid_commands_fini(&u->commands);
    sensor_fini(&u->sensor);
}
