/* Finds containers by their control groups, as early as the kernel shows them, and tells their end. Owns an inotify descriptor on the
 * hierarchy (v1: one controller; hybrid: the same; v2: the unified one), a thread, and a ring of events:
 *
 *   EVENT_CONTAINER start   the group exists and has a first process (of the runtime, which will become the container's)
 *   EVENT_CGROUP            a process is in the group: each one seen newly when someone writes to cgroup.procs (docker exec, runc)
 *   EVENT_CONTAINER facts   its init process has the container's own root: pid, namespaces, root device, upperdir, start time
 *   EVENT_CONTAINER end     the group is gone
 *
 * Children inherit their container without an event here. A runtime that puts processes into a populated group of cgroup v2 by
 * clone3(CLONE_INTO_CGROUP) writes to no file: such a process is found by its own cgroup when it is executed (REQUEST_CGROUP). */
#ifndef ECSGUARD_CONTAINER_SENSOR_H
#define ECSGUARD_CONTAINER_SENSOR_H

#include <pthread.h>

#include "agent/sensors/sensor.h"

struct container_sensor_options {
    const char *cgroup_dir; /* NULL: the mount point of the hierarchy, out of /proc/self/mountinfo */
    const char *proc_dir;   /* NULL: /proc */
};

struct cgroup_node;

struct container_sensor {
    struct sensor sensor; /* its ring is what the loop reads */
    pthread_t thread;
    int inotify_fd, stop_fd, proc_fd;
    char cgroup_dir[512];
    struct cgroup_node *root;
    struct cgroup_node **by_wd; /* hash table, chained */
    struct cgroup_node *settling; /* containers whose init process is not yet known */
    int n_nodes;
    uint64_t host_mntns;
    uint64_t host_root_dev, host_root_ino;
    uint32_t generation; /* of the present scan */
    _Atomic uint32_t n_containers;
    bool full;
    char *mountinfo; /* LIMIT_CONTAINER_MOUNTINFO_BYTES */
};

/* Opens the hierarchy, then starts the thread, which first announces what runs already. 0 or -errno, with the reason in `stats`. */
int container_sensor_open(struct container_sensor *s, const struct container_sensor_options *options, struct sensor_stats *stats,
                          struct waker *waker);
/* Stops the thread and frees everything; events still in the ring are lost. */
void container_sensor_close(struct container_sensor *s);

/* The hierarchy to watch, out of the content of /proc/self/mountinfo: the v1 memory controller, else pids, cpu, devices, systemd, else v2.
 * 0 or -ENOENT. */
int container_sensor_find_cgroup(const char *mountinfo, size_t size, char *out, size_t out_size);

#endif
