/* What listens: TCP sockets in state LISTEN and UDP sockets that are bound but not connected, in the namespace of the host and of each container,
 * read from the kernel in intervals (EVENT_LISTEN: present, new, end); and packet sockets, which read all traffic of a namespace, as the socket(2)
 * that made them (EVENT_SYSCALL of SOURCE_LISTEN). No event of the kernel tells them: what lives for less than the interval can be missed.
 *
 * Sockets of one user on one address, port and protocol are one listener (SO_REUSEPORT, several workers). */
#ifndef ECSGUARD_LISTEN_SENSOR_H
#define ECSGUARD_LISTEN_SENSOR_H

#include "agent/sensors/diag_spaces.h"
#include "agent/sensors/listeners.h"
#include "agent/sensors/pid_commands.h"
#include "agent/sensors/sensor.h"
#include "agent/sensors/socket_holder.h"

struct listen_buffers;

struct listen_sensor {
    struct sensor sensor; /* its ring is what the loop reads */
    struct sensor_stats stats;
    struct pid_commands commands;
    pthread_t thread;
    bool running;
    _Atomic bool stopping;
    uint64_t looked_until; /* spaces with a higher serial have not been looked at */
    int spaces_error;      /* some namespace could not be entered */
    struct listeners table;
    struct diag_spaces spaces;
    struct socket_holder holder;
    struct listen_buffers *buffers;
};

/* 0, or -errno for lack of memory or threads; what else is missing is in the stats. `procdir` is borrowed. */
int listen_sensor_open(struct listen_sensor *l, int procdir, struct waker *waker);
void listen_sensor_close(struct listen_sensor *l);

/* From the loop's thread only: a container by its first process, and its end. 0 or -EAGAIN. */
int listen_sensor_add(struct listen_sensor *l, int32_t pid);
int listen_sensor_remove(struct listen_sensor *l, int32_t pid);

#endif
