/* Messages in a netlink datagram and attributes in a message (linux/netlink.h), out of bytes that are checked. Pure. */
#ifndef ECSGUARD_NETLINK_ATTRS_H
#define ECSGUARD_NETLINK_ATTRS_H

#include "common/bytes.h"

struct attr {
    uint16_t type; /* without flags */
    struct bytes data;
};

/* Calls `take` for each attribute in `b`; stops at the first that it refuses. 0, what `take` returned, or -EINVAL. */
typedef int attr_taker(void *to, const struct attr *a);
int attrs_walk(struct bytes b, attr_taker *take, void *to);

/* Takes the next netlink message (header and payload) off a datagram. 1 with `*message` and `*size`, 0 at the end, -EINVAL when what
 * is left is no message: nothing behind it can be trusted. */
int netlink_next(struct bytes *datagram, const uint8_t **message, size_t *size);

#endif
