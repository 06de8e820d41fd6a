#include "agent/sensors/inet_diag_decode.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/packet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <sys/socket.h>

#include "agent/sensors/netlink_attrs.h"

static void take_address(struct address *to, uint8_t family, const uint8_t *from)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    memset(to, 0, sizeof *to);
    bool v4 = family == AF_INET || !memcmp(from, mapped, sizeof mapped);
    to->family = v4 ? 4 : 6;
    memcpy(to->bytes, v4 && family == AF_INET6 ? from + 12 : from, v4 ? 4 : 16);
}

static void take_tcp_info(struct inet_socket *out, struct bytes info)
{
    if (info.left < offsetof(struct tcp_info, tcpi_bytes_received) + 8)
        return; /* before Linux 4.1, or not TCP */
    out->has_bytes = true;
    out->bytes_acked = load_u64(info.at + offsetof(struct tcp_info, tcpi_bytes_acked));
    out->bytes_received = load_u64(info.at + offsetof(struct tcp_info, tcpi_bytes_received));
}

static int take_inet_attr(void *to, const struct attr *a)
{
    struct inet_socket *out = to;
    if (a->type == INET_DIAG_CGROUP_ID && a->data.left >= 8)
        out->cgroup_id = load_u64(a->data.at);
    else if (a->type == INET_DIAG_PROTOCOL && a->data.left >= 1)
        out->proto = a->data.at[0];
    else if (a->type == INET_DIAG_SKV6ONLY && a->data.left >= 1)
        out->dual = out->dual && !a->data.at[0];
    else if (a->type == INET_DIAG_INFO)
        take_tcp_info(out, a->data);
    return 0;
}

static uint64_t load_cookie(const uint8_t *at)
{
    return load_u32(at) | (uint64_t)load_u32(at + 4) << 32;
}

/* DIAG_SOCKET, 0 when it is about another kind of socket, -EINVAL. */
static int inet_decode(struct bytes body, void *to)
{
    struct inet_socket *out = to;
    const uint8_t *m = bytes_take(&body, sizeof(struct inet_diag_msg)), *id;
    if (!m || (m[0] != AF_INET && m[0] != AF_INET6))
        return m ? 0 : -EINVAL;
    memset(out, 0, sizeof *out);
    id = m + offsetof(struct inet_diag_msg, id);
    out->state = m[offsetof(struct inet_diag_msg, idiag_state)];
    out->lport = load_be16(id + offsetof(struct inet_diag_sockid, idiag_sport));
    out->pport = load_be16(id + offsetof(struct inet_diag_sockid, idiag_dport));
    take_address(&out->local, m[0], id + offsetof(struct inet_diag_sockid, idiag_src));
    take_address(&out->peer, m[0], id + offsetof(struct inet_diag_sockid, idiag_dst));
    out->cookie = load_cookie(id + offsetof(struct inet_diag_sockid, idiag_cookie));
    out->uid = load_u32(m + offsetof(struct inet_diag_msg, idiag_uid));
    out->inode = load_u32(m + offsetof(struct inet_diag_msg, idiag_inode));
    out->dual = m[0] == AF_INET6;
    return attrs_walk(body, take_inet_attr, out) ? -EINVAL : DIAG_SOCKET;
}

static int take_packet_attr(void *to, const struct attr *a)
{
    struct packet_socket *out = to;
    if (a->type == PACKET_DIAG_INFO && a->data.left >= 4)
        out->ifindex = load_u32(a->data.at);
    else if (a->type == PACKET_DIAG_UID && a->data.left >= 4)
        out->uid = load_u32(a->data.at);
    return 0;
}

static int packet_decode(struct bytes body, void *to)
{
    struct packet_socket *out = to;
    const uint8_t *m = bytes_take(&body, sizeof(struct packet_diag_msg));
    if (!m || m[0] != AF_PACKET)
        return m ? 0 : -EINVAL;
    memset(out, 0, sizeof *out);
    out->type = m[offsetof(struct packet_diag_msg, pdiag_type)];
    out->proto = load_u16(m + offsetof(struct packet_diag_msg, pdiag_num));
    out->inode = load_u32(m + offsetof(struct packet_diag_msg, pdiag_ino));
    out->cookie = load_cookie(m + offsetof(struct packet_diag_msg, pdiag_cookie));
    return attrs_walk(body, take_packet_attr, out) ? -EINVAL : DIAG_SOCKET;
}

static int message_decode(const uint8_t *message, size_t size, int (*decode)(struct bytes body, void *to), void *to)
{
    uint16_t type = load_u16(message + offsetof(struct nlmsghdr, nlmsg_type));
    struct bytes body = bytes_of(message + sizeof(struct nlmsghdr), size - sizeof(struct nlmsghdr));
    int32_t error = body.left >= 4 ? (int32_t)load_u32(body.at) : -EINVAL;
    if (type == NLMSG_DONE)
        return DIAG_DONE;
    if (type == NLMSG_ERROR)
        return error < 0 && error > -4096 ? error : -EINVAL;
    return type == SOCK_DIAG_BY_FAMILY ? decode(body, to) : 0;
}

/* Behind an end or an error nothing of the datagram is looked at. */
static int socket_next(struct bytes *datagram, int (*decode)(struct bytes body, void *to), void *to)
{
    const uint8_t *message;
    size_t size;
    int r;
    while ((r = netlink_next(datagram, &message, &size)) > 0 && !(r = message_decode(message, size, decode, to)))
        ;
    if (r != DIAG_SOCKET)
        *datagram = bytes_of(NULL, 0);
    return r;
}

int inet_diag_next(struct bytes *datagram, struct inet_socket *out)
{
    return socket_next(datagram, inet_decode, out);
}

int packet_diag_next(struct bytes *datagram, struct packet_socket *out)
{
    return socket_next(datagram, packet_decode, out);
}
