#include "agent/sensors/address_sensor.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>

#include "agent/sensors/address_decode.h"
#include "agent/sensors/netlink_attrs.h"
#include "agent/sensors/netns.h"
#include "common/clock.h"
#include "common/log.h"

#define DATAGRAM_BYTES 32768 /* what the kernel puts into one datagram of a dump at most */
#define DATAGRAMS 64         /* read at one call */
#define DUMP_NS NS_PER_SECOND /* an answer takes microseconds: one that was not given by then was lost */
#define NSIDS (-2)            /* in `wanted`: the numbers of all namespaces */

static void want(struct address_sensor *s, int32_t nsid)
{
    for (int i = 0; i < s->n_wanted; i++)
        if (s->wanted[i] == nsid)
            return;
    if (s->n_wanted < LIMIT_NETNS_WANTED)
        s->wanted[s->n_wanted++] = nsid;
    else
        sensor_count(&s->stats.lost, 1); /* its flows have no direction until its addresses change */
}

/* ---- asking ---- */

static int ask(struct address_sensor *s, int32_t nsid)
{
    char buffer[128] __attribute__((aligned(8)));
    struct nlmsghdr *head = mnl_nlmsg_put_header(buffer);
    head->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    head->nlmsg_seq = ++s->seq;
    if (nsid == NSIDS) {
        head->nlmsg_type = RTM_GETNSID;
        mnl_nlmsg_put_extra_header(head, sizeof(struct rtgenmsg));
    } else {
        head->nlmsg_type = RTM_GETADDR;
        mnl_nlmsg_put_extra_header(head, sizeof(struct ifaddrmsg));
        if (nsid != NSID_HOST)
            mnl_attr_put_u32(head, IFA_TARGET_NETNSID, (uint32_t)nsid);
    }
    return mnl_socket_sendto(s->dump, head, head->nlmsg_len) < 0 ? -errno : 0;
}

static void ask_next(struct address_sensor *s)
{
    if (!s->n_wanted || s->dumping)
        return;
    int32_t nsid = s->wanted[0];
    memmove(s->wanted, s->wanted + 1, (size_t)--s->n_wanted * sizeof *s->wanted);
    s->dumping = !ask(s, nsid);
    s->dump_started_ns = clock_monotonic_ns();
}

/* ---- taking ---- */

static void take_message(struct address_sensor *s, const uint8_t *message, size_t size, int32_t nsid, uint64_t now_ns)
{
    struct event *ev = sensor_event(&s->sensor, EVENT_NETNS, now_ns, 0);
    if (!ev)
        return;
    int r = address_decode(ev, message, size, &nsid);
    if (r < 0)
        sensor_count(&s->stats.malformed, 1);
    else if (r == 0)
        sensor_commit(&s->sensor, ev);
    else if (r == ADDRESS_NETNS)
        want(s, nsid);
}

static int32_t nsid_of(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID && c->cmsg_len >= CMSG_LEN(sizeof(int32_t))) {
            int32_t nsid;
            memcpy(&nsid, CMSG_DATA(c), sizeof nsid);
            return nsid;
        }
    return NSID_HOST;
}

/* One datagram: 1, 0 when there is none, -ENOBUFS after loss. `*done`: it ends the answer to our question. */
static int take_datagram(struct address_sensor *s, struct mnl_socket *socket, bool *done)
{
    static uint8_t data[DATAGRAM_BYTES] __attribute__((aligned(8)));
    char control[64] __attribute__((aligned(8)));
    struct sockaddr_nl sender = { 0 };
    struct iovec vector = { data, sizeof data };
    struct msghdr m = { .msg_name = &sender, .msg_namelen = sizeof sender, .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
                        .msg_controllen = sizeof control };
    const uint8_t *message;
    size_t size;
    ssize_t n = recvmsg(mnl_socket_get_fd(socket), &m, MSG_DONTWAIT);
    if (n < 0)
        return errno == ENOBUFS ? -ENOBUFS : 0;
    struct bytes datagram = bytes_of(data, (size_t)n);
    uint64_t now_ns = clock_monotonic_ns();
    if (sender.nl_pid) /* not the kernel: a container's root */
        return 1;
    while (netlink_next(&datagram, &message, &size) > 0) {
        uint16_t type = load_u16(message + offsetof(struct nlmsghdr, nlmsg_type));
        if (type == NLMSG_DONE || type == NLMSG_ERROR)
            *done = true;
        else
            take_message(s, message, size, nsid_of(&m), now_ns);
    }
    return 1;
}

/* What was missed is asked for; what is gone meanwhile stays until its number is used again, which is told. */
static void ask_for_all(struct address_sensor *s)
{
    sensor_lost(&s->sensor, 1, "the rtnetlink socket was full: the agent got too little CPU time");
    sensor_count(&s->stats.resyncs, 1);
    want(s, NSID_HOST);
    want(s, NSIDS);
}

void address_sensor_drain(struct address_sensor *s)
{
    bool done = false;
    int r = 1;
    if (!s->events)
        return;
    for (int i = 0; i < DATAGRAMS && r > 0; i++)
        r = take_datagram(s, s->events, &done);
    if (r == -ENOBUFS)
        ask_for_all(s);
    done = false;
    for (int i = 0; i < DATAGRAMS && s->dumping; i++) {
        if (take_datagram(s, s->dump, &done) <= 0)
            break;
        s->dumping = !done;
    }
    if (s->dumping && clock_monotonic_ns() > s->dump_started_ns + DUMP_NS)
        s->dumping = false;
    ask_next(s);
}

bool address_sensor_busy(const struct address_sensor *s)
{
    return s->events && (s->dumping || s->n_wanted);
}

/* ---- open, close ---- */

static int off(struct address_sensor *s, const char *what)
{
    sensor_state(&s->stats, SENSOR_OFF, "who began a flow is often not known: %s (%s)", what, strerror(errno));
    if (s->events)
        mnl_socket_close(s->events);
    if (s->dump)
        mnl_socket_close(s->dump);
    s->events = s->dump = NULL;
    return 0;
}

int address_sensor_open(struct address_sensor *s, struct waker *waker)
{
    const unsigned groups = 1u << (RTNLGRP_IPV4_IFADDR - 1) | 1u << (RTNLGRP_IPV6_IFADDR - 1) | 1u << (RTNLGRP_NSID - 1);
    int one = 1, bytes = LIMIT_NETNS_RCVBUF_BYTES;
    memset(s, 0, sizeof *s);
    if (sensor_init(&s->sensor, SOURCE_NETNS, LIMIT_SMALL_RING_BYTES, &s->stats, waker))
        return -ENOMEM;
    s->events = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
    s->dump = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (!s->events || !s->dump || mnl_socket_bind(s->dump, 0, MNL_SOCKET_AUTOPID) < 0)
        return off(s, "cannot open an rtnetlink socket");
    /* without it the kernel ignores IFA_TARGET_NETNSID and tells the host's own addresses */
    if (setsockopt(mnl_socket_get_fd(s->dump), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof one))
        return off(s, "the kernel is older than 5.0");
    setsockopt(mnl_socket_get_fd(s->events), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    if (setsockopt(mnl_socket_get_fd(s->events), SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &one, sizeof one))
        return off(s, "listening to other network namespaces needs CAP_NET_BROADCAST");
    if (mnl_socket_bind(s->events, groups, MNL_SOCKET_AUTOPID) < 0)
        return off(s, "cannot listen to changes of addresses");
    want(s, NSID_HOST);
    want(s, NSIDS);
    sensor_state(&s->stats, SENSOR_OK, "%s", "");
    return 0;
}

void address_sensor_close(struct address_sensor *s)
{
    if (s->events)
        mnl_socket_close(s->events);
    if (s->dump)
        mnl_socket_close(s->dump);
    sensor_fini(&s->sensor);
    s->events = s->dump = NULL;
}

int address_sensor_fd(const struct address_sensor *s)
{
    return s->events ? mnl_socket_get_fd(s->events) : -1;
}
