/* Tells which process of a container is connected to the socket of a container runtime (docker.sock, containerd.sock, ...): EVENT_UNIX, once
 * for each connection, with the name that the runtime gave its socket.
 *
 * No event of the kernel tells connect(2) on a unix socket, so the kernel's table is read every LIMIT_UNIX_INTERVAL_NS; a connection that is
 * shorter can be missed. The accepted end lies in the network namespace of the client, so only namespaces of containers that can reach such a
 * socket by a mount are looked into, through a netlink socket that was opened there (setns(2), by this sensor's own thread). Such a socket
 * keeps the namespace alive: it is closed as soon as the container's process ends.
 *
 * A container can make this work dear (many sockets, many connections): looks then come less often (LIMIT_UNIX_SHARE), and clients beyond what
 * LIMIT_UNIX_OWNERS_NS allows are told without their process: EVENT_UNIX with target_pid, the container's first process, in place of pid. */
#ifndef ECSGUARD_UNIX_SENSOR_H
#define ECSGUARD_UNIX_SENSOR_H

#include <pthread.h>

#include "agent/sensors/pid_commands.h"
#include "agent/sensors/sensor.h"

struct unix_watch {
    int32_t pid;
    int pidfd, fd;        /* fd: sock_diag in the container's network namespace */
    uint64_t mntns;       /* processes in this mount namespace are the container's */
    int32_t last_owner;   /* most connect again and again */
    bool own_netns;       /* not the host's: each client there is the container's */
    int n_known;
    uint32_t known[LIMIT_UNIX_CONNECTIONS]; /* inodes of connections of the last look, sorted by nothing */
};

struct unix_sensor {
    struct sensor sensor; /* its ring is what the loop reads */
    struct sensor_stats stats;
    struct pid_commands commands;
    pthread_t thread;
    bool running;
    _Atomic bool stopping;
    _Atomic uint64_t n_looks; /* tables read */
    uint64_t n_unidentified;  /* clients told without their process, or not told as they may be the host's */
    uint64_t round_began_ns, round_cpu_ns; /* time, and CPU time of this thread, when it began to look at all tables */
    uint64_t strained_ns;     /* when it last had too much to do, 0 = never or long ago */
    bool blind;               /* some containers are not looked at: `stats` says why */
    int own_netns_fd;
    int n_watches;
    struct unix_watch watches[LIMIT_UNIX_WATCHES];
};

/* 0, or -errno for lack of memory or threads. */
int unix_sensor_open(struct unix_sensor *u, struct waker *waker);
void unix_sensor_close(struct unix_sensor *u);

/* From the loop's thread only: a container by its first process (again when its mounts changed), and its end. 0 or -EAGAIN. */
int unix_sensor_add(struct unix_sensor *u, int32_t pid);
int unix_sensor_remove(struct unix_sensor *u, int32_t pid);

#endif
