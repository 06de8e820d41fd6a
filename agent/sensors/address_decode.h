/* Decoder of rtnetlink messages about addresses and numbers of network namespaces (linux/if_addr.h, linux/net_namespace.h): bytes from the
 * kernel to EVENT_NETNS. Pure. */
#ifndef ECSGUARD_ADDRESS_DECODE_H
#define ECSGUARD_ADDRESS_DECODE_H

#include "common/bytes.h"
#include "common/event.h"

enum address_message {
    ADDRESS_OTHER = 1, /* well-formed, but about something else */
    ADDRESS_NETNS,     /* `*nsid` is the number of a namespace: it has one now */
};

/* One message into an event that event_init() has prepared as EVENT_NETNS. `*nsid`: of the namespace that sent it, -1 for the host's own; a
 * message that names another changes it. 0 with an address that came or went (or, of a namespace that is gone, all of its addresses), a
 * positive enum address_message, or -EINVAL: then the event is to be thrown away. */
int address_decode(struct event *ev, const uint8_t *message, size_t size, int32_t *nsid);

#endif
