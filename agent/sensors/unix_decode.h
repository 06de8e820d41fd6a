/* Decodes answers of the kernel's unix socket table: sock_diag(7), <linux/unix_diag.h>. Pure. */
#ifndef ECSGUARD_UNIX_DECODE_H
#define ECSGUARD_UNIX_DECODE_H

#include <stdbool.h>

#include "common/bytes.h"

struct unix_socket {
    uint32_t inode, peer; /* peer 0: not connected, or not told */
    const char *name;     /* not terminated; begins with a NUL if abstract; NULL = none */
    size_t name_len;
};

/* Takes the next message off a netlink datagram, which is borrowed. 1 = a socket, 0 = the datagram ends, 2 = the dump ends, -EINVAL = broken
 * (and `datagram` is empty then), another negative errno as the kernel said. Other messages and attributes are skipped. */
int unix_decode_next(struct bytes *datagram, struct unix_socket *out);

/* True for the socket of a container runtime: whoever may talk to it is root on the host. */
bool unix_name_is_runtime(const char *name, size_t length);

#endif
