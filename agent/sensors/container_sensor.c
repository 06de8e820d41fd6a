#include "agent/sensors/container_sensor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/sensors/cgroup_path.h"
#include "agent/sensors/netns.h"
#include "agent/sensors/rootfs.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "common/thread.h"

#define WATCH_MASK (IN_CREATE | IN_DELETE | IN_MODIFY | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK)
#define WD_BUCKETS 1024
#define EVENT_TEXT 6144  /* cgroup path, ids, upperdir */
#define CANDIDATES_MAX 32 /* processes of a group looked at to find its init process */
/* A look at a starting container costs ~40 us: every 5 ms while it is likely, then every 100 ms. */
#define SETTLE_SHORT_NS (5 * NS_PER_MS)
#define SETTLE_SHORT_FOR_NS NS_PER_SECOND
#define SETTLE_LONG_NS (100 * NS_PER_MS)

/* One directory that we watch: a parent of containers, a container, or a group inside of one (podman's `container`, init.scope). */
struct cgroup_node {
    struct cgroup_node *parent, *children, *sibling;
    struct cgroup_node *wd_next;
    struct cgroup_node *container; /* the container it is, or is inside of; NULL for a parent of containers */
    struct cgroup_node *settle_next;
    struct container_state *state; /* of a container itself */
    int wd, depth;
    uint32_t generation;
    char name[];
};

struct container_state {
    struct cgroup_identity identity;
    bool started;
    uint64_t settle_until_ns, settle_next_ns;
    int32_t *pids; /* as last read, ascending */
    int n_pids;
};

struct pid_list {
    int32_t *pids;
    int n, room;
};

/* ---- the hierarchy ------------------------------------------------------------------------------------------------- */

/* Path of a node below the hierarchy's mount point, as /proc/PID/cgroup shows it; the root is "/". */
static void node_path(const struct cgroup_node *node, struct text_out *out)
{
    if (node->parent) {
        node_path(node->parent, out);
        text_out_printf(out, "/%s", node->name);
    }
}

static bool node_cgroup(const struct cgroup_node *node, char path[LIMIT_CGROUP_BYTES])
{
    struct text_out out;
    text_out_init(&out, path, LIMIT_CGROUP_BYTES);
    node_path(node, &out);
    return !out.cut;
}

/* The same as the host's path. */
static bool node_dir(const struct container_sensor *s, const struct cgroup_node *node, char *path, size_t size)
{
    struct text_out out;
    text_out_init(&out, path, size);
    text_out_printf(&out, "%s", s->cgroup_dir);
    node_path(node, &out);
    return !out.cut;
}

static int node_open(struct container_sensor *s, const struct cgroup_node *node, const char *file, int flags)
{
    char path[LIMIT_CGROUP_BYTES + 600];
    if (!node_dir(s, node, path, sizeof path - 32))
        return -1;
    strcat(strcat(path, "/"), file);
    return open(path, flags | O_CLOEXEC | O_NOFOLLOW);
}

static struct cgroup_node **bucket(struct container_sensor *s, int wd)
{
    return &s->by_wd[(unsigned)wd % WD_BUCKETS];
}

static struct cgroup_node *node_by_wd(struct container_sensor *s, int wd)
{
    struct cgroup_node *node = *bucket(s, wd);
    while (node && node->wd != wd)
        node = node->wd_next;
    return node;
}

static struct cgroup_node *node_child(const struct cgroup_node *parent, const char *name)
{
    struct cgroup_node *node = parent->children;
    while (node && strcmp(node->name, name))
        node = node->sibling;
    return node;
}

static void node_unlink(struct container_sensor *s, struct cgroup_node *node)
{
    struct cgroup_node **at;
    if (node->wd >= 0) {
        for (at = bucket(s, node->wd); *at && *at != node; at = &(*at)->wd_next)
            ;
        if (*at)
            *at = node->wd_next;
        inotify_rm_watch(s->inotify_fd, node->wd);
    }
    if (node->parent) {
        for (at = &node->parent->children; *at && *at != node; at = &(*at)->sibling)
            ;
        if (*at)
            *at = node->sibling;
    }
    s->n_nodes--;
}

/* ---- events -------------------------------------------------------------------------------------------------------- */

static void set_text(struct event *ev, enum event_field field, const char *text)
{
    if (text[0])
        event_set_text(ev, field, text, strlen(text));
}

/* An event about a container with what its path says, or NULL when the ring is full. */
static struct event *container_event(struct container_sensor *s, const struct cgroup_node *node, enum event_kind kind)
{
    char path[LIMIT_CGROUP_BYTES];
    const struct cgroup_identity *identity = &node->state->identity;
    struct event *ev = sensor_event(&s->sensor, kind, clock_monotonic_ns(), EVENT_TEXT + LIMIT_PATH_BYTES);
    if (!ev)
        return NULL;
    if (node_cgroup(node, path))
        set_text(ev, F_CGROUP, path);
    set_text(ev, F_CONTAINER_ID, identity->container_id);
    set_text(ev, F_TASK_ID, identity->task_id);
    return ev;
}

static void emit_phase(struct container_sensor *s, const struct cgroup_node *node, enum container_phase phase, int32_t pid)
{
    struct event *ev = container_event(s, node, EVENT_CONTAINER);
    if (!ev)
        return;
    event_set(ev, F_CONTAINER_PHASE, container_phase, (uint8_t)phase);
    set_text(ev, F_RUNTIME, node->state->identity.runtime);
    if (pid)
        event_set(ev, F_PID, pid, pid);
    sensor_commit(&s->sensor, ev);
}

static void emit_process(struct container_sensor *s, const struct cgroup_node *node, int32_t pid)
{
    struct event *ev = container_event(s, node, EVENT_CGROUP);
    if (!ev)
        return;
    event_set(ev, F_PID, pid, pid);
    sensor_commit(&s->sensor, ev);
}

/* ---- processes of a container ------------------------------------------------------------------------------------- */

static int compare_pids(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static void pid_list_add(struct pid_list *list, const char *text, size_t size)
{
    uint64_t pid;
    if (text_to_u64(text, size, &pid) || !pid || pid > INT32_MAX || list->n == LIMIT_CONTAINER_PIDS) /* 0: of another pid namespace */
        return;
    if (list->n == list->room) {
        int room = list->room ? list->room * 2 : 16;
        int32_t *grown = realloc(list->pids, (size_t)room * sizeof *grown);
        if (!grown)
            return;
        list->pids = grown;
        list->room = room;
    }
    list->pids[list->n++] = (int32_t)pid;
}

/* Adds the processes that one cgroup.procs names. */
static void read_procs(struct container_sensor *s, const struct cgroup_node *node, struct pid_list *list)
{
    char buf[4096];
    size_t kept = 0;
    ssize_t r;
    int fd = node_open(s, node, "cgroup.procs", O_RDONLY);
    if (fd < 0)
        return;
    while (list->n < LIMIT_CONTAINER_PIDS && (r = read(fd, buf + kept, sizeof buf - kept)) > 0) {
        size_t size = kept + (size_t)r, at = 0;
        const char *newline;
        while ((newline = memchr(buf + at, '\n', size - at))) {
            pid_list_add(list, buf + at, (size_t)(newline - buf) - at);
            at = (size_t)(newline - buf) + 1;
        }
        kept = size - at < 16 ? size - at : 0;
        memmove(buf, buf + at, kept);
    }
    close(fd);
}

static void read_container(struct container_sensor *s, const struct cgroup_node *container, struct pid_list *list)
{
    read_procs(s, container, list);
    for (const struct cgroup_node *inner = container->children; inner; inner = inner->sibling)
        read_procs(s, inner, list);
    if (list->n)
        qsort(list->pids, (size_t)list->n, sizeof *list->pids, compare_pids);
}

static void settle_begin(struct container_sensor *s, struct cgroup_node *node)
{
    struct container_state *state = node->state;
    state->settle_next_ns = clock_monotonic_ns();
    state->settle_until_ns = state->settle_next_ns + LIMIT_CONTAINER_SETTLE_NS;
    node->settle_next = s->settling;
    s->settling = node;
}

/* Reads who is in the container and announces those that were not in it before. */
static void container_refresh(struct container_sensor *s, struct cgroup_node *node)
{
    struct container_state *state = node->state;
    struct pid_list now = { 0 };
    read_container(s, node, &now);
    if (now.n && !state->started) {
        state->started = true;
        atomic_fetch_add_explicit(&s->n_containers, 1, memory_order_relaxed);
        emit_phase(s, node, CONTAINER_START, now.pids[0]);
        settle_begin(s, node);
    }
    for (int i = 0, old = 0; i < now.n; i++) {
        while (old < state->n_pids && state->pids[old] < now.pids[i])
            old++;
        if (old == state->n_pids || state->pids[old] != now.pids[i])
            emit_process(s, node, now.pids[i]);
    }
    free(state->pids);
    state->pids = now.pids;
    state->n_pids = now.n;
}

/* ---- the container's own root ------------------------------------------------------------------------------------- */

struct settled_root {
    int32_t pid;
    uint64_t start_ticks; /* since boot */
    uint64_t mntns, netns, pidns, root_dev;
    char upperdir[LIMIT_PATH_BYTES];
};

static uint64_t stat_ino(int proc_fd, int32_t pid, const char *file)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "%d/%s", pid, file);
    return fstatat(proc_fd, path, &st, 0) ? 0 : st.st_ino;
}

static size_t read_proc(int proc_fd, int32_t pid, const char *file, char *buf, size_t size)
{
    char path[64];
    size_t n = 0;
    ssize_t r;
    snprintf(path, sizeof path, "%d/%s", pid, file);
    int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    while (n < size && (r = read(fd, buf + n, size - n)) > 0)
        n += (size_t)r;
    close(fd);
    return n;
}

/* Field 22 of /proc/PID/stat; the command name before it may hold blanks and parentheses. */
static uint64_t start_ticks(int proc_fd, int32_t pid)
{
    char buf[1024];
    uint64_t ticks = 0;
    size_t n = read_proc(proc_fd, pid, "stat", buf, sizeof buf - 1);
    buf[n] = 0;
    char *at = strrchr(buf, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at)
        ticks = strtoull(at + 1, NULL, 10);
    return ticks;
}

/* Has this process left the host's mount namespace and root? Then it is past pivot_root(2), and all its namespaces are final. */
static bool process_settled(struct container_sensor *s, int32_t pid, struct settled_root *out)
{
    char path[64];
    struct stat st;
    out->pid = pid;
    out->mntns = stat_ino(s->proc_fd, pid, "ns/mnt");
    snprintf(path, sizeof path, "%d/root/.", pid);
    if (!out->mntns || out->mntns == s->host_mntns || fstatat(s->proc_fd, path, &st, 0) ||
        (st.st_dev == s->host_root_dev && st.st_ino == s->host_root_ino))
        return false;
    out->root_dev = st.st_dev;
    out->start_ticks = start_ticks(s->proc_fd, pid);
    return out->start_ticks != 0;
}

/* The oldest of its processes that has settled: docker exec comes later, and the runtime's own stages never settle. */
static bool find_init(struct container_sensor *s, const struct cgroup_node *node, struct settled_root *init)
{
    struct settled_root one = { 0 };
    const struct container_state *state = node->state;
    init->pid = 0;
    for (int i = 0; i < state->n_pids && i < CANDIDATES_MAX; i++)
        if (process_settled(s, state->pids[i], &one) && (!init->pid || one.start_ticks < init->start_ticks))
            *init = one;
    return init->pid != 0;
}

/* False while the mount table still has the old root on top. */
static bool find_upperdir(struct container_sensor *s, struct settled_root *init)
{
    struct rootfs root;
    size_t size = read_proc(s->proc_fd, init->pid, "mountinfo", s->mountinfo, LIMIT_CONTAINER_MOUNTINFO_BYTES);
    int r = rootfs_parse(s->mountinfo, size, &root);
    if (r == -EINVAL)
        sensor_count(&s->sensor.stats->malformed, 1);
    if (r || root.dev != init->root_dev)
        return false;
    memcpy(init->upperdir, root.upperdir, sizeof init->upperdir);
    return true;
}

static uint64_t started_wall_ns(uint64_t ticks)
{
    uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
    return clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME) + ticks / hz * NS_PER_SECOND + ticks % hz * NS_PER_SECOND / hz;
}

static void emit_init(struct container_sensor *s, const struct cgroup_node *node, struct settled_root *init)
{
    uint64_t netns_ino;
    int32_t nsid;
    struct event *ev = container_event(s, node, EVENT_CONTAINER);
    if (!ev)
        return;
    event_set(ev, F_CONTAINER_PHASE, container_phase, CONTAINER_FACTS);
    set_text(ev, F_RUNTIME, node->state->identity.runtime);
    event_set(ev, F_PID, pid, init->pid);
    event_set(ev, F_MNTNS, mntns, init->mntns);
    if ((init->netns = stat_ino(s->proc_fd, init->pid, "ns/net")))
        event_set(ev, F_NETNS, netns, init->netns);
    /* Flows carry the number of their namespace; an awsvpc task's gets one here. */
    if (!netns_nsid_of(s->proc_fd, init->pid, true, &nsid, &netns_ino) && nsid != NSID_UNKNOWN)
        event_set(ev, F_NSID, nsid, nsid);
    if ((init->pidns = stat_ino(s->proc_fd, init->pid, "ns/pid")))
        event_set(ev, F_PIDNS, pidns, init->pidns);
    event_set(ev, F_ROOT_DEV, root_dev, init->root_dev);
    event_set(ev, F_STARTED_WALL_NS, started_wall_ns, started_wall_ns(init->start_ticks));
    set_text(ev, F_UPPERDIR, init->upperdir);
    sensor_commit(&s->sensor, ev);
}

/* One look at a container that starts. True when nothing is left to wait for. */
static bool container_settle(struct container_sensor *s, struct cgroup_node *node, uint64_t now_ns)
{
    struct container_state *state = node->state;
    struct settled_root init = { 0 };
    bool late = now_ns >= state->settle_until_ns, found;
    container_refresh(s, node);
    found = find_init(s, node, &init);
    if (found && (find_upperdir(s, &init) || late)) {
        emit_init(s, node, &init);
        return true;
    }
    bool likely = state->settle_until_ns - now_ns > LIMIT_CONTAINER_SETTLE_NS - SETTLE_SHORT_FOR_NS;
    state->settle_next_ns = now_ns + (likely ? SETTLE_SHORT_NS : SETTLE_LONG_NS);
    return late;
}

/* Looks at those that are due. Returns when the next one is, 0 for never. */
static uint64_t settle_due(struct container_sensor *s)
{
    uint64_t now_ns = clock_monotonic_ns(), next_ns = 0;
    for (struct cgroup_node **at = &s->settling; *at;) {
        struct cgroup_node *node = *at;
        if (node->state->settle_next_ns <= now_ns && container_settle(s, node, now_ns)) {
            *at = node->settle_next;
            continue;
        }
        if (!next_ns || node->state->settle_next_ns < next_ns)
            next_ns = node->state->settle_next_ns;
        at = &node->settle_next;
    }
    return next_ns;
}

/* ---- directories appear and go ------------------------------------------------------------------------------------- */

/* Units of the host that hold no containers; a user's own manager (user@1000.service) may. */
static bool is_host_unit(const char *name)
{
    static const char *const units[] = { ".service", ".mount", ".socket", ".swap", ".timer", ".automount" };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (text_has_suffix(name, units[i]))
            return !text_has_prefix(name, "user@");
    return false;
}

static void node_remove(struct container_sensor *s, struct cgroup_node *node)
{
    while (node->children)
        node_remove(s, node->children);
    if (node->state) {
        struct cgroup_node **at = &s->settling;
        while (*at && *at != node)
            at = &(*at)->settle_next;
        if (*at)
            *at = node->settle_next;
        if (node->state->started) {
            atomic_fetch_sub_explicit(&s->n_containers, 1, memory_order_relaxed);
            emit_phase(s, node, CONTAINER_END, 0);
        }
        free(node->state->pids);
        free(node->state);
    }
    node_unlink(s, node);
    free(node);
}

static bool is_worth_watching(const struct cgroup_node *parent, const char *name)
{
    if (parent->container)
        return parent->container == parent; /* one level inside a container: podman puts its processes there */
    return parent->depth + 1 < LIMIT_CGROUP_DEPTH && !is_host_unit(name);
}

static struct cgroup_node *node_new(struct container_sensor *s, struct cgroup_node *parent, const char *name)
{
    size_t length = strlen(name);
    struct cgroup_node *node = calloc(1, sizeof *node + length + 1);
    if (!node)
        return NULL;
    memcpy(node->name, name, length + 1);
    node->wd = -1;
    node->parent = parent;
    s->n_nodes++;
    if (parent) {
        node->depth = parent->depth + 1;
        node->container = parent->container;
        node->sibling = parent->children;
        parent->children = node;
    }
    return node;
}

/* Does its path name a container? Then give it its state. -ENOMEM or 0. */
static int node_identify(struct container_sensor *s, struct cgroup_node *node)
{
    char path[LIMIT_CGROUP_BYTES];
    struct cgroup_identity identity;
    if (node->container || !node->parent)
        return 0;
    if (!node_cgroup(node, path) || cgroup_identify(path, strlen(path), &identity)) {
        sensor_count(&s->sensor.stats->malformed, 1);
        return 0;
    }
    if (!identity.is_container)
        return 0;
    node->state = calloc(1, sizeof *node->state);
    if (!node->state)
        return -ENOMEM;
    node->state->identity = identity;
    node->state->identity.path = "";
    node->container = node;
    return 0;
}

static int node_watch(struct container_sensor *s, struct cgroup_node *node)
{
    char path[LIMIT_CGROUP_BYTES + 600];
    if (!node_dir(s, node, path, sizeof path))
        return -ENAMETOOLONG;
    node->wd = inotify_add_watch(s->inotify_fd, path, WATCH_MASK);
    if (node->wd < 0)
        return -errno;
    struct cgroup_node *other = node_by_wd(s, node->wd);
    if (other) /* the directory was removed and made again before we read about it */
        return -EEXIST;
    node->wd_next = *bucket(s, node->wd);
    *bucket(s, node->wd) = node;
    return 0;
}

static void say_full(struct container_sensor *s, const char *why)
{
    sensor_count(&s->sensor.stats->lost, 1);
    if (!s->full)
        log_warn("container", "cannot watch all control groups: %s", why);
    s->full = true;
    sensor_state(s->sensor.stats, SENSOR_DEGRADED, "some control groups are not watched, so containers in them are found late: %s", why);
}

static struct cgroup_node *node_add(struct container_sensor *s, struct cgroup_node *parent, const char *name)
{
    if (s->n_nodes >= LIMIT_CGROUP_WATCHES) {
        say_full(s, "more than 4096 directories");
        return NULL;
    }
    struct cgroup_node *node = node_new(s, parent, name);
    if (!node)
        return NULL;
    int r = node_identify(s, node);
    if (!r)
        r = node_watch(s, node);
    if (r) {
        if (r == -ENOSPC)
            say_full(s, "raise the sysctl fs.inotify.max_user_watches");
        if (r == -EEXIST)
            node->wd = -1;
        node_remove(s, node);
        return NULL;
    }
    return node;
}

static void scan(struct container_sensor *s, struct cgroup_node *node);

/* In a rescan: is a known directory still the one that we watch? The same container may have been restarted meanwhile. */
static bool node_is_same(struct container_sensor *s, const struct cgroup_node *node)
{
    char path[LIMIT_CGROUP_BYTES + 600];
    if (node->generation == s->generation)
        return true;
    return node_dir(s, node, path, sizeof path) && inotify_add_watch(s->inotify_fd, path, WATCH_MASK) == node->wd;
}

/* A directory that is there now: new, or known already. */
static void directory_seen(struct container_sensor *s, struct cgroup_node *parent, const char *name)
{
    if (!is_worth_watching(parent, name))
        return;
    struct cgroup_node *node = node_child(parent, name);
    if (node && !node_is_same(s, node)) {
        node_remove(s, node);
        node = NULL;
    }
    if (!node)
        node = node_add(s, parent, name);
    if (node)
        scan(s, node);
}

/* Takes in what is below a directory, after its watch is set, so that nothing falls between; its container's processes too. */
static void scan(struct container_sensor *s, struct cgroup_node *node)
{
    node->generation = s->generation;
    if (node->state)
        container_refresh(s, node);
    int fd = node_open(s, node, ".", O_RDONLY | O_DIRECTORY);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            directory_seen(s, node, entry->d_name);
    closedir(dir);
    if (node->container && node->container != node)
        container_refresh(s, node->container);
}

/* After a scan: what it did not meet is gone. */
static void sweep(struct container_sensor *s, struct cgroup_node *node)
{
    for (struct cgroup_node *child = node->children, *next; child; child = next) {
        next = child->sibling;
        if (child->generation != s->generation)
            node_remove(s, child);
        else
            sweep(s, child);
    }
}

static void rescan(struct container_sensor *s)
{
    s->generation++;
    scan(s, s->root);
    sweep(s, s->root);
}

/* ---- inotify ------------------------------------------------------------------------------------------------------- */

static void handle_overflow(struct container_sensor *s)
{
    sensor_lost(&s->sensor, 1, "the kernel dropped notices about control groups; all of them were looked at again");
    rescan(s);
    sensor_count(&s->sensor.stats->resyncs, 1);
}

static void handle_notice(struct container_sensor *s, const struct inotify_event *notice)
{
    const char *name = notice->len ? notice->name : "";
    if (notice->mask & IN_Q_OVERFLOW) {
        handle_overflow(s);
        return;
    }
    struct cgroup_node *node = node_by_wd(s, notice->wd);
    if (!node)
        return; /* of a watch that we have removed */
    if ((notice->mask & (IN_CREATE | IN_ISDIR)) == (IN_CREATE | IN_ISDIR)) {
        directory_seen(s, node, name);
    } else if ((notice->mask & (IN_DELETE | IN_ISDIR)) == (IN_DELETE | IN_ISDIR)) {
        struct cgroup_node *child = node_child(node, name);
        if (child)
            node_remove(s, child);
    } else if ((notice->mask & IN_MODIFY) && node->container &&
               (!strcmp(name, "cgroup.procs") || !strcmp(name, "tasks") || !strcmp(name, "cgroup.events"))) {
        container_refresh(s, node->container); /* cgroup.events: v2 says there that the group is not empty any more */
    } else if (notice->mask & IN_IGNORED) {
        if (node != s->root)
            node_remove(s, node);
        else
            sensor_state(s->sensor.stats, SENSOR_OFF, "new containers are not found: %s was unmounted", s->cgroup_dir);
    }
}

static void read_notices(struct container_sensor *s)
{
    _Alignas(struct inotify_event) char buf[16384];
    ssize_t r = read(s->inotify_fd, buf, sizeof buf);
    for (char *at = buf; r > 0 && at < buf + r;) {
        const struct inotify_event *notice = (const void *)at;
        handle_notice(s, notice);
        at += sizeof *notice + notice->len;
    }
}

static int timeout_ms(uint64_t next_ns)
{
    uint64_t now_ns = clock_monotonic_ns();
    if (!next_ns)
        return -1;
    return next_ns <= now_ns ? 0 : (int)((next_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

static void *run(void *user)
{
    struct container_sensor *s = user;
    struct pollfd fds[] = { { s->inotify_fd, POLLIN, 0 }, { s->stop_fd, POLLIN, 0 } };
    rescan(s);
    for (;;) {
        uint64_t next_ns = settle_due(s);
        if (poll(fds, 2, timeout_ms(next_ns)) < 0 && errno != EINTR)
            break;
        if (fds[1].revents)
            break;
        if (fds[0].revents)
            read_notices(s);
    }
    return NULL;
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

/* Rank of a mounted hierarchy: lower is better, -1 for what is none. Docker writes to all of v1; a host with v1 controllers keeps its
 * containers there even if v2 is mounted too. */
static int hierarchy_rank(const char *type, const char *options)
{
    static const char *const controllers[] = { "memory", "pids", "cpu", "devices", "name=systemd" };
    if (!strcmp(type, "cgroup2"))
        return 100;
    if (strcmp(type, "cgroup"))
        return -1;
    for (int i = 0; i < (int)(sizeof controllers / sizeof *controllers); i++) {
        size_t n = strlen(controllers[i]);
        for (const char *at = options; (at = strstr(at, controllers[i])); at += n)
            if ((at == options || at[-1] == ',') && (!at[n] || at[n] == ','))
                return i;
    }
    return -1;
}

int container_sensor_find_cgroup(const char *mountinfo, size_t size, char *out, size_t out_size)
{
    int best = -1;
    for (size_t at = 0; at < size;) {
        const char *newline = memchr(mountinfo + at, '\n', size - at);
        size_t end = newline ? (size_t)(newline - mountinfo) : size;
        char line[1024], root[256], point[512], type[32], options[256];
        text_copy(line, sizeof line, mountinfo + at, end - at);
        at = end + 1;
        const char *dash = strstr(line, " - ");
        if (!dash || sscanf(line, "%*d %*d %*s %255s %511s", root, point) != 2 || sscanf(dash, " - %31s %*s %255s", type, options) != 2)
            continue;
        int rank = strcmp(root, "/") ? -1 : hierarchy_rank(type, options);
        if (rank >= 0 && (best < 0 || rank < best) && text_copy(out, out_size, point, strlen(point)))
            best = rank;
    }
    return best < 0 ? -ENOENT : 0;
}

static int open_hierarchy(struct container_sensor *s, const struct container_sensor_options *options)
{
    struct stat st;
    if (options->cgroup_dir)
        text_copy(s->cgroup_dir, sizeof s->cgroup_dir, options->cgroup_dir, strlen(options->cgroup_dir));
    else {
        int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
        size_t n = 0;
        ssize_t r = -1;
        while (fd >= 0 && n < LIMIT_CONTAINER_MOUNTINFO_BYTES && (r = read(fd, s->mountinfo + n, LIMIT_CONTAINER_MOUNTINFO_BYTES - n)) > 0)
            n += (size_t)r;
        if (fd >= 0)
            close(fd);
        if (container_sensor_find_cgroup(s->mountinfo, n, s->cgroup_dir, sizeof s->cgroup_dir))
            return -ENOENT;
    }
    if (stat(s->cgroup_dir, &st))
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int open_proc(struct container_sensor *s, const char *proc_dir)
{
    struct stat st;
    s->proc_fd = open(proc_dir ? proc_dir : "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (s->proc_fd < 0)
        return -errno;
    /* Process 1 is the host. Where it may not be looked at, we are: a service's own mount namespace has the host's root all the same. */
    if (fstatat(s->proc_fd, "1/root/.", &st, 0) && fstatat(s->proc_fd, "self/root/.", &st, 0))
        return -errno;
    s->host_root_dev = st.st_dev;
    s->host_root_ino = st.st_ino;
    if (!fstatat(s->proc_fd, "1/ns/mnt", &st, 0) || !fstatat(s->proc_fd, "self/ns/mnt", &st, 0))
        s->host_mntns = st.st_ino;
    return 0;
}

static int open_all(struct container_sensor *s, const struct container_sensor_options *options)
{
    s->by_wd = calloc(WD_BUCKETS, sizeof(struct cgroup_node *));
    s->mountinfo = malloc(LIMIT_CONTAINER_MOUNTINFO_BYTES);
    s->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!s->by_wd || !s->mountinfo || s->inotify_fd < 0 || s->stop_fd < 0)
        return s->by_wd && s->mountinfo ? -errno : -ENOMEM;
    int r = open_proc(s, options->proc_dir);
    if (!r)
        r = open_hierarchy(s, options);
    if (r)
        return r;
    s->root = node_new(s, NULL, "");
    return s->root ? node_watch(s, s->root) : -ENOMEM;
}

static void node_free(struct cgroup_node *node)
{
    while (node->children) {
        struct cgroup_node *child = node->children;
        node->children = child->sibling;
        node_free(child);
    }
    if (node->state)
        free(node->state->pids);
    free(node->state);
    free(node);
}

static void free_all(struct container_sensor *s)
{
    if (s->root)
        node_free(s->root);
    s->root = NULL;
    free(s->by_wd);
    free(s->mountinfo);
    if (s->inotify_fd >= 0)
        close(s->inotify_fd);
    if (s->stop_fd >= 0)
        close(s->stop_fd);
    if (s->proc_fd >= 0)
        close(s->proc_fd);
    sensor_fini(&s->sensor);
}

int container_sensor_open(struct container_sensor *s, const struct container_sensor_options *options, struct sensor_stats *stats,
                          struct waker *waker)
{
    memset(s, 0, sizeof *s);
    s->inotify_fd = s->stop_fd = s->proc_fd = -1;
    int r = sensor_init(&s->sensor, SOURCE_CGROUP, LIMIT_MISC_RING_BYTES, stats, waker);
    if (!r)
        r = open_all(s, options);
    if (!r) {
        sensor_state(stats, SENSOR_OK, "%s", "");
        r = thread_start(&s->thread, run, s, "containers");
    }
    if (r) {
        sensor_state(stats, SENSOR_OFF, "containers are not found, so nothing is attributed to one: control groups %s: %s",
                     s->cgroup_dir[0] ? s->cgroup_dir : "(none mounted)", strerror(-r));
        free_all(s);
    }
    return r;
}

void container_sensor_close(struct container_sensor *s)
{
    uint64_t one = 1;
    while (write(s->stop_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    pthread_join(s->thread, NULL);
    free_all(s);
}
