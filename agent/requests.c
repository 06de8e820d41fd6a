#include "agent/requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/sensors/socket_owner.h"
#include "common/clock.h"

#define OWNER_BUDGET_NS (100 * NS_PER_MS)

struct request_job {
    uv_work_t work;
    struct requests *requests;
    bool busy;
    struct request request;
    pid_t candidates[REQUEST_CANDIDATES];
    size_t n_candidates;
    pid_t owner;
    int n_sockets;
    struct owned_socket sockets[LIMIT_REQUEST_SOCKETS];
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

static void find_owner(struct request_job *job)
{
    const struct request *q = &job->request;
    struct socket_question question = { .netns_pid = q->pid ? q->pid : getpid(), .proto = q->proto, .local = q->src, .peer = q->dst,
        .lport = q->sport, .pport = q->dport, .candidates = job->candidates, .n_candidates = job->n_candidates, .budget_ns = OWNER_BUDGET_NS };
    if (socket_owner_find(job->requests->procdir, &question, &job->owner) <= 0)
        job->owner = 0;
}

static void job_run(uv_work_t *work)
{
    struct request_job *job = work->data;
    int procdir = job->requests->procdir;
    switch (job->request.kind) {
    case REQUEST_SOCKETS:
        job->n_sockets = socket_owner_list(procdir, job->request.pid, job->sockets, LIMIT_REQUEST_SOCKETS);
        break;
    case REQUEST_OWNER:
        find_owner(job);
        break;
    case REQUEST_CGROUP:
        event_init(&job->answer.event, EVENT_CGROUP, SOURCE_REQUEST, clock_monotonic_ns());
        event_set(&job->answer.event, F_PID, pid, job->request.pid);
        procfs_read_process(procdir, job->request.pid, PROCFS_CGROUP, &job->answer.event, &job->scratch);
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

static void put_owner(struct requests *r, const struct request_job *job, uint64_t now_ns)
{
    struct event *ev = sensor_event(&r->sensor, EVENT_SOCKETS, now_ns, 0);
    if (!ev)
        return;
    event_set(ev, F_FLOW_ID, flow_id, job->request.flow_id);
    if (job->owner)
        event_set(ev, F_PID, pid, job->owner);
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
        put_owner(r, job, now_ns);
        break;
    case REQUEST_CGROUP:
        put_cgroup(r, job);
        break;
    }
}

static struct request_job *job_free(struct requests *r)
{
    for (int i = 0; i < LIMIT_REQUEST_JOBS; i++)
        if (!r->jobs[i].busy)
            return &r->jobs[i];
    return NULL;
}

bool requests_have_room(const struct requests *r)
{
    return r->n_running < LIMIT_REQUEST_JOBS;
}

void requests_ask(struct requests *r, const struct request *request, const int32_t *candidates, size_t n_candidates)
{
    struct request_job *job = job_free(r);
    if (!job) {
        sensor_count(&r->stats.lost, 1);
        return;
    }
    job->busy = true;
    job->requests = r;
    job->request = *request;
    job->owner = 0;
    job->n_sockets = 0;
    job->n_candidates = n_candidates < REQUEST_CANDIDATES ? n_candidates : REQUEST_CANDIDATES;
    memcpy(job->candidates, candidates, job->n_candidates * sizeof *candidates);
    job->work.data = job;
    r->n_running++;
    if (uv_queue_work(r->loop, &job->work, job_run, job_done)) {
        job->busy = false;
        r->n_running--;
    }
}
