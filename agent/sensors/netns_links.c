#include "agent/sensors/netns_links.h"

#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "agent/sensors/netns.h"

#define ANSWER_BYTES 32768

struct link {
    bool is_veth;
    int32_t peer_nsid; /* as the namespace we are in numbers it; NSID_UNKNOWN when the peer is in the same one, or there is none */
};

struct look {
    int n, n_veth;
    int32_t peer_nsid; /* the same for all veth devices, or NSID_UNKNOWN */
};

static int take_info(const struct nlattr *attr, void *data)
{
    struct link *link = data;
    if (mnl_attr_get_type(attr) == IFLA_INFO_KIND && mnl_attr_validate(attr, MNL_TYPE_STRING) >= 0)
        link->is_veth = !strncmp(mnl_attr_get_str(attr), "veth", mnl_attr_get_payload_len(attr));
    return MNL_CB_OK;
}

static int take_attr(const struct nlattr *attr, void *data)
{
    struct link *link = data;
    uint16_t type = mnl_attr_get_type(attr);
    if (type == IFLA_LINKINFO && mnl_attr_validate(attr, MNL_TYPE_NESTED) >= 0)
        mnl_attr_parse_nested(attr, take_info, link);
    else if (type == IFLA_LINK_NETNSID && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
        link->peer_nsid = (int32_t)mnl_attr_get_u32(attr);
    return MNL_CB_OK;
}

static int take_link(const struct nlmsghdr *head, void *data)
{
    struct look *look = data;
    struct link link = { .peer_nsid = NSID_UNKNOWN };
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(head);
    if (head->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(head) < sizeof *info || info->ifi_type == ARPHRD_LOOPBACK)
        return MNL_CB_OK;
    mnl_attr_parse(head, sizeof *info, take_attr, &link);
    look->n++;
    if (!link.is_veth)
        return MNL_CB_OK;
    look->peer_nsid = look->n_veth && link.peer_nsid != look->peer_nsid ? NSID_UNKNOWN : link.peer_nsid;
    look->n_veth++;
    return MNL_CB_OK;
}

static int dump_links(struct mnl_socket *nl, struct look *look)
{
    static _Thread_local char buffer[ANSWER_BYTES] __attribute__((aligned(8)));
    struct nlmsghdr *head = mnl_nlmsg_put_header(buffer);
    head->nlmsg_type = RTM_GETLINK;
    head->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    struct ifinfomsg *info = mnl_nlmsg_put_extra_header(head, sizeof *info);
    info->ifi_family = AF_UNSPEC;
    if (mnl_socket_sendto(nl, head, head->nlmsg_len) < 0)
        return -errno;
    int r;
    do {
        ssize_t n = recv(mnl_socket_get_fd(nl), buffer, sizeof buffer, MSG_DONTWAIT);
        r = n < 0 ? -1 : mnl_cb_run(buffer, (size_t)n, 0, 0, take_link, look);
    } while (r == MNL_CB_OK);
    return r < 0 ? -errno : 0;
}

int netns_links_look(int host_fd, struct netns_links *links)
{
    struct look look = { .peer_nsid = NSID_UNKNOWN };
    int32_t host = NSID_UNKNOWN;
    struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (!nl)
        return -errno;
    int r = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : dump_links(nl, &look);
    mnl_socket_close(nl);
    if (!r && look.n && look.n == look.n_veth)
        r = netns_nsid_of_fd(host_fd, false, &host); /* after the dump: telling a peer's namespace gives that its number */
    links->n = look.n;
    links->bridged = look.n && look.n == look.n_veth && look.peer_nsid != NSID_UNKNOWN && look.peer_nsid == host;
    return r;
}
