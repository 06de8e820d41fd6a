/* Which inet sockets a process has: answers to the pipeline's requests, read from /proc when they are asked. */
#ifndef ECSGUARD_SOCKET_OWNER_H
#define ECSGUARD_SOCKET_OWNER_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/event.h"

struct owned_socket {
    int32_t fd;    /* descriptor number in the process */
    uint8_t proto; /* IPPROTO_* */
    struct address local, peer; /* peer.family 0: not connected */
    uint16_t lport, pport;
    uint8_t tcp_state; /* as in tcp(7); 0 when not TCP */
    bool listening;
};

/* The inet sockets among the first LIMIT_SOCKET_FDS descriptors of `pid`, by pidfd_getfd(2) (Linux 5.6; needs CAP_SYS_PTRACE), so that
 * also unbound, just closed by the peer, or foreign-namespace sockets are described rightly. Returns how many of at most `max` were
 * found, or -errno: -ESRCH or -ENOENT when the process is gone, -EPERM when we may not look. `proc_fd` is an O_PATH descriptor of /proc. */
int socket_owner_list(int proc_fd, pid_t pid, struct owned_socket *out, size_t max);

#endif
