#include "agent/enrich/flow_direction.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "common/address.h"

#define EPHEMERAL_PORT_MIN 32768

struct container_facts *flow_container(struct container_table *containers, const struct event *ev)
{
    struct container_facts *c = event_knows(ev, F_NSID) ? container_by_nsid(containers, ev->nsid) : NULL;
    if (!c)
        c = container_by_address(containers, &ev->src);
    if (!c && event_knows(ev, F_REPLY_SRC))
        c = container_by_address(containers, &ev->reply_src);
    return c ? c : container_by_address(containers, &ev->dst);
}

static bool is_own(const struct netns_addresses *addresses, const struct container_facts *c, const struct event *ev, const struct address *a)
{
    if (!a->family)
        return false;
    if (c && (address_equal(a, &c->address) || address_equal(a, &c->address6)))
        return true;
    /* What the host's namespace forwards for a container belongs to the container: the host's own addresses are others then. */
    if (c && ev->nsid < 0 && c->nsid != ev->nsid)
        return false;
    return address_is_loopback(a) || netns_has_address(addresses, ev->nsid, a);
}

/* A TCP flow that conntrack meets after its handshake is established at once, and its "original" direction is that of whatever packet came
 * first. Servers have the lower port. */
static uint8_t direction_in_the_middle(const struct event *ev, uint8_t seen)
{
    bool src_is_client = ev->sport >= EPHEMERAL_PORT_MIN && ev->dport < EPHEMERAL_PORT_MIN;
    bool dst_is_client = ev->dport >= EPHEMERAL_PORT_MIN && ev->sport < EPHEMERAL_PORT_MIN;
    if (seen == DIRECTION_LOCAL || src_is_client)
        return seen;
    if (!dst_is_client)
        return 0;
    return seen == DIRECTION_OUT ? DIRECTION_IN : DIRECTION_OUT;
}

uint8_t flow_direction(const struct netns_addresses *addresses, const struct container_facts *c, const struct event *ev)
{
    bool from_us = is_own(addresses, c, ev, &ev->src), to_us = is_own(addresses, c, ev, &ev->dst);
    if (event_knows(ev, F_REPLY_SRC))
        to_us |= is_own(addresses, c, ev, &ev->reply_src);
    if (!from_us && !to_us)
        return 0;
    uint8_t seen = from_us ? to_us ? DIRECTION_LOCAL : DIRECTION_OUT : DIRECTION_IN;
    bool in_the_middle = ev->flow_phase == FLOW_NEW && ev->proto == IPPROTO_TCP && event_knows(ev, F_TCP_STATE) &&
                         ev->tcp_state == TCP_ESTABLISHED;
    return in_the_middle ? direction_in_the_middle(ev, seen) : seen;
}
