#include "agent/sensors/nflog_decode.h"

#include <errno.h>

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>

#define PACKET (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET)

static bool take_number(uint32_t *to, bool *has, const uint8_t *data, size_t size)
{
    if (size != 4)
        return false;
    *to = load_be32(data);
    *has = true;
    return true;
}

static bool take_attr(struct nflog_packet *p, uint16_t type, const uint8_t *data, size_t size)
{
    switch (type) {
    case NFULA_PACKET_HDR:
        if (size < 3)
            return false;
        p->protocol = load_be16(data);
        p->hook = data[2];
        return true;
    case NFULA_PAYLOAD:
        p->payload = bytes_of(data, size);
        return true;
    case NFULA_UID:
        return take_number(&p->uid, &p->has_uid, data, size);
    case NFULA_SEQ:
        return take_number(&p->seq, &p->has_seq, data, size);
    case NFULA_IFINDEX_INDEV:
        return take_number(&p->indev, &p->has_indev, data, size);
    }
    return true;
}

static int take_packet(struct nflog_packet *p, struct bytes b)
{
    memset(p, 0, sizeof *p);
    if (!bytes_take(&b, sizeof(struct nfgenmsg)))
        return -EINVAL;
    while (b.left) {
        const uint8_t *head = bytes_take(&b, NLA_HDRLEN);
        size_t size = head ? load_u16(head) : 0;
        if (size < NLA_HDRLEN || size - NLA_HDRLEN > b.left)
            return -EINVAL;
        const uint8_t *data = bytes_take(&b, size - NLA_HDRLEN);
        size_t pad = NLA_ALIGN(size) - size;
        bytes_take(&b, pad < b.left ? pad : b.left);
        if (!take_attr(p, load_u16(head + 2) & NLA_TYPE_MASK, data, size - NLA_HDRLEN))
            return -EINVAL;
    }
    return p->payload.at ? 1 : -EINVAL;
}

int nflog_decode(struct bytes *datagram, struct nflog_packet *packet)
{
    while (datagram->left) {
        if (datagram->left < NLMSG_HDRLEN)
            return -EINVAL;
        size_t length = load_u32(datagram->at), pad = NLMSG_ALIGN(length) - length;
        uint16_t type = load_u16(datagram->at + offsetof(struct nlmsghdr, nlmsg_type));
        if (length < NLMSG_HDRLEN || length > datagram->left)
            return -EINVAL;
        const uint8_t *message = bytes_take(datagram, length);
        bytes_take(datagram, pad < datagram->left ? pad : datagram->left);
        if (type == PACKET)
            return take_packet(packet, bytes_of(message + NLMSG_HDRLEN, length - NLMSG_HDRLEN));
    }
    return 0;
}
