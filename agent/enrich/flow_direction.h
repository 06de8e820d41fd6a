/* Who began a flow, seen from the container it belongs to (or, without one, from the host). Pure.
 *
 * A network namespace's own addresses decide: what comes from one of them was begun inside. A flow that the host forwards is compared with
 * the container's addresses instead, behind destination NAT (a published port) by its reply. */
#ifndef ECSGUARD_FLOW_DIRECTION_H
#define ECSGUARD_FLOW_DIRECTION_H

#include "agent/enrich/container_table.h"
#include "agent/enrich/netns_addresses.h"

/* The container whose namespace or address the flow shows; NULL = the host's own, or forwarded for somebody unknown. */
struct container_facts *flow_container(struct container_table *containers, const struct event *ev);

/* enum flow_direction, 0 = not known: neither end is known to be ours, or tracking began in the middle and the ports do not tell. */
uint8_t flow_direction(const struct netns_addresses *addresses, const struct container_facts *c, const struct event *ev);

#endif
