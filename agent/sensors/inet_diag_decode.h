/* Decoder of sock_diag messages (linux/inet_diag.h, linux/packet_diag.h): bytes from the kernel to structs. The same messages answer a lookup,
 * make up a dump, and are multicast when a socket is destroyed. Pure. */
#ifndef ECSGUARD_INET_DIAG_DECODE_H
#define ECSGUARD_INET_DIAG_DECODE_H

#include "common/bytes.h"
#include "common/event.h"

/* An inet socket. IPv4-mapped addresses become IPv4. */
struct inet_socket {
    uint8_t state;    /* as in tcp(7); UDP: 1 connected, 7 not */
    uint8_t proto;    /* IPPROTO_*, 0 = not told (the kernel tells it in multicasts only) */
    bool dual;        /* an IPv6 socket that takes IPv4 as well */
    bool has_bytes;   /* TCP, when asked for */
    struct address local, peer; /* all zero bytes: any */
    uint16_t lport, pport;
    uint32_t inode;   /* 0: no process has it any more (or yet) */
    uint32_t uid;     /* of who made it, in our user namespace */
    uint64_t cgroup_id; /* inode of its cgroup v2 directory, 0 = not told */
    uint64_t cookie;  /* unique while the host runs */
    uint64_t bytes_acked, bytes_received;
};

/* A packet socket, AF_PACKET of socket(2). */
struct packet_socket {
    uint8_t type;   /* SOCK_RAW, SOCK_DGRAM */
    uint16_t proto; /* ETH_P_*, as told to socket(2) or bind(2) but in host order */
    uint32_t inode, uid, ifindex; /* ifindex 0 = all interfaces */
    uint64_t cookie;
};

/* Other results than a negative errno of the kernel or -EINVAL: what is left is no message and cannot be trusted. */
enum {
    DIAG_MORE,   /* nothing is left of this datagram */
    DIAG_SOCKET, /* one socket is in *out */
    DIAG_DONE,   /* the dump is complete */
};

/* The next socket of a datagram; messages that are not about a socket of this kind are skipped. */
int inet_diag_next(struct bytes *datagram, struct inet_socket *out);
int packet_diag_next(struct bytes *datagram, struct packet_socket *out);

#endif
