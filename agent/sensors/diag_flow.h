/* The end of a connection as its socket tells it when it is destroyed: EVENT_FLOW where connections are not tracked. Pure. */
#ifndef ECSGUARD_DIAG_FLOW_H
#define ECSGUARD_DIAG_FLOW_H

#include "agent/sensors/inet_diag_decode.h"

/* Fills an event that event_init() has prepared as EVENT_FLOW. False if the socket was no end of a connection.
 *
 * Less is known than from conntrack: no beginning, no packets; bytes are those of TCP's payload. The side with the higher port is taken for the
 * one that began: ports are given out from 32768 on, servers are below. */
bool diag_flow(struct event *ev, const struct inet_socket *socket, int32_t nsid);

#endif
