#include "agent/sensors/diag_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/packet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_BYTES 1024 /* of one socket; the kernel's are ~300 */

struct inet_request {
    struct nlmsghdr head;
    struct inet_diag_req_v2 body;
};

int diag_open(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return -errno;
    /* An answer that the kernel could not queue must not be waited for. */
    const struct timeval patience = { .tv_sec = 1 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static int request_send(int fd, const void *request, size_t size)
{
    const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    return sendto(fd, request, size, 0, (const void *)&kernel, sizeof kernel) < 0 ? -errno : 0;
}

static struct inet_request inet_request(int family, uint8_t proto, uint16_t flags)
{
    return (struct inet_request){
        .head = { .nlmsg_len = sizeof(struct inet_request), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | flags },
        .body = { .sdiag_family = (uint8_t)family, .sdiag_protocol = proto, .idiag_states = ~0u,
                  .id = { .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } } };
}

static bool is_any(const struct address *a)
{
    static const uint8_t zero[16];
    return !memcmp(a->bytes, zero, sizeof zero);
}

/* Is it what was asked for? A lookup finds listening and unconnected sockets as well, and other messages could be left from before. */
static bool fits(const struct diag_question *q, const struct inet_socket *s)
{
    if (s->lport != q->lport || !(is_any(&s->local) || address_equal(&s->local, &q->local)))
        return false;
    return (is_any(&s->peer) && !s->pport) || (address_equal(&s->peer, &q->peer) && s->pport == q->pport);
}

int diag_lookup(int fd, const struct diag_question *q, struct inet_socket *out)
{
    _Alignas(8) uint8_t buffer[ANSWER_BYTES];
    struct inet_request request = inet_request(q->local.family == 6 ? AF_INET6 : AF_INET, q->proto, 0);
    struct inet_diag_sockid *id = &request.body.id;
    /* For UDP the kernel takes source and destination as a packet to the socket has them, "for historical reasons". */
    bool swapped = q->proto == IPPROTO_UDP;
    memcpy(swapped ? id->idiag_dst : id->idiag_src, q->local.bytes, sizeof q->local.bytes);
    memcpy(swapped ? id->idiag_src : id->idiag_dst, q->peer.bytes, sizeof q->peer.bytes);
    id->idiag_sport = htons(swapped ? q->pport : q->lport);
    id->idiag_dport = htons(swapped ? q->lport : q->pport);
    int r = request_send(fd, &request, sizeof request);
    if (r)
        return r;
    /* The answer was made within sendto(2): one datagram. */
    ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0)
        return -errno;
    struct bytes datagram = bytes_of(buffer, (size_t)n);
    r = inet_diag_next(&datagram, out);
    if (r == -ENOENT)
        return 0;
    return r == DIAG_SOCKET ? fits(q, out) : r < 0 ? r : -EBADMSG;
}

/* One datagram of a dump: its size, 0 at the end of the socket, -errno. */
static ssize_t dump_read(int fd, uint8_t *buffer)
{
    ssize_t n;
    do
        n = recv(fd, buffer, DIAG_BUFFER_BYTES, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int diag_dump(int fd, int family, uint8_t proto, uint32_t states, uint16_t lport, uint8_t *buffer, diag_visit *visit, void *to)
{
    struct inet_request request = inet_request(family, proto, NLM_F_DUMP);
    struct inet_socket s;
    request.body.idiag_states = states;
    request.body.id.idiag_sport = htons(lport);
    int r = request_send(fd, &request, sizeof request);
    while (r == 0) { /* DIAG_MORE */
        ssize_t n = dump_read(fd, buffer);
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        struct bytes datagram = bytes_of(buffer, (size_t)n);
        while ((r = inet_diag_next(&datagram, &s)) == DIAG_SOCKET)
            visit(to, &s);
    }
    return r == DIAG_DONE ? 0 : r;
}

int diag_dump_packets(int fd, uint8_t *buffer, packet_visit *visit, void *to)
{
    struct {
        struct nlmsghdr head;
        struct packet_diag_req body;
    } request = { .head = { .nlmsg_len = sizeof request, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
                  .body = { .sdiag_family = AF_PACKET, .pdiag_show = PACKET_SHOW_INFO } };
    struct packet_socket s;
    int r = request_send(fd, &request, sizeof request);
    while (r == 0) {
        ssize_t n = dump_read(fd, buffer);
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        struct bytes datagram = bytes_of(buffer, (size_t)n);
        while ((r = packet_diag_next(&datagram, &s)) == DIAG_SOCKET)
            visit(to, &s);
    }
    return r == DIAG_DONE ? 0 : r;
}
