#include "agent/sensors/mount_sensor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/sensors/mountinfo.h"
#include "common/clock.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/text.h"
#include "common/thread.h"

#define SETTLE_POLL_MS 5
#define EVENTS 16

struct mount_watch {
    int32_t pid;
    int slot;
    int pidfd, mountinfo_fd;
    bool settled; /* the first program has started: what is mounted from now on is told */
    uint64_t since_ns;
    int n_known;
    uint64_t known[LIMIT_KNOWN_MOUNTS];
};

/* Descriptors in the epoll set. */
enum { WAKE_COMMANDS = UINT32_MAX };
enum { WAKE_MOUNTS = 0, WAKE_EXIT = 1 };

static int epoll_put(struct mount_sensor *m, int fd, uint32_t events, uint64_t tag)
{
    struct epoll_event e = { .events = events, .data.u64 = tag };
    return epoll_ctl(m->epoll_fd, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

static bool read_text(int fd, char *to)
{
    size_t n = 0;
    ssize_t got = 0;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return false;
    while (n < LIMIT_MOUNTINFO_BYTES - 1 && (got = read(fd, to + n, LIMIT_MOUNTINFO_BYTES - 1 - n)) > 0)
        n += (size_t)got;
    to[n] = 0;
    return got == 0 && n > 0;
}

/* What a mount is, in one number: ids are used again at once. */
static uint64_t mount_hash(const struct mountinfo *mount)
{
    static const struct hash_key key = { 1, 2 };
    const char *texts[] = { mount->root, mount->mount_point, mount->fs_type, mount->source };
    uint64_t h = (uint64_t)mount->mount_id << 32 ^ mount->dev;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        h = (h << 7 | h >> 57) ^ hash_bytes(&key, texts[i], strlen(texts[i]));
    return h;
}

static bool is_known(const struct mount_watch *w, uint64_t hash)
{
    for (int i = 0; i < w->n_known; i++)
        if (w->known[i] == hash)
            return true;
    return false;
}

static bool host_table(struct mount_sensor *m)
{
    int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    bool read = fd >= 0 && read_text(fd, m->host_text);
    if (fd >= 0)
        close(fd);
    return read;
}

static void emit(struct mount_sensor *m, const struct mount_watch *w, const struct mountinfo *mount)
{
    char host[LIMIT_PATH_BYTES];
    int place = host_table(m) ? mountinfo_host_path(m->host_text, mount, host, sizeof host) : -ENOENT;
    if (place == 1 && mount->is_slave)
        return; /* mounted on the host: the container sees it because it sees all the host's mounts */
    struct event *ev = sensor_event(&m->sensor, EVENT_MOUNT, clock_monotonic_ns(), 3 * (LIMIT_PATH_BYTES + 1) + 256);
    if (!ev)
        return;
    event_set(ev, F_PID, pid, w->pid);
    event_set_text(ev, F_PATH, mount->mount_point, strlen(mount->mount_point));
    event_set_text(ev, F_MOUNT_SOURCE, mount->source, strlen(mount->source));
    event_set_text(ev, F_FS_TYPE, mount->fs_type, strlen(mount->fs_type));
    if (place >= 0)
        event_set_text(ev, F_HOST_PATH, host, strlen(host));
    sensor_commit(&m->sensor, ev);
}

static void look(struct mount_sensor *m, struct mount_watch *w)
{
    uint64_t now_known[LIMIT_KNOWN_MOUNTS];
    struct mountinfo mount;
    int n = 0;
    if (!read_text(w->mountinfo_fd, m->text))
        return;
    char *text = m->text;
    for (char *line; (line = mountinfo_line(&text));) {
        if (mountinfo_parse(line, &mount)) {
            sensor_count(&m->stats.malformed, 1);
            continue;
        }
        uint64_t hash = mount_hash(&mount);
        if (n == LIMIT_KNOWN_MOUNTS) {
            sensor_lost(&m->sensor, 1, "a container has more mounts than are followed");
            break;
        }
        now_known[n++] = hash;
        if (w->settled && !is_known(w, hash))
            emit(m, w, &mount);
    }
    memcpy(w->known, now_known, (size_t)n * sizeof *now_known);
    w->n_known = n;
}

/* "runc init", from an executable that is not the container's: runc runs a copy of itself that has no name. */
static bool is_init_stage(int32_t pid)
{
    char path[40], cmdline[256];
    struct stat exe, root;
    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, cmdline, sizeof cmdline - 1);
    if (fd >= 0)
        close(fd);
    cmdline[n > 0 ? n : 0] = 0;
    size_t first = strlen(cmdline) + 1;
    if ((ssize_t)first >= n || strcmp(cmdline + first, "init"))
        return false;
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    bool known = !stat(path, &exe);
    snprintf(path, sizeof path, "/proc/%d/root", pid);
    return known && !stat(path, &root) && exe.st_dev != root.st_dev;
}

/* The runtime mounts what the container shall have, then executes its first program. */
static bool is_still_runtime(int32_t pid)
{
    static const char *const runtimes[] = { "runc", "crun", "youki", "runsc" };
    char path[40], exe[256];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    ssize_t n = readlink(path, exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = 0;
    for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++)
        if (strstr(exe, runtimes[i]))
            return true;
    return is_init_stage(pid);
}

static void settle(struct mount_sensor *m, struct mount_watch *w)
{
    if (is_still_runtime(w->pid) && clock_monotonic_ns() - w->since_ns < LIMIT_PENDING_NS)
        return;
    look(m, w); /* what there is now is the container's own */
    w->settled = true;
    m->n_unsettled--;
}

static void watch_free(struct mount_sensor *m, struct mount_watch *w)
{
    m->watches[w->slot] = NULL;
    m->n_unsettled -= !w->settled;
    if (w->mountinfo_fd >= 0)
        close(w->mountinfo_fd);
    if (w->pidfd >= 0)
        close(w->pidfd);
    free(w);
}

static int watch_open(struct mount_sensor *m, struct mount_watch *w)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/mountinfo", w->pid);
    w->pidfd = (int)syscall(SYS_pidfd_open, w->pid, 0);
    w->mountinfo_fd = w->pidfd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (w->pidfd < 0 || w->mountinfo_fd < 0)
        return -errno;
    uint64_t tag = (uint64_t)w->slot << 1;
    int error = epoll_put(m, w->mountinfo_fd, EPOLLPRI | EPOLLERR, tag | WAKE_MOUNTS);
    return error ? error : epoll_put(m, w->pidfd, EPOLLIN, tag | WAKE_EXIT);
}

static void add(struct mount_sensor *m, int32_t pid)
{
    int slot = 0;
    for (int i = LIMIT_MOUNT_WATCHES - 1; i >= 0; i--) {
        if (m->watches[i] && m->watches[i]->pid == pid)
            return;
        if (!m->watches[i])
            slot = i;
    }
    struct mount_watch *w = m->watches[slot] ? NULL : calloc(1, sizeof *w);
    if (!w) {
        sensor_state(&m->stats, SENSOR_DEGRADED, "mounts in some containers are not seen: more than %d run at once, or no memory", LIMIT_MOUNT_WATCHES);
        return;
    }
    *w = (struct mount_watch){ .pid = pid, .slot = slot, .since_ns = clock_monotonic_ns() };
    m->watches[slot] = w;
    m->n_unsettled++;
    int error = watch_open(m, w);
    if (error) {
        if (error != -ESRCH && error != -ENOENT)
            sensor_state(&m->stats, SENSOR_DEGRADED, "mounts in some containers are not seen: %s", strerror(-error));
        watch_free(m, w);
        return;
    }
    settle(m, w);
}

static void commands_run(struct mount_sensor *m)
{
    struct pid_command c;
    while (pid_commands_next(&m->commands, &c)) {
        if (c.add) {
            add(m, c.pid);
            continue;
        }
        for (int i = 0; i < LIMIT_MOUNT_WATCHES; i++)
            if (m->watches[i] && m->watches[i]->pid == c.pid)
                watch_free(m, m->watches[i]);
    }
}

static void woken(struct mount_sensor *m, uint64_t tag)
{
    struct mount_watch *w = m->watches[tag >> 1];
    if (!w)
        return; /* ended earlier in this batch */
    if ((tag & 1) == WAKE_EXIT)
        watch_free(m, w);
    else if (w->settled)
        look(m, w);
}

static void *run(void *arg)
{
    struct mount_sensor *m = arg;
    struct epoll_event events[EVENTS];
    while (!m->stopping) {
        int n = epoll_wait(m->epoll_fd, events, EVENTS, m->n_unsettled ? SETTLE_POLL_MS : -1);
        for (int i = 0; i < n; i++)
            if (events[i].data.u64 != WAKE_COMMANDS)
                woken(m, events[i].data.u64);
        commands_run(m);
        for (int i = 0; m->n_unsettled && i < LIMIT_MOUNT_WATCHES; i++)
            if (m->watches[i] && !m->watches[i]->settled)
                settle(m, m->watches[i]);
    }
    return NULL;
}

int mount_sensor_add(struct mount_sensor *m, int32_t pid)
{
    return pid_commands_send(&m->commands, true, pid);
}

int mount_sensor_remove(struct mount_sensor *m, int32_t pid)
{
    return pid_commands_send(&m->commands, false, pid);
}

int mount_sensor_open(struct mount_sensor *m, struct waker *waker)
{
    memset(m, 0, sizeof *m);
    m->commands.fd = -1;
    m->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int error = m->epoll_fd < 0 ? -errno : sensor_init(&m->sensor, SOURCE_MOUNT, LIMIT_SMALL_RING_BYTES, &m->stats, waker);
    if (!error)
        error = pid_commands_init(&m->commands);
    m->text = malloc(LIMIT_MOUNTINFO_BYTES);
    m->host_text = malloc(LIMIT_MOUNTINFO_BYTES);
    if (!error && (!m->text || !m->host_text))
        error = -ENOMEM;
    if (!error)
        error = epoll_put(m, m->commands.fd, EPOLLIN, WAKE_COMMANDS);
    if (!error)
        error = thread_start(&m->thread, run, m, "mounts");
    m->running = !error;
    if (error)
        mount_sensor_close(m);
    else
        sensor_state(&m->stats, SENSOR_OK, "%s", "");
    return error;
}

void mount_sensor_close(struct mount_sensor *m)
{
    if (m->running) {
        m->stopping = true;
        pid_commands_wake(&m->commands);
        pthread_join(m->thread, NULL);
        m->running = false;
    }
    for (int i = 0; i < LIMIT_MOUNT_WATCHES; i++)
        if (m->watches[i])
            watch_free(m, m->watches[i]);
    if (m->epoll_fd >= 0)
        close(m->epoll_fd);
    m->epoll_fd = -1;
    pid_commands_fini(&m->commands);
    sensor_fini(&m->sensor);
    free(m->text);
    free(m->host_text);
    m->text = m->host_text = NULL;
}
