#include "agent/sensors/connector.h"

#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/sensors/proc_decode.h"
#include "common/clock.h"
#include "common/hash.h"

#define ACK_TIMEOUT_MS 1000

/* `seq` + 1 comes back as `ack` in the answer (the kernel numbers `seq` itself). */
static int send_op(int fd, enum proc_cn_mcast_op op, uint32_t seq)
{
    struct nlmsghdr nl = { .nlmsg_type = NLMSG_DONE };
    struct cn_msg cn = { .id = { .idx = CN_IDX_PROC, .val = CN_VAL_PROC }, .ack = seq, .len = sizeof op };
    char m[sizeof nl + sizeof cn + sizeof op];
    nl.nlmsg_len = sizeof m;
    memcpy(m, &nl, sizeof nl);
    memcpy(m + sizeof nl, &cn, sizeof cn);
    memcpy(m + sizeof nl + sizeof cn, &op, sizeof op);
    return send(fd, m, sizeof m, 0) < 0 ? -errno : 0;
}

static int attach(int fd, const struct sock_filter *filter, unsigned short n)
{
    struct sock_fprog program = { n, (struct sock_filter *)filter };
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) ? -errno : 0;
}

/* While we wait for the answer to LISTEN nothing else may fill the queue. */
static int attach_ack_only(int fd)
{
    static const struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, PROC_AT_WHAT),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROC_EVENT_NONE, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    return attach(fd, filter, sizeof filter / sizeof filter[0]);
}

/* 0 when the kernel said that it sends to us. It answers nobody outside the first pid and user namespace; and it tells everybody what it
 * answers to others, so that only the answer with our number counts. */
static int wait_for_ack(int fd, uint32_t seq)
{
    struct pollfd p = { fd, POLLIN, 0 };
    struct cn_msg cn;
    char buf[512];
    struct event answer;
    uint64_t end_ns = clock_monotonic_ns() + ACK_TIMEOUT_MS * NS_PER_MS, now_ns;
    while ((now_ns = clock_monotonic_ns()) < end_ns && poll(&p, 1, (int)((end_ns - now_ns) / NS_PER_MS) + 1) == 1) {
        ssize_t n = connector_receive(fd, buf, sizeof buf);
        event_init(&answer, EVENT_NONE, SOURCE_PROC, 0);
        if (n <= 0 || proc_decode(buf, (size_t)n, &answer) != PROC_DECODED_ACK)
            continue;
        memcpy(&cn, buf + sizeof(struct nlmsghdr), sizeof cn);
        if (cn.ack == seq + 1)
            return answer.exit_code ? -answer.exit_code : 0;
    }
    return -ENOSYS;
}

static void explain(int error, char *why, size_t size)
{
    switch (-error) {
    case EPERM:
    case EACCES:
        snprintf(why, size, "process events refused: the agent needs CAP_NET_ADMIN in the host's user namespace");
        return;
    case EPROTONOSUPPORT:
    case ECONNREFUSED:
    case ENOSYS:
        snprintf(why, size, "no process events: the kernel needs CONFIG_PROC_EVENTS, and the agent must run in the host's pid, user and "
                            "network namespaces");
        return;
    default:
        snprintf(why, size, "no process events: %s", strerror(-error));
    }
}

static int open_socket(int fd, const struct sock_filter *filter, unsigned short n_filter, int rcvbuf_bytes)
{
    struct sockaddr_nl group = { .nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC };
    int r = attach_ack_only(fd);
    if (r)
        return r;
    /* Without CAP_NET_ADMIN the queue is just shorter. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf_bytes, sizeof rcvbuf_bytes))
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf_bytes, sizeof rcvbuf_bytes);
    if (bind(fd, (struct sockaddr *)&group, sizeof group))
        return -errno;
    uint32_t seq = (uint32_t)hash_key_random().k0;
    r = send_op(fd, PROC_CN_MCAST_LISTEN, seq);
    if (!r)
        r = wait_for_ack(fd, seq);
    return r ? r : attach(fd, filter, n_filter);
}

int connector_open(const struct sock_filter *filter, unsigned short n_filter, int rcvbuf_bytes, char *why, size_t why_size)
{
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);
    int r = fd < 0 ? -errno : open_socket(fd, filter, n_filter, rcvbuf_bytes);
    if (!r)
        return fd;
    explain(r, why, why_size);
    if (fd >= 0)
        close(fd);
    return r;
}

void connector_close(int fd)
{
    send_op(fd, PROC_CN_MCAST_IGNORE, 0);
    close(fd);
}

ssize_t connector_receive(int fd, void *buf, size_t size)
{
    struct sockaddr_nl from;
    socklen_t from_size = sizeof from;
    ssize_t n = recvfrom(fd, buf, size, 0, (struct sockaddr *)&from, &from_size);
    if (n < 0)
        return -errno;
    return from.nl_pid ? 0 : n; /* 0 = the kernel; a host-network container with CAP_NET_ADMIN could send too */
}
