#include "agent/sensors/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>

static int nsid_attr(const struct nlattr *attr, void *data)
{
    if (mnl_attr_get_type(attr) == NETNSA_NSID && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
        *(int32_t *)data = (int32_t)mnl_attr_get_u32(attr);
    return MNL_CB_OK;
}

static int nsid_answer(const struct nlmsghdr *head, void *data)
{
    if (head->nlmsg_type == RTM_NEWNSID)
        mnl_attr_parse(head, sizeof(struct rtgenmsg), nsid_attr, data);
    return MNL_CB_STOP;
}

/* RTM_GETNSID or RTM_NEWNSID for the namespace `ns_fd`. The kernel answers within sendto(2): the read never waits. */
static int nsid_request(struct mnl_socket *socket, uint16_t type, int ns_fd, int32_t *nsid)
{
    char buffer[1024] __attribute__((aligned(8)));
    struct nlmsghdr *head = mnl_nlmsg_put_header(buffer);
    head->nlmsg_type = type;
    head->nlmsg_flags = NLM_F_REQUEST | (type == RTM_NEWNSID ? NLM_F_ACK : 0);
    head->nlmsg_seq = type;
    mnl_nlmsg_put_extra_header(head, sizeof(struct rtgenmsg));
    mnl_attr_put_u32(head, NETNSA_FD, (uint32_t)ns_fd);
    if (type == RTM_NEWNSID)
        mnl_attr_put_u32(head, NETNSA_NSID, (uint32_t)NETNSA_NSID_NOT_ASSIGNED); /* any free number */
    if (mnl_socket_sendto(socket, head, head->nlmsg_len) < 0)
        return -errno;
    ssize_t n = mnl_socket_recvfrom(socket, buffer, sizeof buffer);
    if (n < 0 || mnl_cb_run(buffer, (size_t)n, type, mnl_socket_get_portid(socket), nsid_answer, nsid) < 0)
        return -errno;
    return 0;
}

int netns_nsid_of_fd(int ns_fd, bool assign, int32_t *nsid)
{
    *nsid = NSID_UNKNOWN;
    struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (!socket)
        return -errno;
    int32_t id = NETNSA_NSID_NOT_ASSIGNED;
    int r = mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : nsid_request(socket, RTM_GETNSID, ns_fd, &id);
    if (!r && id == NETNSA_NSID_NOT_ASSIGNED && assign) {
        r = nsid_request(socket, RTM_NEWNSID, ns_fd, &id);
        if (!r || r == -EEXIST) /* -EEXIST: somebody was faster */
            r = nsid_request(socket, RTM_GETNSID, ns_fd, &id);
    }
    if (id != NETNSA_NSID_NOT_ASSIGNED)
        *nsid = id;
    mnl_socket_close(socket);
    return r;
}

int netns_nsid_of(int proc_fd, pid_t pid, bool assign, int32_t *nsid, uint64_t *inode)
{
    char path[32];
    struct stat ns, own;
    int r = 0;
    *nsid = NSID_UNKNOWN;
    *inode = 0;
    snprintf(path, sizeof path, "%d/ns/net", (int)pid);
    int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &ns) || fstatat(proc_fd, "self/ns/net", &own, 0))
        r = -errno;
    else
        *inode = ns.st_ino;
    if (!r && ns.st_ino == own.st_ino && ns.st_dev == own.st_dev)
        *nsid = NSID_HOST;
    else if (!r)
        r = netns_nsid_of_fd(fd, assign, nsid);
    close(fd);
    return r;
}
