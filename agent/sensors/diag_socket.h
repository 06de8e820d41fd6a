/* Asks the kernel about sockets (sock_diag(7)): one by its addresses, or all of a kind. A netlink socket answers for the network namespace
 * in which it was made, whoever uses it later. */
#ifndef ECSGUARD_DIAG_SOCKET_H
#define ECSGUARD_DIAG_SOCKET_H

#include "agent/sensors/inet_diag_decode.h"

#define DIAG_BUFFER_BYTES 32768 /* what the kernel gives at once */

/* A descriptor for the calling thread's network namespace, or -errno. */
int diag_open(void);

struct diag_question {
    uint8_t proto; /* IPPROTO_TCP or IPPROTO_UDP */
    struct address local, peer;
    uint16_t lport, pport;
};

/* The socket that gets what comes from `peer` to `local`: 1 with *out, 0 when there is none, -errno. It costs ~5 us. It may be one that
 * listens, or a UDP socket that is not connected; inode 0 when no process has it any more. */
int diag_lookup(int fd, const struct diag_question *question, struct inet_socket *out);

/* All sockets of a protocol whose state is in `states` (bits by number). `visit` is called for each. 0 or -errno. `buffer` of
 * DIAG_BUFFER_BYTES, aligned as struct nlmsghdr. `lport` 0 = all. */
typedef void diag_visit(void *to, const struct inet_socket *s);
int diag_dump(int fd, int family, uint8_t proto, uint32_t states, uint16_t lport, uint8_t *buffer, diag_visit *visit, void *to);

/* All packet sockets. 0 or -errno: -ENOENT when the kernel has no packet_diag. */
typedef void packet_visit(void *to, const struct packet_socket *s);
int diag_dump_packets(int fd, uint8_t *buffer, packet_visit *visit, void *to);

#endif
