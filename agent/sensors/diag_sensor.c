#include "agent/sensors/diag_sensor.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/sock_diag.h>

#include "agent/sensors/diag_flow.h"
#include "agent/sensors/netns.h"
#include "common/clock.h"

#define DATAGRAM_BYTES 4096 /* one socket is under 600 B */

#define GROUPS (1u << (SKNLGRP_INET_TCP_DESTROY - 1) | 1u << (SKNLGRP_INET_UDP_DESTROY - 1) | 1u << (SKNLGRP_INET6_TCP_DESTROY - 1) | \
                1u << (SKNLGRP_INET6_UDP_DESTROY - 1))

int diag_sensor_open(struct diag_sensor *d, struct sensor *sensor)
{
    int one = 1, bytes = LIMIT_NETLINK_RCVBUF_BYTES;
    *d = (struct diag_sensor){ .sensor = sensor, .nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC | SOCK_NONBLOCK) };
    int fd = d->nl ? mnl_socket_get_fd(d->nl) : -1;
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    if (fd >= 0 && !setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &one, sizeof one) &&
        mnl_socket_bind(d->nl, GROUPS, MNL_SOCKET_AUTOPID) >= 0)
        return 0;
    int error = -errno;
    diag_sensor_close(d);
    return error;
}

void diag_sensor_close(struct diag_sensor *d)
{
    if (d->nl)
        mnl_socket_close(d->nl);
    d->nl = NULL;
}

int diag_sensor_fd(const struct diag_sensor *d)
{
    return d->nl ? mnl_socket_get_fd(d->nl) : -1;
}

static int32_t nsid_of(struct msghdr *message)
{
    int32_t nsid = NSID_HOST;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID && c->cmsg_len >= CMSG_LEN(sizeof nsid))
            memcpy(&nsid, CMSG_DATA(c), sizeof nsid);
    return nsid;
}

static void take_datagram(struct diag_sensor *d, struct bytes datagram, int32_t nsid, uint64_t now_ns)
{
    struct inet_socket socket;
    int r;
    while ((r = inet_diag_next(&datagram, &socket)) == DIAG_SOCKET) {
        struct event *ev = sensor_event(d->sensor, EVENT_FLOW, now_ns, 0);
        if (ev && diag_flow(ev, &socket, nsid))
            sensor_commit(d->sensor, ev);
    }
    if (r < 0)
        sensor_count(&d->sensor->stats->malformed, 1);
}

/* The kernel counts exactly what it dropped on this socket. */
static void look_for_loss(struct diag_sensor *d)
{
    uint32_t info[SK_MEMINFO_VARS] = { 0 };
    socklen_t size = sizeof info;
    if (getsockopt(mnl_socket_get_fd(d->nl), SOL_SOCKET, SO_MEMINFO, info, &size) || size != sizeof info)
        return;
    if (info[SK_MEMINFO_DROPS] != d->kernel_drops)
        sensor_lost(d->sensor, info[SK_MEMINFO_DROPS] - d->kernel_drops,
                    "the socket for ends of connections was full: the agent got too little CPU time");
    d->kernel_drops = info[SK_MEMINFO_DROPS];
}

void diag_sensor_drain(struct diag_sensor *d, int max, diag_wanted *wanted, void *context)
{
    for (int i = 0; i < max; i++) {
        char data[DATAGRAM_BYTES] __attribute__((aligned(8))), control[64] __attribute__((aligned(8)));
        struct sockaddr_nl from;
        struct iovec vector = { data, sizeof data };
        struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
                                  .msg_controllen = sizeof control };
        ssize_t n = recvmsg(mnl_socket_get_fd(d->nl), &message, MSG_DONTWAIT);
        if (n < 0 && errno == ENOBUFS)
            continue;
        if (n <= 0)
            break;
        int32_t nsid = nsid_of(&message);
        if (message.msg_namelen == sizeof from && !from.nl_pid && !(message.msg_flags & MSG_TRUNC) && wanted(context, nsid))
            take_datagram(d, bytes_of(data, (size_t)n), nsid, clock_monotonic_ns());
    }
    look_for_loss(d);
}
