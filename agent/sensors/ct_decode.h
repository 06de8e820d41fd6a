/* Decoder of ctnetlink messages (linux/netfilter/nfnetlink_conntrack.h): bytes from the kernel to EVENT_FLOW. Pure. */
#ifndef ECSGUARD_CT_DECODE_H
#define ECSGUARD_CT_DECODE_H

#include "common/bytes.h"
#include "common/event.h"

/* Positive result of ct_decode(): a well-formed message that is not about a flow (end of a dump, error, other subsystem). */
#define CT_OTHER 1

/* One message into an event that event_init() has prepared as EVENT_FLOW; `nsid` is of the namespace that reported it, -1 for the
 * host's own. 0, CT_OTHER, or -EINVAL (then the event is to be thrown away; the next message of the datagram may be fine).
 *
 * Addresses: IPv4-mapped IPv6 become IPv4. ICMP has no ports: sport is the echo identifier, dport is type << 8 | code.
 * tcp_state is in the numbers of tcp(7), as for sockets. flow_id is the same for all messages of one flow. */
int ct_decode(struct event *ev, const uint8_t *message, size_t size, int32_t nsid);

#endif
