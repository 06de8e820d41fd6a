#include "agent/sensors/netlink_attrs.h"

#include <errno.h>

#include <linux/netlink.h>

int attrs_walk(struct bytes b, attr_taker *take, void *to)
{
    while (b.left) {
        const uint8_t *head = bytes_take(&b, NLA_HDRLEN);
        if (!head)
            return -EINVAL;
        size_t size = load_u16(head);
        struct attr a = { .type = load_u16(head + 2) & NLA_TYPE_MASK };
        if (size < NLA_HDRLEN || size - NLA_HDRLEN > b.left)
            return -EINVAL;
        a.data = bytes_of(bytes_take(&b, size - NLA_HDRLEN), size - NLA_HDRLEN);
        size_t pad = NLA_ALIGN(size) - size;
        bytes_take(&b, pad < b.left ? pad : b.left);
        int r = take(to, &a);
        if (r)
            return r;
    }
    return 0;
}

int netlink_next(struct bytes *datagram, const uint8_t **message, size_t *size)
{
    if (!datagram->left)
        return 0;
    if (datagram->left < NLMSG_HDRLEN)
        return -EINVAL;
    size_t length = load_u32(datagram->at);
    if (length < NLMSG_HDRLEN || length > datagram->left)
        return -EINVAL;
    *message = bytes_take(datagram, length);
    *size = length;
    size_t pad = NLMSG_ALIGN(length) - length;
    bytes_take(datagram, pad < datagram->left ? pad : datagram->left);
    return 1;
}
