#include "agent/sensors/socket_holder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/sensors/procfs_decode.h"
#include "common/clock.h"
#include "common/text.h"

#define NEWEST 32            /* pids given out last: who opens a socket is often young */
#define FILEID_KERNFS 0xfe   /* exportfs.h: a handle that is the id of the directory */
#define CGROUP2_MAGIC 0x63677270
#define MANY_HITS 256 /* sockets of one process that are asked for */
#define LEAST_ID 2 /* 1 is the root of the hierarchy: it says nothing */

/* ---- one process -------------------------------------------------------------------------------------------------- */

/* Calls `visit` with the inode of each socket among the first LIMIT_HOLDER_FDS descriptors of the process behind `dir`; true ends it. */
typedef bool inode_visit(void *to, uint64_t inode);

static bool visit_entry(int fds, const char *name, inode_visit *visit, void *to)
{
    char link[64];
    uint64_t number;
    ssize_t n = name[0] == '.' ? -1 : readlinkat(fds, name, link, sizeof link);
    return n > 0 && procfs_parse_link(link, (size_t)n, "socket", &number) && visit(to, number);
}

static bool visit_sockets(int dir, inode_visit *visit, void *to)
{
    struct linux_dirent {
        uint64_t inode;
        int64_t offset;
        uint16_t length;
        uint8_t type;
        char name[];
    };
    _Alignas(8) char buffer[4096];
    int fds = openat(dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), seen = 0;
    bool done = false;
    long n;
    while (fds >= 0 && !done && seen < LIMIT_HOLDER_FDS && (n = syscall(SYS_getdents64, fds, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < n && !done; seen++) {
            const struct linux_dirent *entry = (const void *)(buffer + at);
            done = visit_entry(fds, entry->name, visit, to);
            at += entry->length;
        }
    if (fds >= 0)
        close(fds);
    return done;
}

static bool is_inode(void *to, uint64_t inode)
{
    return inode == *(const uint64_t *)to;
}

/* The process that a thread belongs to. */
static int32_t leader_of(struct socket_holder *h, int dir)
{
    int fd = openat(dir, "status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, h->scratch.bytes, 4096);
    if (fd >= 0)
        close(fd);
    return n > 0 ? procfs_parse_tgid(h->scratch.bytes, (size_t)n) : 0;
}

/* False when it ended while we looked: it held the socket, but can no longer be named for sure. */
static bool describe(struct socket_holder *h, int dir, int32_t pid, struct event *ev)
{
    event_init(ev, EVENT_SOCKETS, SOURCE_REQUEST, 0);
    event_set(ev, F_PID, pid, pid);
    procfs_read(dir, PROCFS_STAT | PROCFS_CGROUP, ev, &h->scratch);
    return event_knows(ev, F_START_NS);
}

/* All that is told is read through one descriptor, which stays with the process: a pid that is given out again cannot be blamed. */
static bool look(struct socket_holder *h, int32_t pid, uint64_t inode, struct event *ev)
{
    int dir = pid == h->own_pid ? -ESRCH : procfs_open_process(h->procdir, pid); /* ours are copies, for a moment */
    if (dir < 0)
        return false;
    bool found = visit_sockets(dir, is_inode, &inode);
    int32_t leader = found ? leader_of(h, dir) : 0;
    if (found && leader == pid)
        found = describe(h, dir, pid, ev);
    close(dir);
    return found && leader != pid ? leader > 0 && look(h, leader, inode, ev) : found;
}

/* ---- who may be it ------------------------------------------------------------------------------------------------ */

struct search {
    const struct holder_question *question;
    struct event *ev;
    bool found, late;
};

static bool is_over(struct search *s)
{
    s->late = s->late || clock_monotonic_ns() > s->question->deadline_ns;
    return s->late || (s->found && !s->question->oldest);
}

static void consider(struct socket_holder *h, struct search *s, int32_t pid)
{
    const uint64_t before_ns = s->found ? s->ev->start_ns : UINT64_MAX;
    union event_buffer one;
    if (!look(h, pid, s->question->inode, &one.event) || one.event.start_ns >= before_ns)
        return;
    memcpy(s->ev, &one.event, one.event.size);
    s->found = true;
}

/* The directory of a process belongs to its effective user. */
static bool has_uid(const struct socket_holder *h, int32_t pid, uint32_t uid)
{
    char name[16];
    struct stat st;
    snprintf(name, sizeof name, "%d", pid);
    return !fstatat(h->procdir, name, &st, 0) && st.st_uid == uid;
}

static void consider_recent(struct socket_holder *h, struct search *s)
{
    for (uint32_t i = 0; i < HOLDER_RECENT && !is_over(s); i++) {
        const struct holder_recent *r = &h->recent[(h->n_recent - 1 - i) % HOLDER_RECENT];
        if (r->pid && r->uid == s->question->uid && r->cgroup_id == s->question->cgroup_id)
            consider(h, s, r->pid);
    }
}

static void consider_newest(struct socket_holder *h, struct search *s)
{
    char text[16];
    ssize_t n = pread(h->last_pid_fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    int32_t last = atoi(text);
    for (int32_t pid = last; pid > 0 && pid > last - NEWEST && !is_over(s); pid--)
        if (has_uid(h, pid, s->question->uid))
            consider(h, s, pid);
}

/* Those of the right user first: a server may have made its socket before it gave up its rights. */
static void consider_all(struct socket_holder *h, struct search *s, const int32_t *pids, size_t n)
{
    for (int other = 0; other < 2; other++)
        for (size_t i = 0; i < n && !is_over(s); i++)
            if (has_uid(h, pids[i], s->question->uid) != other)
                consider(h, s, pids[i]);
}

/* ---- by control group --------------------------------------------------------------------------------------------- */

static int cgroup_open(const struct socket_holder *h, uint64_t id)
{
    union {
        struct file_handle handle;
        char bytes[sizeof(struct file_handle) + sizeof id];
    } of = { .handle = { .handle_bytes = sizeof id, .handle_type = FILEID_KERNFS } };
    if (h->cgroup_fd < 0 || id < LEAST_ID)
        return -ENOENT;
    memcpy(of.handle.f_handle, &id, sizeof id);
    int fd = open_by_handle_at(h->cgroup_fd, &of.handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

bool socket_holder_cgroup(const struct socket_holder *h, uint64_t cgroup_id, struct event *ev)
{
    char self[32], path[LIMIT_CGROUP_BYTES + 64];
    size_t skip = strlen(h->cgroup_dir);
    int fd = cgroup_open(h, cgroup_id);
    if (fd < 0)
        return false;
    snprintf(self, sizeof self, "self/fd/%d", fd);
    ssize_t n = readlinkat(h->procdir, self, path, sizeof path);
    close(fd);
    if (n <= (ssize_t)skip + 1 || memcmp(path, h->cgroup_dir, skip) || path[skip] != '/')
        return false;
    return event_set_text(ev, F_CGROUP, path + skip, (size_t)n - skip);
}

static int newest_first(const void *a, const void *b)
{
    return *(const int32_t *)b - *(const int32_t *)a;
}

/* The processes of the group itself, the newest first; of none when it is the root's or unknown. */
static size_t group_members(struct socket_holder *h, uint64_t id)
{
    char text[LIMIT_HOLDER_PIDS * 8];
    int dir = cgroup_open(h, id), fd = dir < 0 ? -1 : openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    size_t used = 0, n_pids = 0;
    ssize_t n;
    while (fd >= 0 && used < sizeof text - 1 && (n = read(fd, text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)n;
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    text[used] = 0;
    for (char *at = text, *end; n_pids < LIMIT_HOLDER_PIDS && (h->pids[n_pids] = (int32_t)strtol(at, &end, 10)) > 0; at = end)
        n_pids++;
    qsort(h->pids, n_pids, sizeof *h->pids, newest_first);
    return n_pids;
}

/* All processes, the newest first. */
static size_t all_processes(struct socket_holder *h)
{
    size_t n = 0;
    int fd = openat(h->procdir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    while (dir && n < LIMIT_HOLDER_PIDS && (entry = readdir(dir)))
        n += procfs_parse_pid(entry->d_name, &h->pids[n]);
    if (dir)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
    qsort(h->pids, n, sizeof *h->pids, newest_first);
    return n;
}

/* ---- public ------------------------------------------------------------------------------------------------------- */

static void remember(struct socket_holder *h, const struct holder_question *q, int32_t pid)
{
    for (uint32_t i = 0; i < HOLDER_RECENT; i++)
        if (h->recent[i].pid == pid && h->recent[i].uid == q->uid && h->recent[i].cgroup_id == q->cgroup_id)
            return;
    h->recent[h->n_recent++ % HOLDER_RECENT] = (struct holder_recent){ .pid = pid, .uid = q->uid, .cgroup_id = q->cgroup_id };
}

int socket_holder_find(struct socket_holder *h, const struct holder_question *q, struct event *ev)
{
    struct search s = { .question = q, .ev = ev };
    consider_recent(h, &s);
    consider_newest(h, &s);
    for (size_t i = 0; i < q->n_candidates && !is_over(&s); i++)
        consider(h, &s, q->candidates[i]);
    if (!is_over(&s))
        consider_all(h, &s, h->pids, group_members(h, q->cgroup_id));
    if (!is_over(&s) && !s.found)
        consider_all(h, &s, h->pids, all_processes(h));
    if (s.found)
        remember(h, q, ev->pid);
    return s.found ? 1 : s.late ? -ETIME : 0;
}

struct many {
    const uint32_t *inodes;
    size_t n, n_hits;
    size_t hits[MANY_HITS]; /* of one process */
};

static int by_inode(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static bool is_one_of(void *to, uint64_t inode)
{
    struct many *m = to;
    uint32_t key = (uint32_t)inode;
    const uint32_t *at = inode == key ? bsearch(&key, m->inodes, m->n, sizeof key, by_inode) : NULL;
    if (at)
        m->hits[m->n_hits++] = (size_t)(at - m->inodes);
    return m->n_hits == MANY_HITS;
}

size_t socket_holder_find_many(struct socket_holder *h, const uint32_t *inodes, size_t n, uint64_t deadline_ns, holder_found *found, void *to)
{
    struct many m = { .inodes = inodes, .n = n };
    union event_buffer one;
    size_t n_found = 0;
    for (size_t i = all_processes(h); i-- > 0 && n_found < n && clock_monotonic_ns() < deadline_ns;) {
        int dir = h->pids[i] == h->own_pid ? -ESRCH : procfs_open_process(h->procdir, h->pids[i]);
        m.n_hits = 0;
        if (dir >= 0)
            visit_sockets(dir, is_one_of, &m);
        if (m.n_hits && describe(h, dir, h->pids[i], &one.event))
            for (size_t hit = 0; hit < m.n_hits; hit++)
                n_found += found(to, m.hits[hit], &one.event);
        if (dir >= 0)
            close(dir);
    }
    return n_found;
}

int socket_holder_init(struct socket_holder *h, int procdir)
{
    static const char *const dirs[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
    struct statfs fs;
    memset(h, 0, offsetof(struct socket_holder, pids));
    h->procdir = procdir;
    h->own_pid = getpid();
    h->cgroup_fd = -1;
    h->last_pid_fd = openat(procdir, "sys/kernel/ns_last_pid", O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs && h->cgroup_fd < 0; i++)
        if (!statfs(dirs[i], &fs) && fs.f_type == CGROUP2_MAGIC) {
            h->cgroup_fd = open(dirs[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            text_copy(h->cgroup_dir, sizeof h->cgroup_dir, dirs[i], strlen(dirs[i]));
        }
    return 0;
}

void socket_holder_fini(struct socket_holder *h)
{
    if (h->cgroup_fd >= 0)
        close(h->cgroup_fd);
    if (h->last_pid_fd >= 0)
        close(h->last_pid_fd);
    h->cgroup_fd = h->last_pid_fd = -1;
}
