#include "agent/sensors/cpu_sensor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/sensors/cpu_decode.h"
#include "common/clock.h"
#include "common/text.h"
#include "common/thread.h"

#define INTERVAL_NS (10 * NS_PER_SECOND)
#define TOLD_DIVISOR 10 /* a tenth of a CPU */

struct cpu_container {
    char id[129]; /* "" = free */
    char path[LIMIT_CPU_PATH_BYTES]; /* of its control group, without the leading '/' */
    uint64_t usage_ns, time_ns; /* of the sample before; time 0 = none */
};

/* ---- which containers (loop) -------------------------------------------------------------------------------------- */

static struct cpu_container *find(struct cpu_sensor *s, const char *id)
{
    for (uint32_t i = 0; i < s->n_used; i++)
        if (!strcmp(s->containers[i].id, id))
            return &s->containers[i];
    return NULL;
}

static void add(struct cpu_sensor *s, const char *id, const char *path)
{
    struct cpu_container *c = find(s, id);
    if (!c)
        c = find(s, ""); /* a free one */
    if (!c && s->n_used < LIMIT_CONTAINERS)
        c = &s->containers[s->n_used++];
    if (!c) {
        sensor_state(s->sensor.stats, SENSOR_DEGRADED, "more than %d containers: the CPU time of the others is not sampled", LIMIT_CONTAINERS);
        return;
    }
    if (!strcmp(c->id, id) && !strcmp(c->path, path))
        return;
    *c = (struct cpu_container){ 0 };
    if (text_copy(c->id, sizeof c->id, id, strlen(id)) && text_copy(c->path, sizeof c->path, path, strlen(path)))
        return;
    c->id[0] = 0; /* no runtime has such names */
    sensor_count(&s->sensor.stats->malformed, 1);
}

void cpu_sensor_container(struct cpu_sensor *s, const struct event *ev)
{
    const char *id = event_text(ev, ev->container_id), *path = event_text(ev, ev->cgroup);
    if (!*id)
        return;
    pthread_mutex_lock(&s->lock);
    if (ev->container_phase == CONTAINER_END) {
        struct cpu_container *c = find(s, id);
        if (c)
            *c = (struct cpu_container){ 0 };
    } else if (path[0] == '/' && path[1]) {
        add(s, id, path + 1);
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- sampling (thread) -------------------------------------------------------------------------------------------- */

static int read_usage(const struct cpu_sensor *s, const char *path, uint64_t *usage_ns)
{
    static const char *const files[] = { "cpu.stat", "cpuacct.usage" }; /* v2, v1; v1 has a cpu.stat of another content beside it */
    char name[LIMIT_CPU_PATH_BYTES + 16], data[1024];
    for (int i = 1; i >= 0; i--) {
        snprintf(name, sizeof name, "%s/%s", path, files[i]);
        int fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
            continue;
        ssize_t n = read(fd, data, sizeof data);
        close(fd);
        return n > 0 ? cpu_usage_decode(data, (size_t)n, usage_ns) : -EIO;
    }
    return -ENOENT;
}

static void tell(struct cpu_sensor *s, const char *id, uint64_t cpu_ns, uint64_t interval_ns, uint64_t now_ns)
{
    struct event *ev = sensor_event(&s->sensor, EVENT_CPU, now_ns, 160);
    if (!ev)
        return;
    event_set_text(ev, F_CONTAINER_ID, id, strlen(id));
    event_set(ev, F_CPU_NS, cpu_ns, cpu_ns);
    event_set(ev, F_INTERVAL_NS, interval_ns, interval_ns);
    sensor_commit(&s->sensor, ev);
}

/* The counter is read without the lock: the container may end meanwhile. */
static void sample(struct cpu_sensor *s, uint32_t i)
{
    struct cpu_container before, *c = &s->containers[i];
    uint64_t usage_ns = 0, cpu_ns = 0, interval_ns = 0;
    pthread_mutex_lock(&s->lock);
    before = *c;
    pthread_mutex_unlock(&s->lock);
    if (!before.id[0] || read_usage(s, before.path, &usage_ns))
        return;
    uint64_t now_ns = clock_monotonic_ns();
    if (before.time_ns && usage_ns >= before.usage_ns && now_ns > before.time_ns) {
        cpu_ns = usage_ns - before.usage_ns;
        interval_ns = now_ns - before.time_ns;
    }
    pthread_mutex_lock(&s->lock);
    bool same = !strcmp(c->id, before.id) && !strcmp(c->path, before.path);
    if (same) {
        c->usage_ns = usage_ns;
        c->time_ns = now_ns;
    }
    pthread_mutex_unlock(&s->lock);
    if (same && interval_ns && cpu_ns >= interval_ns / TOLD_DIVISOR)
        tell(s, before.id, cpu_ns, interval_ns, now_ns);
}

static void *run(void *user)
{
    struct cpu_sensor *s = user;
    struct pollfd stop = { .fd = s->stop_fd, .events = POLLIN };
    while (poll(&stop, 1, (int)(s->interval_ns / NS_PER_MS)) == 0) {
        pthread_mutex_lock(&s->lock);
        uint32_t n = s->n_used;
        pthread_mutex_unlock(&s->lock);
        for (uint32_t i = 0; i < n; i++)
            sample(s, i);
    }
    return NULL;
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

static bool has_option(const char *options, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = options; (at = strstr(at, word)); at += n)
        if ((at == options || at[-1] == ',') && (!at[n] || at[n] == ','))
            return true;
    return false;
}

int cpu_sensor_find_cgroup(const char *mountinfo, size_t size, char *out, size_t out_size)
{
    bool found = false;
    for (size_t at = 0; at < size;) {
        const char *newline = memchr(mountinfo + at, '\n', size - at);
        size_t end = newline ? (size_t)(newline - mountinfo) : size;
        char line[1024], root[256], point[512], type[32], options[256];
        text_copy(line, sizeof line, mountinfo + at, end - at);
        at = end + 1;
        const char *dash = strstr(line, " - ");
        if (!dash || sscanf(line, "%*d %*d %*s %255s %511s", root, point) != 2 || sscanf(dash, " - %31s %*s %255s", type, options) != 2)
            continue;
        bool v1 = !strcmp(type, "cgroup") && has_option(options, "cpuacct");
        if (strcmp(root, "/") || (!v1 && (found || strcmp(type, "cgroup2"))))
            continue;
        found |= text_copy(out, out_size, point, strlen(point));
        if (v1 && found)
            return 0; /* containers are counted there, if at all */
    }
    return found ? 0 : -ENOENT;
}

static int open_dir(const struct cpu_sensor_options *options)
{
    char dir[512] = "";
    if (options->cgroup_dir) {
        text_copy(dir, sizeof dir, options->cgroup_dir, strlen(options->cgroup_dir));
    } else {
        size_t n = 0;
        ssize_t r = -1;
        char *mountinfo = malloc(LIMIT_CONTAINER_MOUNTINFO_BYTES);
        int fd = mountinfo ? open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC) : -1;
        while (fd >= 0 && n < LIMIT_CONTAINER_MOUNTINFO_BYTES && (r = read(fd, mountinfo + n, LIMIT_CONTAINER_MOUNTINFO_BYTES - n)) > 0)
            n += (size_t)r;
        if (fd >= 0)
            close(fd);
        int error = n ? cpu_sensor_find_cgroup(mountinfo, n, dir, sizeof dir) : -ENOENT;
        free(mountinfo);
        if (error)
            return error;
    }
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static void free_all(struct cpu_sensor *s)
{
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    if (s->stop_fd >= 0)
        close(s->stop_fd);
    free(s->containers);
    sensor_fini(&s->sensor);
    pthread_mutex_destroy(&s->lock);
}

int cpu_sensor_open(struct cpu_sensor *s, const struct cpu_sensor_options *options, struct sensor_stats *stats, struct waker *waker)
{
    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->interval_ns = options->interval_ns ? options->interval_ns : INTERVAL_NS;
    s->dir_fd = open_dir(options);
    s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->containers = calloc(LIMIT_CONTAINERS, sizeof *s->containers);
    int error = s->dir_fd < 0 ? s->dir_fd : s->stop_fd < 0 ? -errno : s->containers ? 0 : -ENOMEM;
    if (!error)
        error = sensor_init(&s->sensor, SOURCE_CPU, LIMIT_CPU_RING_BYTES, stats, waker);
    if (!error) {
        sensor_state(stats, SENSOR_OK, "%s", "");
        error = thread_start(&s->thread, run, s, "cpu");
    }
    if (error) {
        sensor_state(stats, SENSOR_OFF, "no CPU counters of control groups (%s): miners are not told by their load", strerror(-error));
        free_all(s);
    }
    return error;
}

void cpu_sensor_close(struct cpu_sensor *s)
{
    uint64_t one = 1;
    if (write(s->stop_fd, &one, sizeof one) == sizeof one)
        pthread_join(s->thread, NULL);
    free_all(s);
}
