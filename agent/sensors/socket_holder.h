/* Which process holds a socket: looks through the descriptors of processes, the likeliest first, within a budget of time. One thread uses it. */
#ifndef ECSGUARD_SOCKET_HOLDER_H
#define ECSGUARD_SOCKET_HOLDER_H

#include <sys/types.h>

#include "agent/sensors/procfs.h"

#define HOLDER_RECENT 32 /* processes that held sockets lately */

struct holder_recent {
    int32_t pid;
    uint32_t uid;
    uint64_t cgroup_id;
};

struct socket_holder {
    int procdir;
    int32_t own_pid;
    int last_pid_fd; /* sys/kernel/ns_last_pid */
    int cgroup_fd;   /* mount point of cgroup v2, -1 = none */
    char cgroup_dir[64];
    uint32_t n_recent;
    struct holder_recent recent[HOLDER_RECENT];
    int32_t pids[LIMIT_HOLDER_PIDS];
    struct procfs_scratch scratch;
};

struct holder_question {
    uint64_t inode;
    uint32_t uid;             /* of who made the socket */
    uint64_t cgroup_id;       /* 0 = unknown */
    const int32_t *candidates; /* who may have it besides, the likeliest first */
    size_t n_candidates;
    bool oldest; /* of several, the one that was started first, else the first one found, which is a young one */
    uint64_t deadline_ns;
};

int socket_holder_init(struct socket_holder *h, int procdir); /* 0 or -errno */
void socket_holder_fini(struct socket_holder *h);

/* 1: F_PID, F_START_NS, F_COMM and F_CGROUP of the holder are in `ev`, all read from the very process that holds the socket. 0: nobody whom we
 * looked at holds it. -ETIME: nor was there time for all. */
int socket_holder_find(struct socket_holder *h, const struct holder_question *question, struct event *ev);

/* Many at once, by one walk over all processes, the oldest first: `found` is told of each inode (they are sorted) the processes that hold it, the
 * oldest first, as above; it returns true the first time. Returns how many were found before `deadline_ns`. */
typedef bool holder_found(void *to, size_t which, const struct event *ev);
size_t socket_holder_find_many(struct socket_holder *h, const uint32_t *inodes, size_t n, uint64_t deadline_ns, holder_found *found, void *to);

/* F_CGROUP of a socket, whoever held it, by its cgroup id. False when that says nothing. */
bool socket_holder_cgroup(const struct socket_holder *h, uint64_t cgroup_id, struct event *ev);

#endif
