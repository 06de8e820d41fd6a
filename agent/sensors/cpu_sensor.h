/* How much CPU time containers use: every ten seconds one read of each container's counter, in a thread of its own, because a counter of
 * cgroup v2 can take the kernel long to add up. EVENT_CPU tells the time used since the sample before; of containers that used less than a tenth of
 * a CPU nothing is told, so that an idle host sleeps. */
#ifndef ECSGUARD_CPU_SENSOR_H
#define ECSGUARD_CPU_SENSOR_H

#include <pthread.h>

#include "agent/sensors/sensor.h"

struct cpu_sensor_options {
    const char *cgroup_dir; /* NULL: the hierarchy with the counters, out of /proc/self/mountinfo */
    uint64_t interval_ns;   /* 0 = 10 s */
};

struct cpu_container;

struct cpu_sensor {
    struct sensor sensor; /* its ring is what the loop reads */
    pthread_t thread;
    int stop_fd, dir_fd;
    uint64_t interval_ns;
    pthread_mutex_t lock; /* of the containers */
    struct cpu_container *containers; /* LIMIT_CONTAINERS */
    uint32_t n_used;
};

/* Opens the hierarchy and starts the thread. 0 or -errno, with the reason in `stats`. */
int cpu_sensor_open(struct cpu_sensor *s, const struct cpu_sensor_options *options, struct sensor_stats *stats, struct waker *waker);
/* Stops the thread and frees everything. */
void cpu_sensor_close(struct cpu_sensor *s);

/* A container began or ended, as its EVENT_CONTAINER of the container sensor says. */
void cpu_sensor_container(struct cpu_sensor *s, const struct event *ev);

/* The hierarchy with the counters, out of the content of /proc/self/mountinfo: cpuacct of v1, else v2. 0 or -ENOENT. */
int cpu_sensor_find_cgroup(const char *mountinfo, size_t size, char *out, size_t out_size);

#endif
