#include "agent/sensors/ct_request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

struct nlmsghdr *ct_request_start(char *buffer, int type, uint16_t flags, uint8_t family)
{
    struct nlmsghdr *head = mnl_nlmsg_put_header(buffer);
    head->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
    head->nlmsg_flags = NLM_F_REQUEST | flags;
    struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(head, sizeof *nfg);
    nfg->nfgen_family = family;
    nfg->version = NFNETLINK_V0;
    return head;
}

int ct_request_run(struct mnl_socket *nl, const struct nlmsghdr *head)
{
    char buffer[4096] __attribute__((aligned(8)));
    if (mnl_socket_sendto(nl, head, head->nlmsg_len) < 0)
        return -errno;
    int r = 0;
    ssize_t n;
    while ((n = recv(mnl_socket_get_fd(nl), buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
        const struct nlmsghdr *answer = (const void *)buffer;
        if ((size_t)n >= NLMSG_LENGTH(sizeof(int32_t)) && answer->nlmsg_type == NLMSG_ERROR)
            r = *(const int32_t *)mnl_nlmsg_get_payload(answer);
    }
    return r;
}

static void put_tuple(struct nlmsghdr *head, const struct sockaddr_storage *name)
{
    const struct sockaddr_in *in = (const void *)name;
    const struct sockaddr_in6 *in6 = (const void *)name;
    struct nlattr *tuple = mnl_attr_nest_start(head, CTA_TUPLE_ORIG), *part = mnl_attr_nest_start(head, CTA_TUPLE_IP);
    for (int i = 0; i < 2; i++) { /* from itself to itself */
        if (name->ss_family == AF_INET)
            mnl_attr_put(head, i ? CTA_IP_V4_DST : CTA_IP_V4_SRC, 4, &in->sin_addr);
        else
            mnl_attr_put(head, i ? CTA_IP_V6_DST : CTA_IP_V6_SRC, 16, &in6->sin6_addr);
    }
    mnl_attr_nest_end(head, part);
    part = mnl_attr_nest_start(head, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(head, CTA_PROTO_NUM, IPPROTO_UDP);
    mnl_attr_put_u16(head, CTA_PROTO_SRC_PORT, in->sin_port); /* at the same place in sockaddr_in6 */
    mnl_attr_put_u16(head, CTA_PROTO_DST_PORT, in->sin_port);
    mnl_attr_nest_end(head, part);
    mnl_attr_nest_end(head, tuple);
}

int ct_tracks(struct mnl_socket *nl, int family)
{
    char buffer[512] __attribute__((aligned(8)));
    struct sockaddr_storage name = { .ss_family = (sa_family_t)family };
    socklen_t size = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    if (family == AF_INET)
        ((struct sockaddr_in *)(void *)&name)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        ((struct sockaddr_in6 *)(void *)&name)->sin6_addr = in6addr_loopback;
    int s = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;
    if (s < 0)
        return -errno;
    if (bind(s, (void *)&name, size) || getsockname(s, (void *)&name, &size) || sendto(s, "", 1, 0, (void *)&name, size) < 0) {
        r = -errno;
    } else {
        struct nlmsghdr *head = ct_request_start(buffer, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, (uint8_t)family);
        put_tuple(head, &name);
        r = ct_request_run(nl, head);
        r = !r ? 1 : r == -ENOENT ? 0 : r;
    }
    close(s);
    return r;
}

struct fill {
    uint32_t count, max;
    bool has_count, has_max;
};

static int take_fill(const struct nlattr *attr, void *data)
{
    struct fill *fill = data;
    if (mnl_attr_validate(attr, MNL_TYPE_U32) < 0)
        return MNL_CB_OK;
    if (mnl_attr_get_type(attr) == CTA_STATS_GLOBAL_ENTRIES) {
        fill->count = ntohl(mnl_attr_get_u32(attr));
        fill->has_count = true;
    } else if (mnl_attr_get_type(attr) == CTA_STATS_GLOBAL_MAX_ENTRIES) {
        fill->max = ntohl(mnl_attr_get_u32(attr));
        fill->has_max = true;
    }
    return MNL_CB_OK;
}

static int take_fill_message(const struct nlmsghdr *head, void *data)
{
    return mnl_attr_parse(head, sizeof(struct nfgenmsg), take_fill, data);
}

int ct_fill(struct mnl_socket *nl, uint32_t *count, uint32_t *max)
{
    char buffer[1024] __attribute__((aligned(8)));
    struct fill fill = { 0 };
    const struct nlmsghdr *head = ct_request_start(buffer, IPCTNL_MSG_CT_GET_STATS, 0, AF_UNSPEC);
    if (mnl_socket_sendto(nl, head, head->nlmsg_len) < 0)
        return -errno;
    ssize_t n = recv(mnl_socket_get_fd(nl), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 || mnl_cb_run(buffer, (size_t)n, 0, 0, take_fill_message, &fill) < 0)
        return -errno;
    if (!fill.has_count || !fill.has_max)
        return -EOPNOTSUPP;
    *count = fill.count;
    *max = fill.max;
    return 0;
}

int ct_flush(struct mnl_socket *nl)
{
    char buffer[64] __attribute__((aligned(8)));
    return ct_request_run(nl, ct_request_start(buffer, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, AF_UNSPEC));
}
