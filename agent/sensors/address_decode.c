#include "agent/sensors/address_decode.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/if_addr.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>

#include "agent/sensors/netlink_attrs.h"

struct found {
    uint8_t family;
    struct address local, address; /* IFA_LOCAL is an interface's own where there are two: IFA_ADDRESS is then the other end's */
    int32_t nsid;
    bool has_nsid;
};

static int take_address(struct address *to, const struct attr *a, uint8_t family)
{
    if (a->data.left != (family == AF_INET6 ? 16u : 4u))
        return -EINVAL;
    *to = (struct address){ .family = family == AF_INET6 ? 6 : 4 };
    memcpy(to->bytes, a->data.at, a->data.left);
    return 0;
}

static int take_nsid(struct found *f, const struct attr *a)
{
    if (a->data.left != 4)
        return -EINVAL;
    f->nsid = (int32_t)load_u32(a->data.at);
    f->has_nsid = true;
    return 0;
}

static int take_ifa(void *to, const struct attr *a)
{
    struct found *f = to;
    switch (a->type) {
    case IFA_LOCAL:
        return take_address(&f->local, a, f->family);
    case IFA_ADDRESS:
        return take_address(&f->address, a, f->family);
    case IFA_TARGET_NETNSID:
        return take_nsid(f, a);
    }
    return 0;
}

static int take_netnsa(void *to, const struct attr *a)
{
    return a->type == NETNSA_NSID ? take_nsid(to, a) : 0;
}

static int decode_address(struct event *ev, struct bytes b, bool gone, int32_t *nsid)
{
    const uint8_t *head = bytes_take(&b, sizeof(struct ifaddrmsg));
    if (!head)
        return -EINVAL;
    struct found f = { .family = head[offsetof(struct ifaddrmsg, ifa_family)] };
    if (f.family != AF_INET && f.family != AF_INET6)
        return ADDRESS_OTHER;
    if (attrs_walk(b, take_ifa, &f) || (!f.local.family && !f.address.family))
        return -EINVAL;
    if (f.has_nsid)
        *nsid = f.nsid;
    event_set(ev, F_NETNS_OP, netns_op, gone ? NETNS_ADDRESS_GONE : NETNS_ADDRESS);
    event_set(ev, F_NSID, nsid, *nsid);
    event_set(ev, F_SRC, src, f.local.family ? f.local : f.address);
    return 0;
}

static int decode_nsid(struct event *ev, struct bytes b, bool gone, int32_t *nsid)
{
    struct found f = { 0 };
    /* the kernel pads struct rtgenmsg, of one byte, like every header */
    if (!bytes_take(&b, NLMSG_ALIGN(sizeof(struct rtgenmsg))) || attrs_walk(b, take_netnsa, &f))
        return -EINVAL;
    if (!f.has_nsid || f.nsid < 0)
        return ADDRESS_OTHER;
    *nsid = f.nsid;
    if (!gone)
        return ADDRESS_NETNS;
    event_set(ev, F_NETNS_OP, netns_op, NETNS_ADDRESS_GONE);
    event_set(ev, F_NSID, nsid, f.nsid);
    return 0;
}

int address_decode(struct event *ev, const uint8_t *message, size_t size, int32_t *nsid)
{
    struct bytes b = bytes_of(message, size);
    if (!bytes_take(&b, NLMSG_HDRLEN))
        return -EINVAL;
    uint16_t type = load_u16(message + offsetof(struct nlmsghdr, nlmsg_type));
    if (type == RTM_NEWADDR || type == RTM_DELADDR)
        return decode_address(ev, b, type == RTM_DELADDR, nsid);
    if (type == RTM_NEWNSID || type == RTM_DELNSID)
        return decode_nsid(ev, b, type == RTM_DELNSID, nsid);
    return ADDRESS_OTHER;
}
