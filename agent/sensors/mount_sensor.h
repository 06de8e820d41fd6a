/* Follows the mount table of each container and tells every mount that appears after its first program started: EVENT_MOUNT with the mount
 * point as the container sees it, source and type, and, if the host has that file system mounted too, where (F_HOST_PATH). Who mounted is
 * not known: the event names the container's first process. One thread; the kernel wakes it (poll(2) on /proc/PID/mountinfo). A mount that
 * is undone before the thread has looked leaves no event.
 *
 * An open mountinfo keeps the container's mount namespace alive, so each is closed as soon as its process ends (pidfd): within a
 * millisecond. Two descriptors a container. */
#ifndef ECSGUARD_MOUNT_SENSOR_H
#define ECSGUARD_MOUNT_SENSOR_H

#include <pthread.h>

#include "agent/sensors/pid_commands.h"
#include "agent/sensors/sensor.h"

struct mount_watch;

struct mount_sensor {
    struct sensor sensor; /* its ring is what the loop reads */
    struct sensor_stats stats;
    struct pid_commands commands;
    pthread_t thread;
    bool running;
    _Atomic bool stopping;
    int epoll_fd;
    struct mount_watch *watches[LIMIT_MOUNT_WATCHES];
    int n_unsettled;        /* containers whose first program has not started */
    char *text, *host_text; /* LIMIT_MOUNTINFO_BYTES each, touched as needed */
};

/* 0, or -errno for lack of memory or threads. */
int mount_sensor_open(struct mount_sensor *m, struct waker *waker);
void mount_sensor_close(struct mount_sensor *m);

/* From the loop's thread only: a container by its first process, and its end. 0 or -EAGAIN. */
int mount_sensor_add(struct mount_sensor *m, int32_t pid);
int mount_sensor_remove(struct mount_sensor *m, int32_t pid);

#endif
