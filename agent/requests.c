#include "agent/requests.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/file_hash.h"
#include "agent/sensors/socket_owner.h"
#include "agent/tool_compare.h"
#include "common/clock.h"

struct request_job {
    uv_work_t work;
    struct requests *requests;
    bool busy;
    struct request request;
    int n_sockets;
    struct owned_socket sockets[LIMIT_REQUEST_SOCKETS];
    char sha256[65]; /* "" = could not be had */
    uint64_t size, mtime_wall_ns;
    struct tool_copy tool;
    union event_buffer answer; /* REQUEST_CGROUP */
    struct procfs_scratch scratch;
};

int requests_open(struct requests *r, uv_loop_t *loop, int procdir, struct waker *waker)
{
    memset(r, 0, sizeof *r);
    r->loop = loop;
    r->procdir = procdir;
    r->jobs = calloc(LIMIT_REQUEST_JOBS, sizeof *r->jobs);
    sensor_state(&r->stats, SENSOR_OK, "%s", "");
    int error = sensor_init(&r->sensor, SOURCE_REQUEST, LIMIT_MISC_RING_BYTES, &r->stats, waker);
    return r->jobs ? error : -ENOMEM;
}

void requests_close(struct requests *r)
{
    sensor_fini(&r->sensor);
    free(r->jobs);
    r->jobs = NULL;
}

/* ---- in the worker thread ----------------------------------------------------------------------------------------- */

static uint64_t time_ns(const struct timespec *t)
{
    return (uint64_t)t->tv_sec * NS_PER_SECOND + (uint64_t)t->tv_nsec;
}

/* The very file that was executed, as it was then? */
static bool is_asked_file(const struct request *q, int fd, struct stat *st)
{
    return fd >= 0 && !fstat(fd, st) && S_ISREG(st->st_mode) && st->st_dev == q->dev && st->st_ino == q->ino &&
           time_ns(&st->st_ctim) == q->ctime_wall_ns && (uint64_t)st->st_size <= LIMIT_HASH_FILE_BYTES;
}

/* Where another process of the container sees it; links lead nowhere out of there. */
static int open_in_root(int procdir, const struct request *q)
{
    char root[32];
    struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
    snprintf(root, sizeof root, "%d/root", q->root_pid);
    int dir = q->root_pid && q->path[0] == '/' ? openat(procdir, root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (dir < 0)
        return -1;
    int fd = (int)syscall(SYS_openat2, dir, q->path, &how, sizeof how);
    close(dir);
    return fd;
}

/* The executable asked for, or -1. */
static int open_executable(int procdir, const struct request *q, struct stat *st)
{
    char exe[32];
    snprintf(exe, sizeof exe, "%d/exe", q->pid);
    int fd = openat(procdir, exe, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (is_asked_file(q, fd, st))
        return fd;
    if (fd >= 0)
        close(fd);
    fd = open_in_root(procdir, q);
    if (is_asked_file(q, fd, st))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void hash_executable(struct request_job *job)
{
    struct stat st;
    const struct request *q = &job->request;
    int fd = open_executable(job->requests->procdir, q, &st);
    job->sha256[0] = 0;
    if (fd >= 0) {
        if (file_hash(fd, LIMIT_HASH_FILE_BYTES, job->sha256) || !is_asked_file(q, fd, &st))
            job->sha256[0] = 0; /* or it was changed meanwhile */
        job->size = (uint64_t)st.st_size;
        job->mtime_wall_ns = time_ns(&st.st_mtim);
        close(fd);
    }
}

static void compare_executable(struct request_job *job)
{
    struct stat st;
    int fd = open_executable(job->requests->procdir, &job->request, &st);
    memset(&job->tool, 0, sizeof job->tool);
    if (fd >= 0) {
        tool_compare(job->requests->procdir, job->request.root_pid, fd, &st, job->request.path, &job->tool);
        close(fd);
    }
}

static void job_run(uv_work_t *work)
{
    struct request_job *job = work->data;
    int procdir = job->requests->procdir;
    switch (job->request.kind) {
    case REQUEST_SOCKETS:
        job->n_sockets = socket_owner_list(procdir, job->request.pid, job->sockets, LIMIT_REQUEST_SOCKETS);
        break;
    case REQUEST_OWNER: /* is not asked here */
        break;
    case REQUEST_CGROUP:
        event_init(&job->answer.event, EVENT_CGROUP, SOURCE_REQUEST, clock_monotonic_ns());
        event_set(&job->answer.event, F_PID, pid, job->request.pid);
        procfs_read_process(procdir, job->request.pid, PROCFS_CGROUP, &job->answer.event, &job->scratch);
        break;
    case REQUEST_HASH:
        hash_executable(job);
        break;
    case REQUEST_TOOL:
        compare_executable(job);
        break;
    }
}

/* ---- back in the loop --------------------------------------------------------------------------------------------- */

static void put_socket(struct requests *r, int32_t pid, const struct owned_socket *s, uint64_t now_ns)
{
    struct event *ev = sensor_event(&r->sensor, EVENT_SOCKETS, now_ns, 0);
    if (!ev)
        return;
    event_set(ev, F_PID, pid, pid);
    if (s) {
        event_set(ev, F_FD, fd, s->fd);
        event_set(ev, F_PROTO, proto, s->proto);
        event_set(ev, F_SRC, src, s->local);
        event_set(ev, F_SPORT, sport, s->lport);
        event_set(ev, F_DST, dst, s->peer);
        event_set(ev, F_DPORT, dport, s->pport);
        event_set(ev, F_TCP_STATE, tcp_state, s->tcp_state);
    }
    sensor_commit(&r->sensor, ev);
}

static void put_cgroup(struct requests *r, const struct request_job *job)
{
    const struct event *answer = &job->answer.event;
    if (!event_knows(answer, F_CGROUP))
        return;
    struct event *ev = sensor_event(&r->sensor, EVENT_CGROUP, answer->time_ns, answer->cgroup.len + 1u);
    if (!ev)
        return;
    event_set(ev, F_PID, pid, answer->pid);
    event_set_text(ev, F_CGROUP, event_text(answer, answer->cgroup), answer->cgroup.len);
    sensor_commit(&r->sensor, ev);
}

static void put_hash(struct requests *r, const struct request_job *job, uint64_t now_ns)
{
    struct event *ev = sensor_event(&r->sensor, EVENT_HASH, now_ns, sizeof job->sha256);
    if (!ev)
        return;
    event_set(ev, F_PID, pid, job->request.pid);
    event_set(ev, F_DEV, dev, job->request.dev);
    event_set(ev, F_INO, ino, job->request.ino);
    if (job->sha256[0]) {
        event_set(ev, F_SIZE, file_size, job->size);
        event_set(ev, F_MTIME_WALL_NS, mtime_wall_ns, job->mtime_wall_ns);
        event_set_text(ev, F_SHA256, job->sha256, strlen(job->sha256));
    }
    sensor_commit(&r->sensor, ev);
}

static void put_tool(struct requests *r, const struct request_job *job, uint64_t now_ns)
{
    struct event *ev = sensor_event(&r->sensor, EVENT_HASH, now_ns, sizeof job->tool.original + 64);
    const char *how = job->tool.same_content ? "same content" : "same build id";
    if (!ev)
        return;
    event_set(ev, F_PID, pid, job->request.pid);
    event_set(ev, F_DEV, dev, job->request.dev);
    event_set(ev, F_INO, ino, job->request.ino);
    event_set(ev, F_COUNT, count, job->tool.n_compared);
    if (job->tool.original[0]) {
        event_set_text(ev, job->tool.on_host ? F_HOST_PATH : F_PATH, job->tool.original, strlen(job->tool.original));
        event_set_text(ev, F_REASON, how, strlen(how));
    }
    sensor_commit(&r->sensor, ev);
}

static void job_done(uv_work_t *work, int status)
{
    struct request_job *job = work->data;
    struct requests *r = job->requests;
    uint64_t now_ns = clock_monotonic_ns();
    job->busy = false;
    r->n_running--;
    if (status)
        return; /* cancelled at the end */
    switch (job->request.kind) {
    case REQUEST_SOCKETS:
        for (int i = 0; i < job->n_sockets; i++)
            put_socket(r, job->request.pid, &job->sockets[i], now_ns);
        put_socket(r, job->request.pid, NULL, now_ns);
        break;
    case REQUEST_OWNER:
        break;
    case REQUEST_CGROUP:
        put_cgroup(r, job);
        break;
    case REQUEST_HASH:
        put_hash(r, job, now_ns);
        break;
    case REQUEST_TOOL:
        put_tool(r, job, now_ns);
        break;
    }
}

/* Reading a file may take for ever when a program of its owner provides it (FUSE): those threads are lost, the others answer the rest. */
static bool has_thread(const struct requests *r, enum request_kind kind)
{
    int n = 0, max = kind == REQUEST_HASH ? LIMIT_HASH_JOBS : kind == REQUEST_TOOL ? LIMIT_TOOL_JOBS : LIMIT_REQUEST_JOBS;
    for (int i = 0; i < LIMIT_REQUEST_JOBS; i++)
        n += r->jobs[i].busy && r->jobs[i].request.kind == kind;
    return n < max;
}

static struct request_job *job_free(struct requests *r)
{
    for (int i = 0; i < LIMIT_REQUEST_JOBS; i++)
        if (!r->jobs[i].busy)
            return &r->jobs[i];
    return NULL;
}

void requests_ask(struct requests *r, const struct request *request)
{
    struct request_job *job = has_thread(r, request->kind) ? job_free(r) : NULL;
    if (!job) {
        sensor_count(&r->stats.lost, 1);
        return;
    }
    job->busy = true;
    job->requests = r;
    job->request = *request;
    job->n_sockets = 0;
    job->work.data = job;
    r->n_running++;
    if (uv_queue_work(r->loop, &job->work, job_run, job_done)) {
        job->busy = false;
        r->n_running--;
    }
}
